r"""A message on its way: where it ends, its dots, and what is wrong with it (RFC 5321, 4.5.2; RFC 3030).

::

    DATA  *(line CRLF) "." CRLF         a line that begins with a dot has one more; nothing else ends it but CRLF "." CRLF
    BDAT  size octets                   chunks; no dots, no end but the size

Who takes "LF . LF" or the like for the end runs a second message that the first one's writer has smuggled in
(CVE-2023-51764 and its kin). Who stores a bare CR or LF, or a NUL, hands it on to such a one. So these are noted, and told
at the true end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

CRLF = b"\r\n"
END = b"\r\n.\r\n"

# what may be the beginning of the end, or an LF whose neighbours decide whether it may be repaired
_HELD = (b"\r\n.\r", b"\r\n.\n", b"\r\n.", CRLF, b"\r", b"\n")

_BARE_LF = re.compile(rb"(?<!\r)\n")
_DOT_LINE = re.compile(rb"(?<!\r)\n\.|\r\n\.\n")
_RECEIVED = re.compile(rb"(?:\A|\n)received[ \t]*:", re.IGNORECASE)
_HEADER_END = re.compile(rb"\A\r\n|\r\n\r\n")


class Fault(Enum):
    """What is wrong with a message; the value says it in words. In the order in which they are told."""

    BARE_CR = "a CR without LF"
    BARE_LF = "an LF without CR"
    NUL = "a NUL"
    TOO_LARGE = "larger than the limit"
    HEADER_TOO_LARGE = "a header larger than the limit"
    LINE_TOO_LONG = "a line longer than the limit"


LINE_ENDS = frozenset((Fault.BARE_CR, Fault.BARE_LF, Fault.NUL))
"""Those that another server may take for the end of something."""


class Unsendable(ValueError):
    """Content with a bare CR or LF, or a NUL. The message does not hold it."""


# --- the end, and the dots


class DataReader:
    """The content behind DATA: takes bytes in pieces of any size, gives what is meant, without the dots that were added.

    ``repair``: a bare LF becomes CRLF, but for one that stands before a line's first dot or ends a line that is a dot:
    to somebody, this is the message's end.
    """

    __slots__ = ("_drop", "_held", "_repair")

    def __init__(self, repair: bool = False) -> None:
        self._repair = repair
        # the content begins as if behind a CRLF: ".\r\n" at once is an empty message
        self._held = CRLF
        self._drop = len(CRLF)

    def receive(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What of it is content; and what follows the end, None as long as it has not come."""
        text = self._held + data
        at = text.find(END)
        if at >= 0:
            return self._meant(text[: at + len(CRLF)]), text[at + len(END) :]
        self._held = next((start for start in _HELD if text.endswith(start)), b"")
        return self._meant(text[: len(text) - len(self._held)]), None

    def _meant(self, text: bytes) -> bytes:
        if not text:
            return text
        drop, self._drop = self._drop, 0
        if self._repair and not _DOT_LINE.search(text):
            text = _BARE_LF.sub(CRLF, text)
        return text.replace(b"\r\n.", CRLF)[drop:]


class Stuffer:
    """The same the other way, for who sends. A bare CR or LF, or a NUL, cannot get through."""

    __slots__ = ("_carried", "_line_start")

    def __init__(self) -> None:
        self._carried = b""  # a CR whose LF may come
        self._line_start = True

    def encode(self, piece: bytes) -> bytes:
        """The next piece as it is sent. Raises ``Unsendable``; the connection must end then, without the end of data."""
        text = self._carried + piece
        self._carried = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r")
        if not text:
            return text
        if line_end_faults(text):
            raise Unsendable("a CR or LF that is not a line end, or a NUL")
        first = b"." if self._line_start and text.startswith(b".") else b""
        self._line_start = text.endswith(CRLF)
        return first + text.replace(b"\r\n.", b"\r\n..")

    def end(self) -> bytes:
        """The end of data, and of the last line where it has none. Raises ``Unsendable``."""
        if self._carried:
            raise Unsendable("a CR at the end")
        return b".\r\n" if self._line_start else END


