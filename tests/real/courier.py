"""Courier's programs, asking a socket of ours. Its path, /run/courier/authdaemon/socket, is built into them.

So they run in a mount namespace (unshare(1)) that has a /run of its own. courier-imap and courier-pop cannot be installed
beside Dovecot's: `make test` unpacks Debian's packages.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import need
from .postfix import free_port
from .processes import end
from .system import need_namespaces

NAMESPACE = """\
mount -t tmpfs tmpfs /run
mkdir -p /run/courier/authdaemon
ln -s "$0" /run/courier/authdaemon/socket
exec "$@"
"""
AUTHDAEMOND = Path("/usr/lib/courier/courier-authlib/authdaemond")
AUTHDAEMONRC = """\
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=5
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
"""


def within(place: Path) -> tuple[str, ...]:
    """What a command begins with whose programs shall find a socket where Courier's is. Needs root."""
    need_namespaces()
    return ("unshare", "--mount", "sh", "-ec", NAMESPACE, str(place))


@dataclass(frozen=True, slots=True)
class Said:
    """What a program has said, and its exit status."""

    status: int
    text: str


def said(place: Path, *command: str, stdin: str = "") -> Said:
    """One program to its end."""
    done = subprocess.run(
        [*within(place), *command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=40,
        check=False,
    )
    return Said(done.returncode, done.stdout)


def authtest(place: Path, *arguments: str) -> Said:
    """``authtest [-s service] user [password [newpassword]]``."""
    return said(place, need("authtest", package="courier-authdaemon"), *arguments)


def authenumerate(place: Path, *arguments: str) -> Said:
    """``authenumerate [-o]``."""
    return said(place, need("authenumerate", package="courier-authdaemon"), *arguments)


def maildrop(place: Path, user: str, message: str, *arguments: str) -> Said:
    """``maildrop … -d user``."""
    return said(place, need("maildrop", package="maildrop"), *arguments, "-d", user, stdin=message)


def unpacked(package: str, program: str) -> str:
    """A program of a package that is unpacked; without it the test is skipped, and fails in CI."""
    path = Path(sys.prefix, "debian", package, program)
    if path.exists():
        return str(path)
    return str(need(f"/{program}", package=package))


@contextmanager
def imap(place: Path, folder: Path) -> Iterator[int]:
    """courier-imap; its port on loopback."""
    programs = [unpacked("courier-imap", name) for name in ("usr/lib/courier/courier/imaplogin", "usr/bin/imapd")]
    capabilities = "IMAP4rev1 UIDPLUS AUTH=PLAIN AUTH=CRAM-MD5 AUTH=CRAM-SHA1 AUTH=CRAM-SHA256"
    with _listening(place, folder / "imap.log", programs, IMAP_CAPABILITY=capabilities) as port:
        yield port


@contextmanager
def pop3(place: Path, folder: Path) -> Iterator[int]:
    """The POP3 server of courier-pop; its port on loopback."""
    where = "usr/lib/courier/courier"
    programs = [unpacked("courier-pop", f"{where}/{name}") for name in ("courierpop3login", "courierpop3d")]
    with _listening(place, folder / "pop3.log", programs, POP3AUTH="PLAIN LOGIN CRAM-MD5") as port:
        yield port


@contextmanager
def _listening(place: Path, log: Path, programs: list[str], **environment: str) -> Iterator[int]:
    """A login program and what it starts afterwards, behind Courier's own TCP server."""
    port = free_port()
    server = need("couriertcpd", package="courier-base")
    options = ("-address=127.0.0.1", "-maxperip=40", "-maxprocs=40", "-nodnslookup", "-noidentlookup")
    command = [server, *options, str(port), *programs, "Maildir"]
    path = {"PATH": os.environ.get("PATH", os.defpath), "MAILDIRPATH": "Maildir"}
    with _running([*within(place), *command], log, {**path, **environment}) as process:
        _until_there(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process, log)
        yield port


@contextmanager
def authdaemond(folder: Path, users: str) -> Iterator[Path]:
    """Courier's own daemon, with users in the format of makeuserdb(8); its socket."""
    need(str(AUTHDAEMOND), package="courier-authlib")
    need_namespaces()
    config, run = folder / "etc", folder / "authdaemond"
    for path in (config, run):
        path.mkdir()
    (config / "authdaemonrc").write_text(AUTHDAEMONRC)
    (config / "userdb").write_text(users)
    (config / "userdb").chmod(0o700)
    script = f"""\
mount -t tmpfs tmpfs /run
mkdir -p /run/courier/authdaemon
mount --bind "{run}" /run/courier/authdaemon
mount --bind "{config}" /etc/courier
{need("makeuserdb", package="courier-authlib-userdb")}
exec {AUTHDAEMOND}
"""
    log = folder / "authdaemond.log"
    with _running(["unshare", "--mount", "sh", "-ec", script], log, dict(os.environ)) as process:
        _until_there(lambda: _connect(run / "socket"), process, log)
        yield run / "socket"


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))


@contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    try:
        yield process
    finally:
        end(process)


def _until_there(look: Callable[[], None], process: subprocess.Popen[bytes], log: Path, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            look()
        except OSError:
            assert process.poll() is None, f"it has ended:\n{log.read_text(errors='replace')}"
            assert time.monotonic() < deadline, f"it does not answer:\n{log.read_text(errors='replace')}"
            time.sleep(0.02)
        else:
            return
