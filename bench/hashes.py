"""Stored hashes for the users, made by the machine's own libcrypt, and kept for the next run."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import string
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import PASSWORD, RESULTS

DISTINCT = 2000
"""Hashes with salts of their own; 20,000 users share them in turn. No daemon here keeps anything by hash."""

ALPHABET = string.ascii_letters + string.digits
DATA_SIZE = 32_768  # sizeof (struct crypt_data) in libxcrypt


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of hash: its name in ``{…}``, and how its setting begins."""

    name: str
    prefix: str
    salt: int


MD5 = Scheme("MD5-CRYPT", "$1$", 8)
SHA512 = Scheme("SHA512-CRYPT", "$6$", 16)
"""5,000 rounds, the default."""


def hashes(scheme: Scheme) -> list[str]:
    """``DISTINCT`` hashes of the bench's password."""
    cache = RESULTS / f"hashes-{scheme.name}.json"
    if cache.exists():
        kept = json.loads(cache.read_text())
        if kept["password"] == PASSWORD and len(kept["hashes"]) == DISTINCT:
            return list(kept["hashes"])
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        made = list(threads.map(lambda _: _hash(scheme), range(DISTINCT)))
    RESULTS.mkdir(exist_ok=True)
    cache.write_text(json.dumps({"password": PASSWORD, "hashes": made}))
    return made


def _hash(scheme: Scheme) -> str:
    salt = "".join(secrets.choice(ALPHABET) for _ in range(scheme.salt))
    data = ctypes.create_string_buffer(DATA_SIZE)
    made: bytes | None = _crypt_r()(PASSWORD.encode(), f"{scheme.prefix}{salt}$".encode(), data)
    if made is None or not made.startswith(scheme.prefix.encode()):
        raise OSError(f"libcrypt cannot make {scheme.name}")
    return made.decode()


def _crypt_r() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL("libcrypt.so.1").crypt_r
    function.restype = ctypes.c_char_p
    return function
