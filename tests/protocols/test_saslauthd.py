"""The mux codec, by its bytes; and the invariant: whole or byte by byte, the same request or the same refusal."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols import ProtocolError
from saslpy.protocols.saslauthd import (
    MAX_REPLY,
    NO,
    OK,
    FieldTooLong,
    Request,
    RequestReader,
    decode_reply,
    encode_reply,
    encode_request,
)

# login "joe", password "secret", service "smtp", no realm, as libsasl2 2.1.28 sends it
JOE = bytes.fromhex("0003 6a6f65 0006 736563726574 0004 736d7470 0000")


def test_the_bytes_of_a_request() -> None:
    assert encode_request(b"joe", b"secret", b"smtp") == JOE
    assert RequestReader().receive(JOE) == Request(b"joe", b"secret", b"smtp", b"")


def test_the_bytes_of_replies() -> None:
    assert OK == b"\0\2OK"
    assert NO == b"\0\x18NO authentication failed"


def test_four_separate_writes_as_exim_makes_them() -> None:
    reader = RequestReader()
    for part in (b"\0\3joe", b"\0\6secret", b"\0\4smtp"):
        assert reader.receive(part) is None
    assert reader.receive(b"\0\0") == Request(b"joe", b"secret", b"smtp", b"")


def test_a_fifth_field_is_the_client_if_it_is_there() -> None:
    data = encode_request(b"joe", b"secret", b"smtp", b"", b"192.0.2.7;40000")
    request = RequestReader().receive(data)
    assert request is not None
    assert request.client == b"192.0.2.7"


@pytest.mark.parametrize("extra", [b"\0", b"\0\7", b"\0\7192.0.", b"\xff\xff", b"\0\0"])
def test_whatever_follows_four_fields_is_not_waited_for(extra: bytes) -> None:
    assert RequestReader().receive(JOE + extra) == Request(b"joe", b"secret", b"smtp", b"")


def test_empty_fields_are_fields() -> None:
    assert RequestReader().receive(b"\0\0" * 4) == Request(b"", b"", b"", b"")


def test_no_field_is_cut_and_no_nul_is_an_end() -> None:
    login = b"good\0zz"
    request = RequestReader().receive(encode_request(login, b"x" * 8192))
    assert request is not None
    assert (request.login, len(request.password)) == (login, 8192)


def test_a_long_field_is_refused_before_it_has_come() -> None:
    reader = RequestReader(256)
    with pytest.raises(FieldTooLong, match="field 2 has 257 bytes, the limit is 256"):
        reader.receive(b"\0\3joe\x01\x01")


def test_a_request_prints_no_password() -> None:
    request = RequestReader().receive(JOE)
    assert "secret" not in repr(request)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0\2OK", "OK"),
        (b"\0\x23OK remote authentication successful", "OK remote authentication successful"),
        (b"\0\3NO ", "NO "),
        (b"", None),
        (b"\0", None),
        (b"\0\1O", None),
        (b"\0\5OK", None),
    ],
)
def test_what_a_client_makes_of_a_reply(data: bytes, text: str | None) -> None:
    assert decode_reply(data) == text


def test_a_reply_is_short() -> None:
    assert len(encode_reply("NO " + "x" * 1000)) == 2 + MAX_REPLY


def outcome(pieces: list[bytes]) -> Request | str | None:
    """What comes of the pieces: a request, the refusal's kind, or None for "more"."""
    reader = RequestReader(300)
    try:
        for piece in pieces:
            if (request := reader.receive(piece)) is not None:
                return request
    except ProtocolError as fault:
        return type(fault).__name__
    return None


fields = st.binary(max_size=400)
almost = st.builds(
    lambda parts, rest: b"".join(len(p).to_bytes(2, "big") + p for p in parts) + rest,
    st.lists(fields, max_size=4),
    st.binary(max_size=8),
)


@given(st.one_of(st.binary(max_size=2000), almost))
def test_whole_or_byte_by_byte(data: bytes) -> None:
    """One refusal or one request, the same either way; nothing but ``ProtocolError`` escapes."""
    whole = outcome([data])
    by_byte = outcome([data[i : i + 1] for i in range(len(data))])
    if isinstance(whole, Request) and isinstance(by_byte, Request):
        # a fifth field counts only if it is there with the fourth
        assert (whole.login, whole.password, whole.service, whole.realm) == (
            by_byte.login,
            by_byte.password,
            by_byte.service,
            by_byte.realm,
        )
    else:
        assert whole == by_byte


@given(fields, fields, fields, fields, st.lists(st.integers(0, 1000), max_size=6))
def test_any_split_gives_the_request_back(a: bytes, b: bytes, c: bytes, d: bytes, cuts: list[int]) -> None:
    data = encode_request(a, b, c, d)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    reader = RequestReader()
    requests = [request for piece in pieces if (request := reader.receive(piece)) is not None]
    assert requests == [Request(a, b, c, d)]
