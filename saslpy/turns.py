"""Turns at a backend that takes a few questions at a time: its threads, or its worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


class NoTurn(Exception):
    """There was none in time."""


class Turns:
    """At most ``most`` hold a turn; the others wait in the order in which they came."""

    def __init__(self, most: int) -> None:
        self._limiter = trio.CapacityLimiter(most)

    @asynccontextmanager
    async def turn(self, until: Callable[[], float]) -> AsyncIterator[None]:
        """A turn. Raises ``NoTurn`` when there is none by ``until()``, which may move while one waits."""
        await self._take(until)
        try:
            yield
        finally:
            self._limiter.release()

    async def _take(self, until: Callable[[], float]) -> None:
        try:
            self._limiter.acquire_nowait()  # the usual case costs no step of the event loop
        except trio.WouldBlock:
            await self._wait(until)

    async def _wait(self, until: Callable[[], float]) -> None:
        while (latest := until()) > trio.current_time():
            with trio.move_on_at(latest):
                await self._limiter.acquire()
                return
        raise NoTurn
