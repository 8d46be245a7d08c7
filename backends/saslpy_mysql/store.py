"""Lookups. Every method blocks, and may be called from several threads at a time.

MySQL finds more than was asked: with the usual collations ``USER5@EXAMPLE.ORG`` is ``user5@example.org``, ``jose`` is
``josé``, and trailing blanks do not count. The account's name is therefore the row's; and a row of a table whose name
differs by more than the case of ASCII is not the login's (``rows.same_as``), since callers that hear no more than yes would
know two users where there is one. What a query of the administrator's finds is what it was written to find.

A batch is mapped back by equal names alone; a login that is left over, but may mean one of the rows, is asked for singly,
so that the server decides.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol

from pymysql import err

from saslpy.model import Account, Login

from . import listing
from .addresses import asker_of
from .connect import Access, Connection, ask, is_lost, is_timeout, tls_context
from .pool import Limits, Link, Pool
from .queries import COUNT_MOST, PRESETS, Layout, Preset, columns_query, table_layout
from .rows import BadRow, Row, account_of, canonical, same_as, text

if TYPE_CHECKING:
    from . import Config

P = ParamSpec("P")

LEFT_FOR_CONNECTING = 0.8
"""Seconds above the query timeout that may pass until there is a connection: the core's own limit is 3 s."""

NOBODY = Login.of("saslpy-check@invalid")

MAIL_BASE = "/var/vmail"
"""Where relative directories of the presets are, if nobody says more."""

NUMBER = "saslpy_number"
"""The column that tells a batch's rows apart."""


class Source(Protocol):
    """What is asked: the tables of a layout, or the administrator's query."""

    def prepare(self, connection: Connection) -> Any:
        """What is to be found out once for each connection; the other methods get it back."""

    def one(self, connection: Connection, prepared: Any, login: Login, /) -> Account | None:
        """The account of one login."""

    def many(
        self, connection: Connection, prepared: Any, logins: Sequence[Login], /
    ) -> list[Account | Exception | None]:
        """One answer for each login."""

    def all(self, connection: Connection, prepared: Any, /) -> Iterator[Account]:
        """All accounts, read as they are asked for."""

    def sample(self, connection: Connection, prepared: Any, /) -> str | None:
        """Any stored password."""

    def told(self, connection: Connection, prepared: Any, /) -> str:
        """What ``saslpy check`` says about the data."""


