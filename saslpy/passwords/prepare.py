"""SASLprep (RFC 4013): one form for passwords that look the same and are typed on different systems."""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str | None:
    """The prepared form, None where there is none. Unassigned characters are let through, as in a query (2.5)."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(prohibited(char) for char in prepared for prohibited in _PROHIBITED):
        return None
    return prepared if _one_direction(prepared) else None


def _one_direction(text: str) -> bool:
    """The rule on bidirectional text (RFC 3454, 6)."""
    right = [stringprep.in_table_d1(char) for char in text]
    if not any(right):
        return True
    return right[0] and right[-1] and not any(stringprep.in_table_d2(char) for char in text)


def candidates(password: str) -> tuple[bytes, ...]:
    """The byte strings that a password may have been stored as: as typed, then prepared, if that differs."""
    raw = password.encode("utf-8", "surrogateescape")
    if password.isascii():
        return (raw,)
    prepared = saslprep(password)
    if prepared is None:
        return (raw,)
    second = prepared.encode()
    return (raw,) if second == raw else (raw, second)
