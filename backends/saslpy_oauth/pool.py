"""Connections to an endpoint, kept for the next question: few, not for long, and never one that somebody has broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from .http import Answer, Connection, Gone, Headers

MAX_IDLE = 15.0
"""Seconds for which an unused connection is kept; many servers close one after a minute, some after five seconds."""


@dataclass(slots=True, eq=False)
class _Kept:
    """An idle connection, and since when (``trio.current_time``)."""

    connection: Connection
    since: float


class Pool:
    """``size`` connections at most, made by ``connect``. Who comes too late for one waits until the caller's deadline."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._limiter = trio.CapacityLimiter(size)
        self._idle: list[_Kept] = []
        self.about = ""

    async def post(self, target: str, headers: Headers, body: bytes) -> Answer:
        """The answer to a question. Raises ``Fault``.

        It is asked once more where a kept connection turns out to have ended: asking changes nothing over there.
        """
        async with self._limiter:
            kept = await self._take()
            if kept is not None:
                try:
                    return await self._ask(kept, target, headers, body)
                except Gone:
                    # those beside it are as old
                    await self.close()
            return await self._ask(await self._connect(), target, headers, body)

    async def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for kept in idle:
            await kept.connection.close()

    async def _ask(self, connection: Connection, target: str, headers: Headers, body: bytes) -> Answer:
        try:
            answer = await connection.post(target, headers, body)
            reusable = connection.reusable()
        except BaseException:
            # whatever it was: a half-read answer would become the next user's
            await connection.close()
            raise
        self.about = connection.about
        if reusable:
            self._idle.append(_Kept(connection, trio.current_time()))
        else:
            await connection.close()
        return answer

    async def _take(self) -> Connection | None:
        """The connection that was used last, if it seems to stand."""
        while self._idle:
            kept = self._idle.pop()
            if trio.current_time() - kept.since <= MAX_IDLE and kept.connection.quiet():
                return kept.connection
            await kept.connection.close()
        return None
