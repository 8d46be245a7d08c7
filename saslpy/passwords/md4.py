"""MD4 (RFC 1320), which OpenSSL 3 no longer offers; for old PLAIN-MD4 entries only."""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF
_ORDERS = (
    tuple(range(16)),
    (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
    (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15),
)
_SHIFTS = ((3, 7, 11, 19), (3, 5, 9, 13), (3, 9, 11, 15))
_ADD = (0, 0x5A827999, 0x6ED9EBA1)


def md4(data: bytes) -> bytes:
    """The digest of data."""
    padded = data + b"\x80" + b"\0" * (-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    state = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    for start in range(0, len(padded), 64):
        state = _block(state, struct.unpack("<16I", padded[start : start + 64]))
    return struct.pack("<4I", *state)


def _block(state: tuple[int, int, int, int], words: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = state
    for number in range(48):
        turn = number // 16
        total = (a + _mix(turn, b, c, d) + words[_ORDERS[turn][number % 16]] + _ADD[turn]) & _MASK
        shift = _SHIFTS[turn][number % 4]
        a, b, c, d = d, (total << shift | total >> (32 - shift)) & _MASK, b, c
    return (state[0] + a) & _MASK, (state[1] + b) & _MASK, (state[2] + c) & _MASK, (state[3] + d) & _MASK


def _mix(turn: int, b: int, c: int, d: int) -> int:
    if turn == 0:
        return (b & c) | (~b & _MASK & d)
    return (b & c) | (b & d) | (c & d) if turn == 1 else b ^ c ^ d
