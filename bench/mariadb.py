"""The MariaDB that both daemons ask: the tests' own private server, on a unix socket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .peers import Missing, StartError

USER = PASSWORD = DATABASE = "mail"
"""What the daemons log in with."""

PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/usr/lib/mysql"


@dataclass(frozen=True, slots=True)
class Database:
    """A running server with an empty database."""

    socket: Path
    sql: Callable[[str], object]


@contextmanager
def mariadb() -> Iterator[Database]:
    """A server while the block runs. Raises ``Missing`` or ``StartError``."""
    if not all(shutil.which(name, path=PLACES) for name in ("mariadbd", "mariadb-install-db")):
        raise Missing("MariaDB", "mariadb-server")
    from tests.real.mariadb import MariaDb  # noqa: PLC0415 (its driver may be missing where only SQLite is measured)

    with ExitStack() as stack:
        try:
            server = stack.enter_context(MariaDb())
        except RuntimeError as error:
            raise StartError(str(error)) from None
        server.sql(
            f"CREATE DATABASE {DATABASE}; CREATE USER {USER}@localhost IDENTIFIED BY '{PASSWORD}'; "
            f"GRANT SELECT ON {DATABASE}.* TO {USER}@localhost"
        )
        yield Database(server.socket, lambda statements: server.sql(statements, DATABASE))
