"""The tables, and how an older file becomes a newer one.

``PRAGMA user_version`` counts the steps that a file has seen. A step is never changed once released; a new one is added.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

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
)


class SchemaError(RuntimeError):
    """The file is not ours, or was made by a newer saslpy."""


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring a file to the newest version, all steps or none. Safe against a second process that does the same."""
    if version_of(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)
        _refuse_foreign(connection, version, len(migrations))
        for step in migrations[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The number of steps that the file has seen."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _refuse_foreign(connection: sqlite3.Connection, version: int, newest: int) -> None:
    if version > newest:
        raise SchemaError(f"the store has version {version}, this saslpy knows {newest}; upgrade saslpy")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise SchemaError("the file is a SQLite database, but not one of saslpy's")


def _statements(script: str) -> list[str]:
    """The statements of a step one by one: ``executescript`` would commit the transaction that protects them."""
    lines = [line.partition("--")[0] for line in script.splitlines()]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]
