"""Plain and salted digests as Dovecot, Courier and LDAP servers store them (RFC 2307 and its offspring).

``{SSHA}`` and its kin are base64 of digest and salt together: H(password + salt), salt. A digest that is cut short, or a
salt that is not there, is never compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from hmac import compare_digest
from typing import TypeAlias

from .md4 import md4
from .secret import StoredSecret, malformed

Reader: TypeAlias = Callable[[bytes], StoredSecret]

PLAIN_DIGESTS = {
    "PLAIN-MD5": "md5",
    "LDAP-MD5": "md5",
    "SHA": "sha1",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
}

SALTED_DIGESTS = {"SMD5": "md5", "SSHA": "sha1", "SSHA256": "sha256", "SSHA384": "sha384", "SSHA512": "sha512"}

SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
"""Bytes of each digest."""


def plain_reader(scheme: str) -> Reader:
    """Reads the digest of the password alone."""
    name = PLAIN_DIGESTS[scheme]

    def read(raw: bytes) -> StoredSecret:
        if len(raw) != SIZES[name]:
            raise malformed(scheme, f"{len(raw)} bytes in place of {SIZES[name]}")
        return StoredSecret(scheme, scheme, 0, _verify, (name, raw, b""))

    return read


def salted_reader(scheme: str) -> Reader:
    """Reads digest and salt."""
    name = SALTED_DIGESTS[scheme]
    size = SIZES[name]

    def read(raw: bytes) -> StoredSecret:
        if len(raw) <= size:
            raise malformed(scheme, f"{len(raw)} bytes, a digest of {size} and a salt are needed")
        return StoredSecret(scheme, scheme, 0, _verify, (name, raw[:size], raw[size:]))

    return read


def _verify(data: tuple[str, bytes, bytes], password: bytes, _login: str) -> bool:
    name, digest, salt = data
    return compare_digest(hashlib.new(name, password + salt, usedforsecurity=False).digest(), digest)


def read_md4(raw: bytes) -> StoredSecret:
    """Dovecot's PLAIN-MD4."""
    if len(raw) != 16:
        raise malformed("PLAIN-MD4", f"{len(raw)} bytes in place of 16")
    return StoredSecret("PLAIN-MD4", "PLAIN-MD4", 0, _verify_md4, raw)


def _verify_md4(raw: bytes, password: bytes, _login: str) -> bool:
    return compare_digest(md4(password), raw)


def read_nt(raw: bytes) -> StoredSecret:
    """The NT hash: MD4 of the password in UTF-16."""
    if len(raw) != 16:
        raise malformed("NTLM", f"{len(raw)} bytes in place of 16")
    return StoredSecret("NTLM", "NTLM", 0, _verify_nt, raw)


def _verify_nt(raw: bytes, password: bytes, _login: str) -> bool:
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:  # no NT system could have hashed it
        return False
    return compare_digest(md4(text.encode("utf-16-le")), raw)


def read_digest_md5(raw: bytes) -> StoredSecret:
    """Dovecot's DIGEST-MD5: MD5 of user:realm:password (RFC 2831's A1 without its nonces)."""
    if len(raw) != 16:
        raise malformed("DIGEST-MD5", f"{len(raw)} bytes in place of 16")
    return StoredSecret("DIGEST-MD5", "DIGEST-MD5", 0, _verify_digest_md5, raw)


def digest_md5(login: str, password: bytes) -> bytes:
    """The stored form. The realm is what follows the last @ of the login, as Dovecot has it."""
    user, at, realm = login.rpartition("@")
    if not at:
        user, realm = login, ""
    text = f"{user}:{realm}:".encode("utf-8", "surrogatepass") + password
    return hashlib.new("md5", text, usedforsecurity=False).digest()


def _verify_digest_md5(raw: bytes, password: bytes, login: str) -> bool:
    return compare_digest(digest_md5(login, password), raw)


def read_mysql41(raw: bytes) -> StoredSecret:
    """MySQL's PASSWORD() since 4.1: SHA-1 twice."""
    if len(raw) != 20:
        raise malformed("MYSQL41", f"{len(raw)} bytes in place of 20")
    return StoredSecret("MYSQL41", "MYSQL41", 0, _verify_mysql41, raw)


def mysql41(password: bytes) -> bytes:
    """What MySQL prints as ``*HEX40``."""
    return hashlib.sha1(hashlib.sha1(password, usedforsecurity=False).digest(), usedforsecurity=False).digest()


def _verify_mysql41(raw: bytes, password: bytes, _login: str) -> bool:
    return compare_digest(mysql41(password), raw)


def read_mysql323(raw: bytes) -> StoredSecret:
    """MySQL's OLD_PASSWORD()."""
    if len(raw) != 8:
        raise malformed("MYSQL323", f"{len(raw)} bytes in place of 8")
    return StoredSecret("MYSQL323", "MYSQL323", 0, _verify_mysql323, raw)


def mysql323(password: bytes) -> bytes:
    """What MySQL before 4.1 prints as 16 hex digits: two sums of 31 bits; blanks and tabs do not count."""
    first, second, add = 1345345333, 0x12345671, 7
    for byte in password:
        if byte in b" \t":
            continue
        first ^= ((first & 63) + add) * byte + (first << 8) & 0xFFFFFFFFFFFFFFFF
        second += (second << 8) ^ first
        second &= 0xFFFFFFFFFFFFFFFF
        add += byte
    return ((first & 0x7FFFFFFF) << 32 | second & 0x7FFFFFFF).to_bytes(8, "big")


def _verify_mysql323(raw: bytes, password: bytes, _login: str) -> bool:
    return compare_digest(mysql323(password), raw)
