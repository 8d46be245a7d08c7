"""MySQL with a real server: what is found, what is not, and what happens when the server goes away."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pymysql
import pytest
import trustme

from saslpy.backend import BatchStore, Probe, Sampling
from saslpy.model import Account, Login
from saslpy_mysql import Config, open_store
from saslpy_mysql.connect import Unreachable
from saslpy_mysql.pool import Limits, Pool, PoolBusy
from saslpy_mysql.queries import SchemaMismatch
from saslpy_mysql.rows import BadRow
from saslpy_mysql.servers import Server
from saslpy_mysql.store import Found, MysqlStore
from tests.real.mariadb import MariaDb

pytestmark = pytest.mark.real

PASSWORD = "pässword'\\\" Ω"
COLUMNS = {"username": "username", "password": "password"}
QUERY = "SELECT username, password FROM users WHERE username = %(login)s"

INJECTIONS = (
    "' OR '1'='1",
    "' OR 1=1 -- ",
    "\\' OR 1=1 -- ",
    "\\",
    '" OR ""="',
    "joe@example.org' UNION SELECT 'x','y",
    "%s",
    "%(login)s",
    "%",
    "{}",
    "`",
    "joe*/ OR 1=1 /*",
    "¿' OR 1=1 -- ",
    "0",
    "1 OR 1",
)

Opener = Callable[..., MysqlStore]


@pytest.fixture
def database(mariadb: MariaDb) -> Iterator[MariaDb]:
    """The server with an empty database ``mail`` and a user of the same name; afterwards it runs again."""
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    mariadb.sql(f"""
        DROP DATABASE IF EXISTS mail; CREATE DATABASE mail;
        CREATE OR REPLACE USER mail@'%' IDENTIFIED BY '{quoted}'; GRANT SELECT ON mail.* TO mail@'%';
    """)
    yield mariadb
    if mariadb.running:
        mariadb.resume()
    else:
        mariadb.start()
    mariadb.sql("SET GLOBAL sql_mode = DEFAULT")


@pytest.fixture
def users(database: MariaDb) -> MariaDb:
    """The table ``users`` with user1 to user200 @example.org, and joe."""
    database.sql(
        """
        CREATE TABLE users (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255), extra INT DEFAULT 1);
        INSERT INTO users (username, password) SELECT concat('user', seq, '@example.org'), concat('{PLAIN}', seq)
            FROM seq_1_to_200;
        INSERT INTO users VALUES ('joe@example.org', '{PLAIN}joe', 2);
        """,
        "mail",
    )
    return database


@pytest.fixture
def store() -> Iterator[Opener]:
    """Opens stores: on the server's unix socket unless hosts are given."""
    with ExitStack() as stack:

        def opened(server: MariaDb, **changes: Any) -> MysqlStore:
            return stack.enter_context(open_store(config(server, **changes)))

        yield opened


def config(server: MariaDb, **changes: Any) -> Config:
    keys: dict[str, Any] = {"user": "mail", "password": PASSWORD, "database": "mail"}
    if "hosts" not in changes:
        keys["socket"] = server.socket
    if not {"schema", "query"} & set(changes):
        keys |= {"table": "users", "columns": COLUMNS}
    return Config(**keys | changes)


def found(store: MysqlStore, name: str) -> Account:
    account = store.lookup(Login.of(name))
    assert account is not None
    assert store.lookup_many([Login.of(name)]) == [account]
    assert store.lookup_many([Login.of("nobody@example.net"), Login.of(name)]) == [None, account]
    return account


def names(answers: Sequence[Account | Exception | None]) -> list[str | None]:
    assert not any(isinstance(answer, Exception) for answer in answers)
    return [answer.login if isinstance(answer, Account) else None for answer in answers]


def tcp(server: MariaDb) -> str:
    return f"{server.host}:{server.port}"


def within(seconds: float, work: Callable[[], object]) -> Exception | None:
    """What the work raised, None if it did not; and it must not take longer."""
    began = time.monotonic()
    try:
        work()
    except Exception as error:
        return error
    finally:
        assert time.monotonic() - began < seconds
    return None


def recovers(store: MysqlStore, seconds: float, name: str = "joe@example.org") -> None:
    deadline = time.monotonic() + seconds
    while within(3.0, lambda: found(store, name)) is not None:
        assert time.monotonic() < deadline, f"no answer within {seconds} s"
        time.sleep(0.1)


# --- what is found


def test_table(users: MariaDb, store: Opener) -> None:
    opened = store(users)
    assert isinstance(opened, BatchStore)
    assert isinstance(opened, Sampling)
    assert isinstance(opened, Probe)
    assert found(opened, "joe@example.org") == Account("joe@example.org", ("{PLAIN}joe",))
    assert opened.lookup(Login.of("nobody@example.org")) is None
    assert opened.lookup_many([]) == []
    assert (opened.sample() or "").startswith("{PLAIN}")
    assert re.fullmatch(rf"MariaDB [0-9.]+ at {re.escape(str(users.socket))}, 201 users", opened.probe())


