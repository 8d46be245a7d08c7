"""Account data: what templates add to what a store says, where mail is, and what is no account at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saslpy.accounts import NOTHING, AccountTemplate
from saslpy.backend import BadRecord
from saslpy.model import Account, Login
from saslpy.soundness import fault_in
from saslpy.testing import settings_of
from saslpy.texts import quota
from saslpy_sqlite.store import SqliteStore
from saslpy_static import Config, open_store

JOE = Account("joe@example.org")


def template(**keys: Any) -> AccountTemplate:
    return AccountTemplate(**keys)


def test_the_usual_one() -> None:
    filled = template(
        uid=5000,
        gid=5001,
        home="/var/vmail/{domain}/{local}",
        maildir="{home}/Maildir",
        quota="10000000S,1000C",
        name="{login}",
        options={"a": "1", "b": "2"},
    ).fill(Account("joe@example.org", ("{X}y",), options={"b": "3"}, disabled=True))
    assert filled == Account(
        "joe@example.org",
        ("{X}y",),
        5000,
        5001,
        "/var/vmail/example.org/joe",
        "/var/vmail/example.org/joe/Maildir",
        "10000000S,1000C",
        "joe@example.org",
        {"a": "1", "b": "3"},
        disabled=True,
    )


def test_what_the_store_says_stays() -> None:
    own = Account("joe@x", (), 0, 0, "/h", "/m", "1S", "Joe", {"a": "1"})
    assert template(uid=1, gid=1, home="/x", maildir="/y", quota="2S", name="n", options={"a": "2"}).fill(own) == own


@pytest.mark.parametrize(
    ("home", "maildir", "expected"),
    [
        ("/home/joe", "Maildir", "/home/joe/Maildir"),
        ("/home/joe", "./Maildir/", "/home/joe/Maildir"),
        ("/home/joe", "~/mail/in", "/home/joe/mail/in"),
        ("/home/joe", "/var/mail/joe", "/var/mail/joe"),
        ("/home/joe", "../ann/Maildir", "../ann/Maildir"),
        ("/home/joe", None, None),
        (None, "Maildir", "Maildir"),
    ],
)
def test_a_relative_maildir_is_in_the_home(home: str | None, maildir: str | None, expected: str | None) -> None:
    """Of the store, or of the template; in the home of the store, or of the template."""
    assert NOTHING.fill(Account("joe", home=home, maildir=maildir)).maildir == expected
    assert template(home=home).fill(Account("joe", maildir=maildir)).maildir == expected
    assert template(maildir=maildir).fill(Account("joe", home=home)).maildir == expected


def test_nothing_changes_nothing() -> None:
    assert NOTHING.fill(JOE) is JOE
    own = Account("joe", home="/h", maildir="/m")
    assert NOTHING.fill(own) is own


@pytest.mark.parametrize("login", ["../x@example.org", "a/b@example.org", "..@example.org", "joe@..", "."])
def test_no_path_is_made_of_a_name_that_leads_elsewhere(login: str) -> None:
    filled = template(home="/var/vmail/{domain}/{local}", maildir="{home}/Maildir").fill(Account(login))
    assert (filled.home, filled.maildir) == (None, None)
    assert template(home="/srv/one").fill(Account(login)).home == "/srv/one"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"home": "vmail/{login}"}, "home: must be an absolute path"),
        ({"home": "/{home}"}, r"home: a template may hold \{login\}, \{local\}, \{domain\} and"),
        ({"maildir": "/{user}"}, r"maildir: a template may hold \{login\}, \{local\}, \{domain\}, \{home\} and"),
        ({"maildir": "{"}, "maildir: "),
        ({"name": "{0}"}, "name: "),
        ({"quota": "{login.name}"}, "quota: "),
        ({"uid": -1}, "uid: must be from 0"),
        ({"gid": 2**32 - 1}, "gid: must be from 0 to 4294967294"),
    ],
)
def test_templates_that_make_no_sense(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        template(**keys)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", "1000S"),
        (" 1000S ", "1000S"),
        ("1000.0", "1000S"),
        ("10000000S,1000C", "10000000S,1000C"),
        ("0", None),
        ("0S", None),
        ("-1", None),
        ("", None),
        ("1000C", "1000C"),
        ("5G", "5G"),
        ("١٠", "١٠"),
    ],
)
def test_quotas(text: str, expected: str | None) -> None:
    assert quota(text) == expected
    assert template(quota=text).fill(JOE).quota == expected
    with open_store(Config(users={"joe": {"password": "!", "quota": text}})) as store:
        assert store._accounts[b"joe"].quota == expected


def test_users_in_the_configuration(tmp_path: Path) -> None:
    user = {"password": "!", "uid": 8, "gid": 9, "home": "/h", "maildir": "m", "name": "J", "options": {"a": "1"}}
    settings = settings_of(tmp_path, {"type": "static", "users": {"joe@example.org": user}, "account": {"uid": 1}})
    with open_store(settings.backends["mine"].config) as store:
        account = store._accounts[b"joe@example.org"]
    filled = settings.backends["mine"].options.account.fill(account)
    assert filled == Account("joe@example.org", ("!",), 8, 9, "/h", "/h/m", name="J", options={"a": "1"})


def test_users_in_sqlite(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "users.db")
    store.add("joe@example.org", ["!"])
    with store._writing() as connection:
        connection.execute(
            "UPDATE users SET uid = 8, gid = 9, home = '/h', maildir = 'm', quota = '7', name = 'J', options = 'a=1'"
        )
    found = store.lookup(Login.of("joe@example.org"))
    assert found == Account("joe@example.org", ("!",), 8, 9, "/h", "m", "7S", "J", {"a": "1"})
    assert list(store.accounts()) == [found]
    with store._writing() as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute("DROP TRIGGER expires_of_changed")
        connection.execute("UPDATE users SET expires = 'soon'")
    with pytest.raises(BadRecord, match=r"'joe@example\.org' expires 'soon'"):
        store.accounts()
    store.close()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"uid": -1}, "uid is no number from 0 to 4294967294"),
        ({"gid": 2**32 - 1}, "gid is no number"),
        ({"uid": True}, "uid is no number"),
        ({"home": "/home/joe\nUID=0"}, "home holds a control character"),
        ({"maildir": "/a\0b"}, "maildir holds"),
        ({"quota": "1S\t"}, "quota holds"),
        ({"home": "/\udcff"}, "home holds a control character, or is not UTF-8"),
        ({"options": {"a": 1}}, "options are no mapping of texts to texts"),
        ({"options": {1: "a"}}, "options are no mapping"),
        ({"options": ("a", "b")}, "options are no mapping"),
        ({"home": "/home/joe müller\u200b", "options": {"a": ""}, "uid": 0}, None),
    ],
)
def test_account_data_that_makes_no_sense(fields: dict[str, Any], told: str | None) -> None:
    fault = fault_in(Account("joe", **fields))
    assert (fault or "").startswith(told or "")
    assert (fault is None) == (told is None)
