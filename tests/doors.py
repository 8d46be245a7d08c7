"""A door in this process, with whatever a test puts behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from saslpy.authenticator import Authenticator, Bounds, Route, Rules
from saslpy.chain import Chain, Link, OnReject
from saslpy.checking import Checker
from saslpy.guard import Guarded
from saslpy.hashing import HashThreads
from saslpy.health import Health
from saslpy.names import NamePolicy
from saslpy.observe.log import Log

from .fakes import list_log


@dataclass
class Standing:
    """A door, its log and the log's lines; tasks that are started in ``nursery`` end with it."""

    door: Authenticator
    log: Log
    lines: list[str]
    nursery: trio.Nursery


@asynccontextmanager
async def door_before(
    *backends: Any,
    timeout: float = 3.0,
    on_reject: OnReject = "stop",
    forbidden: frozenset[str] = frozenset(),
    names: NamePolicy | None = None,
    bounds: Bounds | None = None,
    **rules: Any,
) -> AsyncIterator[Standing]:
    """A door before a chain of these backends, ``b0``, ``b1`` …; a no has no floor in time, unless ``bounds`` say so."""
    log, lines = list_log()
    async with trio.open_nursery() as nursery:
        guards = [Guarded(f"b{number}", one, timeout, Health(log), nursery) for number, one in enumerate(backends)]
        chain = Chain([Link(guard, on_reject) for guard in guards], Checker(HashThreads(), log, forbidden))
        made = Rules([Route(chain)], names or NamePolicy(), bounds or Bounds(min_seconds=0.0), **rules)
        yield Standing(Authenticator(made, log), log, lines, nursery)
        nursery.cancel_scope.cancel()