def test_table_with_everything(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE `a b` (`the ``login` VARCHAR(80) PRIMARY KEY, pw VARBINARY(80), u INT, g INT, h TEXT, m TEXT, q BIGINT,
            n TEXT, o TEXT, d BIT(1), e ENUM('Y', 'N'), a TEXT, `100%` INT);
        INSERT INTO `a b` VALUES ('joe', 'x', 8, 9, '/h', '/h/m', 7, 'Jöe', 'a=b', b'0', 'Y', '::1', 1), ('old', 'x', 8, 9,
            '/h', '/h/m', 7, 'Jöe', 'a=b', b'1', 'N', '::1', 2);
        """,
        "mail",
    )
    fields = (
        "username",
        "password",
        "uid",
        "gid",
        "home",
        "maildir",
        "quota",
        "name",
        "options",
        "disabled",
        "expired",
    )
    columns = dict(zip((*fields, "allow_nets"), ("the `login", "pw", *"ughmqnodea"), strict=True))
    opened = store(database, table="mail.a b", columns=columns, where="`100%` = 1 OR `100%` % 2 = 1 -- of all")
    expected = Account("joe", ("x",), 8, 9, "/h", "/h/m", "7S", "Jöe", {"a": "b"}, (), False, True, ("::1",))
    assert found(opened, "joe") == expected
    assert opened.lookup(Login.of("old")) is None
    assert opened.sample() == "x"
    assert opened.probe().endswith("1 user")


def test_null_password(users: MariaDb, store: Opener) -> None:
    users.sql("UPDATE users SET password = NULL", "mail")
    for opened in (store(users), store(users, query=QUERY)):
        assert found(opened, "joe@example.org").secrets == ()
        assert opened.sample() is None


def test_postfixadmin(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL,
            maildir VARCHAR(255) NOT NULL, quota BIGINT NOT NULL DEFAULT 0, local_part VARCHAR(255) NOT NULL DEFAULT '',
            domain VARCHAR(255) NOT NULL, active TINYINT(1) NOT NULL DEFAULT 1,
            password_expiry TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00');
        CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY, active TINYINT(1) NOT NULL DEFAULT 1,
            password_expiry INT DEFAULT 0);
        INSERT INTO domain VALUES ('a.example', 1, 0), ('b.example', 0, 0), ('c.example', 1, 365);
        INSERT INTO mailbox (username, password, name, maildir, quota, domain, active, password_expiry) VALUES
            ('joe@a.example', '$1$x', 'Joe', 'a.example/joe/', 1000, 'a.example', 1, '2000-01-01'),
            ('off@a.example', '$1$x', '', 'a.example/off/', -1, 'a.example', 0, '2000-01-01'),
            ('joe@b.example', '$1$x', '', 'b.example/joe/', 0, 'b.example', 1, '2000-01-01'),
            ('joe@c.example', '$1$x', '', 'c.example/joe/', 0, 'c.example', 1, '2000-01-01'),
            ('new@c.example', '$1$x', '', 'c.example/new/', 0, 'c.example', 1, NOW() + INTERVAL 1 DAY),
            ('joe@d.example', '$1$x', '', '/srv/joe', 0, 'd.example', 1, '2000-01-01');
        """,
        "mail",
    )
    opened = store(database, schema="postfixadmin", mail_base="/srv/vmail")
    joe = Account("joe@a.example", ("$1$x",), maildir="/srv/vmail/a.example/joe", quota="1000S", name="Joe")
    assert found(opened, "joe@a.example") == joe
    off = found(opened, "off@a.example")
    assert (off.disabled, off.quota, off.name) == (True, None, None)
    shown = {name: found(opened, name) for name in ("joe@b.example", "joe@c.example", "new@c.example", "joe@d.example")}
    assert [(a.disabled, a.expired) for a in shown.values()] == [
        (True, False),
        (False, True),
        (False, False),
        (False, False),
    ]
    assert shown["joe@d.example"].maildir == "/srv/joe"
    assert opened.probe().endswith("6 users")


