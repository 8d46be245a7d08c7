"""PBKDF2 and scrypt in the spellings of Dovecot, passlib, OpenLDAP and Django; computed by hashlib.

* Dovecot: ``{PBKDF2}$1$salt$rounds$hex``, HMAC-SHA1, the salt as it stands
* passlib: ``$pbkdf2-sha256$rounds$salt$key``; OpenLDAP: ``{PBKDF2-SHA256}rounds$salt$key``, both in adapted base64
* Django: ``pbkdf2_sha256$rounds$salt$key``, the salt as it stands, the key in base64
* passlib: ``$scrypt$ln=16,r=8,p=1$salt$key``
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from .decode import from_adapted, from_hex
from .digests import SIZES
from .limits import PBKDF2_ROUNDS, SCRYPT_KIB
from .patterns import compiled
from .secret import StoredSecret, malformed, within

KEY = 16
"""Bytes of the shortest key that is compared."""


def read_dovecot(text: str) -> StoredSecret:
    """``$1$salt$rounds$hex``. A key is 20 bytes."""
    match = compiled(r"\$1\$([!-#%-~]+)\$([1-9][0-9]{0,9})\$([0-9A-Fa-f]{40})").fullmatch(text)
    if match is None:
        raise malformed("PBKDF2", "not of its form")
    return _pbkdf2("PBKDF2", "sha1", int(match[2]), match[1].encode(), from_hex("PBKDF2", match[3]))


def read_ldap(hash_name: str, text: str) -> StoredSecret:
    """``rounds$salt$key`` in adapted base64."""
    scheme = f"PBKDF2-{hash_name.upper()}"
    match = compiled(r"([1-9][0-9]{0,9})\$([+./0-9A-Za-z_-]+=*)\$([+./0-9A-Za-z_-]+=*)").fullmatch(text)
    if match is None:
        raise malformed(scheme, "not of its form")
    return _pbkdf2(scheme, hash_name, int(match[1]), from_adapted(scheme, match[2]), from_adapted(scheme, match[3]))


def read_modular(text: str) -> StoredSecret:
    """``$pbkdf2-sha256$…``, or ``$pbkdf2$…`` for SHA-1."""
    _, name, rest = text.split("$", 2)
    return read_ldap(name.partition("-")[2] or "sha1", rest)


def read_braced(text: str) -> StoredSecret:
    """``{PBKDF2}``: Dovecot's form or OpenLDAP's, as it is spelt."""
    return read_dovecot(text) if text.startswith("$") else read_ldap("sha1", text)


def read_django(text: str) -> StoredSecret:
    """``pbkdf2_sha256$rounds$salt$key``."""
    match = compiled(r"pbkdf2_(sha1|sha256)\$([1-9][0-9]{0,9})\$([!-#%-~]+)\$([+/0-9A-Za-z]+=*)").fullmatch(text)
    if match is None:
        raise malformed("PBKDF2", "not of Django's form")
    scheme = f"PBKDF2-{match[1].upper()}"
    return _pbkdf2(scheme, match[1], int(match[2]), match[3].encode(), from_adapted(scheme, match[4]))


def _pbkdf2(scheme: str, hash_name: str, rounds: int, salt: bytes, key: bytes) -> StoredSecret:
    within(scheme, rounds, PBKDF2_ROUNDS, "iterations")
    # a key longer than the digest would cost the rounds once more for each digest's length of it
    if not KEY <= len(key) <= SIZES[hash_name]:
        raise malformed(scheme, f"a key of {len(key)} bytes")
    return StoredSecret(scheme, f"{scheme} rounds={rounds}", 0, _verify_pbkdf2, (hash_name, rounds, salt, key))


def _verify_pbkdf2(data: tuple[str, int, bytes, bytes], password: bytes, _login: str) -> bool:
    hash_name, rounds, salt, key = data
    return compare_digest(hashlib.pbkdf2_hmac(hash_name, password, salt, rounds, len(key)), key)


def read_scrypt(text: str) -> StoredSecret:
    """passlib's ``$scrypt$``."""
    match = compiled(
        r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,5}),p=([1-9][0-9]{0,5})\$([+./0-9A-Za-z]*)\$([+./0-9A-Za-z]{22,86})"
    ).fullmatch(text)
    if match is None:
        raise malformed("SCRYPT", "not of its form")
    log2_n, r, p = int(match[1]), int(match[2]), int(match[3])
    memory = max(1, (r << log2_n) >> 3)
    within("SCRYPT", memory * p, SCRYPT_KIB, "KiB of memory (times p)")
    if log2_n >= 16 * r:  # RFC 7914, 6: N < 2^(128 r / 8)
        raise malformed("SCRYPT", "its N is too large for its r")
    salt, key = from_adapted("SCRYPT", match[4]), from_adapted("SCRYPT", match[5])
    return StoredSecret(
        "SCRYPT", f"SCRYPT N={1 << log2_n},r={r},p={p}", memory, _verify_scrypt, (log2_n, r, p, salt, key)
    )


def _verify_scrypt(data: tuple[int, int, int, bytes, bytes], password: bytes, _login: str) -> bool:
    log2_n, r, p, salt, key = data
    room = 128 * r * ((1 << log2_n) + p + 2) + (1 << 16)  # what OpenSSL counts, and some
    try:
        made = hashlib.scrypt(password, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=room, dklen=len(key))
    except ValueError:  # OpenSSL's "malloc failure": the parameters were read and found good
        raise MemoryError("scrypt: no memory") from None
    return compare_digest(made, key)
