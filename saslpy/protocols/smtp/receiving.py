"""The content of a message while it comes: by DATA up to its dot, or by BDAT up to a number of octets."""

from __future__ import annotations

from dataclasses import dataclass

from . import replies
from .content import LINE_ENDS, ContentLimits, DataReader, Fault, Inspector, Summary
from .lines import LineBuffer
from .options import Options
from .replies import Reply
from .transaction import Transaction

_REPLIES = {
    Fault.TOO_LARGE: replies.TOO_LARGE,
    Fault.HEADER_TOO_LARGE: replies.HEADER_TOO_LARGE,
    Fault.LINE_TOO_LONG: replies.CONTENT_LINE_TOO_LONG,
}


class Overflow(Exception):
    """So much behind the limit that its end is not waited for."""


@dataclass(slots=True)
class Chunk:
    """The octets of one BDAT. ``left`` are yet to come; with a ``refusal`` they are read and thrown away."""

    size: int
    last: bool
    left: int
    refusal: Reply | None = None


class Content:
    """One message's. It is read to its end whatever is wrong with it; what is wrong is told then.

    ``refusal`` is what the server around has said to it. ``ended``: DATA's dot has come.
    """

    __slots__ = ("_inspector", "_most", "_read", "_reader", "ended", "refusal")

    def __init__(self, options: Options, transaction: Transaction) -> None:
        limits = options.limits
        self._inspector = Inspector(ContentLimits(limits.size, limits.header, limits.line, transaction.binary))
        self._reader = DataReader(options.repair_line_ends)
        self._most = limits.size + limits.swallow if limits.size else 0
        self._read = 0
        self.ended = False
        self.refusal: Reply | None = None

    def data(self, buffer: LineBuffer) -> bytes:
        """What has come, up to the dot at most, and may be handed on. Raises ``Overflow``."""
        raw = buffer.take()
        piece, rest = self._reader.receive(raw)
        if rest is not None:
            buffer.receive(rest)
            self.ended = True
        self._count(len(raw) - len(rest or b""))
        return self._seen(piece)

    def chunk(self, data: bytes) -> bytes:
        """The same of a chunk, whose octets they are. Raises ``Overflow``."""
        self._count(len(data))
        return self._seen(data)

    def end(self) -> Summary:
        """There is no more. What is wrong now is wrong for good."""
        return self._inspector.end()

    @property
    def verdict(self) -> Reply | None:
        """What must be said to it, None where nothing is wrong so far."""
        if self.hostile:
            return replies.BAD_CONTENT
        if self.refusal is not None:
            return self.refusal
        faults = self._inspector.faults
        return next((_REPLIES[fault] for fault in Fault if fault in faults), None) if faults else None

    @property
    def hostile(self) -> bool:
        """Whether it holds what others may take for the end of something. The connection ends with it."""
        return not LINE_ENDS.isdisjoint(self._inspector.faults)

    @property
    def faults(self) -> str:
        """What is wrong, in words."""
        return ", ".join(fault.value for fault in Fault if fault in self._inspector.faults)

    def _count(self, octets: int) -> None:
        self._read += octets
        if 0 < self._most < self._read:
            raise Overflow

    def _seen(self, piece: bytes) -> bytes:
        if piece:
            self._inspector.look(piece)
        return piece if self.verdict is None else b""