def test_postfixadmin_of_long_ago(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE mailbox (Username VARCHAR(255) PRIMARY KEY, PASSWORD VARCHAR(255), domain VARCHAR(255),
            password_expiry DATETIME);
        INSERT INTO mailbox VALUES ('joe@a.example', 'x', 'a.example', '2000-01-01');
        """,
        "mail",
    )
    assert found(store(database, schema="postfixadmin"), "joe@a.example") == Account("joe@a.example", ("x",))
    database.sql(
        "CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY, active INT); INSERT INTO domain VALUES ('a.example', 0)",
        "mail",
    )
    assert found(store(database, schema="postfixadmin"), "joe@a.example").disabled


def test_extmail_in_strict_mode(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255), name VARCHAR(255) DEFAULT '',
            maildir VARCHAR(255), homedir VARCHAR(255), quota VARCHAR(255), domain VARCHAR(255), uidnumber INT(6),
            gidnumber INT(6), expiredate DATE, active TINYINT(1) DEFAULT 1, disablesmtpd SMALLINT(1) DEFAULT 0,
            disablewebmail SMALLINT(1) DEFAULT 0, disableimap SMALLINT(1) DEFAULT 0, disablepop3 SMALLINT(1) DEFAULT 0);
        SET sql_mode = '';
        INSERT INTO mailbox (username, password, maildir, homedir, quota, uidnumber, gidnumber, expiredate) VALUES
            ('joe@a.example', 'x', 'a.example/joe/Maildir/', 'a.example/joe', '5242880S', 1000, 1001, '0000-00-00'),
            ('old@a.example', 'x', '', '', '', 1000, 1001, CURRENT_DATE - INTERVAL 1 DAY),
            ('day@a.example', 'x', '', '', '0', 1000, 1001, CURRENT_DATE),
            ('nil@a.example', 'x', '', '', '0', 1000, 1001, NULL);
        UPDATE mailbox SET disablesmtpd = 1, disableimap = 1 WHERE username LIKE 'day%';
        UPDATE mailbox SET disablepop3 = 1, disablewebmail = 1, active = 0 WHERE username LIKE 'nil%';
        SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,ANSI_QUOTES';
        """,
        "mail",
    )
    opened = store(database, schema="extmail", mail_base="/home/domains")
    assert found(opened, "joe@a.example") == Account(
        "joe@a.example",
        ("x",),
        1000,
        1001,
        "/home/domains/a.example/joe",
        "/home/domains/a.example/joe/Maildir",
        "5242880S",
    )
    old, day, nil = (found(opened, f"{name}@a.example") for name in ("old", "day", "nil"))
    assert (old.expired, old.home, old.quota) == (True, None, None)
    assert (day.expired, day.disabled, day.deny_services) == (False, False, ("smtp", "submission", "imap"))
    assert (nil.expired, nil.disabled, nil.deny_services) == (False, True, ("pop3", "webmail"))


def test_missing_columns_are_named(database: MariaDb, store: Opener) -> None:
    opened = store(database, schema="extmail")
    with pytest.raises(SchemaMismatch, match="no table mailbox"):
        opened.lookup(Login.of("joe"))
    database.sql("CREATE TABLE mailbox (username VARCHAR(9), passwd VARCHAR(9))", "mail")
    with pytest.raises(SchemaMismatch, match="no column password"):
        opened.probe()
    database.sql("ALTER TABLE mailbox RENAME COLUMN passwd TO password", "mail")
    assert opened.lookup(Login.of("joe")) is None
    # a column that goes away is noticed at once, without a restart
    database.sql("ALTER TABLE mailbox ADD COLUMN name VARCHAR(9)", "mail")
    renewed = store(database, schema="extmail")
    renewed.probe()
    renewed.lookup(Login.of("joe"))
    database.sql("ALTER TABLE mailbox DROP COLUMN name", "mail")
    with pytest.raises(pymysql.err.OperationalError, match="Unknown column"):
        renewed.lookup(Login.of("joe"))
    assert renewed.lookup(Login.of("joe")) is None


