"""systemd: the unit that we ship, and what the daemon tells a service manager. There is none here, so the test plays it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..real import need
from ..real.pam import userdb_stack
from ..real.processes import end
from ..real.saslpy import ask, configured, serving
from ..real.systemd import listener, started_with

UNIT = Path(__file__).parents[2] / "contrib" / "systemd" / "saslpy.service"
USERS = '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n'
PR_SET_MDWE = 65


def unit_in(place: Path) -> Path:
    """The unit with the command of this checkout."""
    command = Path(sys.executable).parent / "saslpy"
    text = UNIT.read_text().replace("/usr/local/bin/saslpy", str(command))
    copy = place / UNIT.name
    copy.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    return copy


def test_the_unit_has_no_fault(place: Path) -> None:
    done = subprocess.run(
        [need("systemd-analyze", package="systemd"), "verify", str(unit_in(place))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_as_closed_as_it_says(place: Path) -> None:
    command = [need("systemd-analyze", package="systemd"), "security", "--offline=true", "--threshold=30"]
    done = subprocess.run([*command, str(unit_in(place))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


class Manager:
    """The socket that a service manager listens on for READY=1 and the like."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.settimeout(10)

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hears(self) -> list[str]:
        """The lines of the next message."""
        return self._socket.recv(4096).decode().splitlines()


def test_what_the_service_manager_hears(place: Path) -> None:
    config = configured(place, USERS)
    with Manager(place / "notify") as manager:
        with serving(config, {"NOTIFY_SOCKET": str(manager.path)}) as daemon:
            assert manager.hears() == ["READY=1"]
            daemon.process.send_signal(signal.SIGHUP)
            reloading, when = manager.hears()
            assert reloading == "RELOADING=1"
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert now - 10_000_000 < int(when.removeprefix("MONOTONIC_USEC=")) <= now
            assert manager.hears() == ["READY=1"]
            config.write_text("[")
            daemon.process.send_signal(signal.SIGHUP)
            assert manager.hears()[0] == "RELOADING=1"
            assert manager.hears() == ["READY=1"]  # by the old configuration, and the log says why
            configured(place, USERS)
        assert manager.hears() == ["STOPPING=1"]


def passed(place: Path) -> Path:
    """A configuration whose only socket is one that was passed."""
    config = place / "saslpy.toml"
    user = 'user = "root"\n' if os.geteuid() == 0 else ""
    config.write_text(f'[daemon]\n{user}run_dir = "run"\n{USERS}[[listen]]\nprotocol = "saslauthd"\nsystemd = "mux"\n')
    return config


def test_a_socket_of_systemd_is_served_from_the_first_caller_on(place: Path) -> None:
    config = passed(place)
    with listener(place / "mux") as mux, listener(place / "other") as other:
        with started_with(config, "other:mux", other, mux) as process:
            try:
                assert ask(place, "joe", "secret") == "accept"  # it waits in the backlog until the daemon is there
                assert ask(place, "joe", "wrong") == "reject"
                config.write_text(config.read_text().replace("joe", "ann"))
                process.send_signal(signal.SIGHUP)
                deadline = time.monotonic() + 5
                while ask(place, "ann", "secret") != "accept":
                    assert time.monotonic() < deadline
            finally:
                end(process)
        assert process.returncode == 0
        assert (place / "mux").exists()  # it is not ours to remove


@pytest.mark.parametrize(
    ("names", "told"),
    [("smtp", "no socket with the name 'mux' (passed: smtp)"), ("mux:mux", "2 sockets with the name 'mux'")],
)
def test_a_socket_that_systemd_has_not_passed(place: Path, names: str, told: str) -> None:
    config = passed(place)
    sockets = [listener(place / f"s{number}") for number, _ in enumerate(names.split(":"))]
    with started_with(config, names, *sockets) as process:
        assert process.wait(15) == 1
    for sock in sockets:
        sock.close()
    text = config.with_suffix(".log").read_text()
    assert told in text
    assert "Traceback" not in text


def test_a_socket_of_the_wrong_kind(place: Path) -> None:
    config = passed(place)
    with listener(place / "mux", socket.SOCK_DGRAM) as mux, started_with(config, "mux", mux) as process:
        assert process.wait(15) == 1
    assert "does not listen for streams" in config.with_suffix(".log").read_text()


def test_what_is_no_socket(place: Path) -> None:
    config = passed(place)
    with (place / "saslpy.toml").open("rb") as file, started_with(config, "mux", file) as process:
        assert process.wait(15) == 1
    text = config.with_suffix(".log").read_text()
    assert "is no socket" in text
    assert "Traceback" not in text


def test_pam_and_hashes_work_where_no_memory_can_be_made_executable(place: Path) -> None:
    """MemoryDenyWriteExecute: ctypes makes its callbacks in memory that libffi has prepared."""

    def deny() -> None:
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, 1, 0, 0, 0) != 0:
            os._exit(77)

    if subprocess.run(["true"], preexec_fn=deny, check=False).returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    (place / "pam.d").mkdir()
    userdb_stack(place / "pam.d", {"pam": "secret"})
    more = f'[backend.system]\ntype = "pam"\nservice = "smtp"\nconfdir = "{place}/pam.d"\n'
    config = configured(place, USERS + more, auth='chain = ["local", "system"]')
    wrapper = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.executable, sys.argv[1:])"
    log = (place / "log").open("wb")
    command = [sys.executable, "-c", wrapper, sys.executable, "-m", "saslpy", "serve", "--config", str(config)]
    with log, subprocess.Popen(command, stderr=log) as process:
        try:
            deadline = time.monotonic() + 15
            while b"event=ready" not in (place / "log").read_bytes():
                assert time.monotonic() < deadline, (place / "log").read_text()
                time.sleep(0.05)
            assert ask(place, "joe", "secret") == "accept"
            assert ask(place, "pam", "secret") == "accept"
            assert ask(place, "pam", "wrong") == "reject"
        finally:
            end(process)
