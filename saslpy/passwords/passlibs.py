"""The long tail: schemes that only passlib knows. Works with passlib 1.7.4 and with libpass.

passlib is asked for one named handler at a time, never to guess what a string is: its guess takes any unknown string
for a plaintext password.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, Protocol, cast

from .limits import PBKDF2_ROUNDS, PHPASS_LOG2
from .patterns import ITOA64, compiled
from .secret import StoredSecret, malformed, within

SHORTEST = 16
"""Bytes of the shortest digest that is compared."""


class Handler(Protocol):
    """What we use of a passlib hash."""

    def verify(self, secret: bytes, hash: str) -> bool: ...  # noqa: A002 (passlib's name)

    setting_kwds: tuple[str, ...]

    def using(self, **settings: Any) -> Handler: ...

    def hash(self, secret: bytes) -> str: ...

    def from_string(self, hash: str) -> Any: ...  # noqa: A002


@cache
def handler(name: str) -> Handler:
    """passlib's handler of this name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # passlib 1.7.4 imports crypt
        import passlib.hash

        return cast(Handler, getattr(passlib.hash, name))


def hashed(name: str, password: bytes, setting: str) -> str:
    """A new hash with the salt and rounds of a setting."""
    found = handler(name)
    parsed = found.from_string(setting)
    settings = {key: getattr(parsed, key) for key in ("salt", "rounds") if key in found.setting_kwds}
    return found.using(**settings).hash(password)


def verify(data: tuple[str, str], password: bytes, _login: str) -> bool:
    """Whether a password gives this (handler name, hash)."""
    name, text = data
    try:
        return bool(handler(name).verify(password, text))
    except ValueError:  # passlib's own errors, and a password that is not UTF-8 where the scheme needs characters
        return False


def read_phpass(text: str) -> StoredSecret:
    """phpass, ``$P$`` or phpBB's ``$H$``: a character for log2 of the rounds, 8 of salt, 22 of digest."""
    match = compiled(r"\$[PH]\$([./0-9A-Za-z])[./0-9A-Za-z]{30}").fullmatch(text)
    log2 = ITOA64.index(match[1]) if match else 0
    if log2 < 7:
        raise malformed("PHPASS", "not of its form")
    within("PHPASS", log2, PHPASS_LOG2, "as log2 of the rounds")
    return StoredSecret("PHPASS", f"PHPASS log2={log2}", 0, verify, ("phpass", text))


def read_apr1(text: str) -> StoredSecret:
    """Apache's MD5, ``$apr1$salt$digest``."""
    if not compiled(r"\$apr1\$[!-#%-~]{0,8}\$[./0-9A-Za-z]{22}").fullmatch(text):
        raise malformed("APR1-MD5", "not of its form")
    return StoredSecret("APR1-MD5", "APR1-MD5", 0, verify, ("apr_md5_crypt", text))


def read_atlassian(text: str) -> StoredSecret:
    """Atlassian's ``{PKCS5S2}``: 10000 rounds of PBKDF2-SHA1, base64 of 16 bytes salt and 32 of key."""
    if not compiled(r"[+/0-9A-Za-z]{64}").fullmatch(text):
        raise malformed("PKCS5S2", "not of its form")
    return StoredSecret("PKCS5S2", "PKCS5S2", 0, verify, ("atlassian_pbkdf2_sha1", "{PKCS5S2}" + text))


TAIL = (
    r"\$p5k2\$[0-9a-f]{0,8}\$[./0-9A-Za-z_=-]{1,200}\$[./0-9A-Za-z_=-]{24,40}"
    r"|grub\.pbkdf2\.sha512\.[1-9][0-9]{0,9}\.[0-9A-Fa-f]{2,400}\.[0-9A-Fa-f]{128}"
    r"|\{FSHP[0-3]\|[0-9]{1,3}\|[1-9][0-9]{0,9}\}[+/0-9A-Za-z]{16,800}={0,2}"
)


def read_tail(names: tuple[str, ...], text: str) -> StoredSecret:
    """A hash of one of these handlers, all of them PBKDF2 or like it. What is not of their form never reaches passlib."""
    if not compiled(TAIL).fullmatch(text):
        raise malformed(names[0].upper().replace("_", "-"), "not of its form")
    for name in names:
        try:
            parsed = handler(name).from_string(text)
        except (ValueError, TypeError):
            continue
        scheme = name.upper().replace("_", "-")
        if parsed.checksum is None or len(parsed.checksum) < SHORTEST:
            raise malformed(scheme, "its digest is too short")
        within(scheme, parsed.rounds, PBKDF2_ROUNDS, "rounds")
        return StoredSecret(scheme, f"{scheme} rounds={parsed.rounds}", 0, verify, (name, text))
    raise malformed(names[0].upper().replace("_", "-"), "not of its form")
