"""Sockets that systemd opens: the units of contrib, every protocol, and a real Dovecot that does not notice a restart."""

from __future__ import annotations

import configparser
import re
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ..real import need
from ..real.dovecot import CONTRIB as DOVECOT
from ..real.dovecot import Dovecot, Lines
from ..real.processes import end
from ..real.saslpy import configured
from ..real.system import need_root
from ..real.systemd import listener, started_with

CONTRIB = Path(__file__).parents[2] / "contrib" / "systemd"
UNITS = sorted(CONTRIB.glob("*.socket"))
LOGIN, PASSWORD = "joe@example.org", "s3cret pass"


def test_the_units_have_no_fault(place: Path) -> None:
    for unit in (*UNITS, CONTRIB / "saslpy.service"):
        text = unit.read_text().replace("/usr/local/bin/saslpy", "/bin/true")
        (place / unit.name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    done = subprocess.run(
        [need("systemd-analyze", package="systemd"), "verify", *(place / unit.name for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_opens_what_its_comment_names(unit: Path) -> None:
    text = unit.read_text()
    told = "\n".join(line.removeprefix("#   ") for line in text.splitlines() if re.match(r"#   (\[\[|\w+ = )", line))
    [listen] = tomllib.loads(told)["listen"]
    parsed = configparser.ConfigParser(comment_prefixes="#", interpolation=None)
    parsed.read_string(text)
    assert parsed["Socket"]["FileDescriptorName"] == listen["systemd"]
    assert parsed["Socket"]["Service"] == "saslpy.service"
    path = parsed["Socket"]["ListenStream"]
    shipped = tomllib.loads((DOVECOT / "saslpy.toml").read_text())["listen"]
    by_path = {
        **{each["path"]: each for each in shipped},
        "/run/saslauthd/mux": {"protocol": "saslauthd", "mode": "0660"},
    }
    assert by_path[path]["protocol"] == listen["protocol"]
    assert by_path[path]["mode"] == parsed["Socket"]["SocketMode"]


CALLERS = {
    "saslauthd": (b"\0\3joe\0\1x\0\3foo\0\0", rb"\0.NO"),
    "dovecot": (b"", rb"VERSION\t1\t\d.*DONE\n"),
    "dovecot-master": (b"VERSION\t1\t1\nUSER\t1\tnobody\tservice=x\n", rb"VERSION\t.*NOTFOUND\t1"),
    "authdaemon": (b"PRE . smtp nobody\n", rb"FAIL\n"),
    "http": (b"GET / HTTP/1.0\r\n\r\n", rb"HTTP/1\.1 \d"),
    "socketmap": (b"14:mailbox nobody,", rb"\d+:NOTFOUND "),
}
"""What is said to the socket of a protocol, and what it answers."""


def answer(path: Path, said: bytes, expected: bytes) -> bytes:
    """What comes from a socket until it is what was expected, or the end."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(15)
        sock.connect(str(path))
        sock.sendall(said)
        heard = b""
        while not re.search(expected, heard, re.DOTALL):
            piece = sock.recv(4096)
            if not piece:
                break
            heard += piece
        return heard


def test_the_socket_of_every_protocol(place: Path) -> None:
    """Callers that come before the daemon is there wait for it."""
    listens = "".join(f'[[listen]]\nprotocol = "{name}"\nsystemd = "{name}"\n' for name in CALLERS)
    config = configured(place, '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n', "", listens)
    with ExitStack() as stack, ThreadPoolExecutor(len(CALLERS)) as threads:
        sockets = [stack.enter_context(listener(place / name)) for name in CALLERS]
        heard = {name: threads.submit(answer, place / name, *caller) for name, caller in CALLERS.items()}
        with started_with(config, ":".join(CALLERS), *sockets) as process:
            try:
                for name, (_, expected) in CALLERS.items():
                    assert re.search(expected, heard[name].result(), re.DOTALL), (name, heard[name].result())
            finally:
                end(process)
    assert process.returncode == 0, config.with_suffix(".log").read_text()


@contextmanager
def serving_with(config: Path, name: str, sock: socket.socket) -> Iterator[None]:
    """A daemon with a socket that was passed; at the end it has ended, and the socket is still there."""
    with started_with(config, name, sock) as process:
        try:
            deadline = time.monotonic() + 15
            while b"event=ready" not in config.with_suffix(".log").read_bytes():
                assert time.monotonic() < deadline, config.with_suffix(".log").read_text()
                time.sleep(0.02)
            yield
        finally:
            end(process)
    assert process.returncode == 0


def dovecot_config(place: Path, base: Path) -> Path:
    """contrib's sockets for Dovecot, of which that of its login processes is one that systemd opens."""
    listens = (DOVECOT / "saslpy.toml").read_text()
    socket_path = 'path = "/run/dovecot/login/saslpy/login"\n'
    assert socket_path in listens
    return configured(
        place,
        f'[backend.local]\ntype = "static"\nusers = {{ "{LOGIN}" = "{{PLAIN}}{PASSWORD}" }}\n'
        f'[backend.local.account]\nuid = 12000\ngid = 12000\nhome = "{place}/{{local}}"\n',
        "min_seconds = 0",
        listens.replace(socket_path, 'systemd = "dovecot-login"\n').replace("/run/dovecot", str(base)),
    )


def login(dovecot: Dovecot) -> str:
    """The beginning of what IMAP answers."""
    with Lines(dovecot.imap) as client:
        return client.ask(f'a LOGIN {LOGIN} "{PASSWORD}"', ["a "])[:4]


@pytest.mark.real
def test_dovecot_waits_for_the_end_of_a_restart_and_no_longer(place: Path) -> None:
    """Its login process asks again at once: the socket is there, and its question waits in it.

    Where there is none, a client that comes meanwhile has no answer two minutes after the restart.
    """
    need_root()
    dovecot = Dovecot(place, f"!include {DOVECOT}/saslpy-2.3.conf\n")
    config = dovecot_config(place, dovecot.base)
    folder = dovecot.base / "login" / "saslpy"
    folder.mkdir(parents=True)
    with listener(folder / "login") as sock, ExitStack() as running:
        (folder / "login").chmod(0o666)
        running.enter_context(serving_with(config, "dovecot-login", sock))
        with dovecot:
            assert login(dovecot) == "a OK"
            running.close()
            with ThreadPoolExecutor(1) as threads:
                waiting = threads.submit(login, dovecot)
                with pytest.raises(TimeoutError):
                    waiting.result(0.3)
                running.enter_context(serving_with(config, "dovecot-login", sock))
                assert waiting.result(4) == "a OK", dovecot.log()
