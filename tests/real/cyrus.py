"""A private Cyrus IMAP with POP3 and ManageSieve, on loopback, in a folder that is gone afterwards.

Its packages conflict with Dovecot's: `make test` unpacks them. It runs in a mount namespace (unshare(1)) with a syslog of
its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

from . import need
from .postfix import free_port
from .processes import await_greeting, end
from .syslog import Syslog
from .system import need_namespaces, need_root

UNPACKED = Path(sys.prefix, "debian")
COMMON = UNPACKED / "cyrus-common/usr/lib"
PROGRAMS = (
    UNPACKED / "cyrus-imapd/usr/lib/cyrus/bin/imapd",
    UNPACKED / "cyrus-pop3d/usr/lib/cyrus/bin/pop3d",
    COMMON / "cyrus/bin/timsieved",
    COMMON / "cyrus/bin/ctl_cyrusdb",
    COMMON / "cyrus/bin/master",
)
USER, GROUP = "nobody", "nogroup"
IMAPD = f"""\
configdirectory: {{folder}}/conf
partition-default: {{folder}}/mail
defaultpartition: default
sievedir: {{folder}}/sieve
cyrus_user: {USER}
cyrus_group: {GROUP}
servername: localhost
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
failedloginpause: 0
{{settings}}
"""
CYRUS = """\
START {{
  recover cmd="{folder}/bin/ctl_cyrusdb -r -C {folder}/imapd.conf"
}}
SERVICES {{
  imap cmd="{folder}/bin/imapd -C {folder}/imapd.conf" listen="127.0.0.1:{imap}" prefork=0
  pop3 cmd="{folder}/bin/pop3d -C {folder}/imapd.conf" listen="127.0.0.1:{pop3}" prefork=0
  sieve cmd="{folder}/bin/timsieved -C {folder}/imapd.conf" listen="127.0.0.1:{sieve}" prefork=0
}}
EVENTS {{
}}
"""
START = """\
cd "{folder}"
export LD_LIBRARY_PATH="{folder}/lib" CYRUS_USER={user}
exec bin/master -D -C imapd.conf -M cyrus.conf -p pid
"""


class Cyrus:
    """``with Cyrus(folder, settings) as cyrus:``; ``cyrus.ports`` on loopback: "imap", "pop3", "sieve". Needs root.

    ``settings`` are lines of imapd.conf. ``log`` is its syslog.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder / "cyrus"
        self.ports = {name: free_port() for name in ("imap", "pop3", "sieve")}
        self.log = Syslog(self.folder)
        self._settings = settings
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Lay it out, start it, wait for its greeting."""
        for program in PROGRAMS:
            need(str(program), package="cyrus-imapd cyrus-pop3d cyrus-common, by `make unpacked`")
        need_root()
        need_namespaces()
        self._lay_out()
        self.log.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the master, which ends the rest."""
        end(self._master)
        self.log.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lay_out(self) -> None:
        for name in ("conf/db", "conf/socket", "conf/proc", "conf/log", "conf/lock", "mail", "sieve"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "imapd.conf").write_text(IMAPD.format(folder=self.folder, settings=self._settings))
        (self.folder / "cyrus.conf").write_text(CYRUS.format(folder=self.folder, **self.ports))
        # its programs, to where the user that it becomes can read them: a checkout may be under /root
        shutil.copytree(next(COMMON.glob("*-linux-gnu")), self.folder / "lib", symlinks=True)
        (self.folder / "bin").mkdir()
        for program in PROGRAMS:
            shutil.copy(program, self.folder / "bin")
        for path in (self.folder, *self.folder.rglob("*")):
            shutil.chown(path, USER, GROUP)

    def _start(self) -> None:
        script = self.log.namespace + START.format(folder=self.folder, user=USER)
        with (self.folder / "stderr").open("wb") as errors:
            self._master = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={"PATH": os.defpath},
            )
        await_greeting(self._master, self.ports["imap"], b"* OK", self._said)

    def _said(self) -> str:
        return self.log.text() + "\n" + (self.folder / "stderr").read_text(errors="replace")
