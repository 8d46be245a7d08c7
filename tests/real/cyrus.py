"""A private Cyrus IMAP on loopback. It conflicts with Dovecot as a package, so `make test` unpacks it beside."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from .postfix import free_port

UNPACKED = Path(sys.prefix, "debian")
BIN = UNPACKED / "cyrus-imapd/usr/lib/cyrus/bin"
COMMON = UNPACKED / "cyrus-common/usr/lib"
IMAPD = """\
configdirectory: {folder}/conf
partition-default: {folder}/mail
defaultpartition: default
cyrus_user: nobody
cyrus_group: nogroup
servername: localhost
allowplaintext: yes
virtdomains: userid
unixhierarchysep: yes
altnamespace: yes
failedloginpause: 0
{sasl}
"""
CYRUS = """\
START {{
  recover cmd="{folder}/bin/ctl_cyrusdb -r -C {folder}/imapd.conf"
}}
SERVICES {{
  imap cmd="{folder}/bin/imapd -C {folder}/imapd.conf" listen="127.0.0.1:{port}" prefork=0
}}
EVENTS {{
}}
"""


class Cyrus:
    """``with Cyrus(folder, sasl) as cyrus:``; IMAP on ``127.0.0.1:cyrus.port``. Needs root.

    ``sasl`` are lines of imapd.conf.
    """

    def __init__(self, folder: Path, sasl: str) -> None:
        self.folder = folder / "cyrus"
        self.port = free_port()
        self._sasl = sasl
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not BIN.is_dir() or os.geteuid() != 0:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(
                "needs root and Cyrus IMAP, which `make unpacked` gets"
            )
        for name in ("conf/db", "conf/socket", "conf/proc", "conf/log", "conf/lock", "mail"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "imapd.conf").write_text(IMAPD.format(folder=self.folder, sasl=self._sasl))
        (self.folder / "cyrus.conf").write_text(CYRUS.format(folder=self.folder, port=self.port))
        self._copy()
        for path in (self.folder, *self.folder.rglob("*")):
            shutil.chown(path, "nobody", "nogroup")
        self._master = subprocess.Popen(
            [self.folder / "bin/master", "-C", "imapd.conf", "-M", "cyrus.conf", "-p", "pid"],
            cwd=self.folder,
            env={
                "LD_LIBRARY_PATH": str(next(COMMON.glob("*-linux-gnu"))),
                "CYRUS_USER": "nobody",
                "PATH": "/usr/bin:/bin",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < until, "Cyrus does not answer"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._master is not None
        self._master.terminate()
        try:
            self._master.wait(10)
        except subprocess.TimeoutExpired:
            self._master.kill()
            self._master.wait()

    def _copy(self) -> None:
        """Its programs, to where the user that it becomes can read them: a checkout may be under /root."""
        shutil.copytree(next(COMMON.glob("*-linux-gnu")), self.folder / "lib", symlinks=True)
        (self.folder / "bin").mkdir()
        for program in (BIN / "imapd", COMMON / "cyrus/bin/ctl_cyrusdb", COMMON / "cyrus/bin/master"):
            shutil.copy(program, self.folder / "bin")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                return sock.recv(100).startswith(b"* OK")
        except OSError:
            return False
