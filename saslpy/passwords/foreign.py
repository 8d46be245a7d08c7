"""The long tail, through passlib: hashes of web applications and of other systems."""

from __future__ import annotations

from typing import Any

from .secret import StoredSecret, capped, malformed

# passlib's handlers that recognise their hashes without doubt, and the most that their cost may be
HANDLERS: tuple[tuple[str, int], ...] = (
    ("phpass", 18),
    ("pbkdf2_sha1", 5_000_000),
    ("pbkdf2_sha256", 5_000_000),
    ("pbkdf2_sha512", 3_000_000),
    ("ldap_pbkdf2_sha1", 5_000_000),
    ("ldap_pbkdf2_sha256", 5_000_000),
    ("ldap_pbkdf2_sha512", 3_000_000),
    ("django_pbkdf2_sha256", 5_000_000),
    ("django_pbkdf2_sha1", 5_000_000),
    ("atlassian_pbkdf2_sha1", 5_000_000),
    ("cta_pbkdf2_sha1", 5_000_000),
    ("dlitz_pbkdf2_sha1", 5_000_000),
    ("grub_pbkdf2_sha512", 3_000_000),
    ("fshp", 5_000_000),
)


def read(stored: str) -> StoredSecret | None:
    """A hash that passlib knows, None for one that it does not. Raises ``UnusableSecret``."""
    if not stored.startswith(("$", "{", "pbkdf2_")):
        return None
    from passlib import registry

    for name, cap in HANDLERS:
        handler: Any = registry.get_crypt_handler(name)
        if handler.identify(stored):
            return _secret(name.upper().replace("_", "-"), handler, stored, cap)
    return None


def _secret(scheme: str, handler: Any, stored: str, cap: int) -> StoredSecret:
    try:
        rounds = int(handler.from_string(stored).rounds)
    except (ValueError, TypeError):
        raise malformed(scheme) from None
    capped(scheme, "rounds", rounds, cap)
    return StoredSecret(
        scheme, f"{scheme} rounds={rounds}", 0, lambda password, _login: bool(handler.verify(password, stored))
    )