def test_columns_that_may_not_be_read_do_not_exist(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE mailbox (username VARCHAR(80) PRIMARY KEY, password VARCHAR(80), name VARCHAR(80));
        INSERT INTO mailbox VALUES ('joe', 'x', 'Joe');
        REVOKE SELECT ON mail.* FROM mail@'%'; GRANT SELECT (username, password) ON mail.mailbox TO mail@'%';
        """,
        "mail",
    )
    assert found(store(database, schema="postfixadmin"), "joe") == Account("joe", ("x",))


# --- queries of one's own


def test_query(users: MariaDb, store: Opener) -> None:
    query = """SELECT concat(%(local)s, '@', %(domain)s) AS userName, Password, '{}' AS name, 'a=1,b=2' AS options,
        NULL AS uid, extra = 2 AS disabled, extra AS other FROM users WHERE username = concat('', %(login)s)
        AND password LIKE '{%%' -- end"""
    opened = store(users, query=query)
    assert found(opened, "joe@example.org") == Account(
        "joe@example.org", ("{PLAIN}joe",), name="{}", options={"a": "1", "b": "2"}, disabled=True
    )
    assert names(opened.lookup_many([Login.of(f"user{n}@example.org") for n in (3, 999, 1, 2)])) == [
        "user3@example.org",
        None,
        "user1@example.org",
        "user2@example.org",
    ]
    assert opened.sample() is None
    assert opened.probe().endswith("the query works")


def test_query_without_username_takes_the_login(users: MariaDb, store: Opener) -> None:
    opened = store(users, query="SELECT password FROM users WHERE username = %(login)s LIMIT 1;")
    assert found(opened, "JOE@example.org").login == "JOE@example.org"


@pytest.mark.parametrize("way", ["joined", "looped"])
def test_several_rows_are_an_error(users: MariaDb, store: Opener, way: str) -> None:
    twice = ", extra, extra" if way == "looped" else ""
    opened = store(
        users, query=f"SELECT password {twice} FROM users WHERE left(username, length(%(local)s)) = %(local)s"
    )
    assert found(opened, "joe@example.org").secrets
    both = [Login.of("joe@example.org"), Login.of("user19@example.org")]
    with pytest.raises(BadRow, match=r"^11 rows for one login; the query must return one"):
        opened.lookup(both[1])
    right, bad = opened.lookup_many(both)
    assert isinstance(right, Account)
    assert isinstance(bad, BadRow)


def test_query_that_cannot_be_joined(users: MariaDb, store: Opener) -> None:
    opened = store(users, query="SELECT u.*, v.* FROM users u JOIN users v USING (username) WHERE username = %(login)s")
    with pytest.raises(BadRow, match="two columns"):
        opened.lookup(Login.of("joe@example.org"))
    opened = store(users, query="SELECT password, extra, extra FROM users WHERE username = %(login)s")
    assert found(opened, "joe@example.org").secrets == ("{PLAIN}joe",)


@pytest.mark.parametrize("extra", ["", ", extra, extra"])
def test_query_without_password(users: MariaDb, store: Opener, extra: str) -> None:
    opened = store(users, query=f"SELECT username, password AS passwd {extra} FROM users WHERE username = %(login)s")
    for ask in (lambda: opened.lookup(Login.of("nobody")), opened.probe):
        with pytest.raises(BadRow, match="returns no column password"):
            ask()


def test_query_with_a_mistake(users: MariaDb, store: Opener) -> None:
    for wrong in ("SELECT password FROM userz WHERE username = %(login)s", "SELECT password WHERE WHERE = %(login)s"):
        opened = store(users, query=wrong)
        with pytest.raises(pymysql.err.ProgrammingError):
            opened.probe()
        with pytest.raises(pymysql.err.ProgrammingError):
            opened.lookup_many([Login.of("a"), Login.of("b")])


# --- nobody else's row


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"])
@pytest.mark.parametrize("source", [{}, {"query": QUERY}, {"where": "1 = 1"}])
def test_injection(users: MariaDb, store: Opener, mode: str, source: dict[str, str]) -> None:
    users.sql(f"SET GLOBAL sql_mode = '{mode}'")
    opened = store(users, **source)
    logins = [Login(name, name, "example.org", name) for name in INJECTIONS]
    # the very first question on a connection too
    assert opened.lookup(logins[2]) is None
    assert [opened.lookup(login) for login in logins] == [None] * len(logins)
    assert opened.lookup_many(logins) == [None] * len(logins)
    assert names(opened.lookup_many([*logins, Login.of("joe@example.org")])) == [None] * len(logins) + [
        "joe@example.org"
    ]
    for name in INJECTIONS[:-2]:
        users.sql("SET sql_mode = ''; INSERT INTO users VALUES (0x" + name.encode().hex() + ", 'x', 1)", "mail")
        assert found(opened, name).login == name


def test_numbers_are_bound_as_text(users: MariaDb, store: Opener) -> None:
    zero: Any = 0
    login = Login(zero, zero, zero)
    for source in ({}, {"query": QUERY}):
        opened = store(users, **source)
        assert opened.lookup(login) is None
        assert opened.lookup_many([login, Login.of("x")]) == [None, None]


def test_a_column_of_numbers_is_refused(users: MariaDb, store: Opener) -> None:
    users.sql("UPDATE users SET extra = 0", "mail")
    opened = store(users, columns={"username": "extra", "password": "password"}, where="username = 'joe@example.org'")
    with pytest.raises(BadRow, match="numbers"):
        opened.lookup(Login.of("anybody"))


COLLATIONS = ("utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_nopad_ci", "utf8mb4_bin")

ASKED: dict[str, tuple[str | None, str | None]] = {
    # login: (what a table gives, what a query gives that lets the collation decide)
    "USER5@EXAMPLE.ORG": ("user5@example.org", "user5@example.org"),
    "user5@example.org": ("user5@example.org", "user5@example.org"),
    "User5@example.org": ("user5@example.org", "user5@example.org"),
    "JOSE@example.org": (None, "José@example.org"),
    "josé@example.org": ("José@example.org", "José@example.org"),
    "JOSÉ@example.org": (None, "José@example.org"),
    "JOSé@example.org": ("José@example.org", "José@example.org"),
    "José@example.org": ("José@example.org", "José@example.org"),
    "straße": ("Straße", "Straße"),
    "STRASSE": (None, "?"),
    "usér": (None, "user"),
    "user": ("user", "user"),
    "ｊoe@example.org": (None, "?"),
    "joé@example.org": (None, "joe@example.org"),
    "joe@exämple.org": (None, "joe@example.org"),
    "joe@example.org": ("joe@example.org", "joe@example.org"),
    "nobody": (None, None),
    "user50@example.org": ("user50@example.org", "user50@example.org"),
}


@pytest.mark.parametrize("collation", COLLATIONS)
def test_the_canonical_name_is_the_rows(users: MariaDb, store: Opener, collation: str) -> None:
    users.sql("INSERT INTO users VALUES ('José@example.org', 'x', 1), ('Straße', 'y', 1), ('user', 'z', 1)", "mail")
    users.sql(f"ALTER TABLE users MODIFY username VARCHAR(255) COLLATE {collation}", "mail")
    opened = store(users)
    logins = [Login(name, name) for name in ASKED]
    expected = [table for table, _ in ASKED.values()]
    if collation.endswith("_bin"):
        expected = [name if name == asked else None for asked, name in zip(ASKED, expected, strict=True)]
    assert names([opened.lookup(login) for login in logins]) == expected
    assert names(opened.lookup_many(logins)) == expected
    assert names(opened.lookup_many(logins[::-1])) == expected[::-1]
    for login in logins:  # whatever is asked together, the answer is the same
        assert opened.lookup_many([login, logins[5]])[0] == opened.lookup(login)


@pytest.mark.parametrize("collation", COLLATIONS[:2])
def test_a_query_finds_what_it_was_written_to_find(users: MariaDb, store: Opener, collation: str) -> None:
    users.sql("INSERT INTO users VALUES ('José@example.org', 'x', 1), ('Straße', 'y', 1), ('user', 'z', 1)", "mail")
    users.sql(f"ALTER TABLE users MODIFY username VARCHAR(255) COLLATE {collation}", "mail")
    opened = store(users, query=QUERY)
    asked = {name: query for name, (_, query) in ASKED.items() if query != "?"}
    logins = [Login(name, name) for name in asked]
    assert names([opened.lookup(login) for login in logins]) == list(asked.values())
    assert names(opened.lookup_many(logins)) == list(asked.values())


@pytest.mark.parametrize("collation", COLLATIONS[:2])
def test_an_alias_is_the_querys_own_choice(users: MariaDb, store: Opener, collation: str) -> None:
    users.sql(
        f"""
        CREATE TABLE aliases (address VARCHAR(255) COLLATE {collation} PRIMARY KEY, username VARCHAR(255));
        INSERT INTO aliases VALUES ('sales@example.org', 'joe@example.org');
        """,
        "mail",
    )
    query = "SELECT u.username, u.password FROM aliases a JOIN users u USING (username) WHERE a.address = %(login)s"
    assert found(store(users, query=query), "sales@example.org").login == "joe@example.org"


@pytest.mark.parametrize("schema", ["postfixadmin", "extmail"])
@pytest.mark.parametrize("collation", COLLATIONS[:2])
def test_presets_know_two_people(database: MariaDb, store: Opener, schema: str, collation: str) -> None:
    database.sql(
        f"""
        CREATE TABLE mailbox (username VARCHAR(80), password VARCHAR(80)) COLLATE {collation};
        INSERT INTO mailbox VALUES ('jose@example.org', 'a'), ('josé@example.org', 'b'), ('strasse@example.org', 'c');
        """,
        "mail",
    )
    opened = store(database, schema=schema)
    asked = {"jose": "a", "JOSE": "a", "josé": "b", "JOSÉ": None, "straße": None, "Strasse": "c", "ｊose": None}
    logins = [Login.of(f"{name}@example.org") for name in asked]
    for answers in ([opened.lookup(login) for login in logins], opened.lookup_many(logins)):
        told = [answer.secrets[0] if isinstance(answer, Account) else answer for answer in answers]
        assert told == list(asked.values())


def test_a_name_that_cannot_be_read_harms_nobody_else(database: MariaDb, store: Opener) -> None:
    database.sql(
        "CREATE TABLE users (username INT, password VARCHAR(80)); INSERT INTO users VALUES (0, 'a'), (5, 'b')", "mail"
    )
    zero, none, five = store(database).lookup_many([Login.of(name) for name in ("joe", "17", "5")])
    assert isinstance(zero, BadRow)
    assert none is None
    assert isinstance(five, BadRow)


def test_who_may_be_meant_by_a_row() -> None:
    found = Found([{"username": "joe"}, {"username": "Ann"}, {"username": b"eve"}])
    assert [name for name in ("joe", "JOE", "ann", "Eve", "josé", "x") if found.doubtful(name)] == ["JOE", "ann", "Eve"]
    assert found.by_name["eve"] == [{"username": b"eve"}]
    found = Found([{"username": "joe"}, {"username": b"j\xff"}])
    assert [name for name in ("joe", "x") if found.doubtful(name)] == ["x"]
    assert not Found([]).doubtful("x")


def test_a_binary_collation_knows_two(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE users (username VARCHAR(80) COLLATE utf8mb4_bin PRIMARY KEY, password VARCHAR(80));
        INSERT INTO users VALUES ('USER5', 'a'), ('user5', 'b'), ('Joe', 'c');
        """,
        "mail",
    )
    opened = store(database)
    asked = [Login.of(name) for name in ("user5", "User5", "USER5", "joe", "JOE", "Joe")]
    assert names(opened.lookup_many(asked)) == ["user5", None, "USER5", None, None, "Joe"]
    assert [opened.lookup(login) for login in asked] == opened.lookup_many(asked)


