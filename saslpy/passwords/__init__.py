"""Stored passwords: ``{SCHEME}data`` of Dovecot, Courier and LDAP, bare crypt(3) strings, MySQL's and passlib's.

``parse`` is cheap and reads what a check will cost; ``StoredSecret.check`` computes and belongs in a thread; ``make``
writes new ones; ``candidates`` gives the bytes to try for a password. What is locked, unknown, damaged or too costly
matches nothing: ``parse`` raises ``UnusableSecret``. ``derive`` gives the keys for CRAM-MD5 and SCRAM.
"""

from __future__ import annotations

from . import libcrypt
from .parsing import parse
from .prepare import candidates
from .readers import KNOWN, QUICK, scheme_named
from .schemes import SCHEMES, make, weak
from .secret import Fault, StoredSecret, UnusableSecret

__all__ = [
    "KNOWN",
    "QUICK",
    "SCHEMES",
    "Fault",
    "StoredSecret",
    "UnusableSecret",
    "candidates",
    "make",
    "parse",
    "scheme_named",
    "warm_up",
    "weak",
]


def warm_up() -> None:
    """Load what the first logins would otherwise wait for: libcrypt and argon2 (50 ms)."""
    for scheme in libcrypt.PROBES:
        libcrypt.knows(scheme)
    parse(make("ARGON2ID", "warm", m=8, t=1)).check(b"warm")
