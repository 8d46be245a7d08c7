"""Hex and base64 as stored secrets have them."""

from __future__ import annotations

import binascii

from .secret import malformed

MIXED = str.maketrans(".-_", "++/")
"""passlib's "adapted" base64 has a dot for the plus sign; some have the URL alphabet."""


def from_base64(scheme: str, text: str) -> bytes:
    """The bytes; padding may be missing, as LDAP tools often leave it away. Raises ``UnusableSecret``."""
    try:
        return binascii.a2b_base64(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), strict_mode=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        raise malformed(scheme, "not base64") from None


def from_adapted(scheme: str, text: str) -> bytes:
    """The same for the alphabets of passlib and of URLs."""
    return from_base64(scheme, text.translate(MIXED))


def from_hex(scheme: str, text: str) -> bytes:
    """The bytes. Raises ``UnusableSecret``."""
    try:
        return binascii.a2b_hex(text)
    except ValueError:
        raise malformed(scheme, "not hex") from None


def from_either(scheme: str, text: str, size: int) -> bytes:
    """Hex when its length fits ``size`` bytes, else base64: Dovecot guesses in this way too."""
    return from_hex(scheme, text) if len(text) == 2 * size else from_base64(scheme, text)


def to_base64(raw: bytes) -> str:
    """Padded base64, in one line."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii")
