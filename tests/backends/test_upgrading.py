"""Hash upgrades in SQLite and MariaDB, and by the whole daemon."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from saslpy import passwords
from saslpy.model import Login
from saslpy.passwords.parsing import parse
from saslpy_mysql import Config, open_store
from saslpy_sqlite.store import SqliteStore
from tests.real.mariadb import MariaDb
from tests.real.saslpy import ask, configured, folder, run, serving
from tests.upgrades import Site, site

PASSWORD = "s3cret joe"
LOGIN = "joe@example.org"
MD5 = passwords.make("MD5-CRYPT", PASSWORD).removeprefix("{MD5-CRYPT}")


def schemes(*stored: str) -> list[str]:
    return [parse(secret).scheme for secret in stored]


# --- SQLite


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A file with joe, and his alias."""
    path = tmp_path / "users.db"
    store = SqliteStore(path)
    store.add(LOGIN, [MD5])
    store.close()
    sql(path, "INSERT INTO aliases SELECT 'j@example.org', id FROM users")
    sql(path, "UPDATE users SET changed = '2020-01-01'")
    return path


def sql(path: Path, statement: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return [row[0] for row in connection.execute(statement)]


def secrets(path: Path) -> list[str]:
    return sql(path, "SELECT secret FROM secrets ORDER BY rowid")


def sqlite(**keys: object) -> dict[str, object]:
    return {"type": "sqlite", "path": "users.db", "upgrade": "ARGON2ID", **keys}


@pytest.mark.parametrize("name", [LOGIN, "JOE@example.org", "j@example.org"])
async def test_sqlite(users: Path, name: str) -> None:
    async with site(users.parent, sqlite()) as one:
        assert await one.upgraded(name, PASSWORD + "x") == "reject"
        assert secrets(users) == [MD5]
        assert await one.upgraded(name, PASSWORD) == "accept"
        assert schemes(*secrets(users)) == ["ARGON2ID"]
        assert await one.upgraded(name, PASSWORD) == "accept"
        assert await one.upgraded(name, PASSWORD + "x") == "reject"
        assert one.upgrades.counts == {"written": 1}
    assert sql(users, "SELECT changed FROM users") == ["2020-01-01"]


async def test_sqlite_with_keys_for_scram(users: Path) -> None:
    async with site(users.parent, sqlite(upgrade=["ARGON2ID", "SCRAM-SHA-256"])) as one:
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert schemes(*secrets(users)) == ["ARGON2ID", "SCRAM-SHA-256"]
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert one.upgrades.counts == {"written": 1}
    assert all(parse(secret).check(PASSWORD.encode()) for secret in secrets(users))


async def test_sqlite_and_many_logins_at_a_time(users: Path) -> None:
    async with site(users.parent, sqlite()) as one, trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(one.upgraded, LOGIN, PASSWORD)
    assert one.upgrades.counts["written"] == 1
    assert schemes(*secrets(users)) == ["ARGON2ID"]


async def test_sqlite_leaves_a_changed_password_alone(users: Path) -> None:
    new = passwords.make("SSHA", "another")
    async with site(users.parent, sqlite()) as one:
        assert await one.login(LOGIN, PASSWORD) == "accept"
        sql(users, f"UPDATE secrets SET secret = '{new}'")
        await one.upgrades.finished()
        assert one.upgrades.counts == {"changed": 1}
        assert secrets(users) == [new]
        assert await one.upgraded(LOGIN, "another") == "accept"


async def test_sqlite_that_cannot_be_written(users: Path) -> None:
    sql(users, "CREATE TRIGGER no BEFORE DELETE ON secrets BEGIN SELECT RAISE(ABORT, 'read-only'); END")
    async with site(users.parent, sqlite()) as one:
        for _ in range(3):
            assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert len(one.told("upgrade-failed")) == 1
        assert one.upgrades.counts == {"failed": 1}
    assert secrets(users) == [MD5]


def test_sqlite_replaces_all_or_nothing(users: Path) -> None:
    store = SqliteStore(users)
    with closing(store):
        login = Login.of(LOGIN)
        assert not store.replace_secrets(login, [MD5, "{PLAIN}not there"], ["{PLAIN}new"])
        assert not store.replace_secrets(login, [], ["{PLAIN}new"])
        assert not store.replace_secrets(Login.of("nobody"), [MD5], ["{PLAIN}new"])
        assert secrets(users) == [MD5]
        assert store.replace_secrets(login, [MD5], [MD5, "{PLAIN}new"])
        assert secrets(users) == [MD5, "{PLAIN}new"]


# --- MariaDB

TABLE = """
    DROP DATABASE IF EXISTS upgrades; CREATE DATABASE upgrades; USE upgrades;
    CREATE TABLE users (email VARCHAR(255) PRIMARY KEY, pw VARCHAR({size}), active INT DEFAULT 1) CHARSET {charset};
    INSERT INTO users VALUES ('joe@example.org', '{secret}', 1), ('ann@example.org', '{secret}', 1);
    CREATE OR REPLACE USER upgrader@'%' IDENTIFIED BY 'its own';
    GRANT SELECT ON upgrades.* TO upgrader@'%'; GRANT UPDATE ON upgrades.users TO upgrader@'%';
"""

COLUMNS = {"username": "email", "password": "pw"}
QUERY = "SELECT email AS username, pw AS password FROM users WHERE email = %(login)s"
UPDATE = "UPDATE users SET pw = %(password)s WHERE email = %(login)s AND pw = %(old)s"


@pytest.fixture
def database(mariadb: MariaDb) -> Iterator[MariaDb]:
    """The table, in a server that can be written to afterwards."""
    laid_out(mariadb)
    yield mariadb
    if not mariadb.running:
        mariadb.start()
    mariadb.resume()
    mariadb.sql("SET GLOBAL read_only = OFF; SET GLOBAL sql_mode = DEFAULT")


def laid_out(server: MariaDb, secret: str = MD5, size: int = 255, charset: str = "utf8mb4") -> None:
    server.sql(TABLE.format(secret=secret, size=size, charset=charset))


def mysql(server: MariaDb, **keys: object) -> dict[str, object]:
    return {
        "type": "mysql",
        "socket": str(server.socket),
        "user": "upgrader",
        "password": "its own",
        "database": "upgrades",
        "upgrade": "ARGON2ID",
        **(keys or {"table": "users", "columns": COLUMNS}),
    }


def stored(server: MariaDb, login: str = LOGIN) -> str:
    rows = server.sql(f"SELECT pw FROM upgrades.users WHERE email = '{login}'")
    found = rows[0][0]
    return found.decode() if isinstance(found, bytes) else str(found)


@pytest.mark.real
@pytest.mark.parametrize(
    "keys",
    [
        {"table": "users", "columns": COLUMNS},
        {"table": "upgrades.users", "columns": COLUMNS, "where": "active = 1 AND email LIKE '%@%' -- all"},
        {"query": QUERY, "update": UPDATE},
        {"query": QUERY, "update": UPDATE.replace("email = %(login)s", "email = CONCAT(%(local)s, '@', %(domain)s)")},
    ],
)
async def test_mysql(database: MariaDb, tmp_path: Path, keys: dict[str, object]) -> None:
    async with site(tmp_path, mysql(database, **keys)) as one:
        assert await one.upgraded(LOGIN, PASSWORD + "x") == "reject"
        assert stored(database) == MD5
        assert await one.upgraded("JOE@example.org", PASSWORD) == "accept"
        assert schemes(stored(database)) == ["ARGON2ID"]
        assert stored(database, "ann@example.org") == MD5
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert await one.upgraded(LOGIN, PASSWORD + "x") == "reject"
        assert one.upgrades.counts == {"written": 1}


@pytest.mark.real
@pytest.mark.parametrize("schema", ["postfixadmin", "extmail"])
async def test_mysql_presets(database: MariaDb, tmp_path: Path, schema: str) -> None:
    database.sql(
        f"""CREATE TABLE mailbox (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255), domain VARCHAR(255));
        CREATE TABLE domain (domain VARCHAR(255), active INT);
        INSERT INTO domain VALUES ('example.org', 1); INSERT INTO mailbox VALUES ('{LOGIN}', '{MD5}', 'example.org');
        GRANT UPDATE (password) ON upgrades.mailbox TO upgrader@'%'""",
        "upgrades",
    )
    async with site(tmp_path, mysql(database, schema=schema)) as one:
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert one.upgrades.counts == {"written": 1}
    assert schemes(str(database.sql("SELECT password FROM upgrades.mailbox")[0][0])) == ["ARGON2ID"]


@pytest.mark.real
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "binary"])
async def test_mysql_and_a_password_in_the_clear(database: MariaDb, tmp_path: Path, charset: str) -> None:
    laid_out(database, "{PLAIN}Pässwörd", charset=charset)
    async with site(tmp_path, mysql(database)) as one:
        assert await one.login(LOGIN, "Pässwörd") == "accept"
        # what the collation takes for the same is another password
        database.sql("UPDATE upgrades.users SET pw = '{PLAIN}passWORD'")
        await one.upgrades.finished()
        assert one.upgrades.counts == {"changed": 1}
        database.sql("UPDATE upgrades.users SET pw = '{PLAIN}Pässwörd'")
        assert await one.upgraded(LOGIN, "Pässwörd") == "accept"
        assert one.upgrades.counts == {"changed": 1, "written": 1}
    assert schemes(stored(database)) == ["ARGON2ID"]


