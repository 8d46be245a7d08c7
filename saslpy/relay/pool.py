"""Connections to a next hop, kept for the next message: few, not for long, and none in the middle of anything."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from .connection import Connection


@dataclass(frozen=True, slots=True)
class Keeping:
    """``size`` connections at a time, ``idle`` of them kept. Seconds: unused ``idle_seconds`` at most, ``age_seconds`` from
    their beginning. ``messages`` over one of them, ``waiting`` seconds for one of those under way to be free.

    ``each``: those of one login at a time, as Postfix has 20 to a destination; ``patience``: seconds for which a client may
    hold one and say nothing, where somebody waits for it.
    """

    size: int = 100
    idle: int = 20
    idle_seconds: float = 30.0
    age_seconds: float = 300.0
    messages: int = 100
    waiting: float = 30.0
    each: int = 20
    patience: float = 10.0


class Pool:
    """Kept connections, the one that was used last first. ``places`` bounds those that there are together."""

    def __init__(self, keeping: Keeping) -> None:
        self.places = trio.CapacityLimiter(keeping.size)
        self._keeping = keeping
        self._idle: list[Connection] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    async def take(self) -> Connection | None:
        """One that seems to stand, None where there is none."""
        while self._idle:
            connection = self._idle.pop()
            if self._good(connection) and connection.quiet():
                return connection
            await connection.kill()
        return None

    async def give(self, connection: Connection) -> None:
        """One that is not needed any more, for now."""
        connection.idle_since = trio.current_time()
        if not connection.client.idle:
            await connection.kill()
        elif not self._closed and len(self._idle) < self._keeping.idle and self._good(connection):
            self._idle.append(connection)
        else:
            await connection.quit()

    async def forget(self) -> None:
        """Close all that are kept: one was broken, and these are as old."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.kill()

    async def sweep(self) -> None:
        """Close those that have been kept long enough, again and again; all of them in the end."""
        try:
            while True:
                await trio.sleep(self._keeping.idle_seconds / 4)
                old = [connection for connection in self._idle if not self._good(connection)]
                self._idle = [connection for connection in self._idle if connection not in old]
                for connection in old:
                    await connection.quit()
        finally:
            self._closed = True
            with trio.CancelScope(shield=True):
                idle, self._idle = self._idle, []
                for connection in idle:
                    await connection.quit()

    def _good(self, connection: Connection) -> bool:
        now, keeping = trio.current_time(), self._keeping
        return (
            now - connection.idle_since <= keeping.idle_seconds
            and now - connection.since <= keeping.age_seconds
            and connection.messages < keeping.messages
        )
