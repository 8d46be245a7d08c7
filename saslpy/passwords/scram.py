"""SCRAM's stored keys (RFC 5802, 3): in Dovecot's, RFC 5803's and PostgreSQL's spelling.

* Dovecot: ``{SCRAM-SHA-256}iterations,salt,stored key,server key``
* RFC 5803 and PostgreSQL: ``SCRAM-SHA-256$iterations:salt$stored key:server key``
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from .decode import from_base64
from .limits import PBKDF2_ROUNDS
from .patterns import compiled
from .secret import StoredSecret, malformed, within

MECHANISMS = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server needs for SCRAM. ``hash_name`` is hashlib's ("sha256")."""

    hash_name: str
    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def derive(hash_name: str, password: bytes, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of a password. Takes the time of that many PBKDF2 iterations."""
    salted = hashlib.pbkdf2_hmac(hash_name, password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    stored_key = hashlib.new(hash_name, client_key).digest()
    return ScramKeys(hash_name, iterations, salt, stored_key, hmac.digest(salted, b"Server Key", hash_name))


def keys(scheme: str, text: str) -> ScramKeys:
    """The keys in a stored string, without its braces. Raises ``UnusableSecret``."""
    match = compiled(
        rf"(?:{scheme} ?\$ ?)?([1-9][0-9]{{0,9}})[:,]([+/0-9A-Za-z]+=*) ?[$,] ?"
        r"([+/0-9A-Za-z]+=*)[:,]([+/0-9A-Za-z]+=*)"
    ).fullmatch(text)
    if match is None:
        raise malformed(scheme, "not of its form")
    iterations = int(match[1])
    within(scheme, iterations, PBKDF2_ROUNDS, "iterations")
    salt, stored_key, server_key = (from_base64(scheme, match[place]) for place in (2, 3, 4))
    hash_name = MECHANISMS[scheme]
    size = hashlib.new(hash_name).digest_size
    if len(stored_key) != size or len(server_key) != size or not salt:
        raise malformed(scheme, f"a key is not {size} bytes long, or the salt is empty")
    return ScramKeys(hash_name, iterations, salt, stored_key, server_key)


def read(scheme: str, text: str) -> StoredSecret:
    """The secret of a stored string."""
    found = keys(scheme, text)
    return StoredSecret(scheme, f"{scheme} i={found.iterations}", 0, _verify, found)


def read_bare(text: str) -> StoredSecret:
    """The secret of ``SCRAM-SHA-256$…``."""
    scheme = text.partition("$")[0].rstrip(" ")
    if scheme not in MECHANISMS:
        raise malformed("SCRAM", "no hash of ours")
    return read(scheme, text)


def _verify(stored: ScramKeys, password: bytes, _login: str) -> bool:
    made = derive(stored.hash_name, password, stored.salt, stored.iterations)
    # both keys, so that a record with one changed key is of no use
    return hmac.compare_digest(made.stored_key + made.server_key, stored.stored_key + stored.server_key)