@pytest.mark.real
async def test_mysql_and_a_collation_that_takes_the_changed_password_for_the_old_one(database: MariaDb) -> None:
    """Between the lookup before it and the statement, where a test cannot get in: the statement alone."""
    laid_out(database, "{PLAIN}secret")
    config = Config(
        socket=database.socket,
        user="upgrader",
        password="its own",
        database="upgrades",
        table="users",
        columns=COLUMNS,
    )
    with open_store(config) as store:
        update = store._update % {"password": "'new'", "login": f"'{LOGIN}'", "old": "'{PLAIN}SECRET'"}
        database.sql(update, "upgrades")
        assert stored(database) == "{PLAIN}secret"
        assert not store.replace_secrets(Login.of(LOGIN), ["{PLAIN}SECRET"], ["{PLAIN}new"])
        assert not store.replace_secrets(Login.of("nobody"), ["{PLAIN}secret"], ["{PLAIN}new"])
        assert store.replace_secrets(Login.of(LOGIN), ["{PLAIN}secret"], ["{PLAIN}new"])
    assert stored(database) == "{PLAIN}new"


@pytest.mark.real
async def test_mysql_and_many_logins_at_a_time(database: MariaDb, tmp_path: Path) -> None:
    async with site(tmp_path, mysql(database)) as one, trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(one.upgraded, LOGIN, PASSWORD)
    assert one.upgrades.counts["written"] == 1


