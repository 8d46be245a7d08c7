"""The keys that tokens are checked with: a JWK Set (RFC 7517, 5), one JWK, or public keys in PEM.

Each key is for the algorithms of its own kind alone, and fewer where the JWK says so (``alg``); which of them counts is
never for the token to say. So no public key can be taken for an HMAC's secret: those are keys of kind ``oct``, which a
PEM file cannot hold, and they are of use only where the configuration lists their algorithms.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cryptography.hazmat.backends.openssl.backend  # noqa: F401 (loaded late otherwise: see saslpy/preload.py)
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jwk
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from . import strictjson
from .compact import Jws, decoded, shown

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}
"""What each curve is for (RFC 7518, 3.4; RFC 8037, 3.1; RFC 9864)."""

HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes that a secret needs at least (RFC 7518, 3.2)."""

ASYMMETRIC = (*RSA, "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448")
ALGORITHMS = (*ASYMMETRIC, *HMAC)

MAX_KEYS = 64
MAX_RSA = 16384
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth"))
_PUBLISHED = (b"--- BEGIN ", b"----BEGIN ", b"ssh-", b"ecdsa-sha2-")
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----")


class BadKeys(ValueError):
    """No keys to check a token with. The message shows no key."""


class _Useless(ValueError):
    """A key that may be there, and that no token can be checked with."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, and the algorithms that it is for."""

    native: jwk.Key = field(repr=False)
    kid: str | None
    algorithms: frozenset[str]
    kind: str  # "RSA 2048", "P-256"

    def __str__(self) -> str:
        return self.kind if self.kid is None else f"{self.kind} kid {shown(self.kid)}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a file. ``useless``: why others in it are left out."""

    keys: tuple[Key, ...]
    useless: tuple[str, ...] = ()

    def signed(self, token: Jws) -> bool | None:
        """Whether one of the keys has signed this; None where there is none for it."""
        found = self._candidates(token.algorithm, token.kid)
        return any(_right(key, token) for key in found) if found else None

    def _candidates(self, algorithm: str, kid: str | None) -> list[Key]:
        """The keys of that name, else those without one; all where the token names none."""
        able = [key for key in self.keys if algorithm in key.algorithms]
        if kid is None:
            return able
        return [key for key in able if key.kid == kid] or [key for key in able if key.kid is None]

    def __str__(self) -> str:
        """ "2 keys: RSA 2048 kid 'a', P-256 kid 'b'; of no use: RSA-OAEP"."""
        text = f"{len(self.keys)} key{'s' * (len(self.keys) != 1)}: {', '.join(map(str, self.keys))}"
        return f"{text}; of no use: {', '.join(self.useless)}" if self.useless else text


def read(data: bytes, algorithms: Collection[str]) -> Keys:
    """The keys in a file's content that are for one of these algorithms. Raises ``BadKeys``."""
    found: list[Key] = []
    useless: list[str] = []
    for source in _jwks(data) if data.lstrip().startswith(b"{") else _pem(data):
        try:
            found.append(_narrowed(_made(source), algorithms))
        except _Useless as why:
            useless.append(str(why))
        if len(found) + len(useless) > MAX_KEYS:
            raise BadKeys(f"holds more than {MAX_KEYS} keys")
    if not found:
        raise BadKeys(f"holds no key to check tokens with ({', '.join(useless) or 'it is empty'})")
    return Keys(tuple(found), tuple(useless))


def _right(key: Key, token: Jws) -> bool:
    try:
        return JWSRegistry.algorithms[token.algorithm].verify(token.signed, token.signature, key.native)
    except (JoseError, ValueError, TypeError, OverflowError):  # of a signature that is nonsense
        return False


def _narrowed(key: Key, algorithms: Collection[str]) -> Key:
    both = key.algorithms.intersection(algorithms)
    if not both:
        raise _Useless(f"{key}: the allowed algorithms are others")
    return Key(key.native, key.kid, both, key.kind)


@dataclass(frozen=True, slots=True)
class _Pem:
    """A PEM block (RFC 7468)."""

    label: str
    text: str = field(repr=False)