def test_two_rows_that_the_collation_takes_for_one(database: MariaDb, store: Opener) -> None:
    database.sql(
        """
        CREATE TABLE users (username VARCHAR(80), password VARCHAR(80));
        INSERT INTO users VALUES ('USER5', 'a'), ('user5', 'b'), ('twin', 'c'), ('twin', 'd');
        """,
        "mail",
    )
    opened = store(database)
    assert found(opened, "user5").secrets == ("b",)
    assert found(opened, "USER5").secrets == ("a",)
    for name in ("User5", "twin", "TWIN"):
        with pytest.raises(BadRow, match="2 rows for one login"):
            opened.lookup(Login.of(name))
        bad, other = opened.lookup_many([Login.of(name), Login.of("user5")])
        assert isinstance(bad, BadRow)
        assert isinstance(other, Account)
        assert other.secrets == ("b",)


def test_a_batch_asked_for_twice_the_same(users: MariaDb, store: Opener) -> None:
    joe = Login.of("joe@example.org")
    for source in ({}, {"query": QUERY}):
        assert names(store(users, **source).lookup_many([joe, joe])) == ["joe@example.org"] * 2


def test_changes_are_seen_at_once(users: MariaDb, store: Opener) -> None:
    opened = store(users)
    assert found(opened, "joe@example.org").secrets == ("{PLAIN}joe",)
    users.sql("UPDATE users SET password = 'new' WHERE username LIKE 'joe@%'", "mail")
    assert found(opened, "joe@example.org").secrets == ("new",)


