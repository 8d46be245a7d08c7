"""Log lines that would be a flood."""

from __future__ import annotations

from math import inf
from time import monotonic

EVERY = 60.0
"""Seconds between two lines of one kind."""


class Seldom:
    """Says of a kind of line whether one is due. There are few kinds, each named by us."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def now(self, kind: str) -> bool:
        """Whether to write one."""
        now = monotonic()
        if now - self._last.get(kind, -inf) < EVERY:
            return False
        self._last[kind] = now
        return True
