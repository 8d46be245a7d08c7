"""What programs ask in JSON, and what they are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.model import Accept, Account, Defer, Reason, Reject
from saslpy.protocols import ProtocolError
from saslpy.protocols.account_json import Question, answer, not_found, read_question

JOE = Account(
    "joe@example.org",
    ("{PLAIN}s3cret",),
    uid=1000,
    gid=0,
    home="/home/joe",
    maildir="/var/vmail/joe",
    quota="5000S,10C",
    options={"userdb_mail_debug": "yes\t1", "passdb_pass": "s3cret", "host": "x"},
)


def test_questions() -> None:
    assert read_question(b'{"login": "joe", "password": "pw"}') == Question("joe", "pw")
    whole = {"login": "joe", "password": "p", "realm": "r", "service": "imap", "client": "192.0.2.7", "userdb": "2.4"}
    assert read_question(json.dumps(whole).encode()) == Question("joe", "p", "r", "imap", "192.0.2.7", "2.4")
    assert read_question(b'{"login": "joe"}', lookup=True) == Question("joe")
    assert read_question(b'{"login": "j", "password": "\\udcff"}') == Question("j", "\udcff"), (
        "bytes that are not UTF-8"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("1" * 5000, "no JSON"),
        ('{"login": "joe", "login": "ann", "password": "s3cret"}', "no JSON, or says something twice"),
        ("null", "no JSON object"),
        ('["login"]', "no JSON object"),
        ('{"password": "s3cret"}', "login is missing"),
        ('{"login": "joe"}', "password is missing"),
        ('{"login": "joe", "password": null}', "password is no text"),
        ('{"login": 1, "password": "s3cret"}', "login is no text"),
        ('{"login": "joe", "pasword": "s3cret"}', "1 unknown keys; known are login, password, realm, service, client"),
        ('{"login": "joe", "password": "x", "userdb": "1"}', "userdb is none of 2.3, 2.4"),
        ('{"login": "joe", "password": "x", "userdb": ["2.3"]}', "userdb is none of 2.3, 2.4"),
    ],
)
def test_what_is_no_question(body: str, message: str) -> None:
    with pytest.raises(ProtocolError, match=message) as caught:
        read_question(body.encode())
    assert "s3cret" not in str(caught.value)


def test_a_lookup_has_no_password() -> None:
    with pytest.raises(ProtocolError, match="unknown keys; known are login, realm"):
        read_question(b'{"login": "joe", "password": "x"}', lookup=True)


def test_yes() -> None:
    assert answer(Accept(Account("joe"))) == {"verdict": "accept", "login": "joe"}
    assert answer(Accept(Account("joe"), master="boss")) == {"verdict": "accept", "login": "joe", "master": "boss"}
    told = answer(JOE)
    assert told == {
        "verdict": "accept",
        "login": "joe@example.org",
        "uid": 1000,
        "gid": 0,
        "home": "/home/joe",
        "maildir": "/var/vmail/joe",
        "quota": "5000S,10C",
        "options": {"userdb_mail_debug": "yes\t1", "host": "x"},
    }


def test_for_dovecot() -> None:
    assert answer(JOE, "2.3")["userdb"] == [
        "uid=1000",
        "gid=0",
        "home=/home/joe",
        "mail=maildir:/var/vmail/joe",
        "quota_rule=*:bytes=5000:messages=10",
        "mail_debug=yes\x01t1",
    ]
    assert "mail_path=/var/vmail/joe" in answer(JOE, "2.4")["userdb"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.UNKNOWN_USER, "wrong-credentials"),
        (Reason.WRONG_PASSWORD, "wrong-credentials"),
        (Reason.WEAK_SCHEME, "wrong-credentials"),
        (Reason.UNUSABLE_SECRET, "wrong-credentials"),
        (Reason.DISABLED, "disabled"),
        (Reason.EMPTY_PASSWORD, "empty-password"),
    ],
)
def test_no(reason: Reason, told: str) -> None:
    """Nobody learns whether there is such a user, unless he may look up users."""
    assert answer(Reject(reason, "local", "detail")) == {"verdict": "reject", "reason": told}
    assert not_found(Reject(Reason.UNKNOWN_USER)) == {"verdict": "reject", "reason": "unknown-user"}


def test_could_not_find_out() -> None:
    assert answer(Defer(Reason.BACKEND_FAILED, "db", "detail")) == {"verdict": "defer", "reason": "backend-failed"}


values: Any = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()))
objects = st.dictionaries(st.one_of(st.sampled_from(["login", "password", "userdb"]), st.text()), values).map(
    json.dumps
)


@given(st.one_of(st.binary(), objects.map(str.encode)), st.booleans())
def test_nothing_else_escapes(body: bytes, lookup: bool) -> None:
    try:
        found = read_question(body, lookup)
    except ProtocolError:
        return
    assert isinstance(found.login, str)
    assert isinstance(found.password, str)
