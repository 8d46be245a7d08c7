"""As whom a user may send: the default rule, and how a backend is asked about more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.model import Account
from saslpy.senders import may_send, same, spellings

JOE = Account("joe@example.org", aliases=("Sales@Example.org", "joe@bücher.example", "first+last@example.org"))

YES = (
    "joe@example.org",
    "JOE@EXAMPLE.ORG",
    "joe+lists@example.org",
    "joe+@example.org",
    "joe+a+b@example.org",
    "sales@example.org",
    "sales+x@example.org",
    "joe@xn--bcher-kva.example",
    "joe@XN--BCHER-KVA.example",
    "joe+x@BÜCHER.example",
    "joe@bu\u0308cher.example",
    "first+last@example.org",
    "first+last+x@example.org",
)
NO = (
    "",
    "@example.org",
    "+x@example.org",
    "joe",
    "joe@example.org.evil.example",
    "joe@evil.example",
    "joe@",
    "ann@example.org",
    "joe-x@example.org",
    "joex@example.org",
    "xjoe@example.org",
    "first@example.org",
    "first+x@example.org",
    '"joe"@example.org',
    '"joe+x@example.org',
    "joe@example.org@evil.example",
    "evil.example@joe@example.org",
    "joe @example.org",
    "joe@bucher.example",
    "\N{KELVIN SIGN}oe@example.org",
    "ｊoe@example.org",
)


@pytest.mark.parametrize("address", YES)
def test_his_own(address: str) -> None:
    assert may_send(JOE, address)


@pytest.mark.parametrize("address", NO)
def test_not_his(address: str) -> None:
    assert not may_send(JOE, address)


def test_two_people_stay_two() -> None:
    jose = Account("josé@example.org")
    assert may_send(jose, "JOSé@example.org")
    assert may_send(jose, "jose\u0301@example.org")
    assert not may_send(jose, "JOSÉ@example.org")
    assert not may_send(jose, "jose@example.org")
    assert not may_send(Account("straße@x"), "strasse@x")
    assert not may_send(Account("joe@straße.example"), "joe@strasse.example")


def test_a_login_without_a_domain() -> None:
    """The system's joe: his addresses are in his aliases."""
    joe = Account("joe", aliases=("joe@example.org",))
    assert may_send(joe, "joe@example.org")
    assert may_send(joe, "joe")
    assert not may_send(joe, "joe@example.com")
    assert not may_send(Account("joe"), "joe@example.org")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("sales@Example.ORG", ("sales@example.org",)),
        ("Sales+x+y@example.org", ("Sales+x+y@example.org", "Sales@example.org")),
        ("x@BÜCHER.example", ("x@xn--bcher-kva.example",)),
        ("x@-.é-.example", ("x@-.é-.example",)),
        ("+x@example.org", ("+x@example.org",)),
        ('"a+b"@example.org', ('"a+b"@example.org',)),
        ("joe", ("joe",)),
        ("joe+x", ("joe+x", "joe")),
        ("", ("",)),
    ],
)
def test_how_a_backend_is_asked(address: str, expected: tuple[str, ...]) -> None:
    assert spellings(address) == expected


@given(st.text(), st.text())
def test_whatever_is_asked(name: str, address: str) -> None:
    account = Account(name or "x")
    assert may_send(account, address) in (True, False)
    assert all(isinstance(text, str) for text in spellings(address))
    assert same(address, address)
    assert name == "" or name.startswith("@") or may_send(account, account.login)
