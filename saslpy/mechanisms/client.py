"""The client's side of the mechanisms, for ``saslpy test`` and for whoever hands mail on.

Each is a generator: it yields the initial response first, None where the mechanism has none, then a response for each
challenge that it is sent. ``AuthenticationFailed`` is raised when the server does not prove what it must.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeAlias

from ..passwords.prepare import saslprep
from ..passwords.scram import MECHANISMS
from .scram import new_nonce

Responses: TypeAlias = Generator[bytes | None, bytes, None]

MOST_ITERATIONS = 1_000_000
"""Of SCRAM: a server that asks for more wants our time."""


class AuthenticationFailed(Exception):
    """The server's messages are not those of one that knows the password."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who to log in as; ``secret`` is a password, or a token for OAUTHBEARER and XOAUTH2."""

    name: str
    secret: str = field(repr=False)
    authzid: str = ""


def plain(who: Credentials) -> Responses:
    """RFC 4616."""
    yield b"\0".join((_bytes(who.authzid), _bytes(who.name), _bytes(who.secret)))


def login(who: Credentials) -> Responses:
    """The prompts are not looked at: they differ between servers."""
    yield None
    yield _bytes(who.name)
    yield _bytes(who.secret)


def cram_md5(who: Credentials) -> Responses:
    """RFC 2195."""
    challenge = yield None
    yield _bytes(who.name) + b" " + hmac.digest(_bytes(who.secret), challenge, "md5").hex().encode()


def oauthbearer(who: Credentials) -> Responses:
    """RFC 7628. A challenge is the reason of a failure, and is answered with one byte."""
    name = _bytes(who.name).replace(b"=", b"=3D").replace(b",", b"=2C")
    yield b"n,a=" + name + b",\x01auth=Bearer " + _bytes(who.secret) + b"\x01\x01"
    yield b"\x01"


def xoauth2(who: Credentials) -> Responses:
    """Google's; a challenge is the reason of a failure, and is answered with nothing."""
    yield b"user=" + _bytes(who.name) + b"\x01auth=Bearer " + _bytes(who.secret) + b"\x01\x01"
    yield b""


def external(who: Credentials) -> Responses:
    """RFC 4422, appendix A."""
    yield _bytes(who.authzid)


def anonymous(who: Credentials) -> Responses:
    """RFC 4505; the name is the trace."""
    yield _bytes(who.name)


def scram(mechanism: str, who: Credentials, make_nonce: Callable[[], bytes] = new_nonce) -> Responses:
    """RFC 5802, without channel binding. Raises ``AuthenticationFailed``."""
    hash_name = MECHANISMS[mechanism]
    nonce = make_nonce()
    escaped = [_prepared(name).replace(b"=", b"=3D").replace(b",", b"=2C") for name in (who.name, who.authzid)]
    gs2 = b"n," + (b"a=" + escaped[1] if who.authzid else b"") + b","
    bare = b"n=" + escaped[0] + b",r=" + nonce
    server_first = yield gs2 + bare
    full_nonce, salt, iterations = _server_first(server_first, nonce)
    without_proof = b"c=" + base64.b64encode(gs2) + b",r=" + full_nonce
    message = b",".join((bare, server_first, without_proof))
    salted = hashlib.pbkdf2_hmac(hash_name, _prepared(who.secret), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), message, hash_name)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    server_final = yield without_proof + b",p=" + base64.b64encode(proof)
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    expected = b"v=" + base64.b64encode(hmac.digest(server_key, message, hash_name))
    if not hmac.compare_digest(server_final.split(b",")[0], expected):
        raise AuthenticationFailed("the server does not know the password")
    yield b""


def responses(mechanism: str, who: Credentials) -> Responses | None:
    """The client's side of a mechanism, None where there is none."""
    if mechanism in MECHANISMS:
        return scram(mechanism, who)
    found = _BY_NAME.get(mechanism)
    return None if found is None else found(who)


def _server_first(message: bytes, nonce: bytes) -> tuple[bytes, bytes, int]:
    parts = message.split(b",")
    if len(parts) < 3 or [part[:2] for part in parts[:3]] != [b"r=", b"s=", b"i="]:
        raise AuthenticationFailed("the server's first message has not the form of RFC 5802")
    full_nonce = parts[0][2:]
    if not full_nonce.startswith(nonce) or full_nonce == nonce:
        raise AuthenticationFailed("the server's nonce does not continue ours")
    try:
        salt, iterations = base64.b64decode(parts[1][2:], validate=True), int(parts[2][2:])
    except (binascii.Error, ValueError):
        raise AuthenticationFailed("the server's salt or count makes no sense") from None
    if not salt or not 1 <= iterations <= MOST_ITERATIONS:
        raise AuthenticationFailed(f"the server wants {iterations} iterations")
    return full_nonce, salt, iterations


def _prepared(text: str) -> bytes:
    """As RFC 5802, 2.2 has it; as it is where SASLprep prohibits it."""
    return _bytes(text if text.isascii() else saslprep(text) or text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_BY_NAME: dict[str, Callable[[Credentials], Responses]] = {
    "PLAIN": plain,
    "LOGIN": login,
    "CRAM-MD5": cram_md5,
    "OAUTHBEARER": oauthbearer,
    "XOAUTH2": xoauth2,
    "EXTERNAL": external,
    "ANONYMOUS": anonymous,
}
