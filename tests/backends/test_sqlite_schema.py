"""The SQLite store and what it finds in the file: another's database, an older store, a date that is none."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from saslpy.model import Account, Login
from saslpy_sqlite.schema import MARK, MIGRATIONS, SchemaError, migrate, version_of
from saslpy_sqlite.store import SqliteStore, UnreadableDate

from .test_sqlite import JOE, files, password, raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


FOREIGN = {
    "plain": ("CREATE TABLE precious (x)",),
    "versioned": ("CREATE TABLE precious (x)", "PRAGMA user_version = 1"),
    "of our version": ("CREATE TABLE precious (x)", f"PRAGMA user_version = {len(MIGRATIONS)}"),
    "with our names": ("CREATE TABLE users (login)", "CREATE TABLE secrets (x)", "PRAGMA user_version = 2"),
    "marked": ("PRAGMA application_id = 5", "VACUUM"),
    "wal": ("PRAGMA journal_mode = WAL", "CREATE TABLE precious (x)", "PRAGMA user_version = 2"),
}


@pytest.mark.parametrize("kind", list(FOREIGN))
@pytest.mark.parametrize("action", ["probe", "create"])
def test_a_foreign_database_is_not_touched(path: Path, store: SqliteStore, kind: str, action: str) -> None:
    raw(path, *FOREIGN[kind])
    before, changed = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(SchemaError, match=r"users\.db: the file is a SQLite database, but not one of saslpy's"):
        getattr(store, action)()
    store.close()
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == changed


def test_a_foreign_wal_is_not_touched(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("PRAGMA journal_mode = WAL")
        owner.execute("CREATE TABLE precious (x)")
        wal = path.parent / "users.db-wal"
        before = path.read_bytes(), wal.read_bytes()
        with pytest.raises(SchemaError, match="not one of saslpy's"):
            store.probe()
        assert (path.read_bytes(), wal.read_bytes()) == before


def test_garbage_is_refused_by_name(path: Path, store: SqliteStore) -> None:
    path.write_bytes(b"not a database at all " * 100)
    for action in (store.probe, store.create):
        with pytest.raises(SchemaError, match=r"users\.db: file is not a database"):
            action()
    assert path.read_bytes() == b"not a database at all " * 100


@pytest.mark.parametrize("steps", range(1, len(MIGRATIONS)))
def test_an_older_store_is_migrated_and_a_newer_one_refused(path: Path, store: SqliteStore, steps: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, migrations=MIGRATIONS[:steps])
        connection.execute("INSERT INTO users (login) VALUES ('joe')")
        assert version_of(connection) == steps
    assert [account.login for account in store.accounts()] == ["joe"]
    assert raw(path, "PRAGMA application_id") == [(MARK,)]
    assert raw(path, "SELECT inode FROM written") == [(str(path.stat().st_ino),)]
    assert raw(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
    newer = SqliteStore(path)
    with pytest.raises(SchemaError, match="upgrade saslpy"):
        newer.probe()
    newer.close()


def test_a_store_from_before_loses_its_wal_once_nobody_else_uses_it(path: Path, store: SqliteStore) -> None:
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    migrate(old, migrations=MIGRATIONS[:2])
    old.execute("INSERT INTO users (login) VALUES ('joe@example.org')")
    old.execute("INSERT INTO secrets VALUES (1, '{PLAIN}right')")
    # the daemon of the old version still runs, and what it wrote is in its -wal alone
    assert password(store) == "{PLAIN}right"
    assert old.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    old.execute("UPDATE secrets SET secret = '{PLAIN}newer'")
    old.close()
    assert password(store) == "{PLAIN}newer"
    assert files(path) == {"users.db"}
    assert path.read_bytes()[18:20] == b"\1\1"
    assert raw(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_wal_of_a_daemon_that_was_killed_is_taken_in(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, migrations=MIGRATIONS[:2])
    writer = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA journal_mode = WAL')\n"
        "c.execute(\"INSERT INTO users (login) VALUES ('joe@example.org')\")\n"
        "c.execute(\"INSERT INTO secrets VALUES (1, '{PLAIN}right')\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", writer, str(path)], check=False, timeout=30)
    assert "users.db-wal" in files(path)
    assert password(store) == "{PLAIN}right"
    assert files(path) == {"users.db"}


@pytest.mark.parametrize(
    ("date", "expired"),
    [
        ("2020-12-31", True),
        ("2999-12-31", False),
        ("2020-12-31 12:00", True),
        ("2020-12-31T12:00:00", True),
        ("2999-12-31 12:00:00", False),
    ],
)
def test_dates(path: Path, store: SqliteStore, date: str, expired: bool) -> None:
    store.add(JOE.name, ["{PLAIN}right"])
    raw(path, f"UPDATE users SET expires = '{date}'")
    account = store.lookup(JOE)
    assert account is not None
    assert account.expired is expired


BAD_DATES = ["31/12/2020", "2027-02-31", "2027-13-01", "now", "", "tomorrow", "2459215", "2027-01-31 25:00", "2027-1-1"]
BAD_DATES += ["2027-01-31 12:00:00+02:00", "2027-01-31 "]


@pytest.mark.parametrize("date", BAD_DATES)
def test_a_date_that_nobody_can_read_is_never_in_the_future(path: Path, store: SqliteStore, date: str) -> None:
    store.add(JOE.name, ["{PLAIN}right"])
    store.add("ann", ["{PLAIN}right"])
    for statement in (
        f"UPDATE users SET expires = '{date}' WHERE login LIKE 'joe%'",
        f"INSERT INTO users (login, expires) VALUES ('new', '{date}')",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="expires: expected a date"):
            raw(path, statement)
    # one that was written before anybody looked
    raw(path, "DROP TRIGGER expires_of_changed", f"UPDATE users SET expires = '{date}' WHERE login LIKE 'joe%'")
    with pytest.raises(UnreadableDate, match=r"the user 'joe@example.org' expires '.*'; expected a date"):
        store.lookup(JOE)
    broken, sound = store.lookup_many([JOE, Login.of("ann")])
    assert isinstance(broken, UnreadableDate)
    assert isinstance(sound, Account)
    assert not sound.expired
