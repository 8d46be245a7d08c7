"""Content: its one end, its dots, its faults. End-of-data variants stand here by their bytes (SMTP smuggling)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp.content import (
    LINE_ENDS,
    ContentLimits,
    DataReader,
    Fault,
    Inspector,
    Stuffer,
    Summary,
    Unsendable,
)

from .host import split

SMUGGLED = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n"

NO_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\n.\0\r\n",
    b"\0\r\n.\n",
    b"\r\r\n.\n",
]
"""What somebody somewhere has taken for the end."""


def read(segments: list[bytes], repair: bool = False) -> tuple[bytes, bytes | None, set[Fault]]:
    """What is meant, what follows the end, and the faults."""
    reader, inspector, meant = DataReader(repair), Inspector(ContentLimits()), b""
    for number, segment in enumerate(segments):
        piece, rest = reader.receive(segment)
        meant += piece
        inspector.look(piece)
        if rest is not None:
            inspector.end()
            return meant, rest + b"".join(segments[number + 1 :]), inspector.faults
    return meant, None, inspector.faults


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("variant", NO_ENDS, ids=repr)
def test_nothing_ends_it_but_its_end(variant: bytes) -> None:
    data = b"body" + variant + SMUGGLED + b".\r\nQUIT\r\n"
    for segments in ([data], bytewise(data)):
        meant, rest, faults = read(segments)
        assert rest == b"QUIT\r\n"
        assert b"MAIL FROM" in meant
        assert faults & LINE_ENDS


@pytest.mark.parametrize("variant", NO_ENDS, ids=repr)
@pytest.mark.parametrize("before", [b"body", b""], ids=["behind text", "at the start"])
def test_repair_is_never_near_a_dot(variant: bytes, before: bytes) -> None:
    data = before + variant + SMUGGLED + b".\r\n"
    for segments in ([data], bytewise(data)):
        _, rest, faults = read(segments, repair=True)
        assert rest == b""
        assert faults & LINE_ENDS


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"\n\n\r\n.\r\n", b"\r\n\r\n\r\n"),
        (b"Done.\nBye.\n\r\n.\r\n", b"Done.\r\nBye.\r\n\r\n"),
        (b"a\n b.c\r\n..d\r\n.\r\n", b"a\r\n b.c\r\n.d\r\n"),
    ],
)
def test_repair(sent: bytes, meant: bytes) -> None:
    for segments in ([sent], bytewise(sent)):
        assert read(segments, repair=True) == (meant, b"", set())
        assert read(segments)[2] == {Fault.BARE_LF}


@pytest.mark.parametrize(
    "sent", [b"a\rb\r\n.\r\n", b"a\0b\n\r\n.\r\n", b"a\r\r\n.\r\n", b"a\n\r.\r\n.\r\n", b"a\n.b\r\n.\r\n"]
)
def test_what_repair_leaves_as_it_is(sent: bytes) -> None:
    for segments in ([sent], bytewise(sent)):
        assert read(segments, repair=True)[2]


@pytest.mark.parametrize(
    ("sent", "meant", "rest"),
    [
        (b".\r\n", b"", b""),
        (b".\r\nQUIT\r\n", b"", b"QUIT\r\n"),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"...\r\n.\r\n", b"..\r\n", b""),
        (b".x\r\n.\r\n", b"x\r\n", b""),
        (b"a\r\n.b\r\n..c\r\n....\r\n.\r\n", b"a\r\nb\r\n.c\r\n...\r\n", b""),
        (b"a\r\n..\r\n.\r\n.\r\n", b"a\r\n.\r\n", b".\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n", b""),
        (b"a\r\n", b"a", None),
        (b"a\r\n.", b"a", None),
        (b"a\r\n.\r", b"a", None),
        (b"", b"", None),
    ],
)
def test_dots(sent: bytes, meant: bytes, rest: bytes | None) -> None:
    for repair in (False, True):
        assert read([sent], repair) == read(bytewise(sent), repair) == (meant, rest, set())


@pytest.mark.parametrize("sent", [b".\n", b".\n.\r\n", b"\n.\r\n.\r\n", b".\r.\r\n"])
def test_a_first_line_that_only_looks_like_the_end(sent: bytes) -> None:
    for segments in ([sent + b"x\r\n.\r\n"], bytewise(sent + b"x\r\n.\r\n")):
        assert read(segments)[2] & LINE_ENDS


def test_an_end_cut_at_every_place() -> None:
    data = b"a\r\n..b\r\n.\r\nRSET\r\n"
    for at in range(len(data)):
        assert read([data[:at], data[at:]]) == (b"a\r\n.b\r\n", b"RSET\r\n", set())


PARTS = st.lists(
    st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"\0", b"x", b"yz", b"\r\n.\r\n", b"\r\n.", b"\n.\n"]), max_size=25
)


@given(PARTS, st.lists(st.integers(0, 200), max_size=12), st.booleans())
def test_whole_or_in_pieces_the_same(parts: list[bytes], cuts: list[int], repair: bool) -> None:
    data = b"".join(parts) + b"\r\n.\r\n"
    whole, pieces = read([data], repair), read(split(data, cuts), repair)
    assert whole[1:] == pieces[1:]
    assert whole[2] or whole[0] == pieces[0]  # what is refused may be repaired in part


@given(PARTS, st.booleans())
def test_what_is_meant_has_no_fault_or_it_is_noted(parts: list[bytes], repair: bool) -> None:
    meant, _, faults = read([b"".join(parts) + b"\r\n.\r\n"], repair)
    clean = meant.replace(b"\r\n", b"")
    assert bool(faults) is any(sign in clean for sign in (b"\r", b"\n", b"\0"))


# --- sending


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([stuffer.encode(piece) for piece in pieces]) + stuffer.end()


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n.\r\n..\r\na.\r\n", b"..\r\n..\r\n...\r\na.\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
    ],
)
def test_stuffing(content: bytes, sent: bytes) -> None:
    assert stuffed([content]) == stuffed(bytewise(content)) == sent


@pytest.mark.parametrize("content", [b"a\nb", b"a\rb", b"\n", b"\r", b"\0", b"a\r\r\n", b"a\n\r\n", b"\r\n\r"])
def test_what_cannot_be_sent(content: bytes) -> None:
    for pieces in ([content], bytewise(content)):
        with pytest.raises(Unsendable):
            stuffed(pieces)


@given(PARTS, st.lists(st.integers(0, 200), max_size=12))
def test_what_is_sent_is_read_as_it_was_and_holds_no_bare_line_end(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(parts)
    try:
        sent = stuffed(split(content, cuts))
    except Unsendable:
        assert any(sign in content.replace(b"\r\n", b"") for sign in (b"\r", b"\n", b"\0"))
        return
    assert sent.count(b"\r") == sent.count(b"\n") == sent.count(b"\r\n")
    whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert read([sent]) == (whole, b"", set())


# --- what is in it


def inspected(pieces: list[bytes], limits: ContentLimits | None = None) -> tuple[Summary, set[Fault]]:
    inspector = Inspector(limits or ContentLimits())
    for piece in pieces:
        inspector.look(piece)
    return inspector.end(), inspector.faults


MESSAGE = b"Received: a\r\nRECEIVED : b\r\n Received: folded\r\nX-Received: c\r\n\r\nReceived: body \xe9\r\n"


@pytest.mark.parametrize(
    ("content", "summary"),
    [
        (b"", Summary(0, 0, 0, 0, False)),
        (b"\r\n", Summary(2, 2, 0, 0, False)),
        (b"\r\nReceived: x\r\n", Summary(15, 2, 0, 11, False)),
        (b"Received: x", Summary(11, 11, 1, 11, False)),
        (MESSAGE, Summary(len(MESSAGE), MESSAGE.index(b"\r\n\r\n") + 4, 2, 17, True)),
    ],
)
def test_summaries(content: bytes, summary: Summary) -> None:
    assert inspected([content]) == inspected(bytewise(content)) == (summary, set())


@pytest.mark.parametrize(
    ("content", "limits", "faults"),
    [
        (b"12345678\r\n", ContentLimits(size=10), set()),
        (b"123456789\r\n", ContentLimits(size=10), {Fault.TOO_LARGE}),
        (b"1234\r\n\r\n" + b"x" * 99, ContentLimits(header=8), set()),
        (b"12345\r\n\r\n", ContentLimits(header=8), {Fault.HEADER_TOO_LARGE}),
        (b"1234567\r\n", ContentLimits(header=8), {Fault.HEADER_TOO_LARGE}),
        (b"123456789" * 3, ContentLimits(header=8), {Fault.HEADER_TOO_LARGE}),
        (b"1234\r\n12345\r\n", ContentLimits(line=5), set()),
        (b"1234\r\n123456\r\n", ContentLimits(line=5), {Fault.LINE_TOO_LONG}),
        (b"123456", ContentLimits(line=5), {Fault.LINE_TOO_LONG}),
        (b"a\rb\n\0\r\n", ContentLimits(binary=True), set()),
        (b"a\rb\n\0\r\n", ContentLimits(), {Fault.BARE_CR, Fault.BARE_LF, Fault.NUL}),
        (b"a\r", ContentLimits(), {Fault.BARE_CR}),
        (b"From x\r\n" * 9, ContentLimits(size=70), {Fault.TOO_LARGE}),
    ],
)
def test_limits(content: bytes, limits: ContentLimits, faults: set[Fault]) -> None:
    assert inspected([content], limits)[1] == inspected(bytewise(content), limits)[1] == faults


@given(PARTS, st.lists(st.integers(0, 200), max_size=12))
def test_chunks_cut_anywhere_are_the_same(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(parts)
    limits = ContentLimits(size=30, header=12, line=7)
    whole, pieces = inspected([content], limits), inspected(split(content, cuts), limits)
    assert whole[1] == pieces[1]
    assert whole[1] or whole[0] == pieces[0]
