"""The daemons: saslpy and its peers, each private to the bench and running while a ``with`` block does.

The peers' paths are compiled in or belong to the system (/etc/courier, /etc/shadow), so they run in a mount namespace
where our files lie over the system's. Nothing outside of it changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import PASSWORD
from .client import Door, NotReady, wait_until_right
from .processes import end_tree, running, spawned

if TYPE_CHECKING:
    from .mariadb import Database

AUTHDAEMOND = Path("/usr/lib/courier/courier-authlib/authdaemond")
AUTHMYSQL = Path("/usr/lib/courier-authlib/libauthmysql.so")
SOCKET_PATH = 107
"""Bytes that a unix socket's path may have."""


class Missing(Exception):
    """A program that is not there, and the Debian packages that have it."""

    def __init__(self, what: str, packages: str) -> None:
        super().__init__(f"{what} is not installed: apt-get install {packages}")


class StartError(Exception):
    """A daemon that does not start; says what its log says."""


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that answers. ``ready``: seconds from its spawning to its first right answer."""

    name: str
    door: Door
    pid: int
    ready: float


@contextmanager
def courier(folder: Path, database: Database, table: str, login: str) -> Iterator[Running]:
    """courier authdaemond over MySQL, with its default of 5 processes."""
    if not (AUTHDAEMOND.exists() and AUTHMYSQL.exists()):
        raise Missing("courier authdaemond", "courier-authlib courier-authlib-mysql")
    config, run = _folders(folder, "etc", "run")
    (config / "authdaemonrc").write_text(AUTHDAEMONRC)
    (config / "authmysqlrc").write_text(AUTHMYSQLRC.format(socket=database.socket, table=table))
    command = _in_namespace({Path("/etc/courier"): config, Path("/run/courier/authdaemon"): run}, [str(AUTHDAEMOND)])
    start = time.monotonic()
    with spawned(command, folder / "log") as process:
        door = _door(Door("authdaemon", run / "socket"))
        ready = _wait(door, login, lambda: process.poll() is None, folder / "log")
        yield Running("courier", door, process.pid, ready - start)


AUTHDAEMONRC = """\
authmodulelist="authmysql"
authmodulelistorig="authmysql"
daemons=5
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
"""

AUTHMYSQLRC = """\
MYSQL_SERVER localhost
MYSQL_SOCKET {socket}
MYSQL_USERNAME mail
MYSQL_PASSWORD mail
MYSQL_PORT 0
MYSQL_OPT 0
MYSQL_DATABASE mail
MYSQL_USER_TABLE {table}
MYSQL_CRYPT_PWFIELD crypt
MYSQL_UID_FIELD uid
MYSQL_GID_FIELD gid
MYSQL_LOGIN_FIELD id
MYSQL_HOME_FIELD home
##NAME: MARKER:0
"""
"""Without its last line authmysql takes the file for an old one and refuses every login."""


@contextmanager
def saslauthd(folder: Path, passwd: Path, shadow: Path, login: str) -> Iterator[Running]:
    """``saslauthd -a shadow`` with our users in its /etc/passwd and /etc/shadow, and its default of 5 processes."""
    program = shutil.which("saslauthd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Missing("saslauthd", "sasl2-bin")
    (run,) = _folders(folder, "run")
    binds = {Path("/etc/passwd"): passwd, Path("/etc/shadow"): shadow}
    start = time.monotonic()
    # it puts itself into the background: its only way to stay in the foreground is to log every step
    with spawned(_in_namespace(binds, [program, "-a", "shadow", "-m", str(run)]), folder / "log") as process:
        if process.wait(20) != 0:
            raise StartError(f"saslauthd: {_tail(folder / 'log')}")
    pid = _pid_of(run / "saslauthd.pid")
    try:
        door = _door(Door("saslauthd", run / "mux"))
        ready = _wait(door, login, lambda: running(pid), folder / "log")
        yield Running("saslauthd", door, pid, ready - start)
    finally:
        end_tree(pid)


@dataclass(frozen=True, slots=True)
class Saslpy:
    """A saslpy with a configuration: the default one but for what would make it do more, or less, than the peer."""

    program: Path
    folder: Path
    door: Door

    @classmethod
    def configured(cls, program: Path, folder: Path, backend: str) -> Saslpy:
        """Write the configuration."""
        if not program.exists():
            raise StartError(f"{program}: there is no such file; `make` installs it")
        (run,) = _folders(folder, "run")
        made = cls(program, folder, _door(Door("saslauthd", run / "mux")))
        made._configure(backend)
        return made

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "saslpy.toml"

    @contextmanager
    def serving(self, login: str) -> Iterator[Running]:
        """The daemon while the block runs."""
        log = self.folder / "log"
        start = time.monotonic()
        with spawned([self.program, "serve", "--config", self.config], log) as process:
            ready = _wait(self.door, login, lambda: process.poll() is None, log)
            yield Running("saslpy", self.door, process.pid, ready - start)

    def run(self, *words: str, text: str = "") -> str:
        """Another of its commands. Raises ``StartError``."""
        done = self._run(*words, text=text)
        if done.returncode != 0:
            raise StartError(f"saslpy {words[0]}: {' '.join(done.stderr.strip().splitlines()[-1:])[-300:]}")
        return done.stdout

    def _run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [self.program, *words, "--config", self.config]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)

    def _configure(self, backend: str) -> None:
        """All optional sections, then without those that this saslpy does not know."""
        user = 'user = "root"' if os.geteuid() == 0 else ""
        optional = dict(OPTIONAL)
        for _ in range(2):
            text = "\n".join(optional.values())
            self.config.write_text(CONFIG.format(user=user, optional=text, backend=backend, socket=self.door.socket))
            said = self._run("check", "--offline")
            optional = {name: text for name, text in optional.items() if f"{name}:" not in said.stdout + said.stderr}


CONFIG = """\
[daemon]
{user}

