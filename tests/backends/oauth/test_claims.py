"""The rules for what a token says: times, issuer, audience, scopes, other claims, and the user's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.model import Account
from saslpy_oauth.claims import Rules

from . import refused

NOW = 1_800_000_000.0
RULES = Rules(issuer="https://idp.example.org", audience=("mail", "imap"))
GOOD: Mapping[str, Any] = {
    "iss": "https://idp.example.org",
    "aud": "mail",
    "exp": NOW + 300,
    "email": "joe@example.org",
    "email_verified": True,
    "scope": "openid mail.read email",
}


def user(rules: Rules, **claims: Any) -> str:
    """Who it is. A claim that is None is left out."""
    answer = rules.judge({name: value for name, value in {**GOOD, **claims}.items() if value is not None}, NOW)
    assert isinstance(answer, Account), answer
    assert answer == Account(answer.login)
    return answer.login


def why(rules: Rules, **claims: Any) -> str:
    """Why it is nobody."""
    return refused(rules.judge({name: value for name, value in {**GOOD, **claims}.items() if value is not None}, NOW))


# --- times


@pytest.mark.parametrize("exp", [NOW + 1, NOW, NOW - 29.9, int(NOW) + 10**9, NOW + 0.5])
def test_it_has_not_ended(exp: float) -> None:
    assert user(RULES, exp=exp) == "joe@example.org"


@pytest.mark.parametrize("exp", [NOW - 30, NOW - 31, 0, 1, 0.0])
def test_it_has_ended(exp: float) -> None:
    assert why(RULES, exp=exp) == "expired"


ODD_TIMES = [
    *("1800000300", "", [], [1], {}, True, False),
    *(-1, -0.1, 10**300, 1e300, float("nan"), float("inf"), 1_800_000_300_000),
]


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ODD_TIMES, ids=repr)
def test_what_is_no_time(name: str, value: Any) -> None:
    assert why(RULES, **{name: value}) == f"its {name} is no time"


def test_a_time_that_is_null_is_none() -> None:
    for name in ("exp", "nbf", "iat"):
        assert refused(RULES.judge({**GOOD, name: None}, NOW)) == f"its {name} is no time"


def test_it_must_say_when_it_ends_unless_its_issuer_is_asked() -> None:
    assert why(RULES, exp=None) == "it does not say when it ends (exp)"
    assert user(replace(RULES, ends=False), exp=None)
    assert why(replace(RULES, ends=False), exp=NOW - 60) == "expired"


def test_when_it_begins() -> None:
    for name, told in (("nbf", "not valid yet"), ("iat", "issued in the future")):
        assert user(RULES, **{name: NOW + 30})
        assert why(RULES, **{name: NOW + 31}) == told
        assert why(replace(RULES, leeway=0), **{name: NOW + 0.1}) == told
        assert user(replace(RULES, leeway=0), **{name: NOW})


# --- from whom, for whom


@pytest.mark.parametrize(
    "iss",
    [None, "", "https://idp.example.org/", "HTTPS://idp.example.org", "https://idp.example.org.evil.net", 5, True],
)
def test_another_issuer(iss: Any) -> None:
    assert why(RULES, iss=iss).startswith("from another issuer")
    assert why(RULES, iss=["https://idp.example.org"]).startswith("from another issuer")
    assert user(replace(RULES, issuer=""), iss=iss)


@pytest.mark.parametrize("aud", ["mail", "imap", ["mail"], ["other", "imap"], ["mail", "mail"]])
def test_the_audience(aud: Any) -> None:
    assert user(RULES, aud=aud)


@pytest.mark.parametrize("aud", [None, "", "Mail", "mail ", "mail,imap", "mail imap", [], ["other"], ["mai", "l"]])
def test_another_audience(aud: Any) -> None:
    assert why(RULES, aud=aud).startswith("for another audience")
    assert user(replace(RULES, audience=()), aud=aud)


@pytest.mark.parametrize("aud", [5, True, {"mail": 1}, [["mail"]], ["mail", 5], [None]])
def test_what_is_no_audience(aud: Any) -> None:
    assert why(RULES, aud=aud) == "its aud is no text"


# --- what for


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "email mail.read"},
        {"scope": ["email", "mail.read"]},
        {"scope": None, "scp": "mail.read email"},
        {"scope": None, "scp": ["mail.read", "email"]},
    ],
)
def test_scopes(claims: dict[str, Any]) -> None:
    assert user(replace(RULES, scopes=("email", "mail.read")), **claims)


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": None},
        {"scope": ""},
        {"scope": "email"},
        {"scope": "email mail.read.all"},
        {"scope": "email,mail.read"},
        {"scope": "email MAIL.READ"},
        {"scope": "email", "scp": "mail.read"},
    ],
)
def test_missing_scopes(claims: dict[str, Any]) -> None:
    assert why(replace(RULES, scopes=("email", "mail.read")), **claims).startswith("lacks the scope")


def test_what_are_no_scopes() -> None:
    for scope in (5, {"email": 1}, ["email", 5]):
        assert why(replace(RULES, scopes=("email",)), scope=scope) == "its scope is no text"
        assert user(RULES, scope=scope)  # nobody looks


def test_required_claims() -> None:
    rules = replace(RULES, required_claims={"typ": "Bearer", "mail": True})
    assert user(rules, typ="Bearer", mail=True)
    assert user(rules, typ=["ID", "Bearer"], mail=[True])
    for typ in (None, "ID", "bearer", "", [], ["ID"], {"Bearer": 1}, 5, True):
        assert why(rules, typ=typ, mail=True) == "its typ is not as required"
    for mail in (None, 1, "true", 1.0, [1], False):
        assert why(rules, typ="Bearer", mail=mail) == "its mail is not as required"


# --- who


@pytest.mark.parametrize(
    ("value", "login"),
    [
        ("joe@example.org", "joe@example.org"),
        ("Joe@Example.ORG", "Joe@example.org"),
        ("joe", "joe"),
        ("jürgen@münchen.example", "jürgen@münchen.example"),
        ("ju\u0308rgen@example.org", "jürgen@example.org"),
    ],
)
def test_the_users_name(value: str, login: str) -> None:
    assert user(RULES, email=value) == login


@pytest.mark.parametrize(
    "value",
    [
        "",
        "@example.org",
        "joe@",
        " joe@example.org",
        "joe @example.org",
        "joe@example.org\n",
        "joe\0@example.org",
        "joe\x7f@example.org",
        "joe\u202e@example.org",
        "\ud800@example.org",
        "joe@evil.net@example.org",
        '"joe@evil.net"@example.org',
        "x" * 2000 + "@example.org",
    ],
)
def test_what_is_no_name(value: str) -> None:
    assert why(RULES, email=value).startswith("its email is no login")


@pytest.mark.parametrize("value", [None, 5, True, ["joe@example.org"], {"joe@example.org": 1}, 0, b"joe@example.org"])
def test_what_is_no_text(value: Any) -> None:
    assert why(RULES, email=value) == "it names no user (email)"


def test_an_address_must_be_verified() -> None:
    assert user(RULES, email_verified="true")  # as some issuers write it
    for verified in (None, False, "false", "", "TRUE", 1, 1.0, [True], {"a": 1}):
        assert why(RULES, email_verified=verified) == "its address is not verified (email_verified)"
        assert user(replace(RULES, verified_email=False), email_verified=verified) == "joe@example.org"
    # who is named by another claim is not named by the address
    assert user(replace(RULES, username_claim="upn"), upn="ann@example.org", email_verified=False) == "ann@example.org"


def test_a_format() -> None:
    rules = replace(RULES, username_claim="sub", username_format="{username}@Example.org")
    assert user(rules, sub="joe") == "joe@example.org"
    assert user(rules, sub="{username}") == "{username}@example.org"
    for value in ("", "joe@evil.net", "joe@", "@", " joe", "joe ", "a\nb"):
        assert why(rules, sub=value).startswith("its sub is no login")


def test_domains() -> None:
    rules = replace(RULES, domains=("example.org", ""))
    assert user(rules, email="joe@EXAMPLE.org") == "joe@example.org"
    assert user(rules, email="joe") == "joe"
    for value in ("joe@example.com", "joe@mail.example.org", "joe@example.org."):
        assert why(rules, email=value).startswith("its user is of another domain")


# --- anything

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(claims=st.dictionaries(st.sampled_from([*GOOD, "nbf", "iat", "scp", "typ"]), VALUES))
def test_whatever_it_says_there_is_an_answer(claims: dict[str, Any]) -> None:
    rules = replace(RULES, scopes=("email",), required_claims={"typ": "Bearer"})
    for one in (rules, replace(RULES, issuer="", audience=(), ends=False, verified_email=False)):
        answer = one.judge({**GOOD, **claims}, NOW)
        if isinstance(answer, Account):
            assert answer.login.isprintable()
        else:
            assert refused(answer).isascii()
            assert len(answer.detail) < 250
