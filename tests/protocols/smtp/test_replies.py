"""Replies: the bytes of ours, and what a peer may send."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp import replies
from saslpy.protocols.smtp.replies import MalformedReply, Reply, ReplyReader

from .host import split

OURS = [(name, value) for name, value in vars(replies).items() if isinstance(value, Reply)]


@pytest.mark.parametrize(("name", "reply"), OURS, ids=[name for name, _ in OURS])
def test_every_reply_of_ours_is_a_line_and_is_read_as_it_was_said(name: str, reply: Reply) -> None:
    said = reply.encode()
    assert re.fullmatch(rb"[2-5]\d\d (?:[245]\.\d{1,3}\.\d{1,3} )?[ -~]{1,500}\r\n", said)
    assert bool(reply.enhanced) is (reply.code != 354)
    assert replies.decode([said[:-2]]) == reply


def test_several_lines() -> None:
    assert replies.hello("h.test", ["SIZE 5", "DSN"]).encode() == b"250-h.test\r\n250-SIZE 5\r\n250 DSN\r\n"
    # RFC 2034, 4: the enhanced code stands in every line
    assert Reply(550, "5.7.1", ("no", "never")).encode() == b"550-5.7.1 no\r\n550 5.7.1 never\r\n"


def test_nothing_gets_into_a_line_that_would_end_it() -> None:
    assert Reply(550, "5.1.1", ("a\r\n250 ok\0é\x7f",)).encode() == b"550 5.1.1 a??250 ok???\r\n"
    assert len(Reply(550, "5.1.1", ("x" * 9999,)).encode()) == replies.MAX_LINE


def test_challenges() -> None:
    assert replies.encode_challenge(b"") == b"334 \r\n"
    assert replies.encode_challenge(b"x" * 9000).count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("code", "enhanced", "lines"), [(199, "", ("x",)), (600, "", ("x",)), (250, "5.0.0", ("x",)), (250, "", ())]
)
def test_replies_that_cannot_be(code: int, enhanced: str, lines: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="code"):
        Reply(code, enhanced, lines)


def read(*segments: bytes) -> list[Reply]:
    reader, found = ReplyReader(), list[Reply]()
    for segment in segments:
        reader.receive(segment)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", ("Ok",))),
        (b"250\r\n", Reply(250, "", ("",))),
        (b"250 \r\n", Reply(250, "", ("",))),
        (b"220-a\r\n220 b\r\n", Reply(220, "", ("a", "b"))),
        (b"220-\r\n220\r\n", Reply(220, "", ("", ""))),
        (b"550-5.1.1 no\r\n550 5.1.1 never\r\n", Reply(550, "5.1.1", ("no", "never"))),
        (b"550-no\r\n550 5.1.1 never\r\n", Reply(550, "5.1.1", ("no", "never"))),
        (b"250 5.1.1 of another class\r\n", Reply(250, "", ("5.1.1 of another class",))),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", ("",))),
        (b"550 5.1.10\r\n", Reply(550, "5.1.10", ("",))),
        (b"550 5.1.1000 x\r\n", Reply(550, "", ("5.1.1000 x",))),
        (b"250 gr\xc3\xbc\xff\r\n", Reply(250, "", ("grü\N{REPLACEMENT CHARACTER}",))),
    ],
)
def test_what_a_peer_says(data: bytes, reply: Reply) -> None:
    assert read(data) == [reply]


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"99 x\r\n",
        b"150 x\r\n",
        b"600 x\r\n",
        b"2500 x\r\n",
        b"250x\r\n",
        b"\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\nx\r\n",
        b"250 a\n",
        b"250 a\rb\r\n",
        b"250 \0\r\n",
        b"x" * (replies.MAX_PEER_LINE + 1),
        b"250-x\r\n" * (replies.MAX_PEER_LINES + 1),
    ],
)
def test_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(MalformedReply):
        read(data)


def test_what_came_unasked_is_seen_and_can_be_forgotten() -> None:
    reader = ReplyReader()
    reader.receive(b"220 go\r\n250 injected\r\n250-x")
    assert reader.next_reply() == Reply(220, "", ("go",))
    assert reader.pending
    reader.clear()
    assert not reader.pending
    assert reader.next_reply() is None


@given(
    st.binary(max_size=60) | st.from_regex(rb"(250[- ][ -~]{0,9}\r\n){0,5}", fullmatch=True),
    st.lists(st.integers(0, 99)),
)
def test_whole_or_in_pieces_the_same_and_nothing_else_escapes(data: bytes, cuts: list[int]) -> None:
    def outcome(segments: list[bytes]) -> object:
        try:
            return read(*segments)
        except MalformedReply as fault:
            return str(fault)

    assert outcome([data]) == outcome(split(data, cuts))
