"""Lookups and changes in the SQLite file. Every method may be called from several threads at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saslpy.backend import NoSuchUser, UserExists
from saslpy.model import Account, Login

from .schema import SchemaError, migrate, version_of

_COLUMNS = "id, login, uid, gid, home, maildir, quota, name, options, allow_nets, disabled"
_EXPIRED = "(expires IS NOT NULL AND expires <= datetime('now'))"
_USER = f"SELECT {_COLUMNS}, {_EXPIRED} FROM users"
_BY_LOGIN = f"{_USER} WHERE login = ?"
_BY_ALIAS = f"{_USER} WHERE id = (SELECT user FROM aliases WHERE alias = ?)"


class SqliteStore:
    """The users of one file. Connections are one per thread, opened at the first use."""

    def __init__(self, path: Path, busy_timeout: float = 2.0) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def lookup(self, login: Login) -> Account | None:
        """The account of a login or of an alias."""
        return self._found(self._connection(), login.name)

    def lookup_many(self, logins: Sequence[Login]) -> list[Account | None]:
        """One lookup after the other: to SQLite a question costs microseconds."""
        connection = self._connection()
        return [self._found(connection, login.name) for login in logins]

    def sample(self) -> str | None:
        """The newest secret."""
        row = self._connection().execute("SELECT secret FROM secrets ORDER BY rowid DESC LIMIT 1").fetchone()
        return row[0] if row else None

    def probe(self) -> str:
        """The file and its number of users."""
        connection = self._connection()
        count = connection.execute("SELECT count(*) FROM users").fetchone()[0]
        return f"{self._path}: {count} user{'' if count == 1 else 's'}, schema version {version_of(connection)}"

    def accounts(self) -> Iterable[Account]:
        """All accounts, by name."""
        connection = self._connection()
        return [_account(connection, row) for row in connection.execute(f"{_USER} ORDER BY login").fetchall()]

    def add(self, login: str, secrets: Sequence[str]) -> None:
        """A new user. Makes the file when there is none. Raises ``UserExists``."""
        with self._writing(create=True) as connection:
            if self._found(connection, login) is not None:
                raise UserExists(login)
            cursor = connection.execute("INSERT INTO users (login) VALUES (?)", (login,))
            _put_secrets(connection, cursor.lastrowid, secrets)

    def delete(self, login: str) -> None:
        """The user is gone. Raises ``NoSuchUser``."""
        with self._writing() as connection:
            if connection.execute("DELETE FROM users WHERE login = ?", (login,)).rowcount == 0:
                raise NoSuchUser(login)

    def set_secrets(self, login: str, secrets: Sequence[str]) -> None:
        """New secrets in the place of all old ones. Raises ``NoSuchUser``."""
        with self._writing() as connection:
            row = connection.execute("SELECT id FROM users WHERE login = ?", (login,)).fetchone()
            if row is None:
                raise NoSuchUser(login)
            connection.execute("DELETE FROM secrets WHERE user = ?", row)
            _put_secrets(connection, row[0], secrets)
            connection.execute("UPDATE users SET changed = CURRENT_TIMESTAMP WHERE id = ?", row)

    def create(self) -> None:
        """An empty store, if there is none."""
        with self._writing(create=True):
            return

    def _found(self, connection: sqlite3.Connection, name: str) -> Account | None:
        row = connection.execute(_BY_LOGIN, (name,)).fetchone() or connection.execute(_BY_ALIAS, (name,)).fetchone()
        return _account(connection, row) if row else None

    def _connection(self, create: bool = False) -> sqlite3.Connection:
        """This thread's connection, opened anew when another file has taken the place (a restored backup)."""
        known: tuple[sqlite3.Connection, tuple[int, int]] | None = getattr(self._local, "known", None)
        if known is not None and known[1] == self._identity():
            return known[0]
        connection = self._open(create)
        self._local.known = (connection, self._identity())
        with self._lock:
            self._all.append(connection)
        return connection

    def _identity(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_dev, found.st_ino)

    def _open(self, create: bool) -> sqlite3.Connection:
        """A connection to a file that is ours and up to date. A missing file is an error unless it may be created."""
        if create:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        elif not self._path.exists():
            raise FileNotFoundError(f"{self._path}: there is no such file; `saslpy user add` makes it")
        uri = f"{self._path.absolute().as_uri()}?mode=rw"  # a file that vanishes here is not made anew, and empty
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA journal_mode = WAL")  # readers go on while somebody writes
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise SchemaError(f"{self._path}: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _writing(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        connection = self._connection(create)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _put_secrets(connection: sqlite3.Connection, user: int | None, secrets: Sequence[str]) -> None:
    connection.executemany("INSERT INTO secrets (user, secret) VALUES (?, ?)", [(user, secret) for secret in secrets])


def _account(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Account:
    user, login, uid, gid, home, maildir, quota, name, options, allow_nets, disabled, expired = row
    secrets = connection.execute("SELECT secret FROM secrets WHERE user = ? ORDER BY rowid", (user,)).fetchall()
    aliases = connection.execute("SELECT alias FROM aliases WHERE user = ? ORDER BY alias", (user,)).fetchall()
    return Account(
        login=login,
        secrets=tuple(secret for (secret,) in secrets),
        uid=uid,
        gid=gid,
        home=home,
        maildir=maildir,
        quota=quota,
        name=name,
        options=pairs(options),
        aliases=tuple(alias for (alias,) in aliases),
        allow_nets=tuple(net.strip() for net in allow_nets.split(",") if net.strip()),
        disabled=bool(disabled),
        expired=bool(expired),
    )


def pairs(text: str) -> dict[str, str]:
    """``a=1,b=2`` as a dictionary."""
    return {
        key.strip(): value.strip() for key, _, value in (item.partition("=") for item in text.split(",")) if key.strip()
    }
