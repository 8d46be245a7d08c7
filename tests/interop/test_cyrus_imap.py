"""Cyrus IMAP by the lines of contrib/cyrus: a right password, a wrong one, an outage."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..real.cyrus import Cyrus
from ..real.saslpy import Daemon, configured, folder, serving

SHIPPED = Path(__file__).parents[2] / "contrib" / "cyrus" / "imapd.conf"
PATH = "sasl_saslauthd_path: /run/saslauthd/mux"
BACKENDS = """\
[backend.local]
type = "static"
users = { "joe@example.org" = "{PLAIN}secret" }
[backend.away]
type = "mysql"
socket = "no-such-socket"
user = "x"
database = "x"
schema = "extmail"
"""
ROUTES = 'min_seconds = 0\n[[auth.route]]\ndomains = ["away.example"]\nchain = ["away"]\n'


@pytest.fixture(scope="module")
def cyrus() -> Iterator[tuple[Cyrus, Daemon]]:
    shipped = SHIPPED.read_text()
    assert PATH in shipped
    with folder() as place, serving(configured(place, BACKENDS, ROUTES)) as daemon:
        (place / "mux").chmod(0o666)
        with Cyrus(place, shipped.replace(PATH, f"sasl_saslauthd_path: {place}/mux")) as server:
            yield server, daemon


@pytest.mark.parametrize(
    ("login", "password", "told"),
    [
        ("joe@example.org", "secret", ""),
        ("joe@example.org", "wrong", "authentication failure"),
        ("nobody@example.org", "secret", "authentication failure"),
        ("joe@away.example", "secret", "generic failure"),
    ],
)
def test_login(cyrus: tuple[Cyrus, Daemon], login: str, password: str, told: str) -> None:
    server, daemon = cyrus
    with imaplib.IMAP4("127.0.0.1", server.port, timeout=20) as client:
        if told:
            with pytest.raises(imaplib.IMAP4.error, match=told):
                client.login(login, password)
        else:
            client.login(login, password)
            assert client.noop()[0] == "OK"
    assert f"login={login} service=imap" in daemon.lines("login")[-1]
