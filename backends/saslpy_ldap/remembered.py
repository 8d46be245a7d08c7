"""Entries that were found a short while ago, so that a login need not search for them again.

Each is kept for a time that begins when it was looked for, however often it is used: what has changed in the directory,
a group that somebody is in no more, counts after that time at the latest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """A bounded memory, by login, that forgets after some ``seconds``; 0 remembers nothing. For several threads.

    ``clock`` gives seconds; a test has one of its own.
    """

    def __init__(self, seconds: float, most: int = 10_000, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._items: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, login: str) -> T | None:
        """What is remembered, None when it is not, or too old."""
        with self._lock:
            until, item = self._items.get(login, (0.0, None))
            if item is not None and until <= self._clock():
                del self._items[login]
                return None
            return item

    def now(self) -> float:
        """The clock's time: that of a search that begins now."""
        return self._clock()

    def put(self, login: str, item: T, since: float) -> None:
        """Remember it, as looked for at ``since``. Where there is no room, what was put first is forgotten."""
        if self._seconds <= 0:
            return
        with self._lock:
            self._items.pop(login, None)
            self._items[login] = (since + self._seconds, item)
            while len(self._items) > self._most:
                self._items.popitem(last=False)

    def forget(self, login: str) -> None:
        """Forget it."""
        with self._lock:
            self._items.pop(login, None)
