"""The PROXY protocol: examples of the specification, what is malformed, and any bytes at all."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols import ProtocolError
from saslpy.protocols.proxyprotocol import MAX_V1, MAX_V2, SIGNATURE, Proxied, read

V1 = {
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": "255.255.255.255",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 0 587\r\n": "192.0.2.7",
    b"PROXY TCP6 2001:DB8::7 ::1 1 2\r\n": "2001:db8::7",
    b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n": "192.0.2.7",
    b"PROXY UNKNOWN\r\n": "",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": "",
}


def v2(command: int, family: int, data: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(data) if length is None else length) + data


FOUR = bytes([192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 2, 75])
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + b"\0\1\2\x4b"
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7") + SIX[16:]
V2 = {
    v2(0x21, 0x11, FOUR): "192.0.2.7",
    v2(0x21, 0x21, SIX): "2001:db8::7",
    v2(0x21, 0x21, MAPPED): "192.0.2.7",
    v2(0x21, 0x11, FOUR + b"\x03\0\4abcd"): "192.0.2.7",  # with a TLV
    v2(0x20, 0x11, FOUR): "",
    v2(0x20, 0x00, b""): "",
    v2(0x20, 0xFF, b"whatever"): "",
    v2(0x21, 0x00, b""): "",
    v2(0x21, 0x31, b"\0" * 216): "",
}
GOOD = V1 | V2


@pytest.mark.parametrize("header", GOOD)
def test_headers(header: bytes) -> None:
    assert read(header + b"EHLO x\r\n") == Proxied(GOOD[header], len(header))
    for end in range(len(header)):
        assert read(header[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"EHLO x\r\n", b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY\r\n", b"PROXY TCP4\r\n", b" PROXY"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
        *(
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 x 1 2\r\n",
        ),
        *(b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n"),
        *(b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n", b"PROXY UNKNOWN\0\r\n"),
        *(b"PROXY " + b"x" * MAX_V1, b"PROXY UNKNOWN " + b"x" * MAX_V1 + b"\r\n"),
        *(v2(0x11, 0x11, FOUR), v2(0x22, 0x11, FOUR), v2(0x21, 0x12, FOUR), v2(0x21, 0x22, SIX), v2(0x21, 0x41, FOUR)),
        *(
            v2(0x21, 0x11, FOUR[:11]),
            v2(0x21, 0x21, FOUR),
            v2(0x21, 0x11, b"", MAX_V2 + 1),
            v2(0x20, 0x00, b"", 0xFFFF),
        ),
        SIGNATURE[:11] + b"x",
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        read(data)
    assert "1.2.3.4" not in str(raised.value)


def outcome(data: bytes) -> Proxied | str | None:
    try:
        return read(data)
    except ProtocolError:
        return "fault"


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"]), st.binary()
)
def test_any_bytes_in_pieces_of_any_size(start: bytes, rest: bytes) -> None:
    """Nothing escapes; what was found once is found with more behind it, and never earlier than with all of it."""
    data, known = start + rest, None
    for end in range(len(data) + 1):
        found = outcome(data[:end])
        assert known is None or found == known
        known = found
        if isinstance(found, Proxied):
            assert found.length <= end