# --- could not find out


def test_our_own_password_is_wrong(users: MariaDb, store: Opener) -> None:
    for place in ({}, {"hosts": (tcp(users),)}):
        opened = store(users, password="geheim!", **place)
        nobody = functools.partial(opened.lookup, Login.of("nobody"))
        for ask in (opened.probe, opened.sample, nobody):
            with pytest.raises(pymysql.err.OperationalError, match="1045") as fault:
                ask()
            assert "geheim" not in str(fault.value)


def test_nothing_is_connected_at_the_start(tmp_path: Path, database: MariaDb, store: Opener) -> None:
    opened = store(database, socket=tmp_path / "none")
    with pytest.raises(Unreachable, match="/none: No such file"):
        opened.lookup(Login.of("joe"))
    with pytest.raises(Unreachable, match=r"^127.0.0.1:1: Connection refused$"):
        store(database, hosts=("127.0.0.1:1",)).lookup(Login.of("joe"))
    with pytest.raises(pymysql.err.OperationalError, match=r"1044|1049"):
        store(database, database="other").lookup(Login.of("joe"))


def kill(users: MariaDb, number: int) -> None:
    """End a connection, which may have ended by itself."""
    with contextlib.suppress(pymysql.err.OperationalError):
        users.sql(f"KILL {number}")


@pytest.mark.parametrize("place", ["socket", "tcp"])
def test_killed_connections_are_not_noticed(users: MariaDb, store: Opener, place: str) -> None:
    opened = store(users, **({"hosts": (tcp(users),)} if place == "tcp" else {}))
    for _ in range(3):
        fill(opened, 4)
        for (number,) in users.sql("SELECT id FROM information_schema.processlist WHERE user = 'mail'"):
            kill(users, number)
        assert found(opened, "joe@example.org")


def test_a_stop_and_a_start(users: MariaDb, store: Opener) -> None:
    stores = [store(users), store(users, hosts=(tcp(users),)), store(users, schema="", query=QUERY)]
    for opened in stores:
        fill(opened, 4)
    for end in (users.stop, users.kill):
        end()
        for opened in stores:
            for _ in range(3):
                error = within(1.0, lambda opened=opened: opened.lookup(Login.of("joe@example.org")))  # type: ignore[misc]
                assert error is not None
        users.start()
        for opened in stores:
            assert found(opened, "joe@example.org")


def test_a_server_that_hangs(users: MariaDb, store: Opener) -> None:
    opened = store(users, hosts=(tcp(users),), query_timeout=1.5)
    fill(opened, 2)
    users.pause()
    with ThreadPoolExecutor(6) as threads:
        began = time.monotonic()
        asked = [threads.submit(opened.lookup, Login.of("joe@example.org")) for _ in range(6)]
        assert all(ask.exception() is not None for ask in asked)
        assert time.monotonic() - began < 3.0
    error = within(1.3, lambda: opened.lookup(Login.of("joe@example.org")))
    assert isinstance(error, Unreachable)
    assert "says nothing" in str(error)
    users.resume()
    recovers(opened, 3.0)
    assert free_slots(opened) == 4


def test_a_question_that_takes_too_long(users: MariaDb, store: Opener) -> None:
    slow = "SELECT password FROM users WHERE username = %(login)s AND IF(%(local)s = 'user1', SLEEP(1.2), 0) = 0"
    opened = store(users, query=slow, query_timeout=0.4, pool_size=1)
    fill(opened, 1)
    error = within(0.9, lambda: opened.lookup(Login.of("user1@example.org")))  # asked once, not twice
    assert isinstance(error, pymysql.err.OperationalError)
    assert found(opened, "joe@example.org")
    assert opened.lookup(Login.of("nobody")) is None


def fill(store: MysqlStore, number: int) -> None:
    """Have so many connections in the pool."""
    together = threading.Barrier(number)

    def meet(*_: object) -> None:
        together.wait(5)

    with ThreadPoolExecutor(number) as threads:
        for done in [threads.submit(store._pool.run, meet) for _ in range(number)]:
            done.result()


def free_slots(store: MysqlStore) -> int:
    return store._pool._slots._value


# --- several hosts


