"""Passwords stored as they are."""

from __future__ import annotations

from hmac import compare_digest

from .limits import MAX_PASSWORD, TRUNCATED
from .patterns import compiled
from .secret import StoredSecret, malformed


def read_plain(text: str) -> StoredSecret:
    """``{PLAIN}``, ``{CLEAR}``, ``{CLEARTEXT}``: anything but nothing. "*" and "!" are passwords here."""
    return StoredSecret("PLAIN", "PLAIN", 0, _verify, _bytes("PLAIN", text))


def read_truncated(text: str) -> StoredSecret:
    """Dovecot's ``{PLAIN-TRUNC}LIMIT-PASSWORD``: the source kept LIMIT bytes, so a longer password may begin like this.

    A prefix of fewer than 4 bytes is refused: it would let nearly anyone in.
    """
    match = compiled(r"(?s:([0-9]{1,4})-(.+))").fullmatch(text)
    if match is None:
        raise malformed("PLAIN-TRUNC", "no LIMIT- before the password")
    kept = _bytes("PLAIN-TRUNC", match[2])
    cut = len(kept) == int(match[1])
    if cut and len(kept) < TRUNCATED:
        raise malformed("PLAIN-TRUNC", f"a limit below {TRUNCATED}")
    return StoredSecret("PLAIN-TRUNC", "PLAIN-TRUNC", 0, _verify_truncated, (kept, cut))


def _bytes(scheme: str, text: str) -> bytes:
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise malformed(scheme, "not text") from None
    if not raw or b"\0" in raw or len(raw) > MAX_PASSWORD:
        raise malformed(scheme, "empty, too long, or with a NUL in it")
    return raw


def _verify(stored: bytes, password: bytes, _login: str) -> bool:
    return compare_digest(password, stored)


def _verify_truncated(data: tuple[bytes, bool], password: bytes, _login: str) -> bool:
    kept, cut = data
    return compare_digest(password[: len(kept)] if cut else password, kept)
