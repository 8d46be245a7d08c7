"""The clients that people and programs send mail with, through a daemon to a folder, a real Postfix and Dovecot's LMTP.

What arrives is what was sent, byte for byte, behind the trace that servers put in front. Each client comes by STARTTLS and
by TLS at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pwd
import select
import smtplib
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib
import pytest

from ..process.submitting import PASSWORD, SENDER, Site
from ..real import need
from ..real.dovecot import Dovecot
from ..real.postfix import Postfix
from ..real.saslpy import folder, serving
from ..real.system import need_root

pytestmark = pytest.mark.real

BODY = "Dots:\n.\n..\n.x\n\n  blanks  \n" + "x" * 900 + "\nGrüße, 日本\n\tend\n\n"
LETTER = (
    f"From: Joe <{SENDER}>\nTo: Ann <ann@example.net>\nSubject: =?utf-8?q?a?= b\n\tfolded\n"
    "Date: Tue, 24 Nov 2026 05:00:00 +0000\nMessage-ID: <{name}@client.example>\n"
    'MIME-Version: 1.0\nContent-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: 8bit\nX-Odd:   kept \n\n'
    + BODY
)

POSTFIX = """\
virtual_mailbox_domains = example.com
virtual_mailbox_base = {home}
virtual_mailbox_maps = static:postfix/
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
virtual_minimum_uid = 1
smtpd_sasl_auth_enable = no
smtpd_recipient_restrictions = permit
smtpd_relay_restrictions = permit_mynetworks, reject
"""
DOVECOT = """\
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={home}/%n allow_all_users=yes
}}
"""
VIRTUAL = "virtual unix - n n - - virtual\n"


@dataclass
class Post:
    """Where mail is sent from, and the folders where it arrives: by the recipient's domain."""

    site: Site
    arrivals: dict[str, Path]

    def arrived(self, domain: str, name: str, seconds: float = 15.0) -> bytes:
        """The one message with this Message-ID, its lines as they are stored. The place of a maildir is made late."""
        until = time.monotonic() + seconds
        while True:
            files = self.arrivals[domain].glob("new/*")
            found = [text for file in files if f"<{name}@client.example>".encode() in (text := file.read_bytes())]
            if found:
                assert len(found) == 1
                return found[0].replace(b"\r\n", b"\n")
            assert time.monotonic() < until, (self.site.place / "saslpy.log").read_text()
            time.sleep(0.02)


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    need_root()
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(folder())
        home, nobody = place / "home", pwd.getpwnam("nobody").pw_uid
        home.mkdir()
        os.chown(home, nobody, -1)
        values = {"home": home, "nobody": nobody}
        postfix = stack.enter_context(Postfix(place, place / "mux", POSTFIX.format(**values), services=VIRTUAL))
        dovecot = stack.enter_context(Dovecot(place, DOVECOT.format(**values)))
        site = Site(place, workers=1)
        site.write(
            more=f"[[relay.route]]\ndomains = ['example.com']\nvia = 'smtp://127.0.0.1:{postfix.port}'\n"
            f"[[relay.route]]\ndomains = ['example.edu']\nvia = 'lmtp:127.0.0.1:{dovecot.lmtp}'\n"
        )
        stack.enter_context(serving(site.config))
        arrivals = {"net": place / "mail", "com": home / "postfix", "edu": home / "ann" / "Maildir"}
        yield Post(site, {f"example.{name}": path for name, path in arrivals.items()})


Send = Callable[[Site, bool, str, Path], None]
"""With TLS at once or not, to whom, what."""


