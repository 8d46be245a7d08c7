"""Netstrings and socketmap requests, by their bytes; and the invariant: whole or byte by byte, the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols import ProtocolError
from saslpy.protocols.netstrings import NetstringReader, netstring
from saslpy.protocols.socketmap import (
    MAX_REPLY,
    MAX_REQUEST,
    NOTFOUND,
    Request,
    RequestReader,
    TooLong,
    encode_request,
    ok,
    perm,
    temp,
)


def test_the_examples_of_the_page_on_netstrings() -> None:
    """https://cr.yp.to/proto/netstrings.txt"""
    hello = bytes.fromhex("31 32 3a 68 65 6c 6c 6f 20 77 6f 72 6c 64 21 2c")
    assert netstring(b"hello world!") == hello
    assert netstring(b"") == b"0:,"
    assert strings([hello + b"0:,"]) == [b"hello world!", b""]


def test_a_request_of_postfix() -> None:
    assert encode_request("mailbox", "joe@example.org") == b"23:mailbox joe@example.org,"
    assert requests([b"23:mailbox joe@example.org,"]) == [Request(b"mailbox", b"joe@example.org")]


def test_the_bytes_of_replies() -> None:
    assert ok("var/vmail/joe/") == b"17:OK var/vmail/joe/,"
    assert NOTFOUND == b"9:NOTFOUND ,"
    assert temp("later") == b"10:TEMP later,"
    assert perm("never") == b"10:PERM never,"
    assert ok("x" * MAX_REPLY) == perm("the value is too long")


def test_a_key_may_hold_blanks_and_anything_else() -> None:
    assert requests([netstring(b"m a b\0\xff,")]) == [Request(b"m", b"a b\0\xff,")]
    assert requests([netstring(b"m ")]) == [Request(b"m", b"")]


@pytest.mark.parametrize("data", [b"x", b":", b"01:a,", b"00:,", b"-1:,", b" 1:a,", b"1 :a,", b"1:ab", b"0:x", b"1a:"])
def test_what_is_no_netstring(data: bytes) -> None:
    reader = NetstringReader(100)
    reader.receive(data)
    for _ in range(2):
        with pytest.raises(ProtocolError):
            reader.next()


@pytest.mark.parametrize("data", [b"10001:", b"10001", b"99999", b"999999999999"])
def test_what_is_too_long_is_refused_before_it_comes(data: bytes) -> None:
    reader = NetstringReader(MAX_REQUEST)
    reader.receive(data)
    with pytest.raises(TooLong):
        reader.next()


def test_the_longest_request() -> None:
    assert requests([netstring(b"m " + b"x" * (MAX_REQUEST - 2))]) == [Request(b"m", b"x" * (MAX_REQUEST - 2))]
    assert requests([netstring(b"m")]) == [], "a map and no key"


def strings(pieces: list[bytes], most: int = 60) -> list[bytes | str]:
    """What comes of the pieces: strings, and at the end the refusal's kind."""
    reader, found = NetstringReader(most), list[bytes | str]()
    try:
        for piece in pieces:
            reader.receive(piece)
            while (string := reader.next()) is not None:
                found.append(string)
    except ProtocolError as fault:
        found.append(type(fault).__name__)
    return found


def requests(pieces: list[bytes]) -> list[Request]:
    """The same of requests, up to the first fault."""
    reader, found = RequestReader(), list[Request]()
    try:
        for piece in pieces:
            reader.receive(piece)
            while (request := reader.next()) is not None:
                found.append(request)
    except ProtocolError:
        pass
    return found


almost = st.lists(st.one_of(st.binary(max_size=70).map(netstring), st.binary(max_size=6))).map(b"".join)


@given(st.one_of(st.binary(max_size=300), almost))
def test_whole_or_byte_by_byte(data: bytes) -> None:
    """The same strings and the same refusal; nothing but ``ProtocolError`` escapes."""
    assert strings([data]) == strings([data[i : i + 1] for i in range(len(data))])
    assert requests([data]) == requests([data[i : i + 1] for i in range(len(data))])


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 1000), max_size=6))
def test_any_split_gives_the_strings_back(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(netstring, sent))
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assert strings([data[start:end] for start, end in itertools.pairwise(places)]) == sent
