"""Schemes that iterate: PBKDF2 and SCRAM of Dovecot and others, argon2."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from .digests import decoded
from .secret import StoredSecret, capped, malformed

MAX_ITERATIONS = 5_000_000
MAX_ARGON2_KIB = 1 << 20
MAX_ARGON2_WORK = 1 << 21  # m in KiB times t, about two seconds
MAX_ARGON2_LANES = 64

ITERATIONS = 29_000
"""Of what we make; RFC 7677 asks for 4096 or more."""


def read_pbkdf2(scheme: str, data: str, _encoding: str) -> StoredSecret:
    """Dovecot's PBKDF2: ``$1$salt$rounds$hex``, HMAC-SHA1, the salt as text."""
    found = re.fullmatch(r"\$1\$([^$]+)\$([0-9]{1,9})\$([0-9a-fA-F]{40})", data)
    if found is None:
        raise malformed(scheme)
    rounds = capped(scheme, "rounds", int(found[2]), MAX_ITERATIONS)
    if rounds < 1:
        raise malformed(scheme)
    salt, wanted = found[1].encode(), bytes.fromhex(found[3])
    return StoredSecret(
        scheme,
        f"{scheme} rounds={rounds}",
        0,
        lambda password, _login: hmac.compare_digest(hashlib.pbkdf2_hmac("sha1", password, salt, rounds), wanted),
    )


def make_pbkdf2(password: bytes, _login: str) -> str:
    """Data to store."""
    salt = secrets.token_urlsafe(12)
    return f"$1${salt}${ITERATIONS}${hashlib.pbkdf2_hmac('sha1', password, salt.encode(), ITERATIONS).hex()}"


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server stores for SCRAM (RFC 5802, 3): enough to check a proof, not enough to make one."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, digest: str, password: bytes, salt: bytes, iterations: int) -> ScramKeys:
        """The keys of a password; ``digest`` is "sha1" or "sha256"."""
        salted = hashlib.pbkdf2_hmac(digest, password, salt, iterations)
        client = hmac.digest(salted, b"Client Key", digest)
        return cls(iterations, salt, hashlib.new(digest, client).digest(), hmac.digest(salted, b"Server Key", digest))

    @classmethod
    def read(cls, scheme: str, data: str) -> ScramKeys:
        """Dovecot's ``i,salt,stored,server``, or ``[SCHEME$]i:salt$stored:server`` (RFC 5803, PostgreSQL)."""
        parts = re.split(r"[,:$]", data.removeprefix(scheme + "$"))
        if len(parts) != 4 or not re.fullmatch(r"[0-9]{1,9}", parts[0]):
            raise malformed(scheme)
        iterations = capped(scheme, "iterations", int(parts[0]), MAX_ITERATIONS)
        salt, stored, server = (decoded(part, "b64", scheme) for part in parts[1:])
        size = hashlib.new(_digest_of(scheme)).digest_size
        if iterations < 1 or not salt or len(stored) != size or len(server) != size:
            raise malformed(scheme)
        return cls(iterations, salt, stored, server)


def _digest_of(scheme: str) -> str:
    return scheme.removeprefix("SCRAM-").replace("-", "").lower()


def read_scram(scheme: str, data: str, _encoding: str) -> StoredSecret:
    """SCRAM keys, checked with a password in the clear."""
    keys, digest = ScramKeys.read(scheme, data), _digest_of(scheme)

    def matches(password: bytes, _login: str) -> bool:
        made = ScramKeys.of(digest, password, keys.salt, keys.iterations)
        return hmac.compare_digest(made.stored_key, keys.stored_key)

    return StoredSecret(scheme, f"{scheme} iterations={keys.iterations}", 0, matches)


def make_scram(scheme: str, password: bytes) -> str:
    """Data to store, in Dovecot's form."""
    keys = ScramKeys.of(_digest_of(scheme), password, secrets.token_bytes(16), ITERATIONS)
    parts = (base64.b64encode(part).decode() for part in (keys.salt, keys.stored_key, keys.server_key))
    return f"{keys.iterations},{','.join(parts)}"


_ARGON2 = re.compile(
    r"\$argon2(i|id)\$v=19\$m=([0-9]{1,9}),t=([0-9]{1,6}),p=([0-9]{1,4})\$([A-Za-z0-9+/]{11,})\$([A-Za-z0-9+/]{22,})"
)


def read_argon2(scheme: str, data: str, _encoding: str) -> StoredSecret:
    """``$argon2id$v=19$m=…,t=…,p=…$salt$hash`` (RFC 9106), the hash of 16 bytes or more."""
    found = _ARGON2.fullmatch(data)
    if found is None:
        raise malformed(scheme)
    name = "ARGON2" + found[1].upper()
    memory, passes, lanes = (int(part) for part in found.groups()[1:4])
    capped(name, "KiB", memory, MAX_ARGON2_KIB)
    capped(name, "KiB times passes", memory * passes, MAX_ARGON2_WORK)
    capped(name, "lanes", lanes, MAX_ARGON2_LANES)
    encoded, kind = data.encode(), found[1]

    def matches(password: bytes, _login: str) -> bool:
        from argon2 import exceptions, low_level

        try:
            return low_level.verify_secret(encoded, password, low_level.Type.ID if kind == "id" else low_level.Type.I)
        except exceptions.Argon2Error:
            return False

    return StoredSecret(name, f"{name} m={memory},t={passes},p={lanes}", memory, matches)


def make_argon2(scheme: str, password: bytes) -> str:
    """Data to store: 19 MiB, two passes, one lane (OWASP's first recommendation)."""
    from argon2 import low_level

    kind = low_level.Type.ID if scheme == "ARGON2ID" else low_level.Type.I
    return low_level.hash_secret(
        password, secrets.token_bytes(16), time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, type=kind
    ).decode()
