"""A signed token as it is written: a JWS in compact form (RFC 7515, 7.1), with what RFC 8725 asks of its header.

    base64url(header) "." base64url(payload) "." base64url(signature)

The header is a JSON object that whoever sends the token may have made: it says which algorithm and which key, and is
believed only where we allow that algorithm and have that key. What it says of other places for keys (``jku``, ``jwk``,
``x5u``, ``x5c``) is not looked at. An extension that must be understood (``crit``; ``b64`` of RFC 7797 is one) is none
that we understand, an encrypted token (five parts, RFC 7516) none that we could read.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import strictjson

MAX_TOKEN = 16 * 1024
"""Characters of a token. Those of Azure have 2,000 to 3,000."""

MAX_KID = 256

_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")


class NoToken(ValueError):
    """Not a token for us. The message is a word or two for the log: it shows no more of the token than names."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A token, taken apart. Nothing of it is known to be true."""

    algorithm: str
    kid: str | None
    payload: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse(token: str, algorithms: Collection[str], types: Collection[str]) -> Jws:
    """The parts of a token whose algorithm and type are allowed (``types`` in lower case). Raises ``NoToken``."""
    if len(token) > MAX_TOKEN:
        raise NoToken("too long")
    parts = _PARTS.fullmatch(token)
    if parts is None:
        raise NoToken("encrypted, or no JWT" if token.count(".") == 4 else "no JWT")
    header = _header(decoded(parts[1]))
    algorithm = _algorithm(header, algorithms)
    _check_rest(header, types)
    return Jws(algorithm, _kid(header), decoded(parts[2]), token[: parts.end(2)].encode(), decoded(parts[3]))


def shown(text: object) -> str:
    """What a token says, in a detail for the log: in quotes, printable, and short."""
    told = ascii(text)
    return told if len(told) <= 80 else f"{told[:80]}..."


def decoded(part: str) -> bytes:
    """Base64url without padding (RFC 7515, 2); another spelling of the same bytes is ``NoToken``."""
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise NoToken("no JWT") from None
    if urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise NoToken("no JWT")
    return data


def _header(data: bytes) -> Mapping[str, Any]:
    try:
        return strictjson.table(data)
    except strictjson.NotJson as error:
        raise NoToken(f"its header {error}") from None


def _algorithm(header: Mapping[str, Any], algorithms: Collection[str]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise NoToken(f"its algorithm {shown(algorithm)} is not allowed")
    return algorithm


def _check_rest(header: Mapping[str, Any], types: Collection[str]) -> None:
    for name in ("crit", "b64", "enc", "zip"):
        if name in header:
            raise NoToken(f"its header has {name}")
    if "cty" in header:  # "JWT": there is another token inside (RFC 7519, 5.2)
        raise NoToken("nested")
    # one without a type is of the commonest (RFC 7519, 5.1)
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise NoToken(f"its type {shown(kind)} is not allowed")


def _kid(header: Mapping[str, Any]) -> str | None:
    kid = header.get("kid")
    if "kid" in header and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        raise NoToken("its kid is no name")
    return kid
