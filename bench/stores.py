"""The same users with the same hashes in every kind of store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from .hashes import Scheme
from .mariadb import Database

ROWS = 1000
"""Of one INSERT."""


def login(pattern: str, number: int) -> str:
    """The login of a user: ``u7@example.org`` of ``u%d@example.org``."""
    return pattern.replace("%d", str(number))


def fill_mysql(database: Database, table: str, pattern: str, users: int, hashes: Sequence[str]) -> None:
    """A table such as courier's documentation has it."""
    database.sql(
        f"CREATE TABLE {table} (id VARCHAR(128) PRIMARY KEY, crypt VARCHAR(128) NOT NULL, name VARCHAR(128) NOT NULL "
        "DEFAULT '', uid INT UNSIGNED NOT NULL, gid INT UNSIGNED NOT NULL, home VARCHAR(255) NOT NULL)"
    )
    rows = (
        f"('{login(pattern, number)}', '{hashes[number % len(hashes)]}', 5000, 5000, '/var/vmail/{number}')"
        for number in range(users)
    )
    for some in _chunks(rows):
        database.sql(f"INSERT INTO {table} (id, crypt, uid, gid, home) VALUES {', '.join(some)}")
    database.sql(f"ANALYZE TABLE {table}")


def fill_sqlite(path: Path, pattern: str, users: int, hashes: Sequence[str], scheme: Scheme) -> None:
    """More users for a store that ``saslpy user add`` has made."""
    with closing(sqlite3.connect(path)) as connection, connection:
        first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM users").fetchone()[0]
        connection.executemany(
            "INSERT INTO users (id, login) VALUES (?, ?)", ((first + n, login(pattern, n)) for n in range(users))
        )
        connection.executemany(
            "INSERT INTO secrets (user, secret) VALUES (?, ?)",
            ((first + n, f"{{{scheme.name}}}{hashes[n % len(hashes)]}") for n in range(users)),
        )


def write_shadow(passwd: Path, shadow: Path, pattern: str, users: int, hashes: Sequence[str]) -> None:
    """The system's accounts (without their passwords) and the users of the bench."""
    system = [line for line in Path("/etc/passwd").read_text().splitlines() if line]
    passwd.write_text(
        "".join(f"{line}\n" for line in system)
        + "".join(f"{login(pattern, n)}:x:{100_000 + n}:65534::/nonexistent:/bin/false\n" for n in range(users))
    )
    shadow.write_text(
        "".join(f"{line.partition(':')[0]}:*:19000:0:99999:7:::\n" for line in system)
        + "".join(f"{login(pattern, n)}:{hashes[n % len(hashes)]}:19000:0:99999:7:::\n" for n in range(users))
    )
    shadow.chmod(0o600)


def _chunks(rows: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(rows, ROWS)):
        yield some
