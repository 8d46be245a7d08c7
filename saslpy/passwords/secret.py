"""What parsing gives: a secret that can be checked, or the reason why it never can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from .limits import MAX_PASSWORD

Verify: TypeAlias = Callable[[Any, bytes, str], bool]
"""``verify(data, password, login)``: the data is of the kind that the scheme's own reader made."""


class Fault(StrEnum):
    """Why a stored secret matches nothing."""

    LOCKED = "locked"  # "*", "!", "!$6$…": put there so that nobody can log in
    UNKNOWN = "unknown"  # no scheme of ours, or one that this machine's libcrypt does not know
    MALFORMED = "malformed"  # truncated, or not of the scheme's form
    TOO_COSTLY = "too-costly"  # above limits.py


class UnusableSecret(ValueError):
    """A stored secret that matches no password at all. The message names the scheme, never the data."""

    def __init__(self, reason: Fault, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def malformed(scheme: str, what: str) -> UnusableSecret:
    """The error for data that the scheme cannot have made."""
    return UnusableSecret(Fault.MALFORMED, f"{scheme}: {what}")


def within(scheme: str, value: int, cap: int, unit: str) -> None:
    """Raise ``UnusableSecret`` when a cost is above its limit."""
    if value > cap:
        # a count of thousands of digits could not even be printed (sys.set_int_max_str_digits)
        shown = str(value) if value < 1 << 64 else "too many"
        raise UnusableSecret(Fault.TOO_COSTLY, f"{scheme}: {shown} {unit}, the cap is {cap}")


@dataclass(slots=True, eq=False)
class StoredSecret:
    """A stored password, ready to be checked. ``parse`` makes it.

    ``scheme`` is canonical ("SHA512-CRYPT"). ``kind`` adds the cost ("SHA512-CRYPT rounds=5000"): checks of equal kinds
    take equal time. ``memory_kib`` is the most that one check needs, 0 for the small ones. ``data`` is what the scheme's
    reader made of the stored string; ``derive`` knows what it holds.
    """

    scheme: str
    kind: str
    memory_kib: int
    verify: Verify = field(repr=False)
    data: Any = field(repr=False)

    def check(self, password: bytes, login: str = "") -> bool:
        """Whether this is the password. Blocks for as long as the kind says, and belongs in a thread.

        ``login`` is the canonical login, which DIGEST-MD5 mixes in. A password that is empty, holds a NUL or is longer
        than 4096 bytes never matches. Raises ``MemoryError`` when there is too little memory to find out: that is not a
        wrong password.
        """
        if not password or b"\0" in password or len(password) > MAX_PASSWORD:
            return False
        return self.verify(self.data, password, login)
