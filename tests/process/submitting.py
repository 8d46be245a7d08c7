"""The daemon with submission workers, and clients of it."""

from __future__ import annotations

import contextlib
import json
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..real import need
from ..real.postfix import free_port
from ..real.saslpy import Daemon, configured, run

SENDER, RECIPIENT = "joe@example.org", "ann@example.net"
MESSAGE = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: test\r\n\r\nHello.\r\n".encode()
PASSWORD = "secret-4711"


def certificate(place: Path, name: str = "mail.example.org") -> None:
    """A new key and certificate, as ``key.pem`` and ``cert.pem``, put there as certbot does: each in one step."""
    subprocess.run(
        [
            need("openssl", package="openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", place / "key.new", "-out", place / "cert.new", "-days", "30", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name},DNS:localhost",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (place / "key.new").chmod(0o600)
    for part in ("key", "cert"):
        (place / f"{part}.new").replace(place / f"{part}.pem")


class Site:
    """A folder with a configuration: users joe, ann and bob, mail into the maildir ``mail``."""

    def __init__(self, place: Path, workers: int = 2) -> None:
        self.place = place
        self.workers = workers
        self.port, self.tls_port = free_port(), free_port()
        (place / "mail").mkdir(exist_ok=True)
        certificate(place)
        self.config = self.write()

    def write(self, submission: str = "", more: str = "", limits: str = "", daemon: str = "") -> Path:
        """The configuration, with further keys."""
        users = ", ".join(f'"{name}@example.org" = "{{PLAIN}}{PASSWORD}"' for name in ("joe", "ann", "bob"))
        listen = "".join(
            f'[[listen]]\nprotocol = "{protocol}"\naddress = "127.0.0.1:{port}"\n'
            for protocol, port in (("submission", self.port), ("submissions", self.tls_port))
        )
        config = configured(
            self.place,
            f'[backend.local]\ntype = "static"\nusers = {{ {users} }}\n',
            auth='chain = ["local"]\nmechanisms = ["PLAIN", "LOGIN", "SCRAM-SHA-256"]\nmin_seconds = 0',
            listen=f"{listen}\n[submission]\nhostname = 'mail.example.org'\nworkers = {self.workers}\n{submission}\n"
            "[submission.tls]\ncertificate = 'cert.pem'\nkey = 'key.pem'\n"
            f"[submission.limits]\n{limits}\n[[relay.route]]\ndomains = ['*']\nvia = 'capture:mail'\n{more}\n",
        )
        config.write_text(config.read_text().replace("[daemon]\n", f"[daemon]\n{daemon}\n"))
        return config

    @property
    def delivered(self) -> list[bytes]:
        """What has been delivered."""
        return [path.read_bytes() for path in sorted((self.place / "mail" / "new").glob("*"))]

    @contextlib.contextmanager
    def client(self, login: str = "", timeout: float = 10.0) -> Iterator[smtplib.SMTP]:
        """A connection with TLS, logged in if ``login`` is given; however it ends is no fault."""
        with contextlib.closing(smtplib.SMTP("localhost", self.port, timeout=timeout)) as smtp:
            smtp.starttls(context=self.trust())
            smtp.ehlo()
            if login:
                smtp.login(login, PASSWORD)
            yield smtp

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts the certificate as it is now."""
        return ssl.create_default_context(cafile=str(self.place / "cert.pem"))

    def works_within(self, seconds: float) -> None:
        """Send until a message is taken, which must be so in time."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, smtplib.SMTPException), self.client(SENDER, timeout=seconds) as smtp:
                smtp.sendmail(SENDER, RECIPIENT, MESSAGE)
                return
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def settled(self, daemon: Daemon) -> list[int]:
        """The pids of the workers, once all that there are to be serve, and no others are left."""
        deadline = time.monotonic() + 10
        while True:
            serving = [one["pid"] for one in self.status()["submission"] if one["state"] == "serving"]
            if len(serving) == self.workers and sorted(serving) == sorted(workers(daemon)):
                return serving
            assert time.monotonic() < deadline, daemon.log.read_text()
            time.sleep(0.05)

    def status(self) -> dict[str, Any]:
        """What ``saslpy status`` says."""
        done = run("status", "--json", "--config", str(self.config))
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def mail(smtp: smtplib.SMTP, sender: str = SENDER) -> tuple[int, int]:
    """The codes of MAIL and RCPT."""
    return smtp.mail(sender)[0], smtp.rcpt(RECIPIENT)[0]


def workers(daemon: Daemon) -> list[int]:
    """The pids of submission workers."""
    return daemon.children("submission")


def new_workers(daemon: Daemon, before: list[int], count: int, seconds: float = 3.0) -> list[int]:
    """So many that were not there before, in time."""
    deadline = time.monotonic() + seconds
    while len(new := sorted(set(workers(daemon)) - set(before))) < count:
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.01)
    return new
