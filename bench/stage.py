"""The stage of one run: a temporary folder, one database, each group's store filled once, and daemons on request."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from . import PASSWORD, ROOT
from .hashes import hashes
from .mariadb import Database, mariadb
from .peers import Missing, Running, Saslpy, StartError, courier, saslauthd
from .scenarios import Group
from .stores import fill_mysql, fill_sqlite, login, write_shadow
from .tools import ToolError

Opener: TypeAlias = Callable[[Group], AbstractContextManager[Running]]
SASLPY = ROOT / ".venv" / "bin" / "saslpy"
FAULTS = (StartError, ToolError, OSError)
"""What makes a run a failed one. A peer that is not installed (``Missing``) does not."""


@dataclass
class Stage:
    """Everything that the measurements share."""

    folder: Path
    stack: ExitStack
    program: Path = SASLPY
    database: Database | None = None
    filled: set[str] = field(default_factory=set)
    absent: dict[str, str] = field(default_factory=dict)  # who: why
    faults: list[str] = field(default_factory=list)
    _number: int = 0

    @classmethod
    @contextmanager
    def built(cls, program: Path = SASLPY) -> Iterator[Stage]:
        """A stage that is gone, with all that ran on it, when the block ends."""
        # short, for the sockets; not below TMPDIR when that is long
        with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder, ExitStack() as stack:
            yield cls(Path(folder), stack, program)

    @contextmanager
    def saslpy(self, group: Group) -> Iterator[Running]:
        """saslpy over a group's store."""
        backend = self._mysql_backend(group) if group.store == "mysql" else self._sqlite_backend(group)
        daemon = Saslpy.configured(self.program, self._fresh(), backend)
        if group.store == "sqlite":
            self._once(f"{group.name}.db", lambda: self._make_sqlite(daemon, group))
        with daemon.serving(self._login(group)) as running:
            yield running

    @contextmanager
    def peer(self, group: Group) -> Iterator[Running]:
        """The peer over a group's store."""
        with self._courier(group) if group.store == "mysql" else self._saslauthd(group) as running:
            yield running

    @contextmanager
    def willing(self, opener: Opener, group: Group) -> Iterator[Running | None]:
        """A daemon, or None (and a note why) when it is not installed or does not start."""
        who = group.peer if opener == self.peer else "saslpy"
        with ExitStack() as stack:
            running: Running | None = None
            try:
                running = stack.enter_context(opener(group))
            except Missing as missing:
                self.absent[who] = str(missing)
            except FAULTS as fault:
                self.fault(f"{group.name}: {who}: {fault}")
            yield running

    def fault(self, text: str) -> None:
        """Something failed to run; told once."""
        if text not in self.faults:
            self.faults.append(text)

    def _courier(self, group: Group) -> AbstractContextManager[Running]:
        return courier(self._fresh(), self._mysql(group), self._table(group), self._login(group))

    def _saslauthd(self, group: Group) -> AbstractContextManager[Running]:
        passwd, shadow = (self.folder / f"{group.name}.{name}" for name in ("passwd", "shadow"))
        stored = hashes(group.scheme)
        self._once(shadow.name, lambda: write_shadow(passwd, shadow, group.pattern, group.users, stored))
        return saslauthd(self._fresh(), passwd, shadow, self._login(group))

    def _mysql_backend(self, group: Group) -> str:
        return (
            f'type = "mysql"\nsocket = "{self._mysql(group).socket}"\nuser = "mail"\npassword = "mail"\n'
            f'database = "mail"\ntable = "{self._table(group)}"\n'
            'columns = { username = "id", password = "crypt" }'
        )

    def _sqlite_backend(self, group: Group) -> str:
        return f'type = "sqlite"\npath = "{self.folder / group.name}.db"'

    def _make_sqlite(self, daemon: Saslpy, group: Group) -> None:
        options = ("--password-stdin", "--scheme", group.scheme.name)
        daemon.run("user", "add", "first-user", *options, text=f"{PASSWORD}\n")
        stored = hashes(group.scheme)
        fill_sqlite(self.folder / f"{group.name}.db", group.pattern, group.users, stored, group.scheme)

    def _mysql(self, group: Group) -> Database:
        """The database, with this group's table."""
        if self.database is None:
            self.database = self.stack.enter_context(mariadb())
        database, table, stored = self.database, self._table(group), hashes(group.scheme)
        self._once(table, lambda: fill_mysql(database, table, group.pattern, group.users, stored))
        return database

    def _once(self, what: str, fill: Callable[[], None]) -> None:
        if what not in self.filled:
            fill()
            self.filled.add(what)

    def _fresh(self) -> Path:
        """A folder that nobody has used, its name short."""
        self._number += 1
        folder = self.folder / str(self._number)
        folder.mkdir()
        return folder

    @staticmethod
    def _table(group: Group) -> str:
        return group.name.replace("-", "_")

    @staticmethod
    def _login(group: Group) -> str:
        return login(group.pattern, group.users - 1)
