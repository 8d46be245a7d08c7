"""The header section of a message (RFC 5322, 2.2 and 3.6; RFC 6532), told from its body while it comes.

::

    message := header [CRLF body]
    header  := *field
    field   := name ":" text *(CRLF (SP | TAB) text) CRLF      name: printable ASCII without ":"

Bytes stay bytes: a field is what came, its folding, its CRLF and whatever charset it is in included, and the fields one
after the other are the header again. Refused is what one reader takes for a field and the next one does not: a blank
before the colon, a name in two lines, a line that looks blank, a line without a colon (a body without a blank line before
it), mbox's ``From``, NUL, a CR or LF alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..protocols.smtp.replies import Reply, reply

MAX_LINE = 998
"""Bytes of a line without its CRLF (RFC 5322, 2.1.1)."""

_FIELD = re.compile(rb"([!-9;-~]+):[^\0\r\n]*(?:\r\n[ \t][^\0\r\n]*)*\r\n")
_LOOKS_BLANK = re.compile(rb"\r\n[ \t]+\r\n")
_WRONG = (
    (re.compile(rb"[^\0\r\n]*[\0\r\n]"), "a NUL, or a CR or LF alone"),
    (re.compile(rb"[ \t]"), "it goes on with a field, and there is none before it"),
    (re.compile(rb">?From [^:]"), "mbox's From line, which belongs to no message"),
    (re.compile(rb"[^:]*\Z"), "no colon; a blank line is missing between header and body"),
    (re.compile(rb":"), "a colon without a name before it"),
    (re.compile(rb""), "a blank or an odd character in a field's name"),
)
"""Why no field begins with a line: the first that matches."""

_FOLD = re.compile(rb"\r\n(?=[ \t])")


class HeaderFault(ValueError):
    """The header is none. The message says where and why, without what stands there."""

    def reply(self) -> Reply:
        """A refusal for good: the message will not be better at the next try."""
        return reply(550, "5.6.0", f"the message's header is malformed: {self}")


class Field(NamedTuple):
    """One field: its name in lower case, and all of its bytes."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What stands behind the colon, unfolded (RFC 5322, 2.2.3), without the CRLF at its end."""
        return _FOLD.sub(b"", self.raw[len(self.name) + 1 : -2])


@dataclass(frozen=True, slots=True)
class Header:
    """The fields, in their order."""

    fields: tuple[Field, ...] = ()

    @property
    def raw(self) -> bytes:
        """The header section as it came."""
        return b"".join(field.raw for field in self.fields)

    def named(self, name: bytes) -> list[Field]:
        """The fields of a name, which is given in lower case."""
        return [field for field in self.fields if field.name == name]

    def __contains__(self, name: bytes) -> bool:
        return any(field.name == name for field in self.fields)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a header may be: its bytes, its fields, and a line's bytes without CRLF."""

    header: int = 256 * 1024
    fields: int = 1000
    line: int = MAX_LINE


def parse(section: bytes, bounds: Bounds = Bounds()) -> Header:
    """A header section, each line with its CRLF, without the blank line. Raises ``HeaderFault`` for the first faulty field.

    How large it is in all was looked at before.
    """
    return Header(tuple(_fields(section, bounds)))


def _fields(section: bytes, bounds: Bounds) -> Iterator[Field]:
    at = number = 0
    while at < len(section):
        found = _FIELD.match(section, at)
        if found is None:
            raise HeaderFault(_where(section, at) + _what_is_wrong(section[at:]))
        number += 1
        if number > bounds.fields:
            raise HeaderFault(f"more than {bounds.fields} fields")
        raw = found[0]
        if len(raw) - 2 > bounds.line and max(map(len, raw.split(b"\r\n"))) > bounds.line:
            raise HeaderFault(f"{_where(section, at)}longer than {bounds.line} bytes")
        if _LOOKS_BLANK.search(raw):
            raise HeaderFault(_where(section, at) + "goes on with a line of blanks")
        yield Field(found[1].lower(), raw)
        at = found.end()


def _where(section: bytes, at: int) -> str:
    number = section.count(b"\r\n", 0, at) + 1
    return f"line {number}: "


def _what_is_wrong(rest: bytes) -> str:
    """Why no field begins here."""
    line, end, _ = rest.partition(b"\r\n")
    if not end:
        return "it has no end"
    return next(reason for pattern, reason in _WRONG if pattern.match(line))


class HeaderReader:
    """Takes a message in pieces of any size, keeps its header, hands on all that follows.

    What is handed on begins with the blank line, so that header and rest are the message. Nothing is raised before the end,
    since there the one reply is given; a message with a fault is swallowed, and of it no more is kept than ``bounds`` say.
    """

    __slots__ = ("_bounds", "_buffer", "_fault", "_header", "_seen")

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self._bounds = bounds
        self._buffer = bytearray()
        self._seen = 0  # up to here no blank line ends
        self._header: Header | None = None
        self._fault: HeaderFault | None = None

    @property
    def fault(self) -> HeaderFault | None:
        """What is wrong, as soon as it is known."""
        return self._fault

    def receive(self, data: bytes) -> bytes:
        """The bytes of this piece that follow the header; none when there is a fault."""
        if self._header is not None:
            return data
        if self._fault is not None:
            return b""
        self._buffer += data
        end = self._end()
        if end is None:
            self._check_size()
            return b""
        self._conclude(end)
        rest = b"" if self._fault else bytes(self._buffer[end:])
        self._buffer.clear()
        return rest

    def finish(self) -> Header:
        """The header, at the end of the message: one that has no body ends here. Raises ``HeaderFault``."""
        if self._header is None and self._fault is None:
            self._conclude(len(self._buffer))
        if self._fault is not None:
            raise self._fault
        assert self._header is not None
        return self._header

    def _end(self) -> int | None:
        """Where the header ends, which is before the CRLF of the blank line."""
        if self._buffer.startswith(b"\r\n"):
            return 0
        start, self._seen = self._seen, max(0, len(self._buffer) - 3)
        found = self._buffer.find(b"\r\n\r\n", start)
        return None if found < 0 else found + 2

    def _check_size(self) -> None:
        # two bytes more may be those that say that it has ended in time
        if len(self._buffer) >= self._bounds.header + 2:
            self._conclude(len(self._buffer))
            self._buffer.clear()

    def _conclude(self, end: int) -> None:
        try:
            header = parse(self._whole_lines(end), self._bounds)
            if end > self._bounds.header:
                raise HeaderFault(f"larger than {self._bounds.header} bytes")
            self._header = header
        except HeaderFault as fault:
            self._fault = fault

    def _whole_lines(self, end: int) -> bytes:
        """What is looked at: all of the header; of one that is too large the lines that end within the limit."""
        limit = self._bounds.header
        if end <= limit:
            return bytes(self._buffer[:end])
        whole, end_of_line, _ = bytes(self._buffer[:limit]).rpartition(b"\r\n")
        return whole + end_of_line
