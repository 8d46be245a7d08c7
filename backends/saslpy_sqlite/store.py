"""Lookups and changes in the SQLite file. Every method may be called from several threads at a time."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saslpy.backend import BadRecord, NoSuchUser, UserExists
from saslpy.model import Account, Login
from saslpy.texts import listed, pairs, quota

from .connections import Connections
from .schema import version_of

_ID = "coalesce((SELECT id FROM users WHERE login = {0}), (SELECT user FROM aliases WHERE alias = {0}))"
_USER = """json_array(
    u.login, u.uid, u.gid, u.home, u.maildir, u.quota, u.name, u.options, u.allow_nets, u.disabled, u.expires,
    json((SELECT json_group_array(secret) FROM (SELECT secret FROM secrets WHERE user = u.id ORDER BY rowid))),
    json((SELECT json_group_array(alias) FROM (SELECT alias FROM aliases WHERE user = u.id ORDER BY alias)))
)"""
_FIND = f"""
    SELECT json_group_array(json_array(asked.key, {_USER}))
    FROM json_each(?) AS asked JOIN users AS u ON u.id = {_ID.format("asked.value")}
"""
"""All that was asked for as one value. Python gives up the GIL at each step of a statement, and with 64 logins under way
it takes longer to get it back than SQLite needs for the answer."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?", re.ASCII)


class UnreadableDate(BadRecord):
    """What stands in ``expires`` is no date, so nobody can say whether the account has expired."""


class SqliteStore:
    """The users of one file. It is opened at the first use."""

    def __init__(self, path: Path, busy_timeout: float = 2.0) -> None:
        self._path = path
        self._connections = Connections(path, busy_timeout)

    def close(self) -> None:
        """Close the connections; those in use, after their use."""
        self._connections.close()

    def lookup(self, login: Login) -> Account | None:
        """The account of a login or of an alias."""
        (answer,) = self.lookup_many([login])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def lookup_many(self, logins: Sequence[Login]) -> list[Account | Exception | None]:
        """All in one question; a date that cannot be read is its own login's fault."""
        names = json.dumps([login.name for login in logins])
        with self._connections.one() as link:
            (found,) = link.connection.execute(_FIND, (names,)).fetchone()
        users = dict(json.loads(found))
        return [_answer(users.get(number)) for number in range(len(logins))]

    def sample(self) -> str | None:
        """The newest secret."""
        with self._reading() as connection:
            row = connection.execute("SELECT secret FROM secrets ORDER BY rowid DESC LIMIT 1").fetchone()
        return row[0] if row else None

    def probe(self) -> str:
        """The file and its number of users."""
        with self._reading() as connection:
            count = connection.execute("SELECT count(*) FROM users").fetchone()[0]
            version = version_of(connection)
        return f"{self._path}: {count} user{'' if count == 1 else 's'}, schema version {version}"

    def accounts(self) -> Iterable[Account]:
        """All accounts, by name."""
        with self._connections.one() as link:
            rows = link.connection.execute(f"SELECT {_USER} FROM users AS u ORDER BY u.login").fetchall()
        return [_account(json.loads(user)) for (user,) in rows]

    def add(self, login: str, secrets: Sequence[str]) -> None:
        """A new user. Makes the file when there is none. Raises ``UserExists``."""
        with self._writing(create=True) as connection:
            if _id(connection, login) is not None:
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

    def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        """Better secrets in the place of these, if all of them are still there; ``changed`` stays, the password has."""
        with self._writing() as connection:
            user = _id(connection, login.name)
            if user is None:
                return False
            stored = connection.execute("SELECT secret, rowid FROM secrets WHERE user = ?", (user,)).fetchall()
            rows = dict(stored)
            if not old or not set(old) <= set(rows):
                return False
            connection.executemany("DELETE FROM secrets WHERE rowid = ?", [(rows[secret],) for secret in set(old)])
            _put_secrets(connection, user, new)
            return True

    def create(self) -> None:
        """An empty store, if there is none."""
        with self._writing(create=True):
            return

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the file for all questions of the block."""
        with self._connections.one() as link:
            link.connection.execute("BEGIN")
            yield link.connection
            link.connection.execute("COMMIT")

    @contextmanager
    def _writing(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        with self._connections.one(create) as link:
            connection = link.connection
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT inode FROM written").fetchone() != (link.inode,):
                # a copy that is written for the first time: a journal beside it is to be known as its own
                connection.execute("UPDATE written SET inode = ?", (link.inode,))
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")


def _id(connection: sqlite3.Connection, name: str) -> int | None:
    """The user with this login or alias."""
    found: int | None = connection.execute(f"SELECT {_ID.format('?1')}", (name,)).fetchone()[0]
    return found


def _answer(user: list[Any] | None) -> Account | Exception | None:
    try:
        return None if user is None else _account(user)
    except UnreadableDate as error:
        return error  # of this one login; the others are not harmed


def _put_secrets(connection: sqlite3.Connection, user: int | None, secrets: Sequence[str]) -> None:
    connection.executemany("INSERT INTO secrets (user, secret) VALUES (?, ?)", [(user, secret) for secret in secrets])


def _account(user: list[Any]) -> Account:
    """From the values of ``_USER``."""
    login, uid, gid, home, maildir, room, name, options, allow_nets, disabled, expires, secrets, aliases = user
    return Account(
        login=login,
        secrets=tuple(secrets),
        uid=uid,
        gid=gid,
        home=home,
        maildir=maildir,
        quota=quota(room) if room else None,
        name=name,
        options=pairs(options),
        aliases=tuple(aliases),
        allow_nets=listed(allow_nets),
        disabled=bool(disabled),
        expired=_expired(login, expires),
    )


def _expired(login: str, expires: str | None) -> bool:
    if expires is None:
        return False
    if _DATE.fullmatch(expires):
        with suppress(ValueError):
            return datetime.fromisoformat(expires).replace(tzinfo=UTC) <= datetime.now(UTC)
    raise UnreadableDate(
        f"the user {login!r} expires {expires[:40]!r}; expected a date in UTC such as 2027-01-31 or 2027-01-31 12:00:00"
    )
