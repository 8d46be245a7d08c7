"""``saslpy-checkpassword`` as qmail's programs start it: on its own, and below tcpserver. Dovecot is in its own file."""

from __future__ import annotations

import base64
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path

import pytest

from ..real import need, popup
from ..real.postfix import free_port
from ..real.processes import end
from ..real.saslpy import Daemon, configured, folder, run, serving
from ..real.system import need_root

pytestmark = pytest.mark.real

CHECKPASSWORD = (sys.executable, "-m", "saslpy.checkpassword")
LOGIN, PASSWORD = "joe@example.org", "s3cret p\udcffss \u00e9"
UID, GID = 12_345, 12_346
TELL = (
    'echo "$(id -u):$(id -g):$(id -G)"; pwd; echo "$USER $HOME $SHELL $MAILDIR"; ls /proc/self/fd | tr "\\n" " "; echo;'
    "grep SigIgn /proc/$$/status; tr '\\0' ' ' </proc/$$/environ; cat /proc/$$/cmdline"
)
"""A program that tells all that it knows."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    need_root()
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    for name, uid in (("joe", UID), ("shut", 0)):
        (place / name).mkdir(mode=0o700)
        os.chown(place / name, uid, -1)
    secret = "{PLAIN.B64}" + base64.b64encode(PASSWORD.encode("utf-8", "surrogateescape")).decode()
    users = {
        LOGIN: f'uid = {UID}, gid = {GID}, home = "{place}/joe", maildir = "Maildir"',
        "root": 'uid = 0, gid = 0, home = "/root"',
        "group": f'uid = {UID}, gid = 0, home = "{place}/joe"',
        "none": f'home = "{place}/joe"',
        "homeless": f"uid = {UID}, gid = {GID}",
        "shut": f'uid = {UID}, gid = {GID}, home = "{place}/shut"',
        "off": f'uid = {UID}, gid = {GID}, home = "{place}/joe", disabled = true',
    }
    told = "".join(f'"{name}" = {{ password = "{secret}", {more} }}\n' for name, more in users.items())
    config = configured(
        place,
        f'[backend.local]\ntype = "static"\n[backend.local.users]\n{told}'
        '[backend.down]\ntype = "mysql"\nhosts = ["127.0.0.1:1"]\nuser = "x"\ndatabase = "x"\nschema = "postfixadmin"\n',
        'chain = ["local"]\nmin_seconds = 0\n[[auth.route]]\ndomains = ["down.example"]\nchain = ["down"]\n',
        '[[listen]]\nprotocol = "http"\npath = "http"\nmode = "0666"\n',
    )
    with serving(config) as running:
        yield running


def given(login: str, password: str = PASSWORD) -> bytes:
    return f"{login}\0{password}\0Y12345\0".encode("utf-8", "surrogateescape")


def check(
    place: Path, data: bytes, *program: str, command: Sequence[str] = CHECKPASSWORD, **environment: str
) -> tuple[int, str, str]:
    """Exit status, output and complaint of a caller that gives this on descriptor 3."""
    done = subprocess.run(
        # the shell moves its input to descriptor 3
        ["/bin/sh", "-c", 'exec "$@" 3<&0 0</dev/null', "sh", *command, *program],
        input=data,
        capture_output=True,
        timeout=30,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], "SASLPY_SOCKET": str(place / "http"), **environment},
    )
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def test_the_program_runs_as_the_user_in_his_home(daemon: Daemon, place: Path) -> None:
    status, said, complaint = check(place, given(LOGIN), "sh", "-c", TELL, TCPLOCALPORT="110", TCPREMOTEIP="192.0.2.7")
    assert (status, complaint) == (0, "")
    ids, where, names, files, ignored, *rest = said.split("\n")
    assert ids == f"{UID}:{GID}:{GID}", "and no other group of root's"
    assert where == f"{place}/joe"
    assert names == f"{LOGIN} {place}/joe /bin/sh {place}/joe/Maildir"
    assert files.split() == ["0", "1", "2", "3"], "the last one is ls's own"
    assert not int(ignored.split()[1], 16) & 1 << signal.SIGPIPE - 1, "Python ignores SIGPIPE, the program does not"
    assert "s3cret" not in "".join(rest), "neither in its environment nor in its arguments"
    line = daemon.lines("login")[-1]
    assert "service=pop3 mechanism=PLAIN client=192.0.2.7" in line


@pytest.mark.parametrize(
    ("data", "status", "complaint"),
    [
        (given(LOGIN, "wrong"), 1, ""),
        (given("nobody"), 1, ""),
        (given("off"), 1, ""),
        (given(LOGIN, ""), 1, ""),
        (given(""), 1, ""),
        (given("joe@down.example"), 111, "could not find out: backend-failed"),
        (b"joe\0secret", 2, "login, password and timestamp"),
        (b"", 2, "login, password and timestamp"),
        (given(LOGIN) + b"x" * 500, 2, "over 512 bytes on descriptor 3"),
        (given("root"), 111, "no program is run as root"),
        (given("group"), 111, "no program is run as root"),
        (given("none"), 111, "the account has no uid and gid"),
        (given("shut"), 111, "/shut: Permission denied"),
    ],
)
def test_other_ends(daemon: Daemon, place: Path, data: bytes, status: int, complaint: str) -> None:
    ended, said, complained = check(place, data, "sh", "-c", "echo in")
    assert (ended, said) == (status, "")
    assert complaint in complained
    assert (complained == "") == (complaint == "")
    assert "s3cret" not in complained


def test_without_a_home(daemon: Daemon, place: Path) -> None:
    assert check(place, given("homeless"), "sh", "-c", "pwd; echo $HOME")[:2] == (0, "/\n/\n")


def test_misuse(daemon: Daemon, place: Path) -> None:
    assert check(place, given(LOGIN))[0] == 2
    assert check(place, given(LOGIN), "/nonexistent/prog")[::2] == (
        111,
        "saslpy-checkpassword: cannot run /nonexistent/prog: No such file or directory\n",
    )
    closed = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 3<&-', "sh", *CHECKPASSWORD, "true"], capture_output=True, timeout=30, check=False
    )
    assert closed.returncode == 2
    assert b"descriptor 3" in closed.stderr


def test_nobody_but_dovecot_is_told_of_users_without_a_password(daemon: Daemon, place: Path) -> None:
    assert check(place, given(LOGIN, "wrong"), "sh", "-c", "echo in", AUTHORIZED="1")[:2] == (1, "")


STRANGER = """
import os, sys
from saslpy import checkpassword  # before: a checkout below /root is for root alone
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(checkpassword.main())
"""


def test_whoever_is_not_root_stays_who_he_is(daemon: Daemon, place: Path) -> None:
    """As qmail-smtpd asks, which wants to know no more than yes or no."""
    stranger = (sys.executable, "-c", STRANGER)
    told = check(place, given(LOGIN), "/bin/sh", "-c", "id -u; pwd; echo $USER", command=stranger)
    assert told == (0, f"65534\n/\n{LOGIN}\n", "")
    assert check(place, given(LOGIN, "wrong"), "/bin/true", command=stranger)[0] == 1


@contextmanager
def somebody(place: Path, answer: bytes | None) -> Iterator[str]:
    """A socket that somebody else listens on, with his answer; None for none at all."""
    path = place / "other"
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))
        sock.listen()
        if answer is not None:
            pid = os.fork()
            if pid == 0:
                with suppress(BaseException):
                    connection, _ = sock.accept()
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.close()
                os._exit(0)
        try:
            yield str(path)
        finally:
            path.unlink()
            if answer is not None:
                os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "it hung up"),
        (b"garbage", "does not speak our protocol"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"verdict": "reject"}', "does not speak our protocol"),
        (b'HTTP/1.1 403 No\r\n\r\n{"verdict": "accept", "login": "joe"}', "does not speak our protocol"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"verdict": "accept"', "does not speak our protocol"),
        (b'HTTP/1.1 403 No\r\n\r\n{"error": "browsers are not answered"}', "browsers are not answered"),
        (b'HTTP/1.1 500 Oh\r\n\r\n{"error": "no"}', "did not answer: no"),
    ],
)
def test_an_odd_daemon_is_a_passing_failure(place: Path, answer: bytes, complaint: str) -> None:
    with somebody(place, answer) as path:
        status, said, complained = check(place, given("joe"), "echo", "in", SASLPY_SOCKET=path)
    assert (status, said) == (111, "")
    assert complaint in complained


def test_a_daemon_that_is_away(place: Path) -> None:
    status, _, complained = check(place, given("joe"), "echo", "in", SASLPY_SOCKET=str(place / "nothing"))
    assert (status, complained.partition(": ")[2]) == (
        111,
        f"cannot ask the daemon at {place}/nothing: No such file or directory\n",
    )


def test_a_daemon_that_hangs(place: Path) -> None:
    """The whole has a deadline, which is shortened here; and it does not go on to the program."""
    code = "import sys, saslpy.checkpassword as c; c.SECONDS = 1; sys.exit(c.main(['echo', 'in']))"
    with somebody(place, None) as path:
        told = check(place, given("joe"), command=(sys.executable, "-c", code), SASLPY_SOCKET=path)
    assert told == (111, "", "saslpy-checkpassword: not done in 1 s\n")


CONTRIB = Path(__file__).parents[2] / "contrib" / "qmail" / "pop3d"
POP3D = 'cd "$1" && echo "+OK $(id -u) $(pwd) $USER"'


def qmail(place: Path, port: int) -> Path:
    """contrib's script, with the programs that it starts: qmail itself is none of Debian's packages."""
    programs = {
        "qmail-popup": shlex.join([sys.executable, popup.__file__]),
        "saslpy-checkpassword": shlex.join(CHECKPASSWORD),
        "qmail-pop3d": shlex.join(["sh", "-c", POP3D, "qmail-pop3d"]),
    }
    (place / "bin").mkdir()
    for name, command in programs.items():
        (place / "bin" / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (place / "bin" / name).chmod(0o755)
    text = CONTRIB.read_text()
    for old, new in (("/var/qmail/bin", f"{place}/bin"), (" 0 0 110 ", f" 0 127.0.0.1 {port} ")):
        assert old in text
        text = text.replace(old, new)
    (place / "pop3d").write_text(text)
    return place / "pop3d"


def test_qmail_s_pop3(daemon: Daemon, place: Path) -> None:
    """tcpserver, popup, checkpassword, and a server that runs as the user in his maildir."""
    need("tcpserver", package="ucspi-tcp")
    (place / "joe" / "Maildir").mkdir()
    os.chown(place / "joe" / "Maildir", UID, -1)
    port = free_port()
    server = subprocess.Popen(
        ["/bin/sh", qmail(place, port)],
        env={**os.environ, "SASLPY_SOCKET": str(place / "http")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        assert pop3(port, LOGIN, PASSWORD) == f"+OK {UID} {place}/joe/Maildir {LOGIN}"
        assert pop3(port, LOGIN, "wrong") == "-ERR authorization failed"
        assert pop3(port, "joe@down.example", PASSWORD) == "-ERR [SYS/TEMP] temporary problem"
    finally:
        end(server)
    assert "client=127.0.0.1" in daemon.lines("login")[-1]


def pop3(port: int, login: str, password: str) -> str:
    """The answer to PASS."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock, sock.makefile("rb") as lines:
        for said in ("USER " + login, "PASS " + password):
            assert lines.readline().startswith(b"+OK")
            sock.sendall(said.encode("utf-8", "surrogateescape") + b"\r\n")
        return lines.readline().decode().strip()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.recv(100)
            return
        assert time.monotonic() < deadline, "nobody listens"
        time.sleep(0.02)