def _pem(data: bytes) -> Iterator[_Pem]:
    if b"PRIVATE KEY-----" in data:
        raise BadKeys("holds a private key; give the public one: openssl pkey -in FILE -pubout")
    blocks = list(_BLOCK.finditer(data.decode("ascii", "replace")))
    if not blocks or len(blocks) != data.count(b"-----BEGIN "):
        raise BadKeys("is neither PEM nor a JWK Set, or cut short")
    yield from (_Pem(block[1], block[0]) for block in blocks)


def _jwks(data: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        table = strictjson.table(data)
    except strictjson.NotJson as error:
        raise BadKeys(str(error)) from None
    listed = table.get("keys", [table] if "kty" in table else None)
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadKeys('is no JWK Set: {"keys": [...]}')
    yield from listed


def _made(source: _Pem | Mapping[str, Any]) -> Key:
    """Raises ``_Useless`` for a key of a kind that is not served, ``BadKeys`` for what should not be in the file."""
    try:
        return _of_pem(source) if isinstance(source, _Pem) else _of_jwk(source)
    except (BadKeys, _Useless):
        raise
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError) as error:
        # what the library says may show the key
        raise BadKeys(f"holds a key that cannot be read ({type(error).__name__})") from None


def _of_pem(pem: _Pem) -> Key:
    if pem.label == "CERTIFICATE":
        raise BadKeys("holds a certificate; give its key: openssl x509 -in FILE -pubkey -noout")
    native = load_pem_public_key(pem.text.encode())
    match native:
        case rsa.RSAPublicKey():
            bits = _bits(native.key_size)
            return Key(jwk.RSAKey.import_key(native), None, frozenset(RSA), f"RSA {bits}")
        case ec.EllipticCurvePublicKey():
            return _of_curve(jwk.ECKey.import_key(pem.text), None, ALGORITHMS)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return _of_curve(jwk.OKPKey.import_key(pem.text), None, ALGORITHMS)
    raise _Useless("a key that is not for signatures")


def _of_jwk(table: Mapping[str, Any]) -> Key:
    kind, kid, use = table.get("kty"), table.get("kid"), table.get("use", "sig")
    name = shown(kid or kind)
    if kind not in ("RSA", "EC", "OKP", "oct"):
        raise _Useless(f"{name}: of the kind {shown(kind)}")  # RFC 7517, 5: what is not known is passed over
    if use != "sig" or "verify" not in table.get("key_ops", ["verify"]):
        raise _Useless(f"{name}: not for signatures")
    if kid is not None and not isinstance(kid, str):
        raise BadKeys("holds a key whose kid is no text")
    if kind != "oct" and _PRIVATE.intersection(table):
        raise BadKeys(f"holds a private key, {name}; give the public one")
    said = (table["alg"],) if "alg" in table else ALGORITHMS
    if kind == "RSA":
        bits = _bits(int.from_bytes(decoded(table["n"])).bit_length())
        return Key(jwk.RSAKey.import_key({**table}), kid, frozenset(RSA).intersection(said), f"RSA {bits}")
    if kind == "oct":
        return _of_secret(table, kid, said)
    return _of_curve(jwk.import_key({**table}, "EC" if kind == "EC" else "OKP"), kid, said)


def _bits(size: int) -> int:
    if not 2048 <= size <= MAX_RSA:
        raise _Useless(f"RSA {size}: from 2048 to {MAX_RSA} bits are wanted")  # RFC 7518, 3.3
    return size


def _of_secret(table: Mapping[str, Any], kid: str | None, said: Collection[str]) -> Key:
    secret = decoded(table["k"])
    if any(mark in secret for mark in _PUBLISHED):
        raise BadKeys("holds a public key in the place of a secret")
    able = frozenset(name for name, least in HMAC.items() if len(secret) >= least)
    if not able:
        raise _Useless(f"a secret of {len(secret)} bytes: {HMAC['HS256']} are wanted at least")
    return Key(jwk.OctKey.import_key({**table}), kid, able.intersection(said), "symmetric")


def _of_curve(native: jwk.ECKey | jwk.OKPKey, kid: str | None, said: Collection[str]) -> Key:
    curve = native.curve_name
    if curve not in CURVES:
        raise _Useless(f"the curve {curve}")
    return Key(native, kid, frozenset(CURVES[curve]).intersection(said), curve)
