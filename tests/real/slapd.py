"""An OpenLDAP server of our own: loopback and a unix socket, in a folder that is gone afterwards."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from . import need
from .postfix import free_port

START_SECONDS = 20.0
STOP_SECONDS = 15.0

SUFFIX = "dc=example,dc=org"
ROOT_DN = f"cn=root,{SUFFIX}"
ROOT_PASSWORD = "root's own"
SCHEMAS = ("core", "cosine", "inetorgperson", "nis")

CONFIG = """\
{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
{modules}
pidfile {folder}/pid
{options}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw "{password}"
directory {folder}/data
maxsize 16777216
dbnosync
index objectClass,uid,mail eq
{database}
"""

Entries = Iterable[tuple[str, Mapping[str, str | bytes | Sequence[str | bytes]]]]


class Slapd:
    """``with Slapd(entries) as directory:``; ``url`` and ``ipc`` say where it is.

    ``entries``: (DN, attributes) in the order of the tree, the suffix first. ``options`` and ``database`` are lines of
    slapd.conf(5), ``modules`` what they need; ``tls`` is a file with a certificate chain and one with its key.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        entries: Entries,
        *,
        tls: tuple[Path, Path] | None = None,
        options: str = "",
        database: str = "",
        modules: tuple[str, ...] = (),
    ) -> None:
        self.folder = _folder()
        self.port, self.tls_port = free_port(), free_port()
        self.log = self.folder / "log"
        self._entries = entries
        self._tls = tls
        self._lines = (options, database, modules)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Lay it out, and start it."""
        try:
            self._lay_out()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """In the clear, or by StartTLS."""
        return f"ldap://{self.host}:{self.port}"

    @property
    def ldaps(self) -> str:
        """Encrypted from the beginning; ``localhost`` is the name in its certificate."""
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ipc(self) -> str:
        """Its unix socket."""
        return f"ldapi://{quote(str(self.folder / 's'), safe='')}"

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended, by itself neither."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return self._process is not None

    def start(self) -> None:
        """Start it on the same ports and data, and wait until it listens. Raises RuntimeError with the end of its log."""
        assert self._process is None, "it runs"
        urls = f"{self.url} {self.ipc}" + (f" ldaps://{self.host}:{self.tls_port}" if self._tls else "")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # stats: a line for each bind and each search
                [need("slapd", package="slapd"), "-f", self.folder / "conf", "-h", urls, "-d", "stats"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"slapd does not start:\n{self.said()[-3000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it as the system does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It hangs: connections are accepted (by the kernel), nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        # its threads stop one by one, and one that still runs would answer
        while any(_state(task) != "T" for task in tasks.iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        """It goes on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def said(self) -> str:
        """Its log: ``BIND dn=…``, ``SRCH base=…``, ``RESULT …``."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def modify(self, changes: str) -> None:
        """Run ldapmodify(1) as root."""
        done = subprocess.run(
            [need("ldapmodify", package="ldap-utils"), "-x", "-H", self.ipc, "-D", ROOT_DN, "-w", ROOT_PASSWORD],
            input=changes.encode(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def _lay_out(self) -> None:
        options, database, modules = self._lines
        if self._tls:
            options += f"\nTLSCertificateFile {self._tls[0]}\nTLSCertificateKeyFile {self._tls[1]}\n"
        (self.folder / "data").mkdir()
        (self.folder / "conf").write_text(
            CONFIG.format(
                schemas="\n".join(f"include /etc/ldap/schema/{name}.schema" for name in SCHEMAS),
                modules="\n".join(f"moduleload {name}" for name in modules),
                folder=self.folder,
                suffix=SUFFIX,
                root=ROOT_DN,
                password=ROOT_PASSWORD,
                options=options,
                database=database,
            )
        )
        done = subprocess.run(
            [need("slapadd", package="slapd"), "-q", "-f", self.folder / "conf"],
            input=ldif(self._entries).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"slapadd: {done.stderr.decode(errors='replace')[-3000:]}")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            return sock.connect_ex(str(self.folder / "s")) == 0

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ldif(entries: Entries) -> str:
    """Entries as LDIF (RFC 2849), every value in base64."""
    lines = []
    for dn, attributes in entries:
        lines.append(f"dn:: {_encoded(dn)}")
        for name, values in attributes.items():
            several = [values] if isinstance(values, str | bytes) else values
            lines += [f"{name}:: {_encoded(value)}" for value in several]
        lines.append("")
    return "\n".join(lines) + "\n"


def _encoded(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _state(task: Path) -> str:
    """The state of a thread, proc_pid_stat(5). "T" too when it has just ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "T"


def _folder() -> Path:
    """A new folder. Short: a unix socket's path has 107 bytes."""
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="saslpy-ldap-", dir=base if len(base) < 70 else "/tmp"))
