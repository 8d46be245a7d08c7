"""All users: the rows are read as they are wanted, so that a hundred thousand of them need no memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymysql.cursors import SSCursor

from saslpy.model import Account

from .connect import Connection, Values, ask, column_names
from .rows import BadRow, Row, account_of, canonical

PATIENCE = 30.0
"""Seconds without a word from the server: it may have to read everything before the first row."""

CHUNK = 100


def accounts(connection: Connection, sql: str, base: str, fields: Sequence[str] = ()) -> Iterator[Account]:
    """The accounts in the rows of a query. Raises ``BadRow``, which names the user, and the driver's errors.

    ``fields`` are what the columns mean; without them their names say it, and the query is sent as it is.
    """
    for names, row in _rows(connection, sql, () if fields else None):
        yield _account(dict(zip(fields or names, row, strict=True)), base)


def check_query(connection: Connection, sql: str) -> None:
    """Whether a server takes such a query, and its columns make accounts. Raises ``BadRow`` and the driver's errors."""
    # the newline: a comment at the end must not swallow the bracket
    bare = sql.rstrip("; \t\r\n")
    _check_names(ask(connection, f"SELECT q.* FROM ({bare}\n) q LIMIT 0", None)[0])


def _rows(connection: Connection, sql: str, args: Values | None) -> Iterator[tuple[list[str], Values]]:
    cursor = connection.cursor(SSCursor)
    try:
        cursor.execute(sql, args)
        names = column_names(cursor)
        if args is None:
            _check_names(names)
        while rows := cursor.fetchmany(CHUNK):
            for row in rows:
                yield names, row
    finally:
        # nobody wants the rest, and the cursor would read all of it at its end
        if (result := cursor._result) is not None:  # type: ignore[attr-defined]
            result.unbuffered_active = False


def _check_names(names: Sequence[str]) -> None:
    if names.count("username") != 1:
        raise BadRow("list_query returns no column username, or two of them; name it so with AS")


def _account(row: Row, base: str) -> Account:
    name = canonical(row)
    if not name:
        raise BadRow("list_query returns a row without username")
    try:
        return account_of(row, name, base)
    except BadRow as fault:
        raise BadRow(f"the row of {name[:80]!r}: {fault}") from None
