"""The tables, how an older file becomes a newer one, and how a file of ours is told from somebody else's.

``PRAGMA user_version`` counts the steps that a file has seen. A step is never changed once released; a new one is added.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

MARK = 0x7361736C
"""``PRAGMA application_id`` of a store, from version 3 on: "sasl" in ASCII."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE users (
        id          INTEGER PRIMARY KEY,
        login       TEXT NOT NULL UNIQUE COLLATE NOCASE,
        disabled    INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
        expires     TEXT,                           -- UTC, "2027-01-31" or "2027-01-31 12:00:00"; NULL: never
        uid         INTEGER,
        gid         INTEGER,
        home        TEXT,
        maildir     TEXT,
        quota       TEXT,
        name        TEXT,
        options     TEXT NOT NULL DEFAULT '',       -- k=v,k=v
        allow_nets  TEXT NOT NULL DEFAULT '',       -- 192.0.2.0/24,2001:db8::/32
        created     TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        changed     TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) STRICT;
    CREATE TABLE secrets (
        user        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        secret      TEXT NOT NULL                   -- {SCHEME}data
    ) STRICT;
    CREATE INDEX secrets_by_user ON secrets (user);
    """,
    """
    CREATE TABLE aliases (
        alias       TEXT PRIMARY KEY COLLATE NOCASE,
        user        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX aliases_by_user ON aliases (user);
    """,
    # whoever sets a date with sqlite3 hears of a mistake at once; dates from before are looked at when they are read
    f"""
    PRAGMA application_id = {MARK};
    CREATE TABLE written (
        inode       TEXT NOT NULL                   -- of the file that was written last: a copy has another
    ) STRICT;
    INSERT INTO written VALUES ('');
    CREATE TRIGGER expires_of_new BEFORE INSERT ON users
        WHEN date(NEW.expires, '+0 days') IS NOT substr(NEW.expires, 1, 10) OR length(NEW.expires) NOT IN (10, 16, 19)
        BEGIN SELECT RAISE(ABORT, 'expires: expected a date in UTC such as 2027-01-31 or 2027-01-31 12:00:00'); END;
    CREATE TRIGGER expires_of_changed BEFORE UPDATE OF expires ON users
        WHEN date(NEW.expires, '+0 days') IS NOT substr(NEW.expires, 1, 10) OR length(NEW.expires) NOT IN (10, 16, 19)
        BEGIN SELECT RAISE(ABORT, 'expires: expected a date in UTC such as 2027-01-31 or 2027-01-31 12:00:00'); END;
    """,
)
MARKED_FROM = 3
"""The first version whose files carry the mark."""

COLUMNS = {"login", "disabled", "expires", "options", "allow_nets", "changed"}
"""Columns of ``users`` by which a store from before the mark is known."""


class SchemaError(RuntimeError):
    """The file is no store, or was made by a newer saslpy."""


def recognised(connection: sqlite3.Connection) -> int:
    """The version of a store of ours, 0 for a database with nothing in it. Reads only.

    Raises ``SchemaError`` for somebody else's database, and for a store of a newer saslpy.
    """
    version, mark = version_of(connection), _pragma(connection, "application_id")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if version == mark == 0 and not tables:
        return 0
    if version >= MARKED_FROM:
        ours = mark == MARK
    else:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(users)")}
        ours = version > 0 == mark and "secrets" in tables and columns >= COLUMNS
    if not ours:
        raise SchemaError("the file is a SQLite database, but not one of saslpy's")
    if version > len(MIGRATIONS):
        raise SchemaError(f"the store has version {version}, this saslpy knows {len(MIGRATIONS)}; upgrade saslpy")
    return version


def migrate(connection: sqlite3.Connection, inode: str = "", migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring a file to the newest version, all steps or none. Safe against a second process that does the same."""
    if version_of(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = recognised(connection)
        for step in migrations[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        if len(migrations) >= MARKED_FROM:
            connection.execute("UPDATE written SET inode = ?", (inode,))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The number of steps that the file has seen."""
    return _pragma(connection, "user_version")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _statements(script: str) -> Iterator[str]:
    """The statements of a step one by one: ``executescript`` would commit the transaction that protects them."""
    statement = ""
    for line in script.splitlines():
        statement += line.partition("--")[0] + "\n"
        if statement.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
