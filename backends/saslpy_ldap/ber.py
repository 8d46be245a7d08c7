"""As much of BER (X.690, 8.1) as the frame of an LDAP message needs; the rest is the drivers' work."""

from __future__ import annotations


def size_of(data: bytes) -> int | None:
    """The bytes of the value that begins here, tag and length included; None while too few are there to tell.

    ValueError for an indefinite length, and for one of more than four bytes: LDAP has neither (RFC 4511, 5.1).
    """
    if len(data) < 2:
        return None
    first = data[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 0 < count <= 4:
        raise ValueError("a length that LDAP does not have")
    if len(data) < 2 + count:
        return None
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def items(data: bytes) -> list[tuple[int, bytes]]:
    """The values in a constructed one: tag and content of each. ValueError where they do not fit into it."""
    found = []
    while data:
        size = size_of(data)
        if size is None or size > len(data):
            raise ValueError("a value is longer than what it is in")
        start = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
        found.append((data[0], data[start:size]))
        data = data[size:]
    return found


def number(content: bytes) -> int:
    """An INTEGER or ENUMERATED. ValueError for an empty one."""
    if not content:
        raise ValueError("a number without digits")
    return int.from_bytes(content, "big", signed=True)