def succeeded(*command: str | Path, environment: dict[str, str] | None = None, said: str = "") -> str:
    """What a program has printed, which must have succeeded."""
    done = subprocess.run(
        command,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_crlf(letter: Path) -> bytes:
    """As it goes over the wire: not every client makes it so."""
    return letter.read_bytes().replace(b"\n", b"\r\n")


def swaks(site: Site, implicit: bool, to: str, letter: Path, *more: str) -> None:
    port = site.tls_port if implicit else site.port
    succeeded(
        need("swaks", package="swaks"), "--server", f"127.0.0.1:{port}", "-tlsc" if implicit else "-tls",
        *(more or ("--auth", "PLAIN")), "--auth-user", SENDER, "--auth-password", PASSWORD, "--from", SENDER, "--to", to,
        "--data", f"@{letter}", "--timeout", "30",
    )  # fmt: skip


def swaks_pipelined(site: Site, implicit: bool, to: str, letter: Path) -> None:
    swaks(site, implicit, to, letter, "--auth", "LOGIN", "--pipeline")


def curl(site: Site, implicit: bool, to: str, letter: Path) -> None:
    crlf = letter.with_suffix(".crlf")
    crlf.write_bytes(with_crlf(letter))
    url = f"smtps://localhost:{site.tls_port}" if implicit else f"smtp://localhost:{site.port}"
    succeeded(
        need("curl", package="curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", site.place / "cert.pem",
        "--url", url, "--user", f"{SENDER}:{PASSWORD}", "--mail-from", SENDER, "--mail-rcpt", to, "--upload-file", crlf,
    )  # fmt: skip


def msmtp(site: Site, implicit: bool, to: str, letter: Path) -> None:
    port, starttls = (site.tls_port, "off") if implicit else (site.port, "on")
    succeeded(
        need("msmtp", package="msmtp"), "--file=/dev/null", "--host=localhost", f"--port={port}", "--tls=on",
        f"--tls-starttls={starttls}", f"--tls-trust-file={site.place / 'cert.pem'}", "--auth=scram-sha-256",
        f"--user={SENDER}", f"--passwordeval=echo {PASSWORD}", f"--from={SENDER}", to, said=letter.read_text(),
    )  # fmt: skip


def with_smtplib(site: Site, implicit: bool, to: str, letter: Path) -> None:
    smtp = (
        smtplib.SMTP_SSL("localhost", site.tls_port, timeout=30, context=site.trust())
        if implicit
        else smtplib.SMTP("localhost", site.port, timeout=30)
    )
    with smtp:
        if not implicit:
            smtp.starttls(context=site.trust())
        smtp.login(SENDER, PASSWORD)
        assert smtp.sendmail(SENDER, to, with_crlf(letter), ["BODY=8BITMIME"]) == {}


def with_aiosmtplib(site: Site, implicit: bool, to: str, letter: Path) -> None:
    port = site.tls_port if implicit else site.port
    how = {"use_tls": implicit, "start_tls": not implicit, "tls_context": site.trust()}

    async def send() -> None:
        smtp = aiosmtplib.SMTP(hostname="localhost", port=port, username=SENDER, password=PASSWORD, timeout=30, **how)  # type: ignore[arg-type]
        async with smtp:
            await smtp.sendmail(SENDER, to, with_crlf(letter))

    asyncio.run(send())


def gsasl(site: Site, implicit: bool, to: str, letter: Path) -> None:
    """SCRAM, and what is typed behind it. It knows STARTTLS alone: TLS at once is a tunnel's."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(tunnel(site)) if implicit else site.port
        command = [
            need("gsasl", package="gsasl"), "--smtp", f"--connect=localhost:{port}", "--mechanism=SCRAM-SHA-256",
            f"--authentication-id={SENDER}", f"--password={PASSWORD}", "--hostname=localhost", "--no-cb",
            *(["--no-starttls"] if implicit else ["--starttls", f"--x509-ca-file={site.place / 'cert.pem'}"]),
        ]  # fmt: skip
        gsasl = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        content = letter.read_bytes().replace(b"\n.", b"\n..").splitlines(keepends=True)
        for line in (f"MAIL FROM:<{SENDER}>\n".encode(), f"RCPT TO:<{to}>\n".encode(), b"DATA\n", *content, b".\n"):
            typed(gsasl, line)
        said = heard(gsasl, b"\n250 2.0.0 ")
        assert b"\n250 2.0.0 " in said, said
        gsasl.communicate(timeout=15)
    assert gsasl.returncode == 0


def typed(process: subprocess.Popen[bytes], line: bytes) -> None:
    """One line, and until it is read: of what comes faster gsasl forgets all but the first."""
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()
    until = time.monotonic() + 15
    while struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)))[0]:
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < until, "it does not read on"
        time.sleep(0.001)


def heard(process: subprocess.Popen[bytes], word: bytes, seconds: float = 15.0) -> bytes:
    """What it prints, up to this word, its end or the time's."""
    assert process.stdout is not None
    said, until = b"", time.monotonic() + seconds
    while word not in said and select.select([process.stdout], [], [], max(0, until - time.monotonic()))[0]:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            break
        said += piece
    return said


@contextlib.contextmanager
def tunnel(site: Site) -> Iterator[int]:
    """A port of one connection, which goes to the one with TLS at once, by OpenSSL, which verifies the certificate."""
    command: list[str | Path] = [
        need("openssl", package="openssl"), "s_client", "-quiet", "-verify_quiet", "-verify_return_error",
        "-verify_hostname", "localhost", "-CAfile", site.place / "cert.pem", "-connect", f"localhost:{site.tls_port}",
    ]  # fmt: skip

    def serve() -> None:
        with listener.accept()[0] as connection:
            subprocess.run(command, stdin=connection.fileno(), stdout=connection.fileno(), check=True, timeout=60)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(15)
        done = pool.submit(serve)
        yield listener.getsockname()[1]
        done.result(60)


def git_send_email(site: Site, implicit: bool, to: str, letter: Path) -> None:
    port, how = (site.tls_port, "ssl") if implicit else (site.port, "tls")
    succeeded(
        need("git", package="git-email"), "send-email", f"--from=Joe <{SENDER}>", f"--to={to}", "--confirm=never",
        "--suppress-cc=all", "--smtp-server=localhost", f"--smtp-server-port={port}", f"--smtp-encryption={how}",
        f"--smtp-user={SENDER}", f"--smtp-pass={PASSWORD}", f"--smtp-ssl-cert-path={site.place / 'cert.pem'}",
        "--no-thread", letter,
        environment={"HOME": str(letter.parent), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_DIR": str(letter.parent / "none")},
    )  # fmt: skip


CLIENTS: dict[str, Send] = {
    "swaks": swaks,
    "swaks-pipelined": swaks_pipelined,
    "curl": curl,
    "msmtp": msmtp,
    "smtplib": with_smtplib,
    "aiosmtplib": with_aiosmtplib,
    "gsasl": gsasl,
}


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
@pytest.mark.parametrize("client", CLIENTS)
def test_byte_for_byte(post: Post, tmp_path: Path, client: str, implicit: bool) -> None:
    for domain in post.arrivals:
        name = f"{client}.{implicit}.{domain}"
        letter = tmp_path / "letter"
        letter.write_text(LETTER.replace("{name}", name))
        CLIENTS[client](post.site, implicit, f"ann@{domain}", letter)
        arrived = post.arrived(domain, name)
        trace, ours, sent = arrived.partition(b"From: Joe")
        assert (ours + sent).rstrip(b"\n") == letter.read_bytes().rstrip(b"\n")
        assert b" by mail.example.org with ESMTPSA id " in trace.replace(b"\n    ", b" ")
        assert b"127.0.0.1" not in trace.split(b"ESMTPSA")[0].rpartition(b"Received:")[2]


PATCH = (
    f"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: Joe <{SENDER}>\n"
    "Date: Tue, 24 Nov 2026 05:00:00 +0000\nSubject: [PATCH] a change\nMessage-ID: <{name}@client.example>\n\n"
    "Why.\n---\n a | 2 +-\n\ndiff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-.\n+..\n-- \n2.39.5\n"
)


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_git_send_email(post: Post, tmp_path: Path, implicit: bool) -> None:
    """It writes the header anew, so it is the body that is compared."""
    for domain in post.arrivals:
        name = f"git.{implicit}.{domain}"
        letter = tmp_path / "0001-a-change.patch"
        letter.write_text(PATCH.replace("{name}", name))
        git_send_email(post.site, implicit, f"ann@{domain}", letter)
        arrived = post.arrived(domain, name)
        assert arrived.partition(b"\n\n")[2].rstrip(b"\n") == letter.read_bytes().partition(b"\n\n")[2].rstrip(b"\n")
        assert b"\nSubject: [PATCH] a change\n" in arrived
