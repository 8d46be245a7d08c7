"""Netstrings (https://cr.yp.to/proto/netstrings.txt): byte strings that say how long they are, in both directions.

::

    netstring := length ":" bytes[length] ","        length in decimal digits, without zeros before it
"""

from __future__ import annotations

from . import ProtocolError

DIGITS = b"0123456789"


class TooLong(ProtocolError):
    """A netstring is longer than the limit."""


class NetstringReader:
    """Takes bytes in pieces of any size, gives the strings of at most ``most`` bytes that are complete, in order."""

    __slots__ = ("_buffer", "_most")

    def __init__(self, most: int) -> None:
        self._buffer = b""
        self._most = most

    def receive(self, data: bytes) -> None:
        """More bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    @property
    def halfway(self) -> bool:
        """Whether a string has begun that was not taken."""
        return bool(self._buffer)

    def next(self) -> bytes | None:
        """The next string, None when more bytes are needed. Raises ``ProtocolError``, each time it is asked."""
        head = self._buffer[: len(str(self._most)) + 1]
        behind = head.lstrip(DIGITS)
        digits = head[: len(head) - len(behind)]
        self._check(digits, behind)
        if not behind:
            return None
        start = len(digits) + 1
        end = start + int(digits)
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != ord(","):
            raise ProtocolError("no comma behind a netstring")
        found, self._buffer = self._buffer[start:end], self._buffer[end + 1 :]
        return found

    def _check(self, digits: bytes, behind: bytes) -> None:
        """Raise ``ProtocolError`` as soon as no length can come of the digits and what is behind them."""
        if len(digits) > 1 and digits.startswith(b"0"):
            raise ProtocolError("the length of a netstring begins with a zero")
        if digits and int(digits) > self._most:
            raise TooLong(f"a netstring of over {self._most} bytes")
        if behind and not (digits and behind.startswith(b":")):
            raise ProtocolError("the length of a netstring is no decimal number")


def netstring(data: bytes) -> bytes:
    """The bytes of a netstring."""
    return b"%d:%b," % (len(data), data)
