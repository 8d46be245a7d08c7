"""What logins have sent, as a file keeps it: a line of JSON for each, behind one that says what it is and of when.

::

    {"saslpy": "counts", "version": 1, "at": 1764028800.0}
    ["joe@example.org", [[11760191, 3]], [[490007, 12]]]        messages and recipients: a slice's number, and how many

Its size is bounded by ``limits.MAX_LOGINS``. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from .limits import MAX_LOGINS, Counters
from .window import SLICES

MAX_LINE = 16_384
"""Octets; more than any login's can have."""

LONGEST = 1100
"""Characters of a login (``doorwire.Name``); a longer one is nobody's, and not kept."""

BATCH = 500
"""Logins that are packed at a time: others want their turn."""

_Number: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
_Counts: TypeAlias = Annotated[tuple[tuple[_Number, _Number], ...], Meta(max_length=SLICES + 1)]
_Login: TypeAlias = tuple[Annotated[str, Meta(max_length=LONGEST)], _Counts, _Counts]


class Malformed(ValueError):
    """It is no such file, or not all of it; the message says where, and nothing of what is in it."""


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    saslpy: Literal["counts"]
    version: Literal[1]
    at: Annotated[float, Meta(ge=0, le=1e12)]


_read_head = msgspec.json.Decoder(_Head)
_read_login = msgspec.json.Decoder(_Login)
_encoder = msgspec.json.Encoder()


def packed(counters: Counters, now: float) -> Iterator[bytes]:
    """The file's content, in pieces of ``BATCH`` logins; who waits between two of them may count."""
    yield _encoder.encode(_Head("counts", 1, now)) + b"\n"
    everyone = counters.logins
    for start in range(0, len(everyone), BATCH):
        kept = (counters.kept(login) for login in everyone[start : start + BATCH])
        yield _encoder.encode_lines([one for one in kept if one is not None and len(one[0]) <= LONGEST])


def restore(lines: Iterable[bytes], counters: Counters, now: float) -> None:
    """Count what a file has kept. Raises ``Malformed``; what stands before the fault counts."""
    at: float | None = None
    for number, line in enumerate(lines):
        if number > MAX_LOGINS:
            raise Malformed("more lines than there can be")
        try:
            if at is None:
                at = _read_head.decode(line).at
            else:
                # a clock that was put back meanwhile: what was just now is just now
                counters.restore(*_read_login.decode(line), back=max(0.0, at - now), now=now)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Malformed(f"line {number + 1} makes no sense") from None
    if at is None:
        raise Malformed("it is empty")
