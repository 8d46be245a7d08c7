"""Every scheme by its name, what reads it, and what `saslpy hash` can make."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

from . import crypt3, kdf
from .digests import READERS
from .secret import StoredSecret

ALIASES = {
    "CLEAR": "PLAIN",
    "CLEARTEXT": "PLAIN",
    "SHA1": "SHA",
    "HMAC-MD5": "CRAM-MD5",
    "MD5RAW": "PLAIN-MD5",
    "ARGON2": "ARGON2ID",
    "MYSQL": "MYSQL41",
    "OLD_PASSWORD": "MYSQL323",
    "BCRYPT": "BLF-CRYPT",
}
CRYPT_SCHEMES = frozenset(
    {"CRYPT", "DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "YESCRYPT", "GOST-YESCRYPT"}
    | {form.scheme for _, form in crypt3.FORMS}
)

Read = Callable[[str, str, str], StoredSecret]
ITERATED: dict[str, Read] = {
    "PBKDF2": kdf.read_pbkdf2,
    "SCRAM-SHA-1": kdf.read_scram,
    "SCRAM-SHA-256": kdf.read_scram,
    "ARGON2I": kdf.read_argon2,
    "ARGON2ID": kdf.read_argon2,
}
KNOWN = frozenset({*READERS, *ALIASES, *CRYPT_SCHEMES, *ITERATED, "MD5"})
"""Names that may stand in braces, and in ``[auth.passwords] forbid``."""

SCHEMES: dict[str, str] = {
    "ARGON2ID": "argon2id, 19 MiB (the default)",
    "ARGON2I": "argon2i, 19 MiB",
    "YESCRYPT": "yescrypt, what Debian's /etc/shadow uses",
    "BLF-CRYPT": "bcrypt, cost 10; passwords of up to 72 bytes",
    "SHA512-CRYPT": "SHA-512 crypt, 5000 rounds; every mail server knows it",
    "SHA256-CRYPT": "SHA-256 crypt, 5000 rounds",
    "SCRAM-SHA-256": "keys for SCRAM-SHA-256; also checks PLAIN and LOGIN",
    "SCRAM-SHA-1": "keys for SCRAM-SHA-1; also checks PLAIN and LOGIN",
    "PBKDF2": "Dovecot's PBKDF2 with SHA-1",
    "MD5-CRYPT": "MD5 crypt",
    "SSHA512": "salted SHA-512",
    "SSHA256": "salted SHA-256",
    "SSHA": "salted SHA-1, what old LDAP directories have",
    "SMD5": "salted MD5",
    "SHA512": "SHA-512 without salt",
    "SHA256": "SHA-256 without salt",
    "SHA": "SHA-1 without salt",
    "PLAIN-MD5": "MD5 in hex, without salt",
    "LDAP-MD5": "MD5 in base64, without salt",
    "CRAM-MD5": "keys for CRAM-MD5; as good as the password to who steals them",
    "DIGEST-MD5": "keys for DIGEST-MD5; needs --login",
    "MYSQL41": "MySQL's PASSWORD()",
    "PLAIN": "the password itself; serves every mechanism",
}
_STRONG = ("ARGON2ID", "ARGON2I", "YESCRYPT", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "SCRAM-SHA-256")


def weak(scheme: str) -> bool:
    """Whether a stolen hash of this scheme is soon a password."""
    return scheme not in (*_STRONG, "SCRAM-SHA-1", "PBKDF2")


def _salt(length: int) -> str:
    return "".join(secrets.choice(crypt3.ITOA64) for _ in range(length))


def _bcrypt_salt() -> str:
    # bcrypt's alphabet; the last character holds two bits only
    raw = base64.b64encode(secrets.token_bytes(16)).decode()[:22]
    return raw.translate(str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", _BCRYPT64))


_BCRYPT64 = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SETTINGS: dict[str, Callable[[], str]] = {
    "SHA512-CRYPT": lambda: f"$6${_salt(16)}$",
    "SHA256-CRYPT": lambda: f"$5${_salt(16)}$",
    "MD5-CRYPT": lambda: f"$1${_salt(8)}$",
    "BLF-CRYPT": lambda: f"$2y$10${_bcrypt_salt()}",
    "YESCRYPT": lambda: f"$y$j9T${_yescrypt_salt()}$",
}


def _yescrypt_salt() -> str:
    """16 random bytes in yescrypt's little-endian base64."""
    number, text = int.from_bytes(secrets.token_bytes(16), "little"), ""
    for _ in range(22):
        text += crypt3.ITOA64[number & 63]
        number >>= 6
    return text


def make(scheme: str, password: str, login: str = "") -> str:
    """``{SCHEME}data`` of a password, with a fresh salt. Raises ``ValueError`` with what is wrong."""
    name = ALIASES.get(scheme.upper(), scheme.upper())
    if name not in SCHEMES:
        raise ValueError(f"cannot make {scheme!r}; there are {', '.join(SCHEMES)}")
    raw = password.encode("utf-8", "surrogateescape")
    if not raw or b"\0" in raw:
        raise ValueError("a password is not empty and holds no NUL")
    return f"{{{name}}}{_data(name, raw, login)}"


def _data(name: str, raw: bytes, login: str) -> str:
    if name.startswith("ARGON2"):
        return kdf.make_argon2(name, raw)
    if name.startswith("SCRAM"):
        return kdf.make_scram(name, raw)
    if name == "PBKDF2":
        return kdf.make_pbkdf2(raw, login)
    if name == "MYSQL41":
        return "*" + READERS[name].make(raw, login).upper()
    return _crypt(name, raw) if name in _SETTINGS else READERS[name].make(raw, login)


def _crypt(name: str, raw: bytes) -> str:
    most = 72 if name == "BLF-CRYPT" else crypt3.MAX_PASSWORD
    if len(raw) > most:
        raise ValueError(f"{name} takes passwords of up to {most} bytes, this one has {len(raw)}")
    made = crypt3.crypt(raw, _SETTINGS[name]().encode())
    if made is None:
        raise ValueError(f"the system's libcrypt cannot make {name}")
    return made.decode()
