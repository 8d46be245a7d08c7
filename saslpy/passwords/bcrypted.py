"""passlib's bcrypt-sha256: a SHA-256 first, so that bcrypt's 72 bytes hold any password. Computed by libcrypt.

Version 2 is ``$bcrypt-sha256$v=2,t=2b,r=12$salt$digest``, HMAC keyed with the salt; version 1
``$bcrypt-sha256$2b,12$salt$digest``, a plain digest.
"""

from __future__ import annotations

import hashlib
import hmac

from . import crypts, libcrypt
from .decode import to_base64
from .patterns import compiled
from .secret import StoredSecret, malformed

SCHEME = "BCRYPT-SHA256"


def read(text: str) -> StoredSecret:
    """The secret of a ``$bcrypt-sha256$`` string."""
    match = compiled(
        r"\$bcrypt-sha256\$(?:(v=2,)t=(2[aby]),r=|(2[aby]),)([0-9]{1,2})\$([./0-9A-Za-z]{22})\$([./0-9A-Za-z]{31})"
    ).fullmatch(text)
    if match is None:
        raise malformed(SCHEME, "truncated, or not of its form")
    version2, ident2, ident1, cost, salt, digest = match.groups()
    inner = crypts.read("BLF-CRYPT", f"${ident2 or ident1}${cost:0>2}${salt}{digest}")
    kind = inner.kind.replace("BLF-CRYPT", SCHEME)
    return StoredSecret(SCHEME, kind, inner.memory_kib, _verify, (inner.data, salt if version2 else None))


def _verify(data: tuple[str, str | None], password: bytes, login: str) -> bool:
    inner, salt = data
    digest = hmac.digest(salt.encode(), password, "sha256") if salt else hashlib.sha256(password).digest()
    return libcrypt.check(inner, to_base64(digest).encode(), login)
