"""Sendmail's socketmap protocol as Postfix speaks it (socketmap_table(5), global/dict_sockmap.c), without I/O.

One request, one reply, each a netstring, as often as the client likes::

    request := map SP key
    reply   := "OK " value | "NOTFOUND " | "TEMP " why | "TIMEOUT " why | "PERM " why

The blank behind NOTFOUND belongs to it. To Postfix, TEMP, TIMEOUT and PERM are all "could not find out": 451, and the mail
stays with whoever sends it.
"""

from __future__ import annotations

from typing import NamedTuple

from . import ProtocolError
from .netstrings import NetstringReader, TooLong, netstring

__all__ = ["MAX_REPLY", "MAX_REQUEST", "ProtocolError", "Request", "RequestReader", "TooLong"]

MAX_REQUEST = 10_000
"""Bytes of a request: no address is that long."""

MAX_REPLY = 100_000
"""Bytes of a reply; Postfix takes a longer one for a broken server."""


class Request(NamedTuple):
    """A key to look up in a map. Both are as the caller sent them."""

    map: bytes
    key: bytes


class RequestReader:
    """Takes bytes in pieces of any size, gives requests in order."""

    __slots__ = ("_strings",)

    def __init__(self) -> None:
        self._strings = NetstringReader(MAX_REQUEST)

    def receive(self, data: bytes) -> None:
        """More bytes."""
        self._strings.receive(data)

    @property
    def halfway(self) -> bool:
        """Whether a request has begun that was not taken."""
        return self._strings.halfway

    def next(self) -> Request | None:
        """The next request, None when more bytes are needed. Raises ``ProtocolError``."""
        found = self._strings.next()
        if found is None:
            return None
        name, space, key = found.partition(b" ")
        if not space:
            raise ProtocolError("a request without a blank between map and key")
        return Request(name, key)


def ok(value: str) -> bytes:
    """It was found. A value that is too long is no answer, and told as such."""
    data = b"OK " + value.encode()
    return netstring(data) if len(data) <= MAX_REPLY else perm("the value is too long")


NOTFOUND = netstring(b"NOTFOUND ")
"""There is definitely no such key."""


def temp(why: str) -> bytes:
    """It could not be found out."""
    return netstring(b"TEMP " + why.encode())


def perm(why: str) -> bytes:
    """It never will be found out: the question is wrong."""
    return netstring(b"PERM " + why.encode())


def encode_request(name: str, key: str) -> bytes:
    """The bytes of a request."""
    return netstring(f"{name} {key}".encode())
