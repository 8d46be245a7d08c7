"""A real Sendmail with SMTP AUTH, set up by the files that contrib has for it.

**An outage is a wrong password here, and not by us.** We hang up, and libsasl2 says SASL_FAIL; Sendmail answers 535 to all
that is not SASL_OK. Its log can tell the two apart.
"""

from __future__ import annotations

import base64
import os
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ..real.saslpy import Daemon, configured, folder, serving
from ..real.sendmail import HOST, Sendmail

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="Sendmail wants root"),
]

CONTRIB = Path(__file__).parents[2] / "contrib/sendmail"
LOGIN, PASSWORD = "joe@example.org", "s3cret pass"
AWAY = "joe@away.example"
BACKENDS = f"""
[backend.local]
type = "static"
users = {{ "{LOGIN}" = "{{PLAIN}}{PASSWORD}" }}
[backend.away]
type = "mysql"
socket = "no-such-socket"
user = "x"
database = "x"
schema = "extmail"
"""
AUTH = 'default_domain = "example.org"\nmin_seconds = 0\n[[auth.route]]\ndomains = ["away.example"]\nchain = ["away"]\n'
REFUSED = (535, b"5.7.0 authentication failed")
SOCKET = "saslauthd_path: /run/saslauthd/mux\n"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    with serving(configured(place, BACKENDS, AUTH)) as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def sendmail(place: Path, daemon: Daemon, authority: trustme.CA) -> Iterator[Sendmail]:
    sasl, settings = (CONTRIB / "Sendmail.conf").read_text(), (CONTRIB / "saslpy.m4").read_text()
    assert SOCKET in sasl
    certificate = place / "server.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(certificate)
    with Sendmail(place, settings, sasl.replace(SOCKET, f"saslauthd_path: {place}/mux\n"), certificate) as running:
        yield running


@pytest.fixture
def client(sendmail: Sendmail, authority: trustme.CA) -> Iterator[smtplib.SMTP]:
    """A client that has said STARTTLS."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False  # it is reached by its address
    with smtplib.SMTP("127.0.0.1", sendmail.port, timeout=30) as connected:
        connected.starttls(context=context)
        connected.ehlo()
        yield connected


def plain(login: str, password: str, acting_as: str = "") -> str:
    return "AUTH PLAIN " + base64.b64encode(f"{acting_as}\0{login}\0{password}".encode()).decode()


def login(client: smtplib.SMTP, name: str, password: str) -> tuple[int, bytes]:
    """The answer to AUTH LOGIN."""
    client.docmd("AUTH LOGIN")
    client.docmd(base64.b64encode(name.encode()).decode())
    return client.docmd(base64.b64encode(password.encode()).decode())


def test_what_is_offered_when(sendmail: Sendmail, client: smtplib.SMTP) -> None:
    with smtplib.SMTP("127.0.0.1", sendmail.port, timeout=30) as early:
        early.ehlo()
        assert "auth" not in early.esmtp_features
        assert early.docmd(plain(LOGIN, PASSWORD))[0] == 503
    assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]


def test_a_right_password(sendmail: Sendmail, daemon: Daemon, client: smtplib.SMTP) -> None:
    assert client.docmd(plain(LOGIN, PASSWORD))[0] == 235, sendmail.said()
    client.mail(LOGIN)
    assert client.rcpt("ann@example.net") == (550, f"5.7.1 <ann@example.net>... you are {LOGIN}".encode())
    assert daemon.wait_for(f"login verdict=accept reason=ok login={LOGIN} service=smtp")


def test_a_login_without_its_domain(sendmail: Sendmail, client: smtplib.SMTP) -> None:
    assert login(client, "joe", PASSWORD)[0] == 235, sendmail.said()


def test_a_wrong_password(sendmail: Sendmail, client: smtplib.SMTP) -> None:
    """And after it a right one, on the same connection."""
    assert client.docmd(plain(LOGIN, "wrong")) == REFUSED
    sendmail.log.wait_for(
        "AUTH failure (PLAIN): authentication failure (-13) SASL(-13): authentication failure: "
        f"Password verification failed, user={LOGIN}"
    )
    assert login(client, LOGIN, PASSWORD)[0] == 235


def test_an_outage(sendmail: Sendmail, daemon: Daemon, client: smtplib.SMTP) -> None:
    """535, alas (see above)."""
    assert client.docmd(plain(AWAY, PASSWORD)) == REFUSED
    assert login(client, AWAY, PASSWORD) == REFUSED
    assert daemon.wait_for(f"login verdict=defer reason=backend-failed login={AWAY} service=smtp")
    for mechanism in ("PLAIN", "LOGIN"):
        assert f"user={AWAY}" in sendmail.log.wait_for(f"AUTH failure ({mechanism}): generic failure (-1)")


def test_who_wants_to_act_as_another_one_is_himself(client: smtplib.SMTP) -> None:
    assert client.docmd(plain(LOGIN, PASSWORD, "ann@example.org"))[0] == 235
    client.mail("ann@example.org")
    assert client.rcpt("ann@example.net")[1].endswith(f"you are {LOGIN}".encode())


def test_no_secret_is_in_its_log(sendmail: Sendmail, client: smtplib.SMTP) -> None:
    assert login(client, LOGIN, PASSWORD)[0] == 235
    for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), plain(LOGIN, PASSWORD)[11:]):
        assert secret not in sendmail.said()