async def _failing(one: Site, detail: str) -> None:
    for _ in range(3):
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
    (line,) = one.told("upgrade-failed")
    assert detail in line
    assert one.told("backend-down") == []
    assert one.upgrades.counts == {"failed": 1}
    text = "\n".join(one.lines)
    assert PASSWORD not in text
    assert "$" not in text


@pytest.mark.real
async def test_mysql_that_is_read_only(database: MariaDb, tmp_path: Path) -> None:
    database.sql("SET GLOBAL read_only = ON")
    async with site(tmp_path, mysql(database)) as one:
        await _failing(one, "--read-only")
    assert stored(database) == MD5


@pytest.mark.real
async def test_mysql_without_the_right_to_write(database: MariaDb, tmp_path: Path) -> None:
    database.sql("REVOKE UPDATE ON upgrades.users FROM upgrader@'%'")
    async with site(tmp_path, mysql(database)) as one:
        await _failing(one, "UPDATE command denied")


@pytest.mark.real
async def test_mysql_statement_with_a_fault_shows_no_secret(database: MariaDb, tmp_path: Path) -> None:
    async with site(tmp_path, mysql(database, query=QUERY, update=UPDATE + " UND 1")) as one:
        await _failing(one, "the update fails: ProgrammingError 1064")


@pytest.mark.real
async def test_mysql_that_would_cut_the_secret(database: MariaDb, tmp_path: Path) -> None:
    laid_out(database, size=40)
    database.sql("SET GLOBAL sql_mode = ''")
    async with site(tmp_path, mysql(database)) as one:
        await _failing(one, "Data too long for column 'pw'")
    assert stored(database) == MD5


