"""Whether the auth process still goes round its loop."""

from __future__ import annotations

from math import inf

EVERY = 5.0
"""Seconds between two pings. Both processes wake up for each."""

MOST_MISSED = 5
"""Pings without an answer until the next means the end: about 30 s of silence."""


class Heartbeat:
    """Counts pings without an answer, and not seconds: of those, many pass at once when the machine or all of us slept."""

    def __init__(self) -> None:
        self._next = inf
        self._missed = 0

    def begin(self, now: float) -> None:
        """It is ready: from now on it must answer."""
        self._next, self._missed = now + EVERY, 0

    def end(self) -> None:
        """It has ended, or may take its time."""
        self._next = inf

    def heard(self) -> None:
        """An answer has come."""
        self._missed = 0

    def wait(self, now: float) -> float:
        """Seconds until the next ping; 0 when it is due."""
        return max(0.0, self._next - now)

    def ping(self, now: float) -> bool:
        """Whether to send the ping that is due; False when those before it have had no answer for too long."""
        if self._missed >= MOST_MISSED:
            return False
        self._next, self._missed = now + EVERY, self._missed + 1
        return True
