"""MySQL beyond passwords, with a real server: all users, account data, and as whom they may send."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pymysql
import pytest

from saslpy.accounts import AccountTemplate
from saslpy.backend import Listing, Senders
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Account, Login
from saslpy_mysql import Config, open_store
from saslpy_mysql.rows import BadRow
from saslpy_mysql.store import MysqlStore
from tests.real.mariadb import MariaDb

pytestmark = pytest.mark.real

TABLE = {"table": "users", "columns": {"username": "login", "password": "pw", "uid": "uid", "maildir": "maildir"}}
QUERY = "SELECT login AS username, pw AS password FROM users WHERE login = %(login)s"

Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def database(mariadb: MariaDb) -> MariaDb:
    """PostfixAdmin's tables as its setup makes them, and a table of one's own, which tests may change."""
    mariadb.sql(
        """
        DROP DATABASE IF EXISTS listed; CREATE DATABASE listed; USE listed;
        CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL,
            maildir VARCHAR(255) NOT NULL, quota BIGINT NOT NULL DEFAULT 0, local_part VARCHAR(255) NOT NULL DEFAULT '',
            domain VARCHAR(255) NOT NULL, active TINYINT(1) NOT NULL DEFAULT 1);
        CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY, active TINYINT(1) NOT NULL DEFAULT 1);
        CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL, domain VARCHAR(255) NOT NULL,
            active TINYINT(1) NOT NULL DEFAULT 1);
        INSERT INTO domain VALUES ('example.org', 1), ('off.example', 0), ('any.example', 1);
        INSERT INTO mailbox (username, password, name, maildir, quota, domain, active) VALUES
            ('joe@example.org', '$1$x', 'Joe', 'example.org/joe/', 1000, 'example.org', 1),
            ('ann@example.org', '$1$x', '', 'example.org/ann/', 0, 'example.org', 0),
            ('tom@off.example', '$1$x', '', 'off.example/tom/', 0, 'off.example', 1),
            ('eve@any.example', '$1$x', '', 'any.example/eve/', 0, 'any.example', 1);
        INSERT INTO alias (address, goto, domain, active) VALUES
            ('joe@example.org', 'joe@example.org', 'example.org', 1),
            ('ann@example.org', 'ann@example.org', 'example.org', 1),
            ('sales@example.org', 'ann@example.org, JOE@example.org', 'example.org', 1),
            ('old@example.org', 'joe@example.org', 'example.org', 0),
            ('josé@example.org', 'joe@example.org', 'example.org', 1),
            ('no@any.example', 'eve@any.example', 'any.example', 0),
            ('off@any.example', 'joe@example.org', 'any.example', 1),
            ('@any.example', 'joe@example.org', 'any.example', 1),
            ('a@xn--bcher-kva.example', 'joe@example.org', 'bücher.example', 1);
        """
    )
    return mariadb


@pytest.fixture
def users(database: MariaDb) -> MariaDb:
    database.sql(
        """
        CREATE OR REPLACE TABLE users (login VARCHAR(255), pw VARCHAR(255) DEFAULT 'x', uid VARCHAR(20) DEFAULT '8',
            maildir VARCHAR(255));
        INSERT INTO users (login) SELECT concat('user', seq, '@example.org') FROM seq_1_to_500;
        INSERT INTO users (login) VALUES (NULL), ('');
        """,
        "listed",
    )
    return database


@pytest.fixture
def store(database: MariaDb) -> Iterator[Opener]:
    with ExitStack() as stack:

        def opened(**keys: Any) -> Any:
            return stack.enter_context(
                open_store(Config(user="root", socket=database.socket, database="listed", **keys))
            )

        yield opened


def listed(store: Any) -> dict[str, Account]:
    assert isinstance(store, Listing)
    accounts = store.accounts()
    assert not isinstance(accounts, list)  # a row at a time
    return {account.login: account for account in accounts}  # type: ignore[union-attr]


# --- account data


def test_postfixadmin_as_it_is_usually_set_up(store: Opener) -> None:
    """The relative maildir is below mail_base; uid, gid and home, which the tables lack, come from the template."""
    template = AccountTemplate(uid=5000, gid=5001, home="/var/vmail/{domain}/{local}", quota="7")
    joe = store(schema="postfixadmin").lookup(Login.of("joe@example.org"))
    filled = template.fill(joe)
    assert (filled.uid, filled.gid, filled.name) == (5000, 5001, "Joe")
    assert filled.home == filled.maildir == "/var/vmail/example.org/joe"
    assert filled.quota == "1000S"
    joe = store(schema="postfixadmin", mail_base="/srv/mail").lookup(Login.of("joe@example.org"))
    assert joe.maildir == "/srv/mail/example.org/joe"


@pytest.mark.parametrize("how", ["table", "query"])
def test_relative_directories_of_other_tables(users: MariaDb, store: Opener, how: str) -> None:
    """Without mail_base they are the user's own home's, with it they are below that."""
    users.sql("INSERT INTO users (login, maildir) VALUES ('joe@example.org', 'joe/Maildir/')", "listed")
    query = QUERY.replace("pw AS", "maildir, pw AS")
    keys: dict[str, Any] = TABLE if how == "table" else {"query": query}
    joe = store(**keys).lookup(Login.of("joe@example.org"))
    assert joe.maildir == "joe/Maildir/"
    assert AccountTemplate(home="/home/{domain}").fill(joe).maildir == "/home/example.org/joe/Maildir"
    joe = store(**keys, mail_base="/srv/mail").lookup(Login.of("joe@example.org"))
    assert joe.maildir == "/srv/mail/joe/Maildir"
    users.sql("UPDATE users SET maildir = '../x' WHERE login = 'joe@example.org'", "listed")
    with pytest.raises(BadRow, match="leads out of mail_base"):
        store(**keys, mail_base="/srv/mail").lookup(Login.of("joe@example.org"))


def test_aliases_in_a_column(store: Opener) -> None:
    columns = "'joe' AS username, 'x' AS password, 'a@x.example, b@x.example' AS aliases"
    opened = store(query=f"SELECT {columns} FROM domain WHERE %(login)s = 'joe' LIMIT 1")
    assert opened.lookup(Login.of("joe")).aliases == ("a@x.example", "b@x.example")


# --- all users


def test_all_mailboxes(store: Opener) -> None:
    accounts = listed(store(schema="postfixadmin"))
    assert sorted(accounts) == ["ann@example.org", "eve@any.example", "joe@example.org", "tom@off.example"]
    assert [name for name, account in accounts.items() if account.disabled] == ["ann@example.org", "tom@off.example"]
    assert accounts["joe@example.org"].maildir == "/var/vmail/example.org/joe"


def test_all_of_a_table(users: MariaDb, store: Opener) -> None:
    accounts = listed(store(**TABLE))
    assert len(accounts) == 500  # those without a name are nobody
    assert accounts["user7@example.org"].uid == 8
    accounts = listed(store(**TABLE, where="login LIKE 'user1%'"))
    assert len(accounts) == 111


def test_a_query_lists_by_another_one(users: MariaDb, store: Opener) -> None:
    assert not isinstance(store(query=QUERY), Listing)
    query = "SELECT Login AS UserName, 8 AS uid FROM users WHERE login LIKE 'user%' ORDER BY 1 -- all"
    opened = store(query=QUERY, list_query=query)
    assert len(listed(opened)) == 500
    assert listed(opened)["user7@example.org"] == Account("user7@example.org", uid=8)
    assert opened.probe().endswith("the query works")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT login FROM users", "no column username"),
        ("SELECT login AS username, 1 AS username FROM users", "Duplicate column|two of them"),
        ("SELECT login AS username FROM userz", "userz"),
    ],
)
def test_a_wrong_query_is_told_by_check(users: MariaDb, store: Opener, query: str, told: str) -> None:
    opened = store(query=QUERY, list_query=query)
    for ask in (opened.probe, lambda: list(opened.accounts())):
        with pytest.raises((BadRow, pymysql.err.Error), match=told):
            ask()
    assert opened.lookup(Login.of("user7@example.org"))


def test_a_bad_row_fails_the_list_and_is_named(users: MariaDb, store: Opener) -> None:
    users.sql("UPDATE users SET uid = 'many' WHERE login = 'user7@example.org'", "listed")
    opened = store(**TABLE)
    with pytest.raises(BadRow, match=r"the row of .user7@example.org.: the value of uid"):
        list(opened.accounts())
    with pytest.raises(BadRow, match="without username"):
        list(store(query=QUERY, list_query="SELECT login AS username FROM users").accounts())
    assert opened.lookup(Login.of("user8@example.org"))


async def test_the_guard_hears_of_all(users: MariaDb, store: Opener) -> None:
    async with Guarded.around("b", store(**TABLE), 3.0, Health(None)) as guard:
        accounts = await guard.accounts()
        assert [account.login for account in accounts] == sorted(f"user{n}@example.org" for n in range(1, 501))
        assert not any(account.secrets for account in accounts)
        users.sql("UPDATE users SET login = 'odd\\nname' WHERE login = 'user7@example.org'", "listed")
        with pytest.raises(BackendFailed, match=r"an account 'odd\\nname' whose login holds"):
            await guard.accounts()
        assert await guard.find(Login.of("user8@example.org"))


def test_a_list_takes_no_connection_of_the_pools(users: MariaDb, store: Opener) -> None:
    opened = store(**TABLE, pool_size=1)
    accounts = opened.accounts()
    next(accounts)
    assert opened.lookup(Login.of("user8@example.org"))
    accounts.close()


def test_a_list_that_is_given_up_is_not_read_to_its_end(users: MariaDb, store: Opener) -> None:
    users.sql("INSERT INTO users (login) SELECT concat('more', seq) FROM seq_1_to_20000", "listed")
    opened = store(**TABLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accounts = opened.accounts()
        next(accounts)
        accounts.close()
        del accounts
        gc.collect()
    assert opened.lookup(Login.of("user8@example.org"))


def test_a_server_that_goes_away_meanwhile(users: MariaDb, store: Opener) -> None:
    users.sql("INSERT INTO users (login) SELECT concat('more', seq, repeat('x', 200)) FROM seq_1_to_50000", "listed")
    accounts = store(**TABLE).accounts()
    next(accounts)
    (number,) = users.sql("SELECT id FROM information_schema.processlist WHERE db = 'listed' AND command = 'Query'")[0]
    users.sql(f"KILL {number}")
    with pytest.raises(pymysql.err.Error):
        list(accounts)


# --- as whom a user may send


def account(store: MysqlStore, name: str) -> Account:
    found = store.lookup(Login.of(name))
    assert isinstance(found, Account)
    return found


def test_without_a_word_nobody_is_asked(store: Opener) -> None:
    assert not isinstance(store(schema="postfixadmin"), Senders)
    assert not isinstance(store(schema="extmail"), Senders)


ALIASES = [
    ("sales@example.org", True),
    ("SALES@example.org", True),
    ("old@example.org", False),  # not active
    ("ann@example.org", False),  # somebody else's mailbox
    ("jose@example.org", False),  # which the collation takes for josé
    ("josé@example.org", True),
    ("whoever@any.example", True),  # the domain's other addresses
    ("eve@any.example", False),
    ("no@any.example", False),
    ("off@any.example", True),
    ("whoever@example.org", False),
    ("a@xn--bcher-kva.example", True),
    ("' OR '1'='1", False),
    ("", False),
]


@pytest.mark.parametrize(("address", "allowed"), ALIASES)
def test_postfixadmins_aliases(store: Opener, address: str, allowed: bool) -> None:
    opened = store(schema="postfixadmin", aliases=True)
    assert isinstance(opened, Senders)
    joe = account(opened, "joe@example.org")  # type: ignore[arg-type]
    assert opened.may_send(joe, address) is allowed


async def test_the_guard_asks_about_what_is_not_his_own(store: Opener) -> None:
    opened = store(schema="postfixadmin", aliases=True)
    async with Guarded.around("b", opened, 3.0, Health(None)) as guard:
        joe = await guard.find(Login.of("joe@example.org"))
        assert joe is not None
        for address in ("joe@example.org", "Joe+x@example.org", "Sales+list@EXAMPLE.org", "a@BÜCHER.example"):
            assert await guard.may_send(joe, address), address
        for address in ("ann@example.org", "ann+sales@example.org", "old@example.org", "x\0@any.example", ""):
            assert not await guard.may_send(joe, address), address


def test_a_query_of_ones_own(store: Opener) -> None:
    query = "SELECT count(*) FROM alias WHERE address = %(address)s AND FIND_IN_SET(%(login)s, goto) AND active"
    opened = store(schema="postfixadmin", sender_query=query)
    joe = account(opened, "joe@example.org")
    assert opened.may_send(joe, "off@any.example")
    assert not opened.may_send(joe, "old@example.org")
    opened.probe()
    opened = store(schema="postfixadmin", sender_query=query.replace("count(*)", "goto"))
    assert opened.may_send(joe, "off@any.example")
    assert not opened.may_send(joe, "old@example.org")
    opened = store(schema="postfixadmin", sender_query=query.replace("alias", "aliasses"))
    for ask in (opened.probe, lambda: opened.may_send(joe, "x@example.org")):
        with pytest.raises(pymysql.err.ProgrammingError):
            ask()


def test_a_database_without_aliases_is_told_by_check(users: MariaDb, store: Opener) -> None:
    users.sql("RENAME TABLE alias TO away", "listed")
    try:
        with pytest.raises(pymysql.err.ProgrammingError, match="alias"):
            store(schema="postfixadmin", aliases=True).probe()
    finally:
        users.sql("RENAME TABLE away TO alias", "listed")
