"""A window of time that slides: how much there was in the last hour, or day.

It slides in ``SLICES`` slices: what was counted counts until the slice in which it was has left the window, so that no
window whatever holds more than is allowed, and a user waits up to one slice longer than he must.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

SLICES = 24
"""Of a window. Memory for a login is bounded by twice as many pairs of numbers."""


class Window:
    """How much was sent in the last ``seconds``: pairs of a slice's number and its count, oldest first."""

    __slots__ = ("_counts", "_slice", "total")

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / SLICES
        self._counts: list[tuple[int, int]] = []
        self.total = 0

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        oldest = self._number(now) - SLICES
        while self._counts and self._counts[0][0] < oldest:
            self.total -= self._counts.pop(0)[1]

    def add(self, count: int, now: float) -> None:
        """Count. A clock that goes back adds to the newest slice."""
        number = self._number(now)
        if self._counts and number <= self._counts[-1][0]:
            number, before = self._counts.pop()
            self._counts.append((number, before + count))
        elif count:
            self._counts.append((number, count))
        self.total += count

    def take_off(self, count: int, at: float) -> None:
        """Undo ``add`` at this time, as far as it still counts."""
        number = self._number(at)
        for index, (when, counted) in enumerate(self._counts):
            if when >= number:
                less = min(count, counted)
                self._counts[index] = (when, counted - less)
                self.total -= less
                return

    def wait(self, room: int, now: float) -> float:
        """Seconds until no more than ``room`` is left in the window."""
        left, until = self.total, now
        for number, count in self._counts:
            if left <= room:
                break
            left -= count
            until = (number + SLICES + 1) * self._slice
        return max(0.0, until - now)

    @property
    def counts(self) -> list[tuple[int, int]]:
        """What there is to be kept."""
        return list(self._counts)

    def restore(self, counts: Iterable[tuple[int, int]], back: float, now: float) -> None:
        """Count what was kept, as of ``back`` seconds earlier; nothing of it is later than now."""
        for number, count in sorted(counts):
            when = min(number - math.ceil(back / self._slice), self._number(now))
            self.add(count, when * self._slice)
        self.forget(now)

    def _number(self, now: float) -> int:
        return int(now // self._slice)
