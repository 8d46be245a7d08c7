"""Users in the configuration: a stored password that nothing can match is a fault of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saslpy import passwords
from saslpy.config import ConfigError
from saslpy.model import Account, Login
from saslpy.settings import Settings
from saslpy.testing import settings_of
from saslpy_static import Config, open_store


def configured(users: dict[str, Any], **keys: Any) -> Settings:
    return settings_of(Path("/etc/saslpy"), {"type": "static", "users": users} | keys)


def faults(users: dict[str, Any], **keys: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        configured(users, **keys)
    return error.value.faults


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("hunter2", "CRYPT: not a crypt(3) string"),
        ("hunter2 hunter2", "CRYPT: not a crypt(3) string"),
        ("", "stored secret: empty"),
        ("{SSHA}hunter2", "SSHA: "),
        ("{SSHA}", "SSHA: empty"),
        ("{SHA512-CRYPT}$6$hunter2", "SHA512-CRYPT: "),
        ("{hunter2", "a brace that is not closed"),
        ("{hunter2}x", "the scheme in braces is unknown"),
        ("{SHA521}hunter2", "the scheme in braces is unknown"),
        ("$9$hunter2", "a prefix that no scheme of ours has"),
        ("{ARGON2ID}$argon2id$v=19$m=99999999,t=99,p=1$aHVudGVyMmh1bnRlcjI$aHVudGVyMmh1bnRlcjI", "argon2"),
    ],
)
def test_what_no_password_matches(secret: str, message: str) -> None:
    for stored in (secret, {"password": secret, "disabled": True}):
        (fault,) = faults({"joe@example.org": stored})
        assert fault.startswith("backend.mine.users.'joe@example.org': no password matches this: ")
        assert message.lower() in fault.lower()
        assert "hunter2" not in fault
        assert "aHVudGVyMg" not in fault


def test_all_of_them_are_told() -> None:
    told = faults({"a": "one", "b": passwords.make("SSHA", "x"), "c": "!", "d": {"password": "two"}})
    assert [fault.split(":")[0] for fault in told] == ["backend.mine.users.'a'", "backend.mine.users.'d'"]


@pytest.mark.parametrize("secret", ["!", "*", "!!", "x", "!$6$salt$hash", "{CRYPT}!", "{PLAIN}x", "{PLAIN}"])
def test_locked_ones_are_fine(secret: str) -> None:
    if secret == "{PLAIN}":
        assert faults({"joe": secret})
    else:
        configured({"joe": secret})


def test_the_default_scheme_counts() -> None:
    configured({"joe": "hunter2"}, default_scheme="PLAIN")
    configured({"joe": "{PLAIN}hunter2"}, default_scheme="SHA512")
    assert faults({"joe": "hunter2"}, default_scheme="SHA512")
    assert faults({"joe": "hunter2"}, default_scheme="SHA521") == [
        "backend.mine.default_scheme: 'SHA521' is no scheme; did you mean 'SHA512'?"
    ]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"uid": -1}, "uid: must be from 0 to"),
        ({"gid": 4294967295}, "gid: must be from 0 to"),
        ({"allow_nets": ["192.0.2.0/24", "192.0.2.0/33"]}, "allow_nets[1]: '192.0.2.0/33' is no network"),
        ({"allow_nets": ["localhost"]}, "allow_nets[0]: 'localhost' is no network"),
        ({"uidd": 1}, "unknown key 'uidd'"),
    ],
)
def test_fields(user: dict[str, Any], message: str) -> None:
    (fault,) = faults({"joe@example.org": {"password": "{PLAIN}hunter2"} | user})
    assert fault.startswith(f"backend.mine.users.'joe@example.org': {message}")


async def test_case_is_that_of_ascii() -> None:
    users: dict[str, Any] = {
        name: "{PLAIN}" + name for name in ("straße@x.org", "strasse@x.org", "Ösi@x.org", "i@x.org")
    }
    with open_store(Config(users=users)) as store:
        asked: dict[str, str | None] = {
            "straße@x.org": "straße@x.org",
            "STRASSE@x.org": "strasse@x.org",
            "STRAẞE@x.org": None,
            "ÖSI@x.org": "Ösi@x.org",
            "ösi@x.org": None,
            "İ@x.org": None,
            "I@X.org": "i@x.org",
            "\N{FULLWIDTH LATIN SMALL LETTER I}@x.org": None,
            "\udcff": None,
        }
        found = {name: await store.lookup(Login.of(name)) for name in asked}
    assert {name: account and account.login for name, account in found.items()} == asked
    assert all(account.secrets == ("{PLAIN}" + account.login,) for account in found.values() if account)


async def test_two_that_are_one() -> None:
    assert faults({"joe": "*", "JOE": "*"}) == [
        "backend.mine.users.'JOE': stands there twice (upper and lower case are one)"
    ]
    with open_store(Config(users={"Joe": "*"})) as store:
        account = await store.lookup(Login.of("joe"))
        assert isinstance(account, Account)
        assert account.login == "Joe"
        assert await store.probe() == "1 user in the configuration"
