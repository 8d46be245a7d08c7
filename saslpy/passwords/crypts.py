"""The crypt(3) strings: each by its own prefix, whatever name stood in braces before it (crypt(5)).

Only their form is read here, and the cost that they ask for; ``libcrypt`` computes. A string whose digest is not of full
length is refused: crypt could never give it back.
"""

from __future__ import annotations

from collections.abc import Callable
from re import Match
from typing import TypeAlias

from . import libcrypt, limits
from .patterns import BCRYPT64, ITOA64, compiled
from .secret import Fault, StoredSecret, UnusableSecret, malformed, within
from .yescrypt import parameters, scrypt_parameters

Cost: TypeAlias = tuple[str, int]  # what is appended to the kind, and KiB of memory
FREE: Cost = ("", 0)

# Salts may not hold what would break /etc/shadow: libxcrypt refuses these characters too.
SALT = r"[^$\s:;*!\\\x00-\x20\x7f-\U0010ffff]"
B64 = "[./0-9A-Za-z]"


def _free(_match: Match[str]) -> Cost:
    return FREE


def _rounds(scheme: str, cap: int, usual: int = 0) -> Callable[[Match[str]], Cost]:
    """The cost of a scheme whose pattern's first group are its rounds."""
    kinds = f" rounds={usual}", 0

    def cost(match: Match[str]) -> Cost:
        if (text := match[1]) is None:
            return kinds
        rounds = int(text)
        within(scheme, rounds, cap, "rounds")
        return f" rounds={rounds}", 0

    return cost


def _bcrypt(match: Match[str]) -> Cost:
    cost = int(match[1])
    if cost < 4:
        raise malformed("BLF-CRYPT", "a cost below 4")
    within("BLF-CRYPT", cost, limits.BCRYPT_COST, "as cost (log2 of the rounds)")
    return f" cost={cost}", 4


def _bsdi(match: Match[str]) -> Cost:
    count = sum(ITOA64.index(digit) << 6 * place for place, digit in enumerate(match[1]))
    if count == 0:
        raise malformed("BSDI-CRYPT", "a count of 0")
    within("BSDI-CRYPT", count, limits.BSDI_COUNT, "iterations")
    return f" count={count}", 0


def _yescrypt(scheme: str) -> Callable[[Match[str]], Cost]:
    return lambda match: parameters(scheme, match[1])


def _scrypt(match: Match[str]) -> Cost:
    return scrypt_parameters("SCRYPT-CRYPT", match[1])


# scheme: its form, and how its cost is read. Digits of a count are bounded, since int() takes its time for thousands.
FORMS: dict[str, tuple[str, Callable[[Match[str]], Cost]]] = {
    "DES-CRYPT": (f"{B64}{{13}}", _free),
    "BSDI-CRYPT": (f"_({B64}{{4}}){B64}{{15}}", _bsdi),
    "MD5-CRYPT": (rf"\$1\${SALT}{{0,8}}\${B64}{{22}}", _free),
    "SUN-MD5-CRYPT": (
        rf"\$md5(?:[,$]rounds=([1-9][0-9]{{0,9}}))?\${SALT}{{0,64}}\$\$?{B64}{{22}}",
        _rounds("SUN-MD5-CRYPT", limits.SUN_MD5_ROUNDS),
    ),
    "SHA1-CRYPT": (
        rf"\$sha1\$([1-9][0-9]{{0,9}})\${B64}{{1,64}}\${B64}{{28}}",
        _rounds("SHA1-CRYPT", limits.SHA1_CRYPT_ROUNDS),
    ),
    "SHA256-CRYPT": (
        rf"\$5\$(?:rounds=([1-9][0-9]{{3,9}})\$)?{SALT}{{0,16}}\${B64}{{43}}",
        _rounds("SHA256-CRYPT", limits.SHA256_CRYPT_ROUNDS, 5000),
    ),
    "SHA512-CRYPT": (
        rf"\$6\$(?:rounds=([1-9][0-9]{{3,9}})\$)?{SALT}{{0,16}}\${B64}{{86}}",
        _rounds("SHA512-CRYPT", limits.SHA512_CRYPT_ROUNDS, 5000),
    ),
    "BLF-CRYPT": (rf"\$2[abxy]\$([0-3][0-9])\${B64}{{53}}", _bcrypt),
    "YESCRYPT": (rf"\$y\$({B64}{{3,40}})\${B64}{{0,86}}\${B64}{{43}}", _yescrypt("YESCRYPT")),
    "GOST-YESCRYPT": (rf"\$gy\$({B64}{{3,40}})\${B64}{{0,86}}\${B64}{{43}}", _yescrypt("GOST-YESCRYPT")),
    "SCRYPT-CRYPT": (rf"\$7\$({B64}{{11}}){SALT}{{0,86}}\${B64}{{43}}", _scrypt),
    "NT-CRYPT": (r"\$3\$\$[0-9a-f]{32}", _free),
}

IDENTS = {
    "1": "MD5-CRYPT",
    "5": "SHA256-CRYPT",
    "6": "SHA512-CRYPT",
    "2a": "BLF-CRYPT",
    "2b": "BLF-CRYPT",
    "2x": "BLF-CRYPT",
    "2y": "BLF-CRYPT",
    "y": "YESCRYPT",
    "gy": "GOST-YESCRYPT",
    "7": "SCRYPT-CRYPT",
    "sha1": "SHA1-CRYPT",
    "3": "NT-CRYPT",
}


def read(scheme: str, text: str) -> StoredSecret:
    """The crypt string of a known scheme. Raises ``UnusableSecret``."""
    pattern, cost_of = FORMS[scheme]
    match = compiled(pattern).fullmatch(text)
    if match is None:
        raise malformed(scheme, "truncated, or not of its form")
    cost, memory = cost_of(match)
    if scheme == "BLF-CRYPT":
        text = settled(text)
    if libcrypt.knows(scheme):
        return StoredSecret(scheme, scheme + cost, memory, libcrypt.check, text)
    if not libcrypt.usable(scheme):
        raise UnusableSecret(Fault.UNKNOWN, f"{scheme}: this machine's libcrypt does not know it")
    return StoredSecret(scheme, scheme + cost, memory, libcrypt.check_slowly, (scheme, text))


def settled(text: str) -> str:
    """A bcrypt string whose salt ends as bcrypt writes it.

    Of the salt's 22nd character only two bits count. Some makers left chance in the other four; libcrypt clears them in
    its answer, which then differed from what is stored.
    """
    last = BCRYPT64.index(text[28])
    return text if last & 15 == 0 else text[:28] + BCRYPT64[last & 48] + text[29:]