@pytest.fixture
def refusing() -> Iterator[str]:
    """A port where nobody listens, and nobody else can."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts, and says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_first_host_that_refuses(users: MariaDb, store: Opener, refusing: str) -> None:
    opened = store(users, hosts=(refusing, tcp(users)))
    assert within(1.0, lambda: found(opened, "joe@example.org")) is None
    assert tcp(users) in opened.probe()


def test_a_first_host_that_is_silent(users: MariaDb, store: Opener, silent: str) -> None:
    opened = store(users, hosts=(silent, tcp(users)))
    assert within(1.5, lambda: found(opened, "joe@example.org")) is None
    # it is known now: new connections do not wait for it
    assert within(0.5, lambda: fill(opened, 4)) is None


def test_both_hosts_fail(users: MariaDb, store: Opener, silent: str, refusing: str) -> None:
    opened = store(users, hosts=(silent, refusing))
    error = within(1.5, lambda: opened.lookup(Login.of("joe")))
    assert str(error) == f"{silent}: accepts connections and says nothing; {refusing}: Connection refused"


def test_a_host_where_our_password_is_wrong_is_one_that_failed(users: MariaDb, store: Opener, refusing: str) -> None:
    opened = store(users, hosts=(tcp(users), refusing), password="wrong")
    with pytest.raises(Unreachable, match=r"Access denied.*; 127.*refused"):
        opened.lookup(Login.of("joe"))


def test_failover_and_back(users: MariaDb, store: Opener) -> None:
    with MariaDb() as second:
        quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        second.sql(f"""
            CREATE DATABASE mail; CREATE USER mail@'%' IDENTIFIED BY '{quoted}'; GRANT SELECT ON mail.* TO mail@'%';
            USE mail;
            CREATE TABLE users (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255));
            INSERT INTO users VALUES ('joe@example.org', 'second');
        """)
        opened = store(users, hosts=(tcp(users), tcp(second)))
        fill(opened, 3)
        assert found(opened, "joe@example.org").secrets == ("{PLAIN}joe",)
        users.stop()
        assert within(1.0, lambda: found(opened, "joe@example.org")) is None
        second.stop()
        assert within(1.0, lambda: opened.lookup(Login.of("joe@example.org"))) is not None
        users.start()  # both were down: nothing is waited for
        assert found(opened, "joe@example.org").secrets == ("{PLAIN}joe",)
        second.start()
        users.pause()  # a connection that is kept hangs: this question fails, the next one goes elsewhere
        assert within(2.5, lambda: opened.lookup(Login.of("joe@example.org"))) is not None
        assert within(0.5, lambda: found(opened, "joe@example.org")) is None
        users.resume()


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """A server with a certificate for localhost, and a user that it lets in by TLS alone."""
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    with MariaDb((chain, key)) as server:
        server.sql("""
            CREATE DATABASE mail; CREATE USER mail@'%' IDENTIFIED BY 'x' REQUIRE SSL; GRANT SELECT ON mail.* TO mail@'%';
            USE mail;
            CREATE TABLE users (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255));
            INSERT INTO users VALUES ('joe@example.org', 'x');
        """)
        yield server


def ca_file(authority: trustme.CA, folder: Path) -> Path:
    path = folder / "ca.pem"
    path.write_bytes("Ñame of the CA\n".encode("latin-1") + authority.cert_pem.bytes())
    return path


def test_tls(secure: MariaDb, authority: trustme.CA, tmp_path: Path, store: Opener) -> None:
    host = f"localhost:{secure.port}"
    opened = store(secure, hosts=(host,), password="x", tls=True, ca_file=ca_file(authority, tmp_path))
    assert found(opened, "joe@example.org")
    assert f" at {host} (TLS), 1 user" in opened.probe()
    opened = store(secure, hosts=(host,), password="x", tls=True, ca_file=ca_file(authority, tmp_path), pool_size=2)
    (tmp_path / "ca.pem").unlink()  # read with the configuration, before privileges are dropped
    assert found(opened, "joe@example.org")


def test_tls_is_off_on_loopback_unless_asked_for(secure: MariaDb, store: Opener) -> None:
    opened = store(secure, hosts=(f"localhost:{secure.port}",), password="x")
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        opened.lookup(Login.of("joe@example.org"))


def test_tls_with_another_authority(secure: MariaDb, tmp_path: Path, store: Opener) -> None:
    host = f"localhost:{secure.port}"
    opened = store(secure, hosts=(host,), password="x", tls=True, ca_file=ca_file(trustme.CA(), tmp_path))
    with pytest.raises(pymysql.err.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        opened.lookup(Login.of("joe@example.org"))
    with pytest.raises(pymysql.err.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        store(secure, hosts=(host,), password="x", tls=True).probe()


def test_tls_with_another_name(secure: MariaDb, authority: trustme.CA, tmp_path: Path, store: Opener) -> None:
    host = f"127.0.0.1:{secure.port}"
    opened = store(secure, hosts=(host,), password="x", tls=True, ca_file=ca_file(authority, tmp_path))
    with pytest.raises(pymysql.err.OperationalError, match="IP address mismatch"):
        opened.lookup(Login.of("joe@example.org"))


def test_tls_with_a_server_that_has_none(users: MariaDb, store: Opener) -> None:
    opened = store(users, hosts=(tcp(users),), tls=True)
    with pytest.raises((pymysql.err.OperationalError, Unreachable), match="SSL is required"):
        opened.lookup(Login.of("joe@example.org"))


# --- the pool


def connections(server: MariaDb) -> int:
    counted: int = server.sql("SELECT count(*) FROM information_schema.processlist WHERE user = 'mail'")[0][0]
    return counted


def test_many_threads(users: MariaDb, store: Opener) -> None:
    opened = store(users, hosts=(tcp(users),), pool_size=4)
    ended = time.monotonic() + 1.5
    failures: list[Exception] = []

    def hammer(seed: int) -> int:
        done = 0
        while time.monotonic() < ended:
            wanted = [f"user{(seed * 7 + done + step) % 200 + 1}@example.org" for step in range(1 + done % 5)]
            try:
                answers = opened.lookup_many([Login.of(name) for name in wanted])
                single = opened.lookup(Login.of(wanted[0]))
            except Exception as error:
                failures.append(error)
                continue
            assert names(answers) == wanted
            assert single == answers[0]
            assert [a.secrets[0] for a in answers if isinstance(a, Account)] == [
                "{PLAIN}" + n[4:].partition("@")[0] for n in wanted
            ]
            done += 1
        return done

    with ThreadPoolExecutor(12) as threads:
        hammering = [threads.submit(hammer, seed) for seed in range(12)]
        for _ in range(10):
            time.sleep(0.1)
            assert connections(users) <= 5  # one may be closing
            for (number,) in users.sql("SELECT id FROM information_schema.processlist WHERE user = 'mail' LIMIT 2"):
                kill(users, number)
        assert all(hammered.result() > 0 for hammered in hammering)
    # a new connection that is killed too is a true failure; kept ones are not
    assert all(isinstance(error, pymysql.err.MySQLError) for error in failures)
    assert len(failures) < 20
    assert free_slots(opened) == 4
    assert len(opened._pool._idle) <= 4


def test_waiting_for_a_slot_has_an_end(users: MariaDb) -> None:
    with open_store(config(users, pool_size=1)) as opened:
        entered, leave = threading.Event(), threading.Event()
        opened._pool._limits = Limits(size=1, patience=0.2)

        def linger(*_: object) -> None:
            entered.set()
            leave.wait(10)

        busy = threading.Thread(target=opened._pool.run, args=(linger,))
        busy.start()
        assert entered.wait(5)
        assert isinstance(within(0.5, lambda: opened.lookup(Login.of("joe"))), PoolBusy)
        opened.close()  # with a connection in use
        leave.set()
        busy.join(5)
        assert opened._pool._idle == []
        assert free_slots(opened) == 1
    deadline = time.monotonic() + 3
    while connections(users):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_close_ends_the_connections(users: MariaDb, store: Opener) -> None:
    opened = store(users)
    fill(opened, 4)
    assert connections(users) == 4
    opened.close()
    deadline = time.monotonic() + 3
    while connections(users):
        assert time.monotonic() < deadline
        time.sleep(0.02)


class FakeConnection:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def ping(self) -> None:
        self.log.append("ping")

    def close(self) -> None:
        self.log.append("close")


def fake_pool(log: list[str], **limits: float) -> Pool[None]:
    def connect(server: Server, seconds: float) -> Any:
        log.append("connect")
        return FakeConnection(log)

    return Pool((Server("a"),), connect, lambda _: None, Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, ["connect"]),
        ({"ping_after": 0.0}, ["connect", "ping"]),
        ({"max_age": 0.0}, ["connect", "close", "connect"]),
        ({"max_idle": 0.0}, ["connect", "close", "connect"]),
    ],
)
def test_ages(limits: dict[str, float], expected: list[str]) -> None:
    log: list[str] = []
    pool = fake_pool(log, **limits)
    for _ in range(2):
        pool.run(lambda *_: None)
        time.sleep(0.002)
    assert log == expected


def test_what_is_unused_for_long_is_closed() -> None:
    log: list[str] = []
    pool = fake_pool(log, max_idle=0.1)
    pool.run(lambda *_: pool.run(lambda *_: None))
    assert log == ["connect", "connect"]
    for _ in range(6):
        time.sleep(0.03)
        pool.run(lambda *_: None)
    assert log == ["connect", "connect", "close"]


def test_any_failure_closes_the_connection() -> None:
    log: list[str] = []
    pool = fake_pool(log)
    with pytest.raises(ZeroDivisionError):
        pool.run(lambda *_: 1 // 0)
    assert log == ["connect", "close"]
    assert pool._slots._value == 4


def test_no_secret_is_shown(users: MariaDb, store: Opener) -> None:
    opened = store(users)
    fill(opened, 1)
    seen: list[Any] = [opened, opened._pool, opened._source, *opened._pool._idle, opened._pool._idle[0].connection]
    seen.append(opened._pool._connect.__self__)  # type: ignore[attr-defined]
    for thing in seen:
        assert PASSWORD not in repr(thing)
        assert "pässword" not in repr(thing)
    assert "{PLAIN}joe" not in repr(found(opened, "joe@example.org"))