[auth]
chain = ["bench"]
min_seconds = 0                # the peers refuse at once

{optional}
[backend.bench]
{backend}

[[listen]]
protocol = "saslauthd"
path = "{socket}"
"""

OPTIONAL = {
    "auth.cache": "[auth.cache]\nttl = 0\nnegative_ttl = 0\n",  # the peers have none, or theirs is off by default
    "auth.throttle": "[auth.throttle]\nenabled = false\n",  # the same
}
"""Sections that an older saslpy may not know."""


def _folders(folder: Path, *names: str) -> list[Path]:
    made = [folder / name for name in names]
    for path in made:
        path.mkdir(parents=True)
    return made


def _door(door: Door) -> Door:
    if len(os.fsencode(door.socket)) > SOCKET_PATH:
        raise StartError(f"{door.socket}: too long for a unix socket; set TMPDIR to something short")
    return door


def _in_namespace(binds: Mapping[Path, Path], command: list[str]) -> list[str]:
    """The command with our files over the system's, seen by nobody else. /run is empty and its own."""
    if shutil.which("unshare") is None:
        raise Missing("unshare", "util-linux")
    steps = ["mount -t tmpfs bench /run"]
    for target, source in binds.items():
        steps += [f"mkdir -p '{target}'"] if source.is_dir() else []
        steps.append(f"mount --bind '{source}' '{target}'")
    steps.append('exec "$@"')
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *as_root, "sh", "-ec", "\n".join(steps), "sh", *command]


def _wait(door: Door, login: str, alive: Callable[[], bool], log: Path) -> float:
    """The time of the first right answer."""
    try:
        return wait_until_right(door, login, PASSWORD, alive)
    except NotReady as error:
        raise StartError(f"{error}; its log ends: {_tail(log)}") from None


def _pid_of(file: Path) -> int:
    """The pid in a file that the daemon writes while it starts, checked to be of that daemon."""
    deadline = time.monotonic() + 5
    while not (file.exists() and (text := file.read_text().strip())):
        if time.monotonic() > deadline:
            raise StartError(f"saslauthd: no {file.name}")
        time.sleep(0.005)
    pid = int(text)
    if Path(f"/proc/{pid}/comm").read_text().strip() != "saslauthd":
        raise StartError(f"saslauthd: {file.name} names another process")
    return pid


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " | ".join(line[-300:] for line in lines[-2:]) or "(nothing)"
