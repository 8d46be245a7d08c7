"""Lines from a stream, bounded. Only CRLF ends one; a CR or LF that stands alone, or a NUL, is a fault.

Who takes ``LF`` for a line's end, too, lets others put commands where he sees a line and his neighbour does not. So the
first fault is the last: nothing behind it is read.
"""

from __future__ import annotations

import re
from enum import Enum

CRLF = b"\r\n"

_MARK = re.compile(rb"\r\n|\n|\0|\r(?=[^\n])")


class LineFault(Enum):
    """What is wrong with a line; the value says it in words."""

    BARE_CR = "a CR without LF"
    BARE_LF = "an LF without CR"
    NUL = "a NUL"
    TOO_LONG = "a line that is too long"


class MalformedLine(ValueError):
    """The connection must end. The message never holds what came."""

    def __init__(self, fault: LineFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


_FAULTS = {b"\n": LineFault.BARE_LF, b"\0": LineFault.NUL, b"\r": LineFault.BARE_CR}


class LineBuffer:
    """Bytes that have come and are not yet read: as lines, or as a number of octets."""

    __slots__ = ("_data", "_searched", "_start")

    def __init__(self) -> None:
        self._data = b""
        self._start = 0
        self._searched = 0

    def receive(self, data: bytes) -> None:
        """More of them."""
        if self._start < len(self._data):
            self._data = self._data[self._start :] + data
            self._searched -= self._start
        else:
            self._data = data
            self._searched = 0
        self._start = 0

    def __len__(self) -> int:
        return len(self._data) - self._start

    def clear(self) -> None:
        """Forget all."""
        self._data = b""
        self._start = self._searched = 0

    def peek(self, most: int) -> bytes:
        """The first of them, which stay."""
        return self._data[self._start : self._start + most]

    def line(self, most: int) -> bytes | None:
        """The next line without its CRLF, which count among its ``most`` octets; None where it is not complete.

        Raises ``MalformedLine`` as soon as the fault has come, whatever is missing yet of the line.
        """
        start = self._start
        found = _MARK.search(self._data, max(start, self._searched))
        if found is None:
            if len(self) > most:
                raise MalformedLine(LineFault.TOO_LONG)
            self._searched = max(start, len(self._data) - 1)  # a CR at the end may be a line's
            return None
        # which fault it is must not depend on how many bytes came at once: a bare CR is known with the byte behind it
        if found.end() + (found[0] == b"\r") - start > most:
            raise MalformedLine(LineFault.TOO_LONG)
        if found[0] != CRLF:
            raise MalformedLine(_FAULTS[found[0]])
        self._start = self._searched = found.end()
        return self._data[start : found.start()]

    def take(self, most: int | None = None) -> bytes:
        """All the bytes, or the first ``most`` of them at most."""
        start = self._start
        end = len(self._data) if most is None else min(start + most, len(self._data))
        self._start = self._searched = end
        return self._data[start:end]
