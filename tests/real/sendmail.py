"""A private Sendmail with SMTP AUTH and STARTTLS, on loopback, in a folder that is gone afterwards.

Sendmail cannot be installed beside Postfix: `make test` unpacks Debian's packages. It runs in a mount namespace
(unshare(1)): libsasl2 looks for Sendmail.conf in folders of the system, and what Sendmail has to say it says to syslog. It
has a host name of its own, too: with one that has no domain it would wait for a minute.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from . import need
from .postfix import free_port
from .processes import await_greeting, end
from .syslog import Syslog
from .system import need_namespaces

UNPACKED = Path(sys.prefix, "debian")
PROGRAM = UNPACKED / "sendmail-bin/usr/libexec/sendmail/sendmail"
MACROS = UNPACKED / "sendmail-cf/usr/share/sendmail/cf"
HOST = "mail.example.org"
SASL_FOLDER = "/usr/lib/sasl2"
NAMESPACE = """\
hostname {host}
mount --bind "{folder}/hosts" /etc/hosts
mount --bind "{folder}/sasl" {sasl}
exec "{program}" -C "{folder}/sendmail.cf" -bD
"""
CONFIG = """\
include(`{macros}/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `{host}')dnl
define(`QUEUE_DIR', `{folder}/queue')dnl
define(`confPID_FILE', `{folder}/pid')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`ALIAS_FILE', `')dnl
define(`HELP_FILE', `')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
define(`confTO_IDENT', `0')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confCACERT', `{folder}/server.pem')dnl
define(`confCACERT_PATH', `{folder}')dnl
define(`confSERVER_CERT', `{folder}/server.pem')dnl
define(`confSERVER_KEY', `{folder}/server.pem')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA, Addr=127.0.0.1, Port={port}')dnl
{settings}
MAILER(`smtp')dnl
LOCAL_RULESETS
SLocal_check_rcpt
R$*	$#error $@ 5.7.1 $: "550 you are " $&{{auth_authen}}
"""


class Sendmail:
    """``with Sendmail(folder, settings, sasl, certificate) as sendmail:``; AUTH on ``127.0.0.1:sendmail.port``. Needs root.

    ``settings`` are lines of sendmail.mc, ``sasl`` is Sendmail.conf, ``certificate`` a PEM file with key and certificate. A
    recipient is refused with the name of who has logged in. ``log`` is its syslog.
    """

    def __init__(self, folder: Path, settings: str, sasl: str, certificate: Path) -> None:
        self.folder = folder / "sendmail"
        self.port = free_port()
        self.log = Syslog(self.folder)
        self._settings, self._sasl, self._certificate = settings, sasl, certificate
        self._daemon: subprocess.Popen[bytes] | None = None
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Lay it out, start it, wait for its greeting."""
        program = str(PROGRAM) if PROGRAM.exists() else need("/sendmail", package="sendmail-bin, by `make unpacked`")
        need_namespaces()
        self._lay_out()
        self._running.enter_context(self.log)
        script = self.log.namespace + NAMESPACE.format(host=HOST, folder=self.folder, sasl=SASL_FOLDER, program=program)
        with (self.folder / "stderr").open("wb") as errors:
            self._daemon = subprocess.Popen(
                ["unshare", "--mount", "--uts", "sh", "-ec", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            await_greeting(self._daemon, self.port, b"220", self.said)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        end(self._daemon)
        self._running.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self) -> str:
        """What it has logged, and what it has complained of."""
        return self.log.text() + "\n" + (self.folder / "stderr").read_text(errors="replace")

    def _lay_out(self) -> None:
        for name in ("queue", "sasl"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "hosts").write_text(f"127.0.0.1 {HOST} localhost\n")
        (self.folder / "sasl" / "Sendmail.conf").write_text(self._sasl)
        shutil.copy(self._certificate, self.folder / "server.pem")
        (self.folder / "server.pem").chmod(0o600)
        text = CONFIG.format(
            macros=MACROS, host=HOST, folder=self.folder, port=self.port, settings=self._settings.rstrip("\n")
        )
        (self.folder / "sendmail.mc").write_text(text)
        made = subprocess.run(
            [need("m4", package="m4"), f"-D_CF_DIR_={MACROS}/", self.folder / "sendmail.mc"],
            capture_output=True,
            check=False,
        )
        assert (made.returncode, made.stderr) == (0, b""), made.stderr.decode(errors="replace")
        (self.folder / "sendmail.cf").write_bytes(made.stdout)
        for path in (self.folder, *self.folder.iterdir()):  # files that others may write are not read
            path.chmod(path.stat().st_mode & ~0o022)
