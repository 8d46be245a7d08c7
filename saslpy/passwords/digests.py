"""Schemes that are one digest, with or without a salt, and passwords that are stored as they are."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from .md4 import md4
from .md5state import hmac_md5_states
from .secret import StoredSecret, malformed

Digest = Callable[[bytes], bytes]


def _with(name: str) -> Digest:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


MD5, SHA1, SHA256, SHA512 = map(_with, ("md5", "sha1", "sha256", "sha512"))


def decoded(data: str, encoding: str, scheme: str) -> bytes:
    """The bytes of ``hex`` or ``b64`` text. Raises ``UnusableSecret``."""
    try:
        if encoding == "hex":
            return bytes.fromhex(data)
        return base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise malformed(scheme) from None


@dataclass(frozen=True, slots=True)
class Plain:
    """``digest(password)`` in hex or base64, of exactly ``size`` bytes."""

    digest: Digest
    size: int
    encoding: str

    def read(self, scheme: str, data: str, encoding: str) -> StoredSecret:
        """The secret of stored data."""
        wanted = decoded(data, encoding or self.encoding, scheme)
        if len(wanted) != self.size:
            raise malformed(scheme, f"{len(wanted)} bytes, not {self.size}")
        return _secret(scheme, lambda password, _login: hmac.compare_digest(self.digest(password), wanted))

    def make(self, password: bytes, _login: str) -> str:
        """Data to store."""
        return encoded(self.digest(password), self.encoding)


@dataclass(frozen=True, slots=True)
class Salted:
    """``digest(password + salt) + salt`` in base64: the digest has ``size`` bytes, the rest is the salt."""

    digest: Digest
    size: int

    def read(self, scheme: str, data: str, encoding: str) -> StoredSecret:
        """The secret of stored data."""
        raw = decoded(data, encoding or "b64", scheme)
        if len(raw) <= self.size:
            raise malformed(scheme, "there is no salt behind the digest")
        wanted, salt = raw[: self.size], raw[self.size :]
        return _secret(scheme, lambda password, _login: hmac.compare_digest(self.digest(password + salt), wanted))

    def make(self, password: bytes, _login: str) -> str:
        """Data to store."""
        salt = secrets.token_bytes(8)
        return encoded(self.digest(password + salt) + salt, "b64")


@dataclass(frozen=True, slots=True)
class Clear:
    """The password itself; ``encoding`` is empty unless the scheme's name says one."""

    def read(self, scheme: str, data: str, encoding: str) -> StoredSecret:
        """The secret of stored data."""
        raw = decoded(data, encoding, scheme) if encoding else data.encode("utf-8", "surrogateescape")
        if not raw:
            raise malformed(scheme, "the stored password is empty")
        return _secret(scheme, lambda password, _login: hmac.compare_digest(password, raw))

    def make(self, password: bytes, _login: str) -> str:
        """Data to store."""
        return password.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class DigestMd5:
    """DIGEST-MD5's ``md5(user:realm:password)`` in hex (RFC 2831, 2.1.2.1); user and realm are the login's parts."""

    def read(self, scheme: str, data: str, encoding: str) -> StoredSecret:
        """The secret of stored data."""
        wanted = decoded(data, encoding or "hex", scheme)
        if len(wanted) != 16:
            raise malformed(scheme)
        return _secret(scheme, lambda password, login: hmac.compare_digest(self._digest(password, login), wanted))

    def make(self, password: bytes, login: str) -> str:
        """Data to store. Raises ``ValueError`` without a login."""
        if not login:
            raise ValueError("DIGEST-MD5 depends on the login; say which (--login joe@example.org)")
        return self._digest(password, login).hex()

    @staticmethod
    def _digest(password: bytes, login: str) -> bytes:
        user, _, realm = login.rpartition("@") if "@" in login else (login, "", "")
        return MD5(f"{user}:{realm}:".encode() + password)


@dataclass(frozen=True, slots=True)
class CramMd5:
    """The two MD5 states of HMAC-MD5 keyed with the password, outer and inner, 64 hex digits (Dovecot's CRAM-MD5)."""

    def read(self, scheme: str, data: str, encoding: str) -> StoredSecret:
        """The secret of stored data."""
        wanted = decoded(data, encoding or "hex", scheme)
        if len(wanted) != 32:
            raise malformed(scheme)
        return _secret(scheme, lambda password, _login: hmac.compare_digest(hmac_md5_states(password), wanted))

    def make(self, password: bytes, _login: str) -> str:
        """Data to store."""
        return hmac_md5_states(password).hex()


def _mysql41(password: bytes) -> bytes:
    return SHA1(SHA1(password))


def _mysql323(password: bytes) -> bytes:
    """OLD_PASSWORD of MySQL before 4.1: blanks and tabs do not count."""
    first, second, add = 1345345333, 0x12345671, 7
    for byte in password:
        if byte in b" \t":
            continue
        first = (first ^ (((first & 63) + add) * byte + (first << 8))) & 0xFFFFFFFFFFFFFFFF
        second = (second + ((second << 8) ^ first)) & 0xFFFFFFFFFFFFFFFF
        add += byte
    return (first & 0x7FFFFFFF).to_bytes(4, "big") + (second & 0x7FFFFFFF).to_bytes(4, "big")


Reader = Plain | Salted | Clear | DigestMd5 | CramMd5

READERS: dict[str, Reader] = {
    "PLAIN": Clear(),
    "PLAIN-MD5": Plain(MD5, 16, "hex"),
    "PLAIN-MD4": Plain(md4, 16, "hex"),
    "LDAP-MD5": Plain(MD5, 16, "b64"),
    "SHA": Plain(SHA1, 20, "b64"),
    "SHA256": Plain(SHA256, 32, "b64"),
    "SHA512": Plain(SHA512, 64, "b64"),
    "SMD5": Salted(MD5, 16),
    "SSHA": Salted(SHA1, 20),
    "SSHA256": Salted(SHA256, 32),
    "SSHA512": Salted(SHA512, 64),
    "DIGEST-MD5": DigestMd5(),
    "CRAM-MD5": CramMd5(),
    "MYSQL41": Plain(_mysql41, 20, "hex"),
    "MYSQL323": Plain(_mysql323, 8, "hex"),
}


def encoded(raw: bytes, encoding: str) -> str:
    """Text of bytes."""
    return raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()


def _secret(scheme: str, matches: Callable[[bytes, str], bool]) -> StoredSecret:
    return StoredSecret(scheme, scheme, 0, matches)
