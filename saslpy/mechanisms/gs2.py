"""The GS2 header that SCRAM and OAUTHBEARER begin with (RFC 5801, 4; RFC 5802, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..exchange import MalformedResponse, name_in


@dataclass(frozen=True, slots=True)
class Header:
    """``flag``: "n", the client cannot bind to a channel; "y", it can and thinks that we cannot; "p", it does.

    ``raw`` is the header as it was sent, ``rest`` what follows it.
    """

    flag: Literal["n", "y", "p"]
    binding: str | None
    authzid: str
    raw: bytes
    rest: bytes


def header(message: bytes) -> Header:
    """The header of a client's first message. Raises ``MalformedResponse``."""
    parts = message.split(b",", 2)
    if len(parts) < 3:
        raise MalformedResponse("no GS2 header")
    first, second, rest = parts
    raw = message[: len(message) - len(rest)]
    if first in (b"n", b"y"):
        return Header("n" if first == b"n" else "y", None, _authzid(second), raw, rest)
    name, equals, binding = first.partition(b"=")
    if name != b"p" or not equals or not binding or not set(binding) <= _NAME:
        raise MalformedResponse("an unknown GS2 flag")
    return Header("p", binding.decode("ascii"), _authzid(second), raw, rest)


def saslname(data: bytes) -> str:
    """A name in which ``=2C`` is a comma and ``=3D`` an equals sign (RFC 5802, 5.1). Raises ``MalformedResponse``."""
    pieces = data.split(b"=")
    name = pieces[0]
    for piece in pieces[1:]:
        if piece[:2] not in _ESCAPED:
            raise MalformedResponse("an equals sign in a name that is no escape")
        name += _ESCAPED[piece[:2]] + piece[2:]
    if not name or b"\0" in name:
        raise MalformedResponse("an empty name, or a NUL in it")
    return name_in(name)


def _authzid(part: bytes) -> str:
    if not part:
        return ""
    if not part.startswith(b"a="):
        raise MalformedResponse("something else where the authorization identity stands")
    return saslname(part[2:])


_ESCAPED = {b"2C": b",", b"3D": b"="}
_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-")
