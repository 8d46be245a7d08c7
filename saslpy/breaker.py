"""A circuit breaker: what does not answer is not waited for by everybody.

Only silence counts. A backend that fails at once costs nobody time, and one login that it fails at (a broken row, a PAM
module that dislikes a name) must not keep out all others; so several logins in a row have to time out, with no answer
to any in between. Then all are told "could not find out" at once, but for one question a second, which finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

SILENT = 3
"""Different logins in a row without an answer in time, after which the circuit opens."""

PROBE_EVERY = 1.0
"""Seconds between two questions to a backend whose circuit is open; after its return it answers again within this time."""


class Breaker:
    """The circuit to one backend."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._silent_to: set[str] = set()
        self._probed = -inf
        self._heard = -inf

    @property
    def open(self) -> bool:
        """Whether questions are refused."""
        return len(self._silent_to) >= SILENT

    def lets_through(self) -> bool:
        """Whether this question may be asked. One a second may when the circuit is open."""
        if not self.open:
            return True
        now = self._clock()
        if now - self._probed < PROBE_EVERY:
            return False
        self._probed = now
        return True

    def silent_since(self, since: float) -> float:
        """Since when nothing has been heard, for one who listens since ``since``."""
        return max(since, self._heard)

    def not_asked(self) -> None:
        """A question that was let through has not reached the backend: another one may find out."""
        self._probed = -inf

    def answered(self) -> None:
        """The backend has said something, be it an error."""
        self._heard = self._clock()
        if self._silent_to:
            self._silent_to.clear()

    def silent(self, login: str) -> None:
        """No answer in time to the question about a login."""
        if not self.open:
            self._silent_to.add(login)
            self._probed = self._clock()
