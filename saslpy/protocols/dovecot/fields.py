"""What a line is made of: fields between tabs, escapes inside them, ids, versions.

::

    line      := field *(TAB field) LF              the first field is the command
    parameter := name | name "=" value              an unknown name is ignored
    escape    := SOH ("0" | "1" | "t" | "r" | "n")  NUL, SOH, TAB, CR, LF; any other character stands for itself
    id        := 1 … 4294967295, decimal
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .. import ProtocolError

MAJOR = 1
"""Of the version. Another one is another protocol."""

MAX_NUMBER = 0xFFFF_FFFF

_DIGITS = 10  # of MAX_NUMBER
_ESCAPED = re.compile(rb"\x01(.?)", re.DOTALL)
_SPECIAL = re.compile(rb"[\x00\x01\t\r\n]")
_LETTERS = {b"\0": b"0", b"\1": b"1", b"\t": b"t", b"\r": b"r", b"\n": b"n"}
_MEANINGS = {letter: character for character, letter in _LETTERS.items()}


def escape(value: bytes) -> bytes:
    """A value as it stands in a field."""
    return _SPECIAL.sub(lambda found: b"\1" + _LETTERS[found[0]], value)


def unescape(value: bytes) -> bytes:
    """A field's value as it is meant. An escape that is cut off means nothing (lib/strescape.c)."""
    return _ESCAPED.sub(lambda found: _MEANINGS.get(found[1], found[1]), value) if b"\1" in value else value


def line(*fields: bytes) -> bytes:
    """The bytes of a line. Fields are as they shall stand there: ``pair`` and ``escape`` make them."""
    return b"\t".join(fields) + b"\n"


def pair(name: bytes, value: str | bytes) -> bytes:
    """A parameter with its value, escaped: ``user=joe``."""
    return name + b"=" + escape(data_of(value) if isinstance(value, str) else value)


def split(text: bytes) -> list[bytes]:
    """The fields of a line (which has lost its LF), with their escapes."""
    return text.split(b"\t")


def parameters(fields: Iterable[bytes]) -> dict[bytes, bytes]:
    """Values by name, without their escapes; empty for a name alone (``secured``). Of two with one name the last counts."""
    found = {}
    for field in fields:
        name, _, value = field.partition(b"=")
        found[name] = unescape(value)
    return found


def number(field: bytes) -> int:
    """A number of 32 bits. Raises ``ProtocolError``."""
    # the length is looked at first: Python refuses to read thousands of digits with an error of its own
    if len(field) <= _DIGITS and field.isdigit() and (value := int(field)) <= MAX_NUMBER:
        return value
    raise ProtocolError("a number is none, or has more than 32 bits")


def request_id(field: bytes) -> int:
    """The id of a request: a number other than 0. Raises ``ProtocolError``."""
    if value := number(field):
        return value
    raise ProtocolError("an id is 0")


def minor_version(fields: list[bytes]) -> int:
    """The minor version of what follows VERSION. Raises ``ProtocolError`` for another major one."""
    if len(fields) < 2:
        raise ProtocolError("VERSION wants two numbers")
    if number(fields[0]) != MAJOR:
        raise ProtocolError("another major version")
    return number(fields[1])


def text_of(value: bytes) -> str:
    """Bytes from the wire as text; those that are not UTF-8 are surrogates."""
    return value.decode("utf-8", "surrogateescape")


def data_of(text: str) -> bytes:
    """The bytes of a text, surrogates included."""
    return text.encode("utf-8", "surrogateescape")
