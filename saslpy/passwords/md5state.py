"""MD5's inner state (RFC 1321), which hashlib does not show and Dovecot's CRAM-MD5 scheme stores."""

from __future__ import annotations

import hashlib
import math
import struct

_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_SINES = tuple(int(abs(math.sin(number + 1)) * 2**32) for number in range(64))
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_MASK = 0xFFFFFFFF


def state_after_block(block: bytes) -> bytes:
    """The 16 bytes of state after the first 64 bytes of a message."""
    words = struct.unpack("<16I", block)
    a, b, c, d = _START
    for number in range(64):
        mixed, index = _round(number, b, c, d)
        total = (a + mixed + _SINES[number] + words[index]) & _MASK
        shift = _SHIFTS[number // 16][number % 4]
        a, b, c, d = d, (b + (total << shift | total >> (32 - shift))) & _MASK, b, c
    return struct.pack("<4I", *((old + new) & _MASK for old, new in zip(_START, (a, b, c, d), strict=True)))


def _round(number: int, b: int, c: int, d: int) -> tuple[int, int]:
    """The mixed word and the index of the message word for one of the 64 steps."""
    if number < 16:
        return (b & c) | (~b & _MASK & d), number
    if number < 32:
        return (d & b) | (~d & _MASK & c), (5 * number + 1) % 16
    if number < 48:
        return b ^ c ^ d, (3 * number + 5) % 16
    return c ^ (b | (~d & _MASK)), 7 * number % 16


def hmac_md5_states(key: bytes) -> bytes:
    """The states of HMAC-MD5's outer and inner hash once the key's block has gone in (RFC 2104)."""
    if len(key) > 64:
        key = hashlib.md5(key, usedforsecurity=False).digest()
    block = key.ljust(64, b"\0")
    return state_after_block(bytes(byte ^ 0x5C for byte in block)) + state_after_block(
        bytes(byte ^ 0x36 for byte in block)
    )