class MysqlStore:
    """The users of one database. It has ``accounts`` and ``may_send`` where the configuration says how."""

    def __init__(self, config: Config) -> None:
        servers = config.servers()
        context = tls_context(config.ca_pem) if any(server.tls for server in servers) else None
        self._access = Access(config.user, config.password, config.database, config.query_timeout, context)
        self._source = source_of(config)
        self._asker = asker_of(config)
        if config.list_query or not config.query:
            self.accounts = self._accounts
        if self._asker is not None:
            self.may_send = self._may_send
        self._pool = Pool(
            servers,
            self._access.connect,
            self._source.prepare,
            Limits(size=config.pool_size, patience=config.query_timeout + LEFT_FOR_CONNECTING),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def lookup(self, login: Login) -> Account | None:
        """The account, None where the database has no such user. Raises ``BadRow``, the pool's and the driver's errors."""
        return self._pool.run(lambda connection, prepared: self._source.one(connection, prepared, login))

    def lookup_many(self, logins: Sequence[Login]) -> list[Account | Exception | None]:
        """One answer for each login, in one question as far as that is possible; a bad row is its own login's fault."""
        return self._pool.run(lambda connection, prepared: self._source.many(connection, prepared, logins))

    def _accounts(self) -> Iterator[Account]:
        """All accounts, read row by row on a connection of its own. Raises as ``lookup``."""
        # the server may have to sort first, or the reader rests
        patient = replace(self._access, timeout=max(listing.PATIENCE, self._access.timeout))
        with self._pool.aside(patient.connect) as link:
            yield from self._source.all(link.connection, link.prepared)

    def _may_send(self, account: Account, address: str) -> bool:
        """Whether the database lets an account send as an address. Raises as ``lookup``."""
        asker = self._asker
        assert asker is not None
        return self._pool.run(lambda connection, _: asker(connection, account, address))

    def sample(self) -> str | None:
        """Any stored password; None for a query, which needs a login."""
        return self._pool.run(self._source.sample)

    def probe(self) -> str:
        """The server, and what it holds."""
        return self._pool.run_on(self._probe)

    def _probe(self, link: Link[Any]) -> str:
        version = _version(ask(link.connection, "SELECT VERSION()")[1][0][0])
        tls = " (TLS)" if link.server.tls else ""
        if self._asker is not None:
            self._asker(link.connection, Account(NOBODY.name), NOBODY.name)
        return f"{version} at {link.server}{tls}, {self._source.told(link.connection, link.prepared)}"


def source_of(config: Config) -> Source:
    """What a configuration asks."""
    if config.query:
        return OwnQuery(config.query, config.list_query, config.mail_base)
    if config.schema:
        return Tables(PRESETS[config.schema], config.mail_base or MAIL_BASE)
    return Tables(table_layout(config.table, config.columns, config.where), config.mail_base)


def _version(text: str) -> str:
    """ "MariaDB 10.11.19" from "10.11.19-MariaDB-0+deb12u1"."""
    number = re.match(r"[0-9.]*", text.removeprefix("5.5.5-"))
    return f"{'MariaDB' if 'mariadb' in text.lower() else 'MySQL'} {number[0] if number else text}"


# --- tables


class Tables:
    """A preset, whose layout the database decides, or a layout that the configuration gave."""

    def __init__(self, kind: Preset | Layout, base: str = "") -> None:
        self._kind = kind
        self._base = base

    def prepare(self, connection: Connection) -> Layout:
        """The layout; for a preset made from the columns that there are."""
        if isinstance(self._kind, Layout):
            return self._kind
        columns: dict[str, set[str]] = defaultdict(set)
        for table, column in ask(connection, columns_query(len(self._kind.tables)), self._kind.tables)[1]:
            columns[table].add(column)
        return self._kind.layout(columns)

    def one(self, connection: Connection, layout: Layout, login: Login) -> Account | None:
        """The row that the server says is the login's; of several, the one that is spelled so."""
        rows = self._rows(connection, layout, layout.one(), [_name(login)])
        return self._account(rows, login)

    def many(self, connection: Connection, layout: Layout, logins: Sequence[Login]) -> list[Account | Exception | None]:
        """All in one question, and those singly whose rows are in doubt."""
        names = list(dict.fromkeys(map(_name, logins)))
        rows = self._rows(connection, layout, layout.many(len(names)), names) if names else []
        found = Found(rows)
        return [
            _or_bad_row(self.one, connection, layout, login)
            if found.doubtful(_name(login))
            else _or_bad_row(self._account, found.by_name.get(_name(login), ()), login)
            for login in logins
        ]

    def all(self, connection: Connection, layout: Layout) -> Iterator[Account]:
        """The accounts of all rows."""
        return listing.accounts(connection, layout.all(), self._base, layout.fields)

    def sample(self, connection: Connection, layout: Layout) -> str | None:
        """The first password that is not empty."""
        rows = ask(connection, layout.sample())[1]
        return text({"password": rows[0][0]}, "password") or None if rows else None

    def told(self, connection: Connection, layout: Layout) -> str:
        """The number of users."""
        count = ask(connection, layout.count())[1][0][0]
        return f"more than {COUNT_MOST} users" if count > COUNT_MOST else f"{count} user{'' if count == 1 else 's'}"

    def _rows(self, connection: Connection, layout: Layout, sql: str, names: Sequence[str]) -> list[Row]:
        _, rows = ask(connection, sql, tuple(names))
        return [dict(zip(layout.fields, row, strict=True)) for row in rows]

    def _account(self, rows: Sequence[Row], login: Login) -> Account | None:
        name = _name(login)
        rows = [row for row in rows if (spelled := canonical(row)) == name or same_as(spelled) == same_as(name)]
        if len(rows) > 1:
            exact = [row for row in rows if canonical(row) == login.name]
            if len(exact) != 1:
                raise BadRow(f"{len(rows)} rows for one login")
            rows = exact
        return account_of(rows[0], login.name, self._base) if rows else None


class Found:
    """The rows of a batch: those of a very name, and which logins may mean one of the others for all that."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.by_name: dict[str, list[Row]] = defaultdict(list)
        self._unreadable = False  # a row whose name cannot be read may be anybody's
        for row in rows:
            try:
                self.by_name[canonical(row)].append(row)
            except BadRow:
                self._unreadable = True

    @cached_property
    def _spellings(self) -> set[tuple[bytes, str]]:
        return {same_as(name) for name in self.by_name}

    def doubtful(self, name: str) -> bool:
        """Whether only the server knows."""
        return name not in self.by_name and (self._unreadable or same_as(name) in self._spellings)


def _or_bad_row(find: Callable[P, Account | None], *args: P.args, **kwargs: P.kwargs) -> Account | BadRow | None:
    """What ``find`` gives, or its ``BadRow`` as an answer: the others of a batch have their own."""
    try:
        return find(*args, **kwargs)
    except BadRow as fault:
        return fault


def _name(login: Login) -> str:
    # text for certain: a number would be compared as a number, and 0 equals nearly every name
    return str(login.name)


# --- the administrator's query


class OwnQuery:
    """A query with parameters by name; what it selects is known by the names of its columns.

    A batch is one UNION of the query with each login's values, its rows numbered by login. Not every query can be in a
    UNION (two columns of one name, collations that do not go together), so that is tried once for each connection; where
    the server refuses it, a batch is a loop. One query at a time costs about five times as much.
    """

    def __init__(self, query: str, list_query: str = "", base: str = "") -> None:
        self._query = query
        self._list_query = list_query
        self._base = base
        # the newline: a comment at the end must not swallow the bracket
        bare = query.rstrip("; \t\r\n")
        self._branch = f" AS {NUMBER}, q.* FROM ({bare}\n) q"

    def prepare(self, connection: Connection) -> bool:
        """Whether the server accepts a UNION of the query."""
        return self._joined(connection, [NOBODY, NOBODY]) is not None

    def one(self, connection: Connection, joins: bool, login: Login) -> Account | None:
        """The account in the only row."""
        names, rows = ask(connection, self._query, _parameters(login))
        _check_names(names)
        return self._account([dict(zip(names, row, strict=True)) for row in rows], login)

    def many(self, connection: Connection, joins: bool, logins: Sequence[Login]) -> list[Account | Exception | None]:
        """Joined where that works, else one after the other."""
        rows = self._joined(connection, logins) if joins and len(logins) > 1 else None
        if rows is None:
            return [_or_bad_row(self.one, connection, joins, login) for login in logins]
        return [_or_bad_row(self._account, found, login) for found, login in zip(rows, logins, strict=True)]

    def all(self, connection: Connection, joins: bool) -> Iterator[Account]:
        """The accounts in the rows of ``list_query``."""
        return listing.accounts(connection, self._list_query, self._base)

    def sample(self, connection: Connection, joins: bool) -> str | None:
        """Nothing: the query needs a login."""
        return None

    def told(self, connection: Connection, joins: bool) -> str:
        """That the query works: it is asked for a user that nobody has."""
        self.one(connection, joins, NOBODY)
        if self._list_query:
            listing.check_query(connection, self._list_query)
        return "the query works"

    def _joined(self, connection: Connection, logins: Sequence[Login]) -> list[list[Row]] | None:
        """The rows of each login, None where the server refuses a UNION of these queries."""
        cursor = connection.cursor()
        branches = (f"SELECT {number}{self._branch}" for number in range(len(logins)))
        sql = " UNION ALL ".join(map(cursor.mogrify, branches, map(_parameters, logins)))
        try:
            names, rows = ask(connection, sql, None)
        except err.DatabaseError as error:
            if not connection.open or is_lost(error) or is_timeout(error):
                raise
            return None
        _check_names(names)
        found: list[list[Row]] = [[] for _ in logins]
        for row in rows:
            found[int(row[0])].append(dict(zip(names[1:], row[1:], strict=True)))
        return found

    def _account(self, rows: Sequence[Row], login: Login) -> Account | None:
        if len(rows) > 1:
            raise BadRow(f"{len(rows)} rows for one login; the query must return one")
        return account_of(rows[0], login.name, self._base) if rows else None


def _parameters(login: Login) -> dict[str, str]:
    return {"login": str(login.name), "local": str(login.local), "domain": str(login.domain)}


def _check_names(names: Sequence[str]) -> None:
    if "password" not in names:
        raise BadRow("the query returns no column password; name it so with AS")
    if twice := [name for name in ("username", "password") if names.count(name) > 1]:
        raise BadRow(f"the query returns two columns {twice[0]}")
