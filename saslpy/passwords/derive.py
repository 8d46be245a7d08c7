"""What a stored secret gives beyond a check: keys for the mechanisms that never send the password."""

from __future__ import annotations

from .md5state import Contexts, contexts, hmac_md5
from .scram import MECHANISMS, ScramKeys, derive
from .secret import StoredSecret

__all__ = ["Contexts", "ScramKeys", "cram_md5_contexts", "derive", "hmac_md5", "plaintext", "scram_keys"]


def plaintext(secret: StoredSecret) -> bytes | None:
    """The password itself, where it is stored in the clear."""
    return secret.data if secret.scheme == "PLAIN" else None


def cram_md5_contexts(secret: StoredSecret) -> Contexts | None:
    """The key for CRAM-MD5 (``hmac_md5`` uses it): stored, or of a password in the clear. Else None."""
    if secret.scheme == "CRAM-MD5":
        return secret.data  # type: ignore[no-any-return]
    password = plaintext(secret)
    return None if password is None else contexts(password)


def scram_keys(secret: StoredSecret, mechanism: str) -> ScramKeys | None:
    """The stored keys for a mechanism ("SCRAM-SHA-256", also with -PLUS). None where the secret is not of that kind.

    From a ``plaintext`` keys are made by ``derive(hash_name, password, salt, iterations)``; the caller chooses the salt.
    """
    if mechanism.removesuffix("-PLUS") not in MECHANISMS or secret.scheme != mechanism.removesuffix("-PLUS"):
        return None
    return secret.data  # type: ignore[no-any-return]
