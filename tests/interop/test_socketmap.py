"""A real Postfix looks up mailboxes and senders at our socketmap socket, as contrib's lines say; and so does postmap."""

from __future__ import annotations

import os
import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..real import need
from ..real.postfix import Postfix
from ..real.saslpy import Daemon, configured, folder, serving
from ..real.system import need_root

pytestmark = pytest.mark.real

LOGIN, PASSWORD = "joe@example.org", "s3cret pass"
CONTRIB = Path(__file__).parents[2] / "contrib" / "postfix" / "socketmap.cf"
SETTINGS = """
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
virtual_transport = discard:
mynetworks =
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    need_root()
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    users = ", ".join(f'"{name}" = "{{PLAIN}}{PASSWORD}"' for name in (LOGIN, "ann@example.org"))
    config = configured(
        place,
        f'[backend.local]\ntype = "static"\nusers = {{ {users} }}\n'
        '[backend.down]\ntype = "mysql"\nhosts = ["127.0.0.1:1"]\nuser = "x"\ndatabase = "x"\nschema = "postfixadmin"\n',
        'chain = ["local"]\nmin_seconds = 0\n[[auth.route]]\ndomains = ["down.example"]\nchain = ["down"]\n',
        '[[listen]]\nprotocol = "socketmap"\npath = "map"\nmode = "0666"\nrecipient_delimiter = "+"\n',
    )
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module")
def postfix(daemon: Daemon, place: Path) -> Iterator[Postfix]:
    lines = CONTRIB.read_text().replace("unix:private/saslpy", f"unix:{place}/map")
    # its stricter form, which looks at those who have not logged in, too
    lines = lines.replace("reject_authenticated_sender_login_mismatch", "reject_sender_login_mismatch")
    lines = lines.replace("virtual_mailbox_domains = example.org", "virtual_mailbox_domains = example.org down.example")
    with Postfix(place, place / "mux", SETTINGS + lines) as running:
        yield running


def postmap(place: Path, name: str, key: str) -> tuple[int, str]:
    """The exit status, and the value or the complaint."""
    done = subprocess.run(
        [need("postmap", package="postfix"), "-q", key, f"socketmap:unix:{place}/map:{name}"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "MAIL_CONFIG": str(place / "postfix")},
    )
    # it complains of main.cf, too
    complaints = [line for line in done.stderr.splitlines() if "socketmap:" in line]
    return done.returncode, "\n".join([*done.stdout.splitlines(), *complaints])


def test_postmap(postfix: Postfix, place: Path) -> None:
    assert postmap(place, "mailbox", LOGIN) == (0, LOGIN)
    assert postmap(place, "mailbox", "joe+lists@example.org") == (0, LOGIN)
    assert postmap(place, "senders", LOGIN) == (0, LOGIN)
    for name, key in (
        ("mailbox", "nobody@example.org"),
        ("alias", LOGIN),
        ("senders", "@example.org"),
        ("mailbox", "x y"),
    ):
        assert postmap(place, name, key) == (1, "")
    status, complaint = postmap(place, "mailbox", "joe@down.example")  # which takes it a second
    assert status == 1
    assert "the address could not be looked up, try again later" in complaint


def conversation(postfix: Postfix, *commands: str, login: bool = False) -> list[str]:
    """The answers, each as its code and its enhanced code."""
    with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", 20) as client:
        client.ehlo()
        if login:
            client.login(LOGIN, PASSWORD)
        answers = [client.docmd(command) for command in commands]
    return [f"{code} {text.decode().split()[0]}" for code, text in answers]


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        (LOGIN, "250 2.1.5"),
        ("JOE@Example.ORG", "250 2.1.5"),  # Postfix asks in lower case
        ("joe+lists@example.org", "250 2.1.5"),
        ("nobody@example.org", "550 5.1.1"),
        ("joe@down.example", "451 4.3.0"),
    ],
)
def test_mailboxes(postfix: Postfix, address: str, answer: str) -> None:
    said = conversation(postfix, "MAIL FROM:<someone@example.com>", f"RCPT TO:<{address}>")
    assert said == ["250 2.1.0", answer], postfix.log()


@pytest.mark.parametrize(
    ("address", "login", "answer"),
    [
        (LOGIN, True, "250 2.1.5"),
        ("joe+lists@example.org", True, "250 2.1.5"),
        ("ann@example.org", True, "553 5.7.1"),
        ("ann+joe@example.org", True, "553 5.7.1"),
        ("nobody@example.org", True, "553 5.7.1"),
        ("joe@down.example", True, "451 4.3.0"),
        (LOGIN, False, "553 5.7.1"),
        ("someone@example.com", False, "250 2.1.5"),
        ("", True, "250 2.1.5"),
    ],
)
def test_senders(postfix: Postfix, address: str, login: bool, answer: str) -> None:
    """reject_sender_login_mismatch, which is looked at when the recipient is known."""
    said = conversation(postfix, f"MAIL FROM:<{address}>", "RCPT TO:<ann@example.org>", login=login)
    assert said == ["250 2.1.0", answer], postfix.log()


def test_what_is_in_the_log(postfix: Postfix, daemon: Daemon) -> None:
    text = daemon.log.read_text()
    assert "event=lookup-failed" in text
    assert "event=internal-error" not in text
    assert "event=protocol-error" not in text
    assert not re.search(r"smtpd\[\d+\]: (?:panic|fatal):", postfix.log()), postfix.log()
