"""Everything that the system's crypt(3) knows, through libcrypt's ``crypt_r`` and ctypes, which gives up the GIL.

The strings are told apart by their prefix (crypt(5)); what a check costs is read from the string before it is run.
"""

from __future__ import annotations

import ctypes
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from .secret import Fault, StoredSecret, UnusableSecret, capped, malformed

DATA_BYTES = 256 * 1024
"""More than any libcrypt's ``struct crypt_data`` (32 KiB in libxcrypt, 128 KiB in old glibc)."""

MAX_PASSWORD = 511
"""libxcrypt's CRYPT_MAX_PASSPHRASE_SIZE; a longer password cannot have been stored."""

ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {char: number for number, char in enumerate(ITOA64)}

MAX_SHA2_ROUNDS = 5_000_000
MAX_BCRYPT_COST = 15
MAX_BSDI_ROUNDS = 1_000_000
MAX_MD5_SUN_ROUNDS = 1_000_000
MAX_SHA1_ROUNDS = 5_000_000
MAX_KIB = 1 << 20
MAX_BLOCKS = 1 << 25  # N * r * p of scrypt and yescrypt, about three seconds


@cache
def _library() -> ctypes.CDLL | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.crypt_r.restype = ctypes.c_char_p
        library.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
        return library
    return None


_thread = threading.local()


def crypt(password: bytes, setting: bytes) -> bytes | None:
    """crypt(3): the hash of a password with the salt and cost of ``setting``, None when that fails."""
    library = _library()
    if library is None or len(password) > MAX_PASSWORD or b"\0" in password:
        return None
    data = getattr(_thread, "data", None)
    if data is None:
        data = _thread.data = ctypes.create_string_buffer(DATA_BYTES)
    result: bytes | None = library.crypt_r(password, setting, data)
    return None if result is None or result.startswith(b"*") else result


def available() -> bool:
    """Whether there is a libcrypt."""
    return _library() is not None


@dataclass(frozen=True, slots=True)
class Form:
    """One method of crypt(3): its name, the least length of a whole string, and what its strings cost."""

    scheme: str
    length: int
    cost: Callable[[str], tuple[str, int]]  # the string to (cost in words, KiB); raises UnusableSecret


def _free(_stored: str) -> tuple[str, int]:
    return "", 0


