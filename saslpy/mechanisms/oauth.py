"""OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's and Microsoft's, never an RFC): a bearer token in the place of a password.

Both end a failure with a challenge, a JSON object that says why; the client answers with one byte (0x01), with nothing,
or not at all, and then the protocol says no.
"""

from __future__ import annotations

import json

from ..exchange import Challenge, Client, Done, Flow, MalformedResponse, Mechanism, VerifyToken, first, name_in, text
from ..model import Reason, Reject, Verdict
from .gs2 import header

SEPARATOR = b"\x01"


def oauthbearer(client: Client) -> Flow:
    """``gs2-header 0x01 *(key=value 0x01) 0x01``."""
    asked = _oauthbearer((yield from first(client)))
    if asked is None:  # RFC 7628, 4.3: a client that asks what there is; nobody tries to log in
        return (yield from _refused(Reject(Reason.MALFORMED, detail="no token"), "invalid_token", attempt=False))
    verdict = yield asked
    del asked  # the client may let us wait, and tokens are long
    return (yield from _ended(verdict, "invalid_token"))


def _oauthbearer(message: bytes) -> VerifyToken | None:
    """What is asked for; None for nothing but what there is. Raises ``MalformedResponse``."""
    gs2, separator, rest = message.partition(SEPARATOR)
    if not separator:
        raise MalformedResponse("no separator behind the header")
    parsed = header(gs2)
    if parsed.rest or parsed.binding is not None:
        raise MalformedResponse("not the header of this mechanism")
    pairs = _pairs(rest)
    if pairs.get("auth") == "":
        return None
    return VerifyToken(parsed.authzid, bearer(pairs.get("auth", "")))


def xoauth2(client: Client) -> Flow:
    """``user=name 0x01 auth=Bearer token 0x01 0x01``."""
    asked = _xoauth2((yield from first(client)))
    verdict = yield asked
    del asked
    return (yield from _ended(verdict, "401"))


def _xoauth2(message: bytes) -> VerifyToken:
    """What is asked for. Raises ``MalformedResponse``."""
    pairs = _pairs(message)
    if "user" not in pairs:
        raise MalformedResponse("no user")
    return VerifyToken(name_in(pairs["user"].encode("utf-8", "surrogateescape")), bearer(pairs.get("auth", "")))


def _ended(verdict: Verdict, status: str) -> Flow:
    return (yield from _refused(verdict, status)) if isinstance(verdict, Reject) else Done(verdict)


def _refused(verdict: Reject, status: str, attempt: bool = True) -> Flow:
    # the scheme and the scope are what clients of XOAUTH2 expect to find
    told = {"status": status, "schemes": "bearer", "scope": "mail"} if status == "401" else {"status": status}
    yield Challenge(json.dumps(told, separators=(",", ":")).encode(), verdict if attempt else None)
    return Done(verdict, attempt=attempt)


def bearer(value: str) -> str:
    """The token in ``Bearer <token>`` (RFC 6750, 2.1). Raises ``MalformedResponse``."""
    scheme, _, token = value.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise MalformedResponse("no bearer token")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise MalformedResponse("a token of other characters than RFC 6750 allows")
    return token


def _pairs(data: bytes) -> dict[str, str]:
    """``key=value`` of each part; the message ends with two separators."""
    if data == SEPARATOR:
        return {}
    if not data.endswith(SEPARATOR * 2):
        raise MalformedResponse("no two separators at its end")
    pairs: dict[str, str] = {}
    for part in data[:-2].split(SEPARATOR):
        key, equals, value = part.partition(b"=")
        if not equals or not key.isalpha():
            raise MalformedResponse("a part that is no key=value")
        name = text(key).lower()
        if name in pairs:
            raise MalformedResponse("a key that is there twice")
        pairs[name] = text(value)
    return pairs


OAUTHBEARER = Mechanism("OAUTHBEARER", "token", oauthbearer)
XOAUTH2 = Mechanism("XOAUTH2", "token", xoauth2)
