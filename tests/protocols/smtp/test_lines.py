"""Lines: only CRLF ends one, and which fault it is does not depend on how the bytes came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp.lines import LineBuffer, LineFault, MalformedLine

from .host import split


def read(segments: list[bytes], most: int = 20) -> list[bytes | LineFault]:
    buffer, found = LineBuffer(), list[bytes | LineFault]()
    try:
        for segment in segments:
            buffer.receive(segment)
            while (line := buffer.line(most)) is not None:
                found.append(line)
    except MalformedLine as malformed:
        found.append(malformed.fault)
    return found


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"NOOP\r\nQUIT\r\n", [b"NOOP", b"QUIT"]),
        (b"\r\n", [b""]),
        (b"NOOP\n", [LineFault.BARE_LF]),
        (b"NOOP\rQUIT\r\n", [LineFault.BARE_CR]),
        (b"NOOP\r", []),
        (b"NOOP\r\r\n", [LineFault.BARE_CR]),
        (b"NO\0OP", [LineFault.NUL]),
        (b"A\r\nB\n", [b"A", LineFault.BARE_LF]),
        (b"x" * 18 + b"\r\n", [b"x" * 18]),
        (b"x" * 19 + b"\r\n", [LineFault.TOO_LONG]),
        (b"x" * 20, []),
        (b"x" * 21, [LineFault.TOO_LONG]),
        (b"x" * 19 + b"\0", [LineFault.NUL]),
        (b"x" * 20 + b"\0", [LineFault.TOO_LONG]),
        (b"x" * 18 + b"\rx", [LineFault.BARE_CR]),
        (b"x" * 19 + b"\rx", [LineFault.TOO_LONG]),
    ],
)
def test_lines(data: bytes, found: list[bytes | LineFault]) -> None:
    assert read([data]) == found
    assert read([data[at : at + 1] for at in range(len(data))]) == found


@given(
    st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"\0", b"abc", b"x" * 17]), max_size=20),
    st.lists(st.integers(0, 400)),
)
def test_whole_or_in_pieces_the_same(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    assert read([data]) == read(split(data, cuts))


def test_lines_and_octets() -> None:
    buffer = LineBuffer()
    buffer.receive(b"BDAT 4\r\nab")
    assert buffer.line(20) == b"BDAT 4"
    assert buffer.take(4) == b"ab"
    buffer.receive(b"cdNO")
    assert buffer.take(2) == b"cd"
    assert buffer.peek(8) == b"NO"
    assert buffer.line(20) is None
    buffer.receive(b"OP\r\nx")
    assert buffer.line(20) == b"NOOP"
    assert (len(buffer), buffer.take(), len(buffer)) == (1, b"x", 0)
