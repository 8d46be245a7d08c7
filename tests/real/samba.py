"""Samba as an Active Directory domain controller of our own: its LDAP alone, on a loopback address that nobody else uses.

Its ports cannot be chosen (389, 636), so it is on 127.0.0.77; it needs root. To set up the domain takes about six seconds.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from . import need
from .processes import end

START_SECONDS = 30.0
HOST = "127.0.0.77"
REALM = "corp.example.org"
BASE = "DC=corp,DC=example,DC=org"
ADMIN_PASSWORD = "Adm1n.Passw0rd"


class Samba:
    """``with Samba() as controller:``; ``tool`` makes users. ``ca`` is the authority that it has made for itself."""

    url = f"ldap://{HOST}"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="saslpy-ad-", dir="/tmp"))
        self.ca = self.folder / "private/tls/ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Set up a domain, and start."""
        try:
            self._provision()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and remove the folder."""
        if self._process is not None:
            end(self._process, 10)
            if self._process.stdin is not None:
                self._process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(self, *arguments: str) -> None:
        """Run samba-tool(8) on the domain."""
        place = ["-H", str(self.folder / "private/sam.ldb"), "-s", str(self.folder / "etc/smb.conf")]
        _run(need("samba-tool", package="samba"), *arguments, *place)

    def _provision(self) -> None:
        _run(
            need("samba-tool", package="samba"),
            *("domain", "provision", "--server-role=dc", "--dns-backend=NONE", "--host-name=dc1", f"--host-ip={HOST}"),
            *(f"--realm={REALM.upper()}", "--domain=CORP", f"--adminpass={ADMIN_PASSWORD}"),
            *(f"--targetdir={self.folder}", "--option=bind interfaces only=yes", f"--option=interfaces={HOST}/8"),
        )

    def _start(self) -> None:
        options = {
            "server services": "ldap",
            "ldap server require strong auth": "no",  # else none without TLS
            "pid directory": f"{self.folder}/run",
            "ncalrpc dir": f"{self.folder}/ncalrpc",
            "winbindd socket directory": f"{self.folder}/winbindd",
            "ntp signd socket directory": f"{self.folder}/ntp",
            "log file": f"{self.folder}/log",
        }
        for name in ("run", "ncalrpc"):
            (self.folder / name).mkdir()
        command = [need("samba", package="samba"), "-i", "-M", "single", "-s", str(self.folder / "etc/smb.conf")]
        self._process = subprocess.Popen(
            [*command, *(f"--option={name}={value}" for name, value in options.items())],
            stdin=subprocess.PIPE,  # it ends where this does
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while not (_listens(636) and self.ca.exists()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"samba does not start: {sorted(file.name for file in self.folder.iterdir())}")
            time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((HOST, port)) == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stdout + done.stderr).decode(errors='replace')[-3000:]}")
