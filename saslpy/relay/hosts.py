"""The hosts of a next hop: in which order they are tried, and the connections to them, new and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import trio

from ..observe.log import Log
from ..protocols.smtp.steps import Unusable
from .connection import Connection
from .dial import Dialler
from .outcome import BUSY
from .places import Server
from .pool import Keeping, Pool
from .shares import Holder, Shares

DOWN = 30.0
"""Seconds for which a host that could not be used is tried behind the others."""


@dataclass(frozen=True, slots=True)
class _Down:
    """A host that cannot be used: since when, until when it comes last, and the way in which it has failed."""

    since: float
    until: float
    way: str


class Hosts:
    """``keeping`` says how many connections there may be, and for how long one of them is waited for."""

    def __init__(self, servers: Sequence[Server], dialler: Dialler, pool: Pool, keeping: Keeping, log: Log) -> None:
        self.pool = pool
        self.shares = Shares(pool.places, keeping.each, keeping.patience)
        self._servers = servers
        self._dialler = dialler
        self._waiting = keeping.waiting
        self._log = log
        self._down: dict[Server, _Down] = {}

    async def enter(self, who: Holder, login: str) -> None:
        """Wait for a place among the connections, to be given back by ``shares.leave``. Raises ``Unusable``."""
        try:
            await self.shares.enter(who, login, self._waiting)
        except trio.TooSlowError:
            self._log.warning("next-hop-busy", hop=str(self._servers[0]), login=login, detail="no connection is free")
            raise Unusable(BUSY, "no connection is free") from None

    def gave_way(self, login: str) -> None:
        """Somebody's place is another's now."""
        self._log.info("gave-way", hop=str(self._servers[0]), login=login)

    def in_order(self) -> Iterator[Server]:
        """The hosts; those that could not be used lately come last."""
        now = trio.current_time()
        yield from sorted(self._servers, key=lambda server: server in self._down and self._down[server].until > now)

    async def connect(self, server: Server) -> Connection:
        """A new connection. Raises ``Unusable``."""
        try:
            return await self._dialler.connect(server)
        except Unusable as fault:
            self.failed(server, fault)
            raise

    def worked(self, server: Server) -> None:
        """A host has answered to a message over a new connection."""
        down = self._down.pop(server, None)
        if down is not None:
            self._log.info("next-hop-up", hop=str(server), seconds=round(trio.current_time() - down.since))

    def failed(self, server: Server, fault: Unusable) -> None:
        """A host could not be used. The log is told once, and when it fails in another way: not for each message."""
        now, before, way = trio.current_time(), self._down.get(server), _way(fault)
        self._down[server] = _Down(before.since if before else now, now + DOWN, way)
        tell = self._log.warning if before is None or before.way != way else self._log.debug
        tell("next-hop-down", hop=str(server), detail=str(fault))

    def broke(self, server: Server, fault: Unusable) -> None:
        """A connection has broken in the middle of a message."""
        self._log.warning("next-hop-broke", hop=str(server), detail=str(fault))


def _way(fault: Unusable) -> str:
    """What two failures of the same kind have in common: a host's own words may be others each time."""
    return "421" if fault.reply.code == 421 else fault.reply.text
