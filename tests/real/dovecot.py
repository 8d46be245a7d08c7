"""A private Dovecot 2.3 on loopback, in a folder that is gone afterwards."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from . import need
from .postfix import free_port
from .processes import await_greeting, end

CONTRIB = Path(__file__).parents[2] / "contrib" / "dovecot"
PARTS = {
    "imap": "dovecot-imapd",
    "pop3": "dovecot-pop3d",
    "lmtp": "dovecot-lmtpd",
    "submission": "dovecot-submissiond",
    "managesieve": "dovecot-managesieved",
}
"""The programs of its protocols, and their packages."""

MAIN = """\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = saslpy-test
log_path = {folder}/log
protocols = imap pop3 lmtp submission sieve
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
verbose_proctitle = yes
auth_verbose = yes
auth_failure_delay = 0
default_process_limit = 20
default_client_limit = 200
stats_writer_socket_path =
submission_relay_host = 127.0.0.1
submission_relay_port = {lmtp}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {submission}
  }}
  inet_listener submissions {{
    port = 0
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {sieve}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
{more}
"""


class Dovecot:
    """``with Dovecot(folder, "!include …") as dovecot:``; IMAP, POP3, LMTP, submission and ManageSieve on loopback.

    ``more`` is for the end of its configuration. ``base`` is where its sockets are. Needs root.
    """

    def __init__(self, folder: Path, more: str) -> None:
        self.folder = folder / "dovecot"
        self.base = self.folder / "run"
        self.imap, self.pop3, self.lmtp = free_port(), free_port(), free_port()
        self.submission, self.sieve = free_port(), free_port()
        self.config = self.folder / "dovecot.conf"
        self._more = more
        self._master: subprocess.Popen[bytes] | None = None
        self.folder.mkdir()
        self.folder.chmod(0o755)

    def __enter__(self) -> Self:
        """Lay it out, start it, wait for its greeting."""
        program = need("dovecot", package="dovecot-core")
        for part, package in PARTS.items():
            need(part, package=package)
        ports = {
            "imap": self.imap,
            "pop3": self.pop3,
            "lmtp": self.lmtp,
            "submission": self.submission,
            "sieve": self.sieve,
        }
        self.config.write_text(MAIN.format(folder=self.folder, more=self._more, **ports))
        with (self.folder / "stderr").open("wb") as errors:
            self._master = subprocess.Popen(
                [program, "-F", "-c", self.config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        await_greeting(self._master, self.imap, b"* OK", self.log)
        return self

    def __exit__(self, *_: object) -> None:
        """End the master, which ends the rest."""
        end(self._master)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has logged."""
        parts = [self.folder / name for name in ("stderr", "log")]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def doveadm(self, *arguments: str, user: str | None = None) -> tuple[int, str]:
        """The exit status of a command, run as root or as another user, and what it has printed."""
        done = subprocess.run(
            [need("doveadm", package="dovecot-core"), "-c", self.config, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
            user=user,
            extra_groups=None if user is None else [],
        )
        return done.returncode, done.stdout + done.stderr


class Lines:
    """A connection to a server that speaks in lines: ``with Lines(port) as imap: imap.ask("a LOGOUT")``."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 15)
        self._file = self._sock.makefile("rb")
        self.greeting = self.line()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._file.close()
        self._sock.close()

    def send(self, text: str) -> None:
        """One line."""
        self._sock.sendall(text.encode() + b"\r\n")

    def line(self) -> str:
        """The next line; empty at the end."""
        return self._file.readline().decode(errors="replace").rstrip("\r\n")

    def ask(self, text: str, until: Sequence[str]) -> str:
        """Send a line; the first answer that begins with one of these, or the last one before the end."""
        self.send(text)
        last = ""
        while line := self.line():
            last = line
            if line.startswith(tuple(until)):
                break
        return last