def line_end_faults(text: bytes) -> set[Fault]:
    """Those of a piece that does not begin or end within a CRLF."""
    lines = text.count(CRLF)
    faults = set()
    if text.count(b"\r") != lines:
        faults.add(Fault.BARE_CR)
    if text.count(b"\n") != lines:
        faults.add(Fault.BARE_LF)
    if b"\0" in text:
        faults.add(Fault.NUL)
    return faults


# --- what is in it


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """In octets; ``size`` and ``line`` are 0 for none. ``binary``: CR, LF and NUL may stand anywhere (BINARYMIME)."""

    size: int = 0
    header: int = 1024 * 1024
    line: int = 0
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What a whole message was, in octets. ``longest_line`` is without its CRLF (RFC 5322, 2.1.1: 998 at most), ``hops``
    are its Received fields."""

    size: int
    header: int
    hops: int
    longest_line: int
    eight_bit: bool


class Inspector:
    """Looks at content in pieces of any size; says in the end what it was, and what was wrong with it."""

    __slots__ = ("_carried", "_eight_bit", "_header", "_limits", "_line", "_longest", "faults", "size")

    def __init__(self, limits: ContentLimits) -> None:
        self._limits = limits
        self._header = _Header(limits.header)
        self._carried = b""  # a CR whose LF may come with the next chunk
        self._line = 0  # octets of the line that has no end yet
        self._longest = 0
        self._eight_bit = False
        self.size = 0
        self.faults: set[Fault] = set()

    def look(self, piece: bytes) -> None:
        """The next piece."""
        self.size += len(piece)
        if 0 < self._limits.size < self.size:
            self.faults.add(Fault.TOO_LARGE)
        if not self._header.look(piece):
            self.faults.add(Fault.HEADER_TOO_LARGE)
        self._eight_bit = self._eight_bit or not piece.isascii()
        text = self._carried + piece
        self._carried = b"\r" if text.endswith(b"\r") else b""
        self._look_at_lines(text.removesuffix(b"\r"))

    def end(self) -> Summary:
        """There is no more."""
        self._look_at_lines(self._carried)
        header = self._header.end()
        if header > self._limits.header:
            self.faults.add(Fault.HEADER_TOO_LARGE)
        return Summary(self.size, header, self._header.hops, self._longest, self._eight_bit)

    def _look_at_lines(self, text: bytes) -> None:
        lengths = [len(line) for line in text.split(CRLF)]
        lengths[0] += self._line
        self._line = lengths[-1]
        self._longest = max(self._longest, *lengths)
        if self._limits.binary:
            return
        self.faults |= line_end_faults(text)
        if 0 < self._limits.line < self._longest:
            self.faults.add(Fault.LINE_TOO_LONG)


class _Header:
    """The header while it comes: its size, and how many servers have had it (RFC 5321, 6.3)."""

    __slots__ = ("_most", "_seen", "hops", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: bytearray | None = bytearray()
        self.size = 0
        self.hops = 0

    def look(self, piece: bytes) -> bool:
        """The next piece of the message. Whether the header is within its limit."""
        if self._seen is None:
            return self.size <= self._most
        seen = self._seen
        from_here = max(0, len(seen) - 3)
        seen += piece[: self._most + 5 - len(seen)]
        found = _HEADER_END.search(seen, from_here)
        if found:
            self._close(seen[: found.end()])
        elif len(seen) > self._most + 4:
            self._close(seen)
        return self.size <= self._most

    def end(self) -> int:
        """Its size, with the empty line; a message may be nothing but a header."""
        if self._seen is not None:
            self._close(self._seen)
        return self.size

    def _close(self, header: bytearray) -> None:
        self.size = len(header)
        self.hops = len(_RECEIVED.findall(header))
        self._seen = None
