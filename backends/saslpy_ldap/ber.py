"""As much of BER (X.690, 8.1) as the frame of an LDAP message needs; the rest is the drivers' work."""

from __future__ import annotations

from typing import TypeAlias

Item: TypeAlias = tuple[int, bytes]
"""A value: its tag and its content."""

INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x02, 0x04, 0x0A, 0x30, 0x31
"""The tags that LDAP has (X.690, 8.2 to 8.12), as it writes them."""

MOST_DIGITS = 4
"""Bytes of a number: LDAP's end at 2147483647 (RFC 4511, 4.1.1)."""


def written(tag: int, content: bytes) -> bytes:
    """A value: its tag, its length in the shortest form, its content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def size_of(data: bytes, start: int = 0) -> int | None:
    """The bytes of the value that begins at ``start``, tag and length included; None while too few are there to tell.

    ValueError for an indefinite length, and for one of more than four bytes: LDAP has neither (RFC 4511, 5.1).
    """
    if len(data) < start + 2:
        return None
    first = data[start + 1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 0 < count <= 4:
        raise ValueError("a length that LDAP does not have")
    if len(data) < start + 2 + count:
        return None
    return 2 + count + int.from_bytes(data[start + 2 : start + 2 + count], "big")


def items(data: bytes) -> list[Item]:
    """The values in a constructed one. ValueError where they do not fit into it."""
    found = []
    start = 0
    while start < len(data):
        size = size_of(data, start)
        if size is None or start + size > len(data):
            raise ValueError("a value is longer than what it is in")
        head = 2 if data[start + 1] < 0x80 else 2 + (data[start + 1] & 0x7F)
        found.append((data[start], data[start + head : start + size]))
        start += size
    return found


def content(item: Item, tag: int) -> bytes:
    """The content of a value that must have this tag. ValueError where it has another one."""
    if item[0] != tag:
        raise ValueError("a value of another kind")
    return item[1]


def contents(data: bytes, tag: int) -> list[bytes]:
    """The contents of the values in a constructed one, all of which must have this tag. ValueError as ``items``."""
    return [content(item, tag) for item in items(data)]


def number(content: bytes) -> int:
    """The content of an INTEGER or ENUMERATED. ValueError for one without digits, and with more than LDAP has."""
    if not 0 < len(content) <= MOST_DIGITS:
        raise ValueError("a number that LDAP does not have")
    return int.from_bytes(content, "big", signed=True)
