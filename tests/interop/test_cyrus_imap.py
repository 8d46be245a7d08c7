"""Cyrus IMAP by the lines of contrib/cyrus: what its IMAP, POP3 and ManageSieve clients hear, and what we are asked."""

from __future__ import annotations

import base64
import imaplib
import poplib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..real.cyrus import Cyrus
from ..real.saslpy import Daemon, configured, folder, serving

pytestmark = pytest.mark.real

SHIPPED = Path(__file__).parents[2] / "contrib" / "cyrus" / "imapd.conf"
HERE, ELSEWHERE, AWAY, PASSWORD = "joe@example.org", "ann@example.com", "joe@away.example", "s3cret pass"
BACKENDS = f"""
[backend.local]
type = "static"
users = {{ "{HERE}" = "{{PLAIN}}{PASSWORD}", "{ELSEWHERE}" = "{{PLAIN}}{PASSWORD}" }}
[backend.away]
type = "mysql"
socket = "no-such-socket"
user = "x"
database = "x"
schema = "extmail"
"""
AUTH = 'default_domain = "example.org"\nmin_seconds = 0\n[[auth.route]]\ndomains = ["away.example"]\nchain = ["away"]\n'
CHANGES = {
    "saslauthd_path: /run/saslauthd/mux": "saslauthd_path: {place}/mux",
    "allowplaintext: no": "allowplaintext: yes",
}
TOLD = 20


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    with serving(configured(place, BACKENDS, AUTH)) as running:
        yield running


@pytest.fixture(scope="module")
def cyrus(place: Path, daemon: Daemon) -> Iterator[Cyrus]:
    lines = SHIPPED.read_text()
    for line, ours in CHANGES.items():
        assert line in lines
        lines = lines.replace(line, ours.format(place=place))
    with Cyrus(place, lines) as server:
        yield server


def response(name: str, password: str) -> str:
    """PLAIN's."""
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


def imap_login(cyrus: Cyrus, name: str, password: str) -> str:
    """The answer to LOGIN; INBOX must be there then."""
    with imaplib.IMAP4("127.0.0.1", cyrus.ports["imap"], TOLD) as client:
        try:
            client.login(name, password)
        except imaplib.IMAP4.error as error:
            return f"NO {error.args[0].decode()}"
        return str(client.select()[0])


def imap_authenticate(cyrus: Cyrus, name: str, password: str, acting_as: str = "") -> str:
    with imaplib.IMAP4("127.0.0.1", cyrus.ports["imap"], TOLD) as client:
        try:
            return str(client.authenticate("PLAIN", lambda _: f"{acting_as}\0{name}\0{password}".encode())[0])
        except imaplib.IMAP4.error as error:
            return f"NO {error}"


def pop3_pass(cyrus: Cyrus, name: str, password: str) -> str:
    client = poplib.POP3("127.0.0.1", cyrus.ports["pop3"], TOLD)
    try:
        client.user(name)
        return client.pass_(password).decode()
    except poplib.error_proto as error:
        return str(error.args[0], "ascii")
    finally:
        client.close()


def pop3_auth(cyrus: Cyrus, name: str, password: str) -> str:
    with socket.create_connection(("127.0.0.1", cyrus.ports["pop3"]), TOLD) as sock, sock.makefile("rwb") as file:
        file.readline()
        file.write(f"AUTH PLAIN {response(name, password)}\r\n".encode())
        file.flush()
        return file.readline().decode().strip()


def sieve(cyrus: Cyrus, name: str, password: str) -> str:
    with socket.create_connection(("127.0.0.1", cyrus.ports["sieve"]), TOLD) as sock, sock.makefile("rwb") as file:
        while not file.readline().startswith(b"OK"):
            pass
        file.write(f'AUTHENTICATE "PLAIN" "{response(name, password)}"\r\n'.encode())
        file.flush()
        return file.readline().decode().strip()


FAILED = "authentication failure"
GENERIC = "generic failure"


@pytest.mark.parametrize(
    ("ask", "service", "right", "wrong", "away"),
    [
        (imap_login, "imap", "OK", f"NO Login failed: {FAILED}", f"NO Login failed: {GENERIC}"),
        (imap_authenticate, "imap", "OK", f"NO {FAILED}", f"NO {GENERIC}"),
        (pop3_pass, "pop", "+OK Mailbox locked", "-ERR [AUTH] Invalid login", "-ERR [AUTH] Invalid login"),
        (
            pop3_auth,
            "pop",
            "+OK Mailbox locked",
            f"-ERR [AUTH] authenticating: {FAILED}",
            f"-ERR [AUTH] authenticating: {GENERIC}",
        ),
        (sieve, "sieve", "OK", 'NO "Authentication Error"', 'NO "Authentication Error"'),
    ],
    ids=["LOGIN", "AUTHENTICATE", "PASS", "AUTH", "ManageSieve"],
)
def test_what_clients_hear(
    cyrus: Cyrus,
    daemon: Daemon,
    ask: Callable[[Cyrus, str, str], str],
    service: str,
    right: str,
    wrong: str,
    away: str,
) -> None:
    """In its default domain Cyrus asks for joe alone, in another one with a realm: both become the whole name here."""
    assert ask(cyrus, HERE, PASSWORD).startswith(right), cyrus.log.text()
    assert ask(cyrus, ELSEWHERE, PASSWORD).startswith(right), cyrus.log.text()
    assert ask(cyrus, HERE, "wrong") == wrong
    assert ask(cyrus, "nobody@example.com", PASSWORD) == wrong
    assert ask(cyrus, AWAY, PASSWORD) == away
    assert ask(cyrus, HERE, PASSWORD).startswith(right), "afterwards"
    for said in (
        f"verdict=accept reason=ok login={HERE}",
        f"verdict=accept reason=ok login={ELSEWHERE}",
        f"verdict=reject reason=wrong-password login={HERE}",
        "verdict=reject reason=unknown-user login=nobody@example.com",
        f"verdict=defer reason=backend-failed login={AWAY}",
    ):
        daemon.wait_for(f"login {said} service={service}")


def test_its_log_tells_an_outage_from_a_wrong_password(cyrus: Cyrus) -> None:
    pop3_pass(cyrus, AWAY, PASSWORD)
    pop3_pass(cyrus, ELSEWHERE, "wrong")
    assert "badlogin" in cyrus.log.wait_for(f"plaintext ({AWAY}) [SASL(-1): {GENERIC}")
    assert "badlogin" in cyrus.log.wait_for(f"plaintext ({ELSEWHERE}) [SASL(-13): {FAILED}")


def test_nobody_acts_as_another_one(cyrus: Cyrus) -> None:
    """Unless Cyrus' own configuration says so (proxyservers)."""
    assert imap_authenticate(cyrus, HERE, PASSWORD, ELSEWHERE) == f"NO {FAILED}"
