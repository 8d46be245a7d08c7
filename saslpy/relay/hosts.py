"""The hosts of a next hop: in which order they are tried, and the connections to them, new and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import trio

from ..observe.log import Log
from ..protocols.smtp.steps import Unusable
from .connection import Connection
from .dial import Dialler
from .outcome import BUSY
from .places import Server
from .pool import Pool

DOWN = 30.0
"""Seconds for which a host that could not be used is tried behind the others."""


class Hosts:
    """``waiting``: seconds until somebody who waits for a place among the connections goes away."""

    def __init__(self, servers: Sequence[Server], dialler: Dialler, pool: Pool, waiting: float, log: Log) -> None:
        self.pool = pool
        self._servers = servers
        self._dialler = dialler
        self._waiting = waiting
        self._log = log
        self._down: dict[Server, float] = {}

    async def enter(self, who: object) -> None:
        """Wait for a place among the connections, to be given back by ``leave``. Raises ``Unusable``."""
        with suppress(trio.WouldBlock):
            self.pool.places.acquire_on_behalf_of_nowait(who)
            return
        try:
            with trio.fail_after(self._waiting):
                await self.pool.places.acquire_on_behalf_of(who)
        except trio.TooSlowError:
            self._log.warning("next-hop-busy", hop=str(self._servers[0]), detail="no connection is free")
            raise Unusable(BUSY, "no connection is free") from None

    def leave(self, who: object) -> None:
        """The place is free again."""
        self.pool.places.release_on_behalf_of(who)

    def in_order(self) -> Iterator[Server]:
        """The hosts; those that could not be used lately come last."""
        now = trio.current_time()
        yield from sorted(self._servers, key=lambda server: self._down.get(server, now) > now)

    async def connect(self, server: Server) -> Connection:
        """A new connection. Raises ``Unusable``."""
        try:
            connection = await self._dialler.connect(server)
        except Unusable as fault:
            self.failed(server, fault)
            raise
        if self._down.pop(server, None) is not None:
            self._log.info("next-hop-up", hop=str(server))
        return connection

    def failed(self, server: Server, fault: Unusable) -> None:
        """A host could not be used."""
        self._down[server] = trio.current_time() + DOWN
        self._log.warning("next-hop-down", hop=str(server), detail=str(fault))

    def broke(self, server: Server, fault: Unusable) -> None:
        """A connection has broken in the middle of a message."""
        self._log.warning("next-hop-broke", hop=str(server), detail=str(fault))
