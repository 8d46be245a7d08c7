"""What a stored password becomes when it has been read, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """Why a stored password never matches."""

    LOCKED = "locked"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    TOO_COSTLY = "too-costly"


class UnusableSecret(ValueError):
    """A stored password that matches nothing. The message names scheme and fault, never the stored data."""

    def __init__(self, reason: Fault, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A stored password, ready to be checked.

    Secrets of one ``kind`` (scheme and cost) take equal time. ``memory_kib`` is what a check needs at most. ``matches``
    takes the password's bytes and the canonical login.
    """

    scheme: str
    kind: str
    memory_kib: int
    matches: Callable[[bytes, str], bool] = field(repr=False)

    def check(self, password: bytes, login: str = "") -> bool:
        """Whether a password is the right one. Slow on purpose for most schemes: call it in a thread. Never raises."""
        if not password or b"\0" in password:
            return False  # C libraries would stop at the NUL and check what is before it
        try:
            return self.matches(password, login)
        except (ValueError, OSError, MemoryError, OverflowError):
            return False


def malformed(scheme: str, what: str = "the stored data is not of its form") -> UnusableSecret:
    """The fault of data that no implementation of the scheme has written."""
    return UnusableSecret(Fault.MALFORMED, f"{scheme}: {what}")


def capped(scheme: str, what: str, value: int, cap: int) -> int:
    """The value, or a fault if a check would take too long or too much memory."""
    if value > cap:
        raise UnusableSecret(Fault.TOO_COSTLY, f"{scheme}: {what} {value}, the cap is {cap}")
    return value
