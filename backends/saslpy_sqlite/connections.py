"""Connections to the file that stands at the path now. A few are kept, until another file takes that one's place.

SQLite ties what it writes beside a database (``-wal``, ``-journal``) to the name and not to the file. A backup that is
moved to that name would be given the pages of the file before. So the store is kept in journal mode DELETE: there is
nothing beside it but while somebody writes, and after a writer that was killed in its last instant. What such a one
left is undone by whoever reads next, and refused where it was written for another file: the store holds the inode
number of the file that was written last.

The file is never opened but by SQLite: closing a file descriptor gives up the process's locks on that file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

from .schema import SchemaError, migrate, recognised

KEPT = 4
"""Idle connections that are kept; more than that are not wanted often."""

TRIES = 5
"""Openings of a file that is replaced each time."""

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A connection, and the file that it was opened on. ``lasting``: it may be kept."""

    connection: sqlite3.Connection
    identity: Identity
    lasting: bool

    @property
    def inode(self) -> str:
        """The number of the file; as text, since some file systems use all 64 bits."""
        return str(self.identity[1])


class Connections:
    """Connections for as many threads as come; one is used by one thread at a time."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._idle: list[Link] = []
        self._closed = False

    def close(self) -> None:
        """Close what is idle; what is in use is closed after its use."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        _close(idle)

    @contextmanager
    def one(self, create: bool = False) -> Iterator[Link]:
        """A connection to a store of ours. A missing or empty file is an error, unless it may be made a store."""
        link = self._kept() or self._new(create)
        try:
            yield link
        except BaseException:
            link.connection.close()  # and so roll back what was begun
            raise
        self._give_back(link)

    def _kept(self) -> Link | None:
        identity = _identity(self._path)
        with self._lock:
            fit = [link for link in self._idle if link.identity == identity]
            unfit = [link for link in self._idle if link.identity != identity]
            link = fit.pop() if fit else None
            self._idle = fit
        _close(unfit)
        return link

    def _give_back(self, link: Link) -> None:
        with self._lock:
            keep = link.lasting and not self._closed and len(self._idle) < KEPT
            if keep:
                self._idle.append(link)
        if not keep:
            link.connection.close()

    def _new(self, create: bool) -> Link:
        if create:
            _make(self._path)
        try:
            for _ in range(TRIES):
                link = self._opened(create)
                if link is not None:
                    return link
        except (sqlite3.DatabaseError, SchemaError) as error:
            raise SchemaError(f"{self._path}: {error}") from None
        raise SchemaError(f"{self._path}: is replaced again and again")

    def _opened(self, create: bool) -> Link | None:
        """A connection, None when the file was replaced meanwhile. Nothing is written before the file is known as ours."""
        identity = _identity(self._path)
        if identity is None:
            raise FileNotFoundError(f"{self._path}: there is no such file; `saslpy user add` makes it")
        _refuse_empty(self._look(identity), create)
        connection = self._connect("rw")  # a file that vanishes here is not made anew, and empty
        try:
            if _identity(self._path) != identity:
                connection.close()
                return None
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = EXTRA")  # a change that was told as done survives a power failure
            link = Link(connection, identity, _without_wal(connection))
            _refuse_empty(recognised(connection), create)  # again: what a killed writer began is undone by now
            migrate(connection, link.inode)
        except BaseException:
            connection.close()
            raise
        return link

    def _connect(self, mode: str) -> sqlite3.Connection:
        # not as_uri(): from Python 3.13 on it loads a module, and we may not read any more by now
        uri = f"file://{quote_from_bytes(os.fsencode(self._path.absolute()))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False)

    def _look(self, identity: Identity) -> int:
        """The version of the store. Raises ``SchemaError`` for a file that must be left alone."""
        with closing(self._connect("ro")) as connection:
            try:
                return recognised(connection)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                    raise
        self._check_journal(identity)
        return 1

    def _check_journal(self, identity: Identity) -> None:
        """A writer was killed, and the next connection would undo what it began: that must have been in this file."""
        with closing(self._connect("ro&immutable=1")) as connection:  # as if there were no journal
            try:
                if recognised(connection) == 0:
                    return
                row = connection.execute("SELECT inode FROM written").fetchone()
            except sqlite3.DatabaseError:
                return  # half-written, so the journal is its own; or from before version 3, which says no more
        if row is not None and row[0] not in ("", str(identity[1])):
            raise SchemaError(
                f"{self._path.name}-journal is of a write that was cut short, and in another file: if {self._path.name} "
                f"is a backup put in that one's place, remove the journal; if both were moved here, let the sqlite3 "
                f"program open {self._path.name} once"
            )


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def _refuse_empty(version: int, create: bool) -> None:
    if version == 0 and not create:
        raise SchemaError(
            "is empty, and no store of users; put a backup in its place, or `saslpy user add` makes it one"
        )


def _make(path: Path) -> None:
    """An empty file for its owner alone, unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def _without_wal(connection: sqlite3.Connection) -> bool:
    """Whether the file is in journal mode DELETE. One of an earlier saslpy gets there once nobody else uses it."""
    try:
        mode: str = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY):
            raise
        return False
    return mode == "delete"


def _close(links: list[Link]) -> None:
    for link in links:
        link.connection.close()
