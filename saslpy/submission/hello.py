"""The one thing of a TLS ClientHello that Python's ssl does not tell: which application protocols it offers.

::

    handshake   type(1) length(3), then: version(2) random(32) session(<1) ciphers(<2) compression(<1) extensions(<2)
    extension   type(2) data(<2)                             RFC 8446, 4.1.2; "<n" is a length of n octets, and as many more
    ALPN        type 16, data: names(<2), each name(<1)      RFC 7301, 3.1
"""

from __future__ import annotations

from collections.abc import Iterator

_ALPN = 16


class _Reader:
    """Takes what a length counts; at the end, less. Nothing is ever read twice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def octets(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def counted(self, size: int) -> bytes:
        return self.octets(int.from_bytes(self.octets(size), "big"))


def offers_other_protocols(message: bytes, ours: bytes) -> bool:
    """Whether a ClientHello offers application protocols, and ours is none of them.

    What is malformed offers none: OpenSSL refuses it.
    """
    if _ALPN.to_bytes(2, "big") not in message:  # few mail clients offer any
        return False
    offered = list(_offered(message))
    return bool(offered) and ours not in offered


def _offered(message: bytes) -> Iterator[bytes]:
    hello = _Reader(message)
    hello.octets(4 + 2 + 32)
    hello.counted(1)
    hello.counted(2)
    hello.counted(1)
    extensions = _Reader(hello.counted(2))
    while extensions:
        kind, data = extensions.octets(2), extensions.counted(2)
        if int.from_bytes(kind, "big") == _ALPN:
            names = _Reader(_Reader(data).counted(2))
            while names:
                yield names.counted(1)