@pytest.mark.real
async def test_mysql_that_is_gone_when_it_is_written(database: MariaDb, tmp_path: Path) -> None:
    async with site(tmp_path, mysql(database)) as one:
        assert await one.login(LOGIN, PASSWORD) == "accept"
        await trio.to_thread.run_sync(database.stop)
        await one.upgrades.finished()
        assert len(one.told("upgrade-failed")) == 1
        assert one.told("backend-down") == []


# --- the daemon


@pytest.fixture
def place(users: Path) -> Iterator[Path]:
    """A folder for the daemon, with joe's file in it."""
    with folder() as path:
        (path / "users.db").write_bytes(users.read_bytes())
        yield path


def daemon(place: Path, upgrade: str = '"ARGON2ID"') -> Path:
    section = f'[backend.local]\ntype = "sqlite"\npath = "users.db"\nupgrade = {upgrade}\n'
    return configured(place, section, "min_seconds = 0")


def test_the_daemon(place: Path) -> None:
    with serving(daemon(place, '["ARGON2ID", "SCRAM-SHA-256"]')) as running:
        assert ask(place, LOGIN, PASSWORD + "x") == "reject"
        assert ask(place, LOGIN, PASSWORD) == "accept"
        assert secrets(place / "users.db") == [MD5]  # the answer does not wait for it
        line = running.wait_for("upgraded", 5)
        assert schemes(*secrets(place / "users.db")) == ["ARGON2ID", "SCRAM-SHA-256"]
        assert "old=MD5-CRYPT new=ARGON2ID,SCRAM-SHA-256" in line
        assert ask(place, LOGIN, PASSWORD) == "accept"
        assert ask(place, LOGIN, PASSWORD + "x") == "reject"
        time.sleep(0.3)
        assert len(running.lines("upgraded")) == 1
        status = json.loads(run("status", "--json", "--config", str(place / "saslpy.toml")).stdout)
        assert status["upgrades"] == {"written": 1, "changed": 0, "failed": 0, "dropped": 0}
        shown = run("status", "--config", str(place / "saslpy.toml")).stdout
        assert re.search(r"^hashes upgraded +1$", shown, re.MULTILINE), shown
        assert PASSWORD not in running.log.read_text()


def test_a_command_that_asks_changes_nothing(place: Path) -> None:
    asked = run("test", LOGIN, "--password-stdin", "--config", str(daemon(place)), password=PASSWORD)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert secrets(place / "users.db") == [MD5]


def test_the_daemon_ends_what_it_has_begun(place: Path) -> None:
    with serving(daemon(place)):
        assert ask(place, LOGIN, PASSWORD) == "accept"
    assert schemes(*secrets(place / "users.db")) == ["ARGON2ID"]


def test_the_daemon_does_not_wait_for_a_store_that_hangs(place: Path) -> None:
    text = daemon(place).read_text().replace("[daemon]", "[daemon]\ndrain_seconds = 1.0")
    (place / "saslpy.toml").write_text(
        text.replace('type = "sqlite"', 'type = "sqlite"\nbusy_timeout = 30\ntimeout = 20')
    )
    with closing(sqlite3.connect(place / "users.db")) as writer:
        with serving(place / "saslpy.toml") as running:
            assert ask(place, LOGIN, PASSWORD) == "accept"
            writer.execute("UPDATE users SET name = 'somebody else writes'")
            time.sleep(0.3)
            began = time.monotonic()
        assert 0.9 < time.monotonic() - began < 3.5
    assert secrets(place / "users.db") == [MD5]
    assert running.lines("drain-cut-short") == []