def test_it_starts_fast() -> None:
    """A process for each login: nothing that is slow to load, and nothing of the daemon's own."""
    code = "import sys; before = set(sys.modules); import saslpy.checkpassword; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=30)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("saslpy")} == {
        "saslpy",
        "saslpy.checkpassword",
        "saslpy.protocols",
        "saslpy.protocols.checkpassword",
    }
    assert not loaded & {"dataclasses", "inspect", "argparse", "asyncio", "trio", "msgspec", "h11", "ssl", "pathlib"}


def test_the_script_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, _, name = project["project"]["scripts"]["saslpy-checkpassword"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_socket_may_come_with_a_reload(place: Path) -> None:
    """And h11 with it, which the daemon had not loaded."""
    own = place / "own"
    own.mkdir()
    backend = '[backend.local]\ntype = "static"\nusers = { joe = { password = "{PLAIN}secret", uid = 1, gid = 1 } }\n'
    config = configured(own, backend, "min_seconds = 0")
    with serving(config) as running:
        assert check(own, given("joe", "secret"), "sh", "-c", "id -u")[0] == 111
        configured(own, backend, "min_seconds = 0", '[[listen]]\nprotocol = "http"\npath = "http"\n')
        assert run("reload", "--config", str(config)).returncode == 0
        running.wait_for("reloaded")
        assert check(own, given("joe", "secret"), "sh", "-c", "id -u") == (0, "1\n", "")
