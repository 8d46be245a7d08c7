"""The submission servers and what they need around them: Postfix with Dovecot's SASL, saslpy, and a sink behind both."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import PASSWORD
from .peers import Missing, StartError
from .processes import running, spawned

USER = "joe@example.org"
POSTFIX = Path("/usr/lib/postfix/sbin")
UP = 20.0
"""Seconds for a server to greet."""

DRAINED = 60.0
"""Seconds for Postfix to hand on what it has accepted."""


@dataclass(frozen=True, slots=True)
class Mailer:
    """A submission server that greets on a port of loopback. ``settle`` waits until it has nothing left to do."""

    name: str
    port: int
    pid: int
    settle: Callable[[], None] = lambda: None


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postfix/sbin")
    if found is None:
        raise Missing(name, package)
    return found


def _port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _greets(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a greeting. Raises ``StartError``."""
    deadline = time.monotonic() + UP
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                if connection.recv(100).startswith(b"220"):
                    return
        except OSError:
            time.sleep(0.01)
    said = log.read_text(errors="replace")[-500:] if log.exists() else ""
    raise StartError(f"no greeting on port {port}: {said}")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key (ECDSA, P-256: what Let's Encrypt gives who does not say more)."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    names = ["-subj", "/CN=mail.example.org", "-addext", "subjectAltName=DNS:mail.example.org"]
    command = [_program("openssl", "openssl"), "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return cert, key


@contextmanager
def sink(folder: Path) -> Iterator[int]:
    """The next hop: Postfix's smtp-sink, which takes everything and keeps nothing. Its port."""
    port = _port()
    program = _program("smtp-sink", "postfix")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with spawned([program, *user, f"127.0.0.1:{port}", "1000"], folder / "sink.log") as process:
        _greets(port, process, folder / "sink.log")
        yield port


# --- saslpy


@contextmanager
def saslpy(program: Path, folder: Path, next_hop: int, pair: tuple[Path, Path], workers: int) -> Iterator[Mailer]:
    """saslpy with so many workers. Its limits are off, as Postfix has none."""
    port, config, log = _port(), folder / "saslpy.toml", folder / "saslpy.log"
    user = 'user = "root"' if os.geteuid() == 0 else ""
    cert, key = pair
    config.write_text(
        SASLPY.format(
            user=user, login=USER, password=PASSWORD, port=port, workers=workers, cert=cert, key=key, hop=next_hop
        )
    )
    with spawned([program, "serve", "--config", config], log) as process:
        _greets(port, process, log)
        yield Mailer("saslpy", port, process.pid)


SASLPY = """\
[daemon]
{user}
run_dir = "run"
state_dir = "state"

[auth]
chain = ["bench"]

[backend.bench]
type = "static"
users = {{ "{login}" = "{{PLAIN}}{password}" }}

[[listen]]
protocol = "submission"
address = "127.0.0.1:{port}"
max_connections_per_client = 100000

[submission]
hostname = "mail.example.org"
workers = {workers}
require_tls = false                # half of the scenarios go without

[submission.tls]
certificate = "{cert}"
key = "{key}"

[submission.limits]
messages_per_hour = 0
recipients_per_day = 0

[[relay.route]]
domains = ["*"]
via = "smtp://127.0.0.1:{hop}"
"""

# --- Postfix


@contextmanager
def postfix(folder: Path, next_hop: int, pair: tuple[Path, Path]) -> Iterator[Mailer]:
    """A private Postfix with Debian's defaults, but for what a submission service needs and what would slow it down."""
    if os.geteuid() != 0:
        raise Missing("postfix as root", "nothing: run it as root, which Postfix's master must be")
    master = _program("master", "postfix")
    base, port, (cert, key) = folder / "postfix", _port(), pair
    with ExitStack() as stack:
        auth = stack.enter_context(_dovecot(folder))
        _lay_out(base)
        (base / "main.cf").write_text(MAIN.format(folder=base, auth=auth, hop=next_hop, cert=cert, key=key))
        (base / "master.cf").write_text(MASTER.format(port=port))
        log = folder / "postfix.log"
        process = stack.enter_context(spawned([master, "-c", str(base), "-d"], log))
        _greets(port, process, base / "log")
        yield Mailer("postfix", port, process.pid, lambda: _drained(base / "queue"))


def _drained(queue: Path) -> None:
    """Wait until all that was accepted is handed on: else it would weigh on who is measured next."""
    deadline = time.monotonic() + DRAINED
    while any(file for name in ("maildrop", "incoming", "active") for file in (queue / name).iterdir()):
        if time.monotonic() > deadline:
            raise StartError("postfix: its queue does not become empty")
        time.sleep(0.05)


def _lay_out(base: Path) -> None:
    """Folders with the owners that Postfix wants."""
    owner, drop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop")
    queue = base / "queue"
    queue.mkdir(parents=True)
    base.chmod(0o755)
    (base / "data").mkdir()
    os.chown(base / "data", owner.pw_uid, -1)
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved"):
        _give(queue / name, 0o700, owner.pw_uid, -1)
    _give(queue / "maildrop", 0o730, owner.pw_uid, drop.gr_gid)
    _give(queue / "public", 0o710, owner.pw_uid, drop.gr_gid)
    (queue / "pid").mkdir(mode=0o755)


def _give(path: Path, mode: int, uid: int, gid: int) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, uid, gid)


@contextmanager
def _dovecot(folder: Path) -> Iterator[Path]:
    """Dovecot with nothing but its auth service: the socket that Postfix asks."""
    program = _program("dovecot", "dovecot-core")
    base = folder / "dovecot"
    (base / "run").mkdir(parents=True)
    base.chmod(0o755)
    (base / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    (base / "dovecot.conf").write_text(DOVECOT.format(folder=base))
    socket_path = base / "run" / "auth-client"
    with spawned([program, "-F", "-c", str(base / "dovecot.conf")], folder / "dovecot.log") as process:
        deadline = time.monotonic() + UP
        while not socket_path.exists():
            if time.monotonic() > deadline or not running(process.pid):
                raise StartError(f"dovecot: {(folder / 'dovecot.log').read_text()[-300:]}")
            time.sleep(0.01)
        yield socket_path


DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = bench
log_path = {folder}/log
protocols =
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
auth_mechanisms = plain login
default_client_limit = 2000
stats_writer_socket_path =
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  unix_listener auth-client {{
    path = auth-client
    mode = 0666
  }}
}}
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
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
relayhost = [127.0.0.1]:{hop}
smtp_tls_security_level = none
smtp_host_lookup = native
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sasl_security_options = noanonymous
smtpd_tls_security_level = may
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
alias_maps =
alias_database =
local_recipient_maps =
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
