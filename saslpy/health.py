"""Whether each backend works, as its last answer showed; the log hears of a change once, not of every login."""

from __future__ import annotations

import time
from collections.abc import Callable

from .observe.log import Log


class Health:
    """Remembers since when a backend is down."""

    def __init__(self, log: Log | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Without a log nothing is told, and what fails is heard of by its exception alone."""
        self._log = log
        self._clock = clock
        self._down_since: dict[str, float] = {}
        self._detail: dict[str, str] = {}

    def down(self, name: str) -> tuple[float, str] | None:
        """Seconds since a backend failed, and how; None while it works, as far as is known."""
        since = self._down_since.get(name)
        return None if since is None else (self._clock() - since, self._detail[name])

    def works(self, name: str) -> None:
        """The backend has answered."""
        since = self._down_since.pop(name, None) if self._down_since else None
        if since is not None and self._log is not None:
            self._log.info("backend-up", backend=name, after_seconds=self._clock() - since)

    def failed(self, name: str, detail: str) -> None:
        """The backend has not."""
        self._detail[name] = detail
        if name not in self._down_since:
            self._down_since[name] = self._clock()
            if self._log is not None:
                self._log.error("backend-down", backend=name, detail=detail)

    def closing_failed(self, name: str, detail: str) -> bool:
        """The backend could not be closed; whether anybody has been told."""
        if self._log is None:
            return False
        self._log.error("close-failed", backend=name, detail=detail)
        return True
