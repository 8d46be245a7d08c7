"""HMAC-MD5 from stored contexts, for CRAM-MD5 without the cleartext (RFC 2195, RFC 1321).

Dovecot's ``{CRAM-MD5}`` (also called HMAC-MD5) keeps the two MD5 states after the key's padded block: the outer, then
the inner one, in hex. hashlib cannot start from a state, so the block function is here; a block takes 0.1 ms.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass, field
from hmac import compare_digest

from .secret import StoredSecret, malformed

WORD = 0xFFFFFFFF
START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
SINES = [int(abs(math.sin(step + 1)) * 2**32) for step in range(64)]
SHIFTS = [turn for row in ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21)) for turn in row * 4]
WORDS = [(step * (1, 5, 3, 7)[step // 16] + (0, 1, 5, 0)[step // 16]) % 16 for step in range(64)]


@dataclass(frozen=True, slots=True)
class Contexts:
    """The MD5 states of a key, 16 bytes each: enough to answer any CRAM-MD5 challenge."""

    outer: bytes = field(repr=False)
    inner: bytes = field(repr=False)


def block(state: bytes, data: bytes) -> bytes:
    """The state after one block of 64 bytes (RFC 1321, 3.4)."""
    start = struct.unpack("<4I", state)
    words = struct.unpack("<16I", data)
    a, b, c, d = start
    for step in range(64):
        match step >> 4:
            case 0:
                mixed = b & c | ~b & d
            case 1:
                mixed = d & b | ~d & c
            case 2:
                mixed = b ^ c ^ d
            case _:
                mixed = c ^ (b | ~d & WORD)
        turned = a + (mixed & WORD) + SINES[step] + words[WORDS[step]] & WORD
        turn = SHIFTS[step]
        a, d, c, b = d, c, b, b + (turned << turn | turned >> 32 - turn) & WORD
    return struct.pack("<4I", *(before + after & WORD for before, after in zip(start, (a, b, c, d), strict=True)))


def finish(state: bytes, seen: int, data: bytes) -> bytes:
    """The digest of a message of which ``seen`` bytes (whole blocks) are in the state, and ``data`` follows."""
    length = seen + len(data)
    padded = data + b"\x80" + bytes(-(length + 9) % 64) + struct.pack("<Q", length * 8)
    for place in range(0, len(padded), 64):
        state = block(state, padded[place : place + 64])
    return state


def contexts(password: bytes) -> Contexts:
    """The states that a password leads to (RFC 2104: a key above 64 bytes is hashed first)."""
    key = hashlib.new("md5", password, usedforsecurity=False).digest() if len(password) > 64 else password
    padded = key.ljust(64, b"\0")
    start = struct.pack("<4I", *START)
    outer, inner = (block(start, bytes(byte ^ pad for byte in padded)) for pad in (0x5C, 0x36))
    return Contexts(outer, inner)


def hmac_md5(key: Contexts, message: bytes) -> bytes:
    """HMAC-MD5 of a message, 16 bytes."""
    return finish(key.outer, 64, finish(key.inner, 64, message))


def read(raw: bytes) -> StoredSecret:
    """The 32 bytes of a ``{CRAM-MD5}`` secret."""
    if len(raw) != 32:
        raise malformed("CRAM-MD5", f"{len(raw)} bytes in place of 32")
    return StoredSecret("CRAM-MD5", "CRAM-MD5", 0, _verify, Contexts(raw[:16], raw[16:]))


def _verify(stored: Contexts, password: bytes, _login: str) -> bool:
    made = contexts(password)
    return compare_digest(made.outer + made.inner, stored.outer + stored.inner)
