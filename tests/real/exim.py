"""A private Exim with SMTP AUTH, on loopback, in a folder that is gone afterwards.

Exim cannot be installed beside Postfix: `make test` unpacks Debian's package. Its user and the path of saslauthd's socket
are built in, so it runs in a mount namespace (unshare(1)) that has an /etc/passwd and a /run of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

from . import need
from .postfix import free_port
from .processes import await_greeting, end
from .system import need_namespaces

PACKAGE = "exim4-daemon-heavy"
UNPACKED = Path(sys.prefix, "debian", PACKAGE, "usr/sbin/exim4")
USER = "Debian-exim"
NAMESPACE = """\
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount -t tmpfs tmpfs /run
ln -s "$2" /run/saslauthd
exec "$3" -C "$1/conf" -bdf
"""
CONFIG = """\
AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = true
exim_path = {program}
primary_hostname = mail.example.org
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
keep_environment =
host_lookup =
tls_advertise_hosts =
smtp_accept_max = 100
acl_smtp_rcpt = tell
begin acl
tell:
  deny message = you are $authenticated_id
begin authenticators
{authenticators}
"""


class Exim:
    """``with Exim(folder, authenticators) as exim:``; AUTH on ``127.0.0.1:exim.port``. Needs root.

    To it, ``folder`` is /run/saslauthd. ``authenticators`` are lines of its configuration. A recipient is refused with the
    name of who has logged in.
    """

    def __init__(self, folder: Path, authenticators: str) -> None:
        self.folder = folder / "exim"
        self.port = free_port()
        self._sockets = folder
        self._authenticators = authenticators
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Lay it out, start it, wait for its greeting."""
        program = UNPACKED if UNPACKED.exists() else Path(need("exim4", package=PACKAGE))
        need_namespaces()
        self._lay_out(program)
        with (self.folder / "stderr").open("wb") as errors:
            self._daemon = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", NAMESPACE, "sh", self.folder, self._sockets, program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        await_greeting(self._daemon, self.port, b"220", self.log)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        end(self._daemon)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has logged."""
        return "".join(
            file.read_text(errors="replace")
            for name in ("mainlog", "paniclog", "stderr")
            if (file := self.folder / name).exists()
        )

    def _lay_out(self, program: Path) -> None:
        self.folder.mkdir()
        owner = _owner()
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        users, groups = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
        home = self.folder
        (self.folder / "passwd").write_text(f"{users}{USER}:x:{owner.pw_uid}:{owner.pw_gid}::{home}:/bin/false\n")
        (self.folder / "group").write_text(f"{groups}{USER}:x:{owner.pw_gid}:\n")
        text = CONFIG.format(folder=self.folder, port=self.port, program=program, authenticators=self._authenticators)
        (self.folder / "conf").write_text(text)


def _owner() -> pwd.struct_passwd:
    """Exim's user, where there is one, else one whose numbers it gets."""
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return pwd.getpwnam("mail")
