"""What is no request of any protocol, or not this caller's to make: counted, and told at most once a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..observe.log import Log

EVERY = 1.0
"""Seconds between two log lines of one listener, however much garbage comes."""


class Garbage:
    """Counts the faulty requests of a listener. ``event`` is what they are called in the log."""

    def __init__(
        self,
        log: Log,
        protocol: str,
        clock: Callable[[], float] = time.monotonic,
        event: str = "protocol-error",
    ) -> None:
        self._log = log
        self._protocol = protocol
        self._clock = clock
        self._event = event
        self._told = -EVERY
        self.count = 0

    def seen(self, detail: str) -> None:
        """One more. ``detail`` says what is wrong, never what was sent."""
        self.count += 1
        now = self._clock()
        if now - self._told >= EVERY:
            self._told = now
            self._log.warning(self._event, protocol=self._protocol, detail=detail, count=self.count)
