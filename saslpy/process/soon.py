"""Calls that are made in the event loop's next pass, such as to write the log lines of this one together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import trio


class Soon:
    """``soon(call)``, from any thread; ``run`` is its task. What comes when that has ended is not called.

    trio's own ``run_sync_soon`` wakes the loop up by a socket: three calls to the kernel for a loop that is awake, and
    for other threads alone.
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        self._calls: list[Callable[[], object]] = []
        self._idle = trio.lowlevel.ParkingLot()

    def __call__(self, call: Callable[[], object]) -> None:
        """It must not raise."""
        if threading.get_ident() != self._thread:
            self._token.run_sync_soon(call)
            return
        self._calls.append(call)
        self._idle.unpark()

    async def run(self) -> None:
        """Make the calls, for ever."""
        while True:
            calls, self._calls = self._calls, []
            for call in calls:
                call()
            if self._calls:  # made by those
                await trio.lowlevel.checkpoint()
            else:
                await self._idle.park()
