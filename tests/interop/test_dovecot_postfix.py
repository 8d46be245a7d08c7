"""A real Postfix with ``smtpd_sasl_type = dovecot``, set up by the file that contrib has for it."""

from __future__ import annotations

import base64
import os
import re
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..real.postfix import Postfix, gsasl, swaks
from ..real.saslpy import Daemon, configured, folder, serving

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="Postfix's master wants root"),
]

CONTRIB = Path(__file__).parents[2] / "contrib/postfix/dovecot.cf"
LOGIN, PASSWORD = "joe@example.org", "s3cret pass"
AWAY = "joe@away.example"
OFF = "off@example.org"
MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"]
RESPONSE = base64.b64encode(f"\0{LOGIN}\0{PASSWORD}".encode()).decode()


class Saslpy:
    """A daemon that can be started again."""

    def __init__(self, place: Path) -> None:
        self.socket = place / "auth"
        self._config = configured(
            place,
            f'[backend.local]\ntype = "static"\n[backend.local.users]\n"{LOGIN}" = "{{PLAIN}}{PASSWORD}"\n'
            f'"{OFF}" = {{ password = "{{PLAIN}}{PASSWORD}", disabled = true }}\n'
            '[backend.away]\ntype = "mysql"\nsocket = "no-such-socket"\nuser = "x"\ndatabase = "x"\nschema = "extmail"\n',
            f"mechanisms = {MECHANISMS}\nmin_seconds = 0\n"
            '[[auth.route]]\ndomains = ["away.example"]\nchain = ["away"]\n',
            '[[listen]]\nprotocol = "dovecot"\npath = "auth"\nmode = "0666"\n',
        )
        self._running = ExitStack()
        self.daemon = self._start()

    def _start(self) -> Daemon:
        return self._running.enter_context(serving(self._config))

    def restart(self) -> None:
        """End it, and start it again."""
        self._running.close()
        log = self._config.with_suffix(".log")
        log.rename(log.with_suffix(".1"))  # it says "ready"
        self.daemon = self._start()

    def stop(self) -> None:
        """End it."""
        self._running.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def saslpy(place: Path) -> Iterator[Saslpy]:
    running = Saslpy(place)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def postfix(place: Path, saslpy: Saslpy) -> Iterator[Postfix]:
    recipe = CONTRIB.read_text().replace("private/auth\n", f"{saslpy.socket}\n")
    assert str(saslpy.socket) in recipe
    with Postfix(
        place, place / "mux", f"{recipe}\nsmtpd_tls_auth_only = no\nsmtpd_client_connection_count_limit = 0\n"
    ) as running:
        yield running


class Smtp(smtplib.SMTP):
    """A client that says what it is told."""

    def __init__(self, postfix: Postfix) -> None:
        super().__init__("127.0.0.1", postfix.port, timeout=30)
        self.ehlo()

    def say(self, *lines: str) -> str:
        """The answer to the last line."""
        answer = ""
        for line in lines:
            code, text = self.docmd(line)
            answer = f"{code} {text.decode()}"
        return answer


def test_what_is_offered(postfix: Postfix) -> None:
    with Smtp(postfix) as client:
        assert client.esmtp_features["auth"].split() == MECHANISMS, postfix.log()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_right_password_and_a_wrong_one(postfix: Postfix, mechanism: str) -> None:
    login = gsasl if mechanism.startswith("SCRAM") else swaks
    assert login(postfix.port, LOGIN, PASSWORD, mechanism).startswith("235 2.7.0"), postfix.log()
    wrong = login(postfix.port, LOGIN, "wrong", mechanism)
    assert wrong == "535 5.7.8 Error: authentication failed: login and password not accepted", postfix.log()
    assert login(postfix.port, "nobody@example.org", "x", mechanism) == wrong
    assert login(postfix.port, OFF, PASSWORD, mechanism) == wrong, "whatever the code is"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_store_that_is_away(postfix: Postfix, mechanism: str) -> None:
    login = gsasl if mechanism.startswith("SCRAM") else swaks
    assert login(postfix.port, AWAY, PASSWORD, mechanism).startswith("454 4.7.0"), postfix.log()


def test_a_connection_goes_on_after_everything(postfix: Postfix) -> None:
    """On one SMTP connection, and so on one of ours: no, later, cancelled, malformed, yes."""
    away = base64.b64encode(f"\0{AWAY}\0{PASSWORD}".encode()).decode()
    wrong = base64.b64encode(f"\0{LOGIN}\0wrong".encode()).decode()
    with Smtp(postfix) as client:
        assert client.say(f"AUTH PLAIN {wrong}").startswith("535 5.7.8")
        assert client.say(f"AUTH PLAIN {away}").startswith("454 4.7.0")
        assert client.say("AUTH PLAIN").startswith("334")
        assert client.say("*").startswith("501 5.7.0")
        assert client.say("AUTH LOGIN", base64.b64encode(LOGIN.encode()).decode()) == "334 UGFzc3dvcmQ6"
        assert client.say("*").startswith("501 5.7.0")
        assert client.say("AUTH PLAIN =").startswith("535 5.7.8")
        assert client.say("AUTH PLAIN %%%").startswith("535 5.7.8"), "Postfix looks at it by itself"
        assert client.say("AUTH PLAIN", "%%%").startswith("535 5.7.8")
        assert client.say("AUTH GSSAPI").startswith(
            "535 5.7.8 Error: authentication failed: Invalid authentication mech"
        )
        assert client.say("AUTH PLAIN", RESPONSE).startswith("235 2.7.0"), postfix.log()
    with Smtp(postfix) as client:
        assert client.say(f"AUTH PLAIN {RESPONSE}").startswith("235 2.7.0")
        # the name that the answer gave is the one that Postfix goes by
        client.mail("joe@example.org")
        assert client.rcpt("ann@example.net")[0] == 250
        client.rset()
    postfix.wait_log(rf"sasl_method=PLAIN, sasl_username={re.escape(LOGIN)}")


def test_after_a_restart_the_next_login_works(postfix: Postfix, saslpy: Saslpy) -> None:
    with Smtp(postfix) as client, Smtp(postfix) as other:
        assert client.say(f"AUTH PLAIN {RESPONSE}").startswith("235 2.7.0")
        saslpy.restart()
        assert other.say(f"AUTH PLAIN {RESPONSE}").startswith("235 2.7.0"), postfix.log()


def test_a_hundred_connections_of_postfix_idle(postfix: Postfix, saslpy: Saslpy) -> None:
    """As many smtpd processes as Postfix has by default; each holds a connection to us."""
    with ExitStack() as stack, ThreadPoolExecutor(16) as threads:
        clients = list(threads.map(lambda _: Smtp(postfix), range(100)))
        for client in clients:
            stack.enter_context(client)
        [auth] = saslpy.daemon.children("auth")
        sockets = [str(fd.readlink()) for fd in Path(f"/proc/{auth}/fd").iterdir() if fd.is_symlink()]
        assert sum(name.startswith("socket:") for name in sockets) >= 100
        for client in (clients[0], clients[50], clients[99]):
            assert client.say(f"AUTH PLAIN {RESPONSE}").startswith("235 2.7.0")


def test_no_secret_is_in_the_log(postfix: Postfix, saslpy: Saslpy, place: Path) -> None:
    with Smtp(postfix) as client:
        assert client.say(f"AUTH PLAIN {RESPONSE}").startswith("235 2.7.0")
    text = "".join(log.read_text() for log in (*place.glob("saslpy.1"), place / "saslpy.log"))
    assert "verdict=accept" in text
    assert PASSWORD not in text
    assert RESPONSE not in text
