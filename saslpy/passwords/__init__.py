"""Stored passwords: ``{SCHEME}data`` of Dovecot, Courier and LDAP, and bare crypt(3) strings.

``parse`` is cheap and reads the cost before anything runs; ``StoredSecret.check`` is slow on purpose and belongs in a
thread; ``make`` is the other way round. What is locked, unknown, damaged or too costly never matches anything.
"""

from __future__ import annotations

import re

from . import crypt3, foreign
from .digests import READERS
from .prepare import candidates
from .schemes import ALIASES, CRYPT_SCHEMES, ITERATED, KNOWN, SCHEMES, make, weak
from .secret import Fault, StoredSecret, UnusableSecret, malformed

__all__ = [
    "KNOWN",
    "SCHEMES",
    "Fault",
    "StoredSecret",
    "UnusableSecret",
    "candidates",
    "make",
    "parse",
    "warm_up",
    "weak",
]

_PREFIX = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
_ENCODINGS = {"HEX": "hex", "B64": "b64", "BASE64": "b64"}


def parse(stored: str, default_scheme: str = "CRYPT") -> StoredSecret:
    """A stored password. ``default_scheme`` is that of one without ``{SCHEME}``. Raises ``UnusableSecret``."""
    found = _PREFIX.match(stored)
    if found is None:
        return _of_scheme(default_scheme, stored, stored)
    return _of_scheme(found[1], stored[found.end() :], stored)


def _of_scheme(name: str, data: str, stored: str) -> StoredSecret:
    scheme, _, suffix = name.upper().partition(".")
    scheme = ALIASES.get(scheme, scheme)
    encoding = _ENCODINGS.get(suffix, "") if suffix else ""
    if not data:
        raise malformed(scheme if scheme in KNOWN else "a stored password", "nothing is stored")
    if scheme == "MD5":
        scheme = _which_md5(data)
    if scheme in CRYPT_SCHEMES:
        return _crypt(data)
    if scheme in READERS:
        if scheme.startswith("MYSQL"):
            data = data.removeprefix("*")
        return READERS[scheme].read(scheme, data, encoding)
    if scheme in ITERATED:
        return ITERATED[scheme](scheme, data, encoding)
    if (secret := foreign.read(stored)) is not None:
        return secret
    raise UnusableSecret(Fault.UNKNOWN, "a scheme that is not known")


def _which_md5(data: str) -> str:
    """``{MD5}`` is a crypt string to Dovecot, base64 to Courier and LDAP, and hex to some."""
    if data.startswith("$1$"):
        return "MD5-CRYPT"
    return "PLAIN-MD5" if len(data) == 32 else "LDAP-MD5"


def _crypt(data: str) -> StoredSecret:
    if data.startswith("$argon2"):
        return ITERATED["ARGON2ID"]("ARGON2", data, "")
    if (secret := crypt3.read(data)) is not None:
        return secret
    if re.fullmatch(r"\*[0-9A-Fa-f]{40}", data):
        return READERS["MYSQL41"].read("MYSQL41", data[1:], "")
    if data[0] in "*!" or data == "x":
        raise UnusableSecret(Fault.LOCKED, "the account is locked")
    if (other := foreign.read(data)) is not None:
        return other
    raise UnusableSecret(Fault.UNKNOWN, "a hash of no known kind")


def warm_up() -> None:
    """Load what the first login would otherwise wait for."""
    crypt3.available()
    parse(make("ARGON2ID", "warm")).check(b"warm")
