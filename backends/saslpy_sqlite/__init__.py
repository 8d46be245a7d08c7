"""Users in a SQLite file: the embedded default, and the example to copy for a store of your own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saslpy.backend import Plugin

if TYPE_CHECKING:
    from .store import SqliteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``path``: the file; it is made when the first user is added. ``busy_timeout``: seconds to wait for a writer."""

    path: Path
    busy_timeout: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.busy_timeout <= 60:
            raise ValueError("busy_timeout: must be above 0 and at most 60")


@contextmanager
def open_store(config: Config) -> Iterator[SqliteStore]:
    """The store; the file is opened at the first use, so a missing one is a failing lookup, not a failing start."""
    from .store import SqliteStore

    store = SqliteStore(config.path, config.busy_timeout)
    try:
        yield store
    finally:
        store.close()


plugin = Plugin(Config, open_store, local=True, upgrades="several")
