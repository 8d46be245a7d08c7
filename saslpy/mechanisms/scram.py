"""SCRAM-SHA-1 (RFC 5802) and SCRAM-SHA-256 (RFC 7677), also bound to the channel (-PLUS; RFC 5929, 9266)::

    client first   gs2-header n=name,r=nonce[,extensions]
    server first   r=nonce+ours,s=salt,i=iterations
    client final   c=base64(gs2-header + channel data),r=nonce+ours[,extensions],p=proof
    server final   v=signature

A user who does not exist gets keys, too, always the same: only the proof is wrong then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..exchange import (
    Bind,
    Client,
    Conclude,
    Done,
    Flow,
    LookupScram,
    MalformedResponse,
    Mechanism,
    challenge,
    first,
)
from ..model import Accept, Defer, Reason, Reject
from ..passwords.scram import MECHANISMS, ScramKeys
from .gs2 import Header, header, saslname

BINDINGS = ("tls-exporter", "tls-server-end-point", "tls-unique")
"""The types of channel binding that a front end may have data for."""

MAX_NONCE = 1024

MAX_MESSAGE = 2048
"""Bytes of a message of the client's: what was read of it is kept until the next one comes."""


def new_nonce() -> bytes:
    """Ours: 24 characters of base64."""
    return base64.b64encode(secrets.token_bytes(18))


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The client's first message. ``bare`` is what the proof covers of it."""

    gs2: Header
    name: str
    nonce: bytes
    bare: bytes


def client_first(message: bytes, plus: bool, plus_offered: bool) -> ClientFirst:
    """Parse it. Raises ``MalformedResponse``, also for a flag that does not go with the mechanism (RFC 5802, 6)."""
    if len(message) > MAX_MESSAGE:
        raise MalformedResponse(f"a message of over {MAX_MESSAGE} bytes")
    gs2 = header(message)
    if (gs2.flag == "p") is not plus:
        raise MalformedResponse("channel binding with the wrong mechanism")
    if gs2.flag == "y" and plus_offered:
        raise MalformedResponse("somebody has taken the -PLUS mechanisms out of our offer")
    if gs2.binding is not None and gs2.binding not in BINDINGS:
        raise MalformedResponse("an unknown type of channel binding")
    attributes = gs2.rest.split(b",")
    if attributes[0].startswith(b"m="):
        raise MalformedResponse("a mandatory extension")
    if len(attributes) < 2 or not attributes[0].startswith(b"n=") or not attributes[1].startswith(b"r="):
        raise MalformedResponse("no name and nonce")
    nonce = attributes[1][2:]
    if not nonce or len(nonce) > MAX_NONCE or not all(0x21 <= byte <= 0x7E for byte in nonce):
        raise MalformedResponse("no proper nonce")
    _check_extensions(attributes[2:])
    return ClientFirst(gs2, saslname(attributes[0][2:]), nonce, gs2.rest)


def run(mechanism: str, make_nonce: Callable[[], bytes], client: Client) -> Flow:
    """Two messages each way, client first."""
    plain_name = mechanism.removesuffix("-PLUS")
    opening = client_first((yield from first(client)), plain_name != mechanism, client.plus_offered)
    found = yield LookupScram(opening.name, plain_name)
    if isinstance(found, Defer):
        return Done(found)
    keys: ScramKeys = found.keys
    nonce = opening.nonce + make_nonce()
    server_first = b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(keys.salt), keys.iterations)
    without_proof, proof = client_final((yield from challenge(server_first)), nonce)
    bound = opening.gs2.raw
    if opening.gs2.binding is not None:
        data = yield Bind(opening.gs2.binding)
        if data is None:
            return Done(Reject(Reason.MALFORMED, detail="no data for this type of channel binding"))
        bound += data
    if not hmac.compare_digest(without_proof.split(b",")[0], b"c=" + base64.b64encode(bound)):
        raise MalformedResponse("the channel that it is bound to is another one")
    message = b",".join((opening.bare, server_first, without_proof))
    if not proves(keys, message, proof) or found.candidate is None:
        return Done(found.otherwise)
    verdict = yield Conclude(found.candidate, opening.gs2.authzid)
    signature = hmac.digest(keys.server_key, message, keys.hash_name)
    return Done(verdict, b"v=" + base64.b64encode(signature) if isinstance(verdict, Accept) else None)


def client_final(message: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """The client's final message without its proof, and the proof. Raises ``MalformedResponse``."""
    if len(message) > MAX_MESSAGE:
        raise MalformedResponse(f"a message of over {MAX_MESSAGE} bytes")
    without_proof, separator, encoded = message.rpartition(b",p=")
    attributes = without_proof.split(b",")
    if not separator or len(attributes) < 2 or not attributes[0].startswith(b"c="):
        raise MalformedResponse("no channel, nonce and proof")
    if attributes[1] != b"r=" + nonce:
        raise MalformedResponse("another nonce")
    _check_extensions(attributes[2:])
    try:
        return without_proof, base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise MalformedResponse("the proof is not base64") from None


def proves(keys: ScramKeys, message: bytes, proof: bytes) -> bool:
    """Whether the proof was made with the password (RFC 5802, 3): H(proof XOR signature) is the stored key."""
    signature = hmac.digest(keys.stored_key, message, keys.hash_name)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.new(keys.hash_name, client_key).digest(), keys.stored_key)


def _check_extensions(attributes: list[bytes]) -> None:
    """Optional extensions are skipped (RFC 5802, 5.1), what has not their form is refused."""
    for attribute in attributes:
        if len(attribute) < 3 or attribute[1:2] != b"=" or not attribute[:1].isalpha():
            raise MalformedResponse("an extension of the wrong form")
        if attribute[:1] == b"m":
            raise MalformedResponse("a mandatory extension")


def mechanism(name: str, make_nonce: Callable[[], bytes] = new_nonce) -> Mechanism:
    """The mechanism of this name."""
    assert name.removesuffix("-PLUS") in MECHANISMS
    return Mechanism(name, "secret", partial(run, name, make_nonce))
