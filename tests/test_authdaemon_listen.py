"""``[[listen]]`` with ``protocol = "authdaemon"``: what may stand there, and ``saslpy test`` over such a socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saslpy.config import ConfigError
from saslpy.listeners.authdaemon import AuthdaemonListen
from saslpy.settings import load

from .real.saslpy import configured, run, serving

USERS = '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n'
LISTEN = '[[listen]]\nprotocol = "authdaemon"\npath = "authdaemon"\n'


def listener(place: Path, more: str = "") -> AuthdaemonListen:
    found = load(configured(place, USERS, listen=LISTEN + more)).listen[1]
    assert isinstance(found, AuthdaemonListen)
    return found


def test_what_holds_when_nothing_is_said(place: Path) -> None:
    listen = listener(place)
    assert (listen.mode, listen.temporary_failure, listen.read_timeout) == ("0660", "drop", 10.0)
    assert (listen.secrets, dict(listen.default_options), listen.password_only) == (False, {}, ("smtp",))
    assert listen.offers(("SCRAM-SHA-256", "CRAM-MD5", "PLAIN")) == ("CRAM-MD5", "PLAIN")
    assert listener(place, 'mechanisms = ["LOGIN"]\n').offers(("CRAM-MD5",)) == ("LOGIN",)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('temporary_failure = "code"', "listen[1].temporary_failure: expected one of drop, got 'code'"),
        ('mechanisms = ["SCRAM-SHA-256"]', "listen[1].mechanisms[0]: SCRAM-SHA-256 is not served here"),
        ('mechanisms = ["CRAM-SHA1"]', "listen[1].mechanisms[0]: 'CRAM-SHA1' is no mechanism"),
        ('default_options = { a = "1,2" }', "listen[1].default_options: 'a' cannot be told"),
        ('default_options = { "a=b" = "1" }', "listen[1].default_options: 'a=b' cannot be told"),
        ('default_options = { a = "\\n" }', "listen[1].default_options: 'a' cannot be told"),
        ("default_options = { a = 1 }", "listen[1].default_options[...]: expected str, got int"),
        ('max_field = "1"', "listen[1].max_field: unknown key"),
    ],
)
def test_faults(place: Path, more: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        listener(place, more)
    assert error.value.faults[0].startswith(told)


def test_stored_passwords_are_told_over_a_unix_socket_alone(place: Path) -> None:
    assert listener(place, "secrets = true\n").secrets
    with pytest.raises(ConfigError, match=r"listen\[1\]\.secrets: over TCP everybody"):
        load(
            configured(
                place, USERS, listen=LISTEN.replace('path = "authdaemon"', 'address = "127.0.0.1:0"\nsecrets = true')
            )
        )


def test_a_login_by_saslpy_test(place: Path) -> None:
    config = configured(place, USERS, "min_seconds = 0", LISTEN)

    def tried(login: str, password: str, *more: str) -> tuple[int, str]:
        told = run("test", login, "--password-stdin", "--config", str(config), "--json", *via, *more, password=password)
        return told.returncode, json.loads(told.stdout)["reply"]

    via = ("--via", str(place / "authdaemon"))
    with serving(config):
        assert tried("joe", "secret") == (0, "ADDRESS=joe")
        assert tried("joe", "wrong") == (1, "FAIL")
        assert tried("joe", "secret", "--service", "imap") == (75, "(closed without a reply)")
