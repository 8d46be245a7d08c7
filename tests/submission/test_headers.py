"""The header told from the body: what is refused, to the byte; whole or in pieces the same; nothing is lost or changed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.submission.headers import Bounds, Header, HeaderFault, HeaderReader, parse

MESSAGES = [  # header, rest
    (b"From: joe@example.org\r\n", b"\r\nHello\r\n"),
    (b"A: b\r\n", b"\r\n\r\n\r\n"),
    (b"", b"\r\nHello\r\n"),
    (b"", b"\r\n"),
    (b"", b""),
    (b"A: b\r\n", b""),
    (b"A: b\r\n", b"\r\n"),
    (b"A:\r\n", b"\r\nFrom: not a field\r\n"),
    (b"A:b\r\n\tc\r\n  d\r\nA: again\r\n", b"\r\n."),
    (b"A: \r\n b\r\n", b"\r\n"),
    (b"Subject: \xfc \xff\x80 \x1b$B\r\n", b"\r\n\x00\r\r\n"),
    (b"!#$%&'*+-.0^_`{|}~\"(),;<=>?@[\\]/: odd, but a name\r\n", b"\r\n"),
]


@pytest.mark.parametrize(("header", "rest"), MESSAGES)
def test_a_header_and_what_follows(header: bytes, rest: bytes) -> None:
    reader = HeaderReader()
    assert reader.receive(header + rest) == rest
    assert reader.finish().raw == header


LINE_TOO_LONG = b"A: " + b"x" * 996 + b"\r\n"
FAULTS = [
    (b"From : joe@example.org\r\n", "line 1: a blank or an odd character in a field's name"),
    (b"A: b\r\nFrom\t: joe@example.org\r\n", "line 2: a blank or an odd character in a field's name"),
    (b"From\0: joe@example.org\r\n", "line 1: a NUL, or a CR or LF alone"),
    (b"Fr\xc3\xb6m: joe@example.org\r\n", "line 1: a blank or an odd character in a field's name"),
    (b"\xef\xbb\xbfFrom: joe@example.org\r\n", "line 1: a blank or an odd character in a field's name"),
    (b": joe@example.org\r\n", "line 1: a colon without a name before it"),
    (b":\r\n", "line 1: a colon without a name before it"),
    (b"A: b\r\n c\r\nFro\r\n m: joe@example.org\r\n", "line 3: no colon; a blank line is missing"),
    (b"From\r\n : joe@example.org\r\n", "line 1: no colon"),
    (b"A: b\r\nHello,\r\n", "line 2: no colon; a blank line is missing between header and body"),
    (b"Hello\r\n\r\n", "line 1: no colon"),
    (b".\r\n", "line 1: no colon"),
    (b" From: joe@example.org\r\n", "line 1: it goes on with a field, and there is none before it"),
    (b"\t\r\nFrom: joe@example.org\r\n", "line 1: it goes on with a field"),
    (b"A: b\r\n \r\nFrom: joe@example.org\r\n", "line 1: goes on with a line of blanks"),
    (b"A: b\r\nB:\r\n \t \r\n c\r\n", "line 2: goes on with a line of blanks"),
    (b"From joe@example.org Sat Jan  3 01:05:34 1996\r\nA: b\r\n", "line 1: mbox's From line"),
    (b">From joe@example.org Sat Jan  3 01:05:34 1996\r\n", "line 1: mbox's From line"),
    (b"A: b\0c\r\n", "line 1: a NUL, or a CR or LF alone"),
    (b"A: b\rFrom: joe@example.org\r\n", "line 1: a NUL, or a CR or LF alone"),
    (b"A: b\nFrom: joe@example.org\r\n", "line 1: a NUL, or a CR or LF alone"),
    (b"A: b\r\n c\n\nd\r\n", "line 2: a NUL, or a CR or LF alone"),
    (b"A: b\r\r\n\r\n", "line 1: a NUL, or a CR or LF alone"),
    (b"\n\r\n", "line 1: a NUL"),
    (b"A: b\r\nC: d", "line 2: it has no end"),
    (b"A: b\r\nC: d\r", "line 2: it has no end"),
    (b"A", "line 1: it has no end"),
    (LINE_TOO_LONG, "line 1: longer than 998 bytes"),
    (b"A: b\r\n" + b" " + b"x" * 998 + b"\r\n", "line 1: longer than 998 bytes"),
]


@pytest.mark.parametrize(("message", "why"), FAULTS)
def test_refused(message: bytes, why: str) -> None:
    reader = HeaderReader()
    for piece in (message, b"\r\nFrom: evil@bank.example\r\n"):
        assert reader.receive(piece) == b"" or reader.fault is None
    with pytest.raises(HeaderFault) as fault:
        finish(message)
    assert str(fault.value).startswith(why)
    encoded = fault.value.reply().encode()
    assert encoded.startswith(b"550 5.6.0 the message's header is malformed: ")
    assert b"example" not in encoded


def finish(message: bytes) -> Header:
    reader = HeaderReader()
    reader.receive(message)
    return reader.finish()


def test_a_line_may_be_as_long_as_it_may_be() -> None:
    header = b"A: " + b"x" * 995 + b"\r\n " + b"y" * 997 + b"\r\n"
    assert finish(header + b"\r\n").raw == header


@pytest.mark.parametrize(("size", "fits"), [(999, True), (1000, True), (1001, False), (1002, False), (1003, False)])
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"\r\nbody", b"\r\n" + b"x" * 5000])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_no_header_is_larger_than_the_bound(size: int, fits: bool, rest: bytes, step: int) -> None:
    header = (b"A: " + b"x" * 95 + b"\r\n") * 9
    header += b"B: " + b"y" * (size - len(header) - 5) + b"\r\n"
    assert len(header) == size
    reader = HeaderReader(Bounds(header=1000))
    message = header + rest
    got = b"".join(reader.receive(message[at : at + step]) for at in range(0, len(message), step))
    if fits:
        assert (reader.finish().raw, got) == (header, rest)
    else:
        assert got == b""
        with pytest.raises(HeaderFault, match=r"^larger than 1000 bytes$"):
            reader.finish()


def test_an_endless_header_is_not_kept() -> None:
    reader = HeaderReader(Bounds(header=1000))
    for _ in range(1000):
        assert reader.receive(b"From joe Sat Jan 3 01:05:34 1996\r\n") == b""
    assert len(reader._buffer) == 0
    assert str(reader.fault) == "line 1: mbox's From line, which belongs to no message"


def test_no_header_has_more_fields_than_the_bound() -> None:
    assert len(parse(b"A: b\r\n" * 5, Bounds(fields=5)).fields) == 5
    with pytest.raises(HeaderFault, match="more than 5 fields"):
        parse(b"A: b\r\n" * 6, Bounds(fields=5))


def test_fields_by_name_and_unfolded() -> None:
    header = parse(b"FROM: a\r\n\tb\r\n c\r\nTo:x\r\nfrom:\r\n")
    assert [field.value for field in header.named(b"from")] == [b" a\tb c", b""]
    assert b"to" in header
    assert b"cc" not in header


def outcome(pieces: list[bytes], bounds: Bounds) -> tuple[object, bytes]:
    reader = HeaderReader(bounds)
    rest = b"".join([reader.receive(piece) for piece in pieces])
    try:
        return reader.finish(), rest
    except HeaderFault as fault:
        return str(fault), b""


shapes = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"\r\n\r\n",
            b"\r",
            b"\n",
            b" ",
            b"\t",
            b":",
            b"A:",
            b"From",
            b"From ",
            b"x" * 30,
            b"\0",
            b"\xff",
            b".",
        ]
    ),
    max_size=30,
).map(b"".join)


@given(
    st.one_of(shapes, st.binary()), st.lists(st.integers(0, 200), max_size=5), st.integers(1, 60), st.integers(1, 40)
)
def test_whole_or_in_pieces(message: bytes, cuts: list[int], most: int, line: int) -> None:
    """The same header and rest or the same fault, and nothing is raised but ``HeaderFault``; what is let through is all."""
    bounds = Bounds(most, 4, line)
    whole = outcome([message], bounds)
    assert whole == outcome([message[i : i + 1] for i in range(len(message))], bounds)
    places = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    assert whole == outcome([message[a:b] for a, b in itertools.pairwise(places)], bounds)
    if isinstance(whole[0], Header):
        assert whole[0].raw + whole[1] == message
        assert whole[1] == b"" or whole[1].startswith(b"\r\n")
        assert all(b"\r\n\r\n" not in field.raw for field in whole[0].fields)
