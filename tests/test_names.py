"""The naming policy: every way to say a name becomes one name, or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.names import MalformedName, NamePolicy, RealmJoin


@pytest.mark.parametrize(
    ("given_name", "realm", "default_domain", "join", "expected"),
    [
        ("joe", "", "", "join", "joe"),
        ("joe", "", "example.org", "join", "joe@example.org"),
        ("joe", "example.com", "example.org", "join", "joe@example.com"),  # what libsasl2 makes of joe@example.com
        ("joe@example.com", "", "example.org", "join", "joe@example.com"),  # what Exim sends
        ("joe@example.com", "mail.example.com", "", "join", "joe@example.com"),
        ("a@b", "c", "", "join", "a@b"),  # libsasl2 splits a@b@c at the last @
        ("Joe@EXAMPLE.com", "", "", "join", "Joe@example.com"),  # the local part's case is the store's business
        ("joe", "EXAMPLE.com", "", "join", "joe@example.com"),
        ("joe", "example.com", "", "ignore", "joe"),
        ("joe", "example.com", "example.org", "ignore", "joe@example.org"),
        ("joe", "example.com", "", "require", "joe@example.com"),
        ("joe@example.com", "", "", "require", "joe@example.com"),
        ("cafe\u0301@example.org", "", "", "join", "caf\u00e9@example.org"),  # typed on a system that decomposes
        ("joe@B\u00dcCHER.example", "", "", "join", "joe@b\u00fccher.example"),
        ("o'brien+tag@example.org", "", "", "join", "o'brien+tag@example.org"),
        ("joe smith@example.org", "", "", "join", "joe smith@example.org"),
    ],
)
def test_one_name(given_name: str, realm: str, default_domain: str, join: RealmJoin, expected: str) -> None:
    login = NamePolicy(default_domain, join).login(given_name, realm)
    assert login.name == expected
    assert login.given == given_name
    assert login.name == (f"{login.local}@{login.domain}" if login.domain else login.local)


@pytest.mark.parametrize(
    ("given_name", "realm", "why"),
    [
        ("", "", "empty"),
        ("@example.org", "", "empty"),
        ("joe@", "", "nothing behind"),
        (" joe", "", "blank"),
        ("joe ", "", "blank"),
        ("joe @example.org", "", "blank"),
        ("joe@ example.org", "", "blank"),
        ("joe@example.org ", "", "blank"),
        ("joe\u00a0@example.org", "", "blank"),
        ("joe", "example.org ", "blank"),
        ("joe", "a@b", "@ in the realm"),
        ("joe\0", "", "0x00"),
        ("joe\n", "", "0x0a"),
        ("joe", "example.org\0", "0x00"),
        ("joe\x7f", "", "0x7f"),
        ("jo\u00ade", "", "U\\+00AD"),
        ("joe\u202e", "", "U\\+202E"),
        ("joe\udcff", "", "not UTF-8"),
        ("x" * 1025, "", "longer than 1024 bytes"),
        ("é" * 513, "", "longer than 1024 bytes"),
    ],
)
def test_refused(given_name: str, realm: str, why: str) -> None:
    with pytest.raises(MalformedName, match=why):
        NamePolicy().login(given_name, realm)


def test_a_realm_can_be_required() -> None:
    with pytest.raises(MalformedName, match="no realm"):
        NamePolicy("example.org", "require").login("joe")


@given(st.text(), st.text())
def test_a_name_is_stable(given_name: str, realm: str) -> None:
    """Whatever comes: a refusal, or a name that the policy leaves as it is."""
    try:
        login = NamePolicy().login(given_name, realm)
    except MalformedName:
        return
    again = NamePolicy().login(login.name)
    assert (again.name, again.local, again.domain) == (login.name, login.local, login.domain)
