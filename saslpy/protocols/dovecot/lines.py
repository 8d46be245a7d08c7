"""Lines from a stream, bounded."""

from __future__ import annotations

from collections.abc import Iterator

from .. import ProtocolError

MAX_LINE = 16_384
"""Bytes of a line on the client socket, its LF included (src/auth/auth-client-connection.c)."""


class LineReader:
    """Takes bytes in pieces of any size, gives the lines that are complete."""

    __slots__ = ("_most", "_rest")

    def __init__(self, most: int = MAX_LINE) -> None:
        self._most = most
        self._rest = b""

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The lines that are complete now, without their LF. To be run to its end before more is received.

        Raises ``ProtocolError`` for a line that is too long, when those before it have been given.
        """
        *lines, rest = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = b""  # what is kept between two calls is less than a line, and mostly nothing
        for line in lines:
            self._check(line)
            yield line
        self._check(rest)
        self._rest = rest

    @property
    def started(self) -> bool:
        """Whether there is the beginning of a line."""
        return bool(self._rest)

    def _check(self, line: bytes) -> None:
        if len(line) >= self._most:
            raise ProtocolError(f"a line of over {self._most} bytes")