def _number(text: str, scheme: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise malformed(scheme)
    return int(text)


def _sha2(scheme: str) -> Callable[[str], tuple[str, int]]:
    def cost(stored: str) -> tuple[str, int]:
        rounds = 5000
        if stored[3:10] == "rounds=":
            rounds = _number(stored[10:].partition("$")[0], scheme)
        return f"rounds={capped(scheme, 'rounds', rounds, MAX_SHA2_ROUNDS)}", 0

    return cost


def _bcrypt(stored: str) -> tuple[str, int]:
    cost = _number(stored[4:6], "BLF-CRYPT")
    return f"cost={capped('BLF-CRYPT', 'cost', cost, MAX_BCRYPT_COST)}", 0


def _sun(stored: str) -> tuple[str, int]:
    rounds = 0
    if stored[4:12] == ",rounds=":
        rounds = _number(stored[12:].partition("$")[0], "SUNMD5")
    return f"rounds={capped('SUNMD5', 'rounds', rounds, MAX_MD5_SUN_ROUNDS)}", 0


def _sha1(stored: str) -> tuple[str, int]:
    rounds = _number(stored[6:].partition("$")[0], "SHA1-CRYPT")
    return f"rounds={capped('SHA1-CRYPT', 'rounds', rounds, MAX_SHA1_ROUNDS)}", 0


def _bsdi(stored: str) -> tuple[str, int]:
    rounds = sum(_sextet(stored, 1 + place, "BSDI-CRYPT") << 6 * place for place in range(4))
    return f"rounds={capped('BSDI-CRYPT', 'rounds', rounds, MAX_BSDI_ROUNDS)}", 0


def _sextet(stored: str, place: int, scheme: str) -> int:
    try:
        return _VALUE[stored[place]]
    except (IndexError, KeyError):
        raise malformed(scheme) from None


def _scrypt(stored: str) -> tuple[str, int]:
    """``$7$`` N(1 char, log2) r(5 chars) p(5 chars), crypt(5)."""
    power = _sextet(stored, 3, "SCRYPT")
    r, p = (sum(_sextet(stored, start + at, "SCRYPT") << 6 * at for at in range(5)) for start in (4, 9))
    return _blocks("SCRYPT", power, r, p)


def _yescrypt(scheme: str, start: int) -> Callable[[str], tuple[str, int]]:
    def cost(stored: str) -> tuple[str, int]:
        fields = stored[start:].partition("$")[0]
        _flavour, at = variable(fields, 0, 0, scheme)
        power, at = variable(fields, at, 1, scheme)
        r, at = variable(fields, at, 1, scheme)
        p = t = 1
        if at < len(fields):
            have, at = variable(fields, at, 1, scheme)
            if have & 1:
                p, at = variable(fields, at, 2, scheme)
            if have & 2:
                more, at = variable(fields, at, 1, scheme)
                t += more
            if have & ~3:
                raise UnusableSecret(Fault.UNKNOWN, f"{scheme}: upgraded or ROM-bound hashes are not supported")
        return _blocks(scheme, power, r, p * t)

    return cost


def variable(text: str, at: int, least: int, scheme: str) -> tuple[int, int]:
    """yescrypt's variable-length number at a place of its parameter field: (number, next place)."""
    first = _sextet(text, at, scheme)
    number, start, end, chars, bits = least, 0, 47, 1, 0
    while first > end:
        number += (end + 1 - start) << bits
        start = end + 1
        end = start + (62 - end) // 2
        chars += 1
        bits += 6
    number += (first - start) << bits
    for place in range(at + 1, at + chars):
        bits -= 6
        number += _sextet(text, place, scheme) << bits
    return number, at + chars


def _blocks(scheme: str, power: int, r: int, p: int) -> tuple[str, int]:
    capped(scheme, "log2(N)", power, 30)
    if r < 1 or p < 1:
        raise malformed(scheme)
    kib = capped(scheme, "KiB", r << power >> 3, MAX_KIB)
    capped(scheme, "blocks", (r << power) * p, MAX_BLOCKS)
    return f"N=2^{power},r={r},p={p}", kib


_BCRYPT = Form("BLF-CRYPT", 60, _bcrypt)
FORMS: tuple[tuple[str, Form], ...] = (
    ("$6$", Form("SHA512-CRYPT", 90, _sha2("SHA512-CRYPT"))),
    ("$1$", Form("MD5-CRYPT", 26, _free)),
    ("$2b$", _BCRYPT),
    ("$2y$", _BCRYPT),
    ("$2a$", _BCRYPT),
    ("$2x$", _BCRYPT),
    ("$y$", Form("YESCRYPT", 48, _yescrypt("YESCRYPT", 3))),
    ("$5$", Form("SHA256-CRYPT", 47, _sha2("SHA256-CRYPT"))),
    ("$gy$", Form("GOST-YESCRYPT", 49, _yescrypt("GOST-YESCRYPT", 4))),
    ("$7$", Form("SCRYPT", 58, _scrypt)),
    ("$md5", Form("SUNMD5", 28, _sun)),
    ("$sha1$", Form("SHA1-CRYPT", 37, _sha1)),
    ("$3$", Form("NT", 36, _free)),
    ("_", Form("BSDI-CRYPT", 20, _bsdi)),
)


def form_of(stored: str) -> Form | None:
    """The method of a crypt(3) string, None when it is none."""
    for prefix, form in FORMS:
        if stored.startswith(prefix):
            return form
    if len(stored) == 13 and all(char in _VALUE for char in stored):
        return Form("DES-CRYPT", 13, _free)
    return None


def read(stored: str) -> StoredSecret | None:
    """A crypt(3) string; None when it is none. Raises ``UnusableSecret``."""
    form = form_of(stored)
    if form is None or not available():
        return None
    if len(stored) < form.length or not stored.isascii():
        raise malformed(form.scheme, "the stored hash is cut short")
    cost, kib = form.cost(stored)
    setting = stored.encode()

    def matches(password: bytes, _login: str) -> bool:
        made = crypt(password, setting)
        return made is not None and hmac.compare_digest(made, setting)

    return StoredSecret(form.scheme, f"{form.scheme} {cost}", kib, matches)
