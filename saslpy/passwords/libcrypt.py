"""The system's crypt(3) through ctypes, which gives up the GIL while it works.

The standard library's ``crypt`` holds the GIL and is gone since Python 3.13. ``crypt_r`` wants a buffer of the caller's;
its size differs (32768 bytes in libxcrypt, 131232 in old glibc), so every thread has a roomy one.

Where there is no libcrypt (or one that lacks a scheme), passlib's pure Python code takes over for what it knows. It is
never asked for bcrypt: passlib 1.7.4 fails with current bcrypt packages.
"""

from __future__ import annotations

import threading
from functools import cache
from hmac import compare_digest
from typing import Any, TypeAlias

from . import passlibs
from .limits import CRYPT_PASSWORD
from .patterns import compiled

BUFFER = 256 * 1024

NAMES = ("libcrypt.so.1", "libcrypt.so.2", None)
"""None is the process itself: musl has crypt_r in its libc."""

Library: TypeAlias = tuple[Any, Any]  # the module ctypes, and the function

# The cheapest setting of each scheme, to see whether the library knows it, and passlib's name for it.
PROBES = {
    "DES-CRYPT": ("ab", "des_crypt"),
    "BSDI-CRYPT": ("_/...abcd", "bsdi_crypt"),
    "MD5-CRYPT": ("$1$ab$", "md5_crypt"),
    "SUN-MD5-CRYPT": ("$md5$ab$", "sun_md5_crypt"),
    "SHA1-CRYPT": ("$sha1$1$abcdefgh$", "sha1_crypt"),
    "SHA256-CRYPT": ("$5$rounds=1000$ab$", "sha256_crypt"),
    "SHA512-CRYPT": ("$6$rounds=1000$ab$", "sha512_crypt"),
    "BLF-CRYPT": ("$2a$04$abcdefghijklmnopqrstuu", None),
    "YESCRYPT": ("$y$j0.$abcd", None),
    "GOST-YESCRYPT": ("$gy$j0.$abcd", None),
    "SCRYPT-CRYPT": ("$7$2/..../....abcd", None),
    "NT-CRYPT": ("$3$", "bsd_nthash"),
}

_local = threading.local()


@cache
def library() -> Library | None:
    """ctypes and ``crypt_r``, or None where there is none."""
    import ctypes
    import ctypes.util

    for find in (lambda: NAMES, lambda: (ctypes.util.find_library("crypt"),)):  # the latter runs ldconfig: last
        for name in find():
            try:
                function = ctypes.CDLL(name).crypt_r
            except (OSError, AttributeError):
                continue
            function.restype = ctypes.c_char_p
            function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
            return ctypes, function
    return None


@cache
def knows(scheme: str) -> bool:
    """Whether libcrypt can compute a scheme of ``PROBES``. Runs its cheapest setting once."""
    setting = PROBES[scheme][0]
    made = crypt(b"x", setting.encode()) if library() else None
    return made is not None and len(made) > len(setting) and made.startswith(setting.encode())


@cache
def usable(scheme: str) -> bool:
    """Whether a scheme can be checked on this machine, by libcrypt or by passlib."""
    return knows(scheme) or PROBES[scheme][1] is not None


def crypt(password: bytes, setting: bytes) -> bytes | None:
    """crypt(3): the hash, None when the library refuses the setting or the password.

    A password with a NUL or above 511 bytes is refused, and a costly setting for which there is no memory.
    """
    # ctypes stops at a NUL, and "secret\0junk" would count as "secret"
    if b"\0" in password or b"\0" in setting or len(password) > CRYPT_PASSWORD or (loaded := library()) is None:
        return None
    ctypes, function = loaded
    buffer = getattr(_local, "buffer", None)
    if buffer is None:
        buffer = _local.buffer = ctypes.create_string_buffer(BUFFER)
    made: bytes | None = function(password, setting, buffer)
    return None if made is None or made.startswith(b"*") else made


def check(stored: str, password: bytes, _login: str) -> bool:
    """Whether a password gives this crypt string. Raises ``MemoryError`` when there was too little to find out."""
    setting = stored.encode()
    made = crypt(password, setting)
    if made is None and len(password) <= CRYPT_PASSWORD and _starved(stored):
        raise MemoryError("crypt: no memory")
    return made is not None and compare_digest(made, setting)


def _starved(stored: str) -> bool:
    """Whether libcrypt failed for want of memory. It says EINVAL then too, so the salt is tried at the least cost."""
    if match := compiled(r"\$(g?y)\$[^$]+(\$[^$]*)\$.*").fullmatch(stored):
        cheap = f"${match[1]}$j0.{match[2]}"
    elif match := compiled(r"\$7\$.{11}([^$]*)\$.*").fullmatch(stored):
        cheap = f"$7$2/..../....{match[1]}"
    else:
        return False
    return crypt(b"x", cheap.encode()) is not None


def check_slowly(stored: tuple[str, str], password: bytes, _login: str) -> bool:
    """The same by passlib, of (scheme, string), on a system whose libcrypt lacks the scheme."""
    scheme, text = stored
    name = PROBES[scheme][1]
    if name is None or len(password) > CRYPT_PASSWORD:
        return False
    return passlibs.verify((name, text), password, "")


def hashed(scheme: str, password: bytes, setting: str) -> str:
    """A new crypt string. Raises ``ValueError`` when this machine cannot make it."""
    if knows(scheme):
        made = crypt(password, setting.encode())
        if made is not None:
            return made.decode("ascii")
    elif (name := PROBES[scheme][1]) is not None:
        return passlibs.hashed(name, password, setting)
    raise ValueError(f"{scheme}: this machine's libcrypt cannot make it")
