"""A private Postfix with SMTP AUTH, on loopback, in a folder that is gone afterwards; and clients of its."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from . import need
from .processes import SECONDS, await_greeting, end

DAEMONS = Path("/usr/lib/postfix/sbin")
MASTER = """\
{port} inet n - {chroot} - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
discard unix - - n - - discard
error unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {folder}/sasl
smtpd_sasl_security_options = noanonymous
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_peername_lookup = no
default_transport = discard
smtpd_error_sleep_time = 0
smtpd_client_connection_rate_limit = 0
{settings}
"""
CONTRIB = Path(__file__).parents[2] / "contrib" / "postfix"
SMTPD_CONF = (CONTRIB / "smtpd-saslauthd.conf").read_text()
MUX = "/var/run/saslauthd/mux"
"""Where it says that the socket is."""


TRIES, PATIENCE = 3, 15.0
"""Now and then Debian's master starts an smtpd, and then neither the proxymap that it asks nor the postlogd that would say
why (seen on smtpd's stack). So it is started again when it has not greeted in so many seconds.
"""


class Postfix:
    """``with Postfix(folder, mux) as postfix:``; submission with AUTH on ``127.0.0.1:postfix.port``. Needs root.

    It asks through Cyrus SASL, as ``smtpd_conf`` says, unless ``settings``, further lines of main.cf, say otherwise.
    ``services`` are further lines of master.cf; ``within`` is what starts it elsewhere, in a mount namespace, say.
    ``chroot``: smtpd sees nothing but the queue's folder, as Debian has it; the mux socket is in there, too.
    """

    def __init__(
        self,
        folder: Path,
        mux: Path,
        settings: str = "",
        smtpd_conf: str = SMTPD_CONF,
        services: str = "",
        within: Sequence[str] = (),
        chroot: bool = False,
    ) -> None:
        self.folder = folder / "postfix"
        self.port = free_port()
        self._settings = settings
        self._mux, self._chroot = mux, chroot
        self._smtpd_conf = smtpd_conf if chroot else smtpd_conf.replace(f": {MUX}\n", f": {mux}\n")
        self._services = services
        self._within = within
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Lay it out, start it, wait for its greeting."""
        need("postfix", package="postfix")
        self._lay_out()
        for _ in range(TRIES - 1):
            with contextlib.suppress(AssertionError):
                self._start(PATIENCE)
                return self
        self._start(SECONDS)
        return self

    def _start(self, seconds: float) -> None:
        """The master, which has a session of its own, so that nothing of it is left when it is to be started again."""
        self._master = master = subprocess.Popen(
            [*self._within, DAEMONS / "master", "-c", self.folder, "-d"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MAIL_CONFIG": str(self.folder)},
            start_new_session=True,
        )
        try:
            await_greeting(master, self.port, b"220", self.log, seconds)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(master.pid, signal.SIGKILL)
            raise

    def __exit__(self, *_: object) -> None:
        """End the master, which ends the rest."""
        end(self._master)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has logged."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_log(self, pattern: str, seconds: float = 10.0) -> None:
        """Until it has logged this: its postlogd is another process."""
        until = time.monotonic() + seconds
        while not re.search(pattern, self.log()):
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def _lay_out(self) -> None:
        for name in ("queue", "data", "sasl"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        (self.folder / "main.cf").write_text(MAIN.format(folder=self.folder, settings=self._settings))
        master = MASTER.format(port=f"127.0.0.1:{self.port}", chroot="y" if self._chroot else "n")
        (self.folder / "master.cf").write_text(master + self._services)
        (self.folder / "sasl" / "smtpd.conf").write_text(self._smtpd_conf)
        owner, drop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop")
        queue = self.folder / "queue"
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private"):
            self._give(queue / name, 0o700, owner.pw_uid, -1)
        self._give(queue / "maildrop", 0o730, owner.pw_uid, drop.gr_gid)
        self._give(queue / "public", 0o710, owner.pw_uid, drop.gr_gid)
        (queue / "pid").mkdir(mode=0o755)
        os.chown(self.folder / "data", owner.pw_uid, -1)
        if self._chroot:
            inside = queue / MUX.lstrip("/")
            inside.parent.mkdir(parents=True)
            inside.hardlink_to(self._mux)

    @staticmethod
    def _give(path: Path, mode: int, uid: int, gid: int) -> None:
        path.mkdir()
        path.chmod(mode)
        os.chown(path, uid, gid)


_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_ports = iter(range(10_000 + 2_500 * _worker + os.getpid() % 1_000, 12_500 + 2_500 * _worker))


def free_port() -> int:
    """A TCP port that nobody listens on, given once: below those that the kernel gives to whoever connects (ip(7)).

    Each process of the tests has its own.
    """
    for port in _ports:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def swaks(port: int, login: str, password: str, mechanism: str) -> str:
    """What the server answered to AUTH: its code and text."""
    done = subprocess.run(
        [
            need("swaks", package="swaks"),
            "--server",
            f"127.0.0.1:{port}",
            "--auth",
            mechanism,
            "--auth-user",
            login,
            "--auth-password",
            password,
            "--quit-after",
            "AUTH",
            "--timeout",
            "30",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return _final(done.stdout, done.stderr, ("<-  ", "<** "))


def gsasl(port: int, login: str, password: str, mechanism: str, *options: str) -> str:
    """The same with GNU SASL, which knows SCRAM."""
    done = subprocess.run(
        [
            need("gsasl", package="gsasl"),
            "--smtp",
            f"--connect=127.0.0.1:{port}",
            f"--mechanism={mechanism}",
            f"--authentication-id={login}",
            f"--password={password}",
            "--no-starttls",
            "--no-cb",
            "--hostname=localhost",
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return _final(done.stdout, done.stderr, ("",))


def _final(said: str, errors: str, marks: tuple[str, ...]) -> str:
    """The server's answer to AUTH, in what a client has printed."""
    lines = [line[len(mark) :].strip() for line in said.splitlines() for mark in marks if line.startswith(mark)]
    final = [line for line in lines if line.startswith(("235", "454", "435", "5"))]
    assert final, said + errors
    return final[0]
