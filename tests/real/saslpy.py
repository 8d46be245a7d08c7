"""The daemon as a process of its own, started from a configuration file, as a user would."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from saslpy.clients.saslauthd import ask_saslauthd
from saslpy.process.children import comm

COMMAND = (sys.executable, "-m", "saslpy")
READY_SECONDS = 15.0


def run(*arguments: str, password: str | None = None, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    """One command to its end; ``password`` goes to standard input."""
    return subprocess.run(
        [*COMMAND, *arguments], input=password, capture_output=True, text=True, timeout=timeout, check=False
    )


class Daemon:
    """A running ``saslpy serve``."""

    def __init__(self, config: Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.log = log
        self._file = log.open("ab")
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(config)], stderr=self._file, env={**os.environ, **(environment or {})}
        )

    def lines(self, event: str) -> list[str]:
        """The log's lines of an event."""
        return [line for line in self.log.read_text().splitlines() if f"event={event} " in line + " "]

    def wait_for(self, event: str, seconds: float = READY_SECONDS) -> str:
        """The first line of an event, which must come in time."""
        deadline = time.monotonic() + seconds
        while not (lines := self.lines(event)):
            assert self.process.poll() is None, f"the daemon ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"no {event} in {seconds} s:\n{self.log.read_text()}"
            time.sleep(0.01)
        return lines[0]

    def children(self, role: str = "") -> list[int]:
        """The pids of its processes: those of one role ("auth", "hash") that run, or all, ended ones included."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed if not role or _comm(pid) == comm(role)]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(15)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._file.close()


def _comm(pid: str) -> str:
    """What a process is called; nothing where it has ended, and waits to be reaped."""
    with contextlib.suppress(OSError):
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
        return "" if rest.startswith("Z") else name
    return ""


@contextlib.contextmanager
def serving(config: Path, environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """A daemon that is ready; it must still run at the end, and end with status 0."""
    daemon = Daemon(config, config.with_suffix(".log"), environment)
    try:
        daemon.wait_for("ready")
        yield daemon
        assert daemon.process.poll() is None, f"the daemon ended:\n{daemon.log.read_text()}"
    finally:
        status = daemon.stop()
    assert status == 0, daemon.log.read_text()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets, which every user may enter."""
    path = Path(tempfile.mkdtemp(prefix="saslpy-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def configured(place: Path, backends: str, auth: str = "", listen: str = "") -> Path:
    """A configuration file with a mux socket ``mux`` in a folder. Root stays root: there is no user to become."""
    path = place / "saslpy.toml"
    user = 'user = "root"' if os.geteuid() == 0 else ""
    path.write_text(
        f"[daemon]\nrun_dir = 'run'\nstate_dir = 'state'\n{user}\n[auth]\n{auth}\n{backends}\n"
        f'[[listen]]\nprotocol = "saslauthd"\npath = "mux"\nmode = "0666"\n{listen}\n'
    )
    return path


def ask(place: Path, login: str, password: str, realm: str = "") -> str:
    """accept, reject or defer, as the mux socket of a folder says."""
    return ask_saslauthd(str(place / "mux"), login, password, realm=realm)[0]


def back_within(seconds: float, place: Path, login: str, password: str) -> None:
    """Ask until it is accept, which must be so in time."""
    deadline = time.monotonic() + seconds
    while (verdict := ask(place, login, password)) != "accept":
        assert time.monotonic() < deadline, f"still {verdict} after {seconds} s"
        time.sleep(0.05)
