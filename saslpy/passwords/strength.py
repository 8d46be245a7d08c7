"""How hard stored secrets are to guess, side by side: what an upgrade may turn into what.

An order of schemes and no measure: which of two withstands a guessing machine better is told by what a scheme is made of
long before its costs. So costs are compared within a rank alone, each with today's default of the scheme's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .schemes import ARGON2, RECIPES
from .scram import MECHANISMS
from .secret import StoredSecret

ORDER: tuple[tuple[str, ...], ...] = (
    # no hash at all
    ("PLAIN", "PLAIN-TRUNC"),
    # no salt: one table serves for everybody
    (
        *("PLAIN-MD4", "PLAIN-MD5", "LDAP-MD5", "SHA", "SHA256", "SHA384", "SHA512", "NTLM", "NT-CRYPT"),
        *("MYSQL323", "MYSQL41", "CRAM-MD5", "DIGEST-MD5"),
    ),
    # a salt, and as fast as the machine hashes
    ("DES-CRYPT", "SMD5"),
    ("SSHA",),
    ("SSHA256",),
    ("SSHA384", "SSHA512"),
    # rounds, made for the machines of the nineties
    ("MD5-CRYPT", "APR1-MD5", "PHPASS", "BSDI-CRYPT", "SUN-MD5-CRYPT"),
    # many rounds; graphics cards like the small hashes most
    ("SHA1-CRYPT", "PBKDF2", "PBKDF2-SHA1", "PKCS5S2", "CTA-PBKDF2-SHA1", "DLITZ-PBKDF2-SHA1", "SCRAM-SHA-1"),
    ("SHA256-CRYPT", "PBKDF2-SHA256", "FSHP", "SCRAM-SHA-256"),
    ("SHA512-CRYPT", "PBKDF2-SHA512", "GRUB-PBKDF2-SHA512", "SCRAM-SHA-512"),
    # 4 KiB of fast memory for each guess
    ("BLF-CRYPT", "BCRYPT-SHA256"),
    # much memory for each guess; argon2i can be computed with less of it than it asks for
    ("ARGON2I",),
    ("ARGON2ID", "ARGON2D", "YESCRYPT", "GOST-YESCRYPT", "SCRYPT", "SCRYPT-CRYPT"),
)
"""Every scheme that is read, the weakest first; those of one line are equals."""

RANKS: Mapping[str, int] = MappingProxyType({name: rank for rank, names in enumerate(ORDER) for name in names})

LEAST = RANKS["SSHA"]
"""The weakest that may be upgraded to: what a directory without modules can compute."""

MEMORY = ("YESCRYPT", "GOST-YESCRYPT", "SCRYPT", "SCRYPT-CRYPT")
"""Schemes whose cost is their memory; N and r, which it comes from, are spelled in several ways."""

_ARGON2 = ARGON2["m"][0] * ARGON2["t"][0]
_BCRYPT = RECIPES["BLF-CRYPT"].costs["cost"][0]
_PBKDF2 = RECIPES["PBKDF2"].costs["rounds"][0]
_SCRAM = RECIPES["SCRAM-SHA-256"].costs["rounds"][0]

TODAY: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("ARGON2ID", "ARGON2I", "ARGON2D"), _ARGON2),
        **dict.fromkeys(MEMORY, 16384),  # KiB: what yescrypt's cost 5 takes
        **dict.fromkeys(("BLF-CRYPT", "BCRYPT-SHA256"), _BCRYPT),
        **{name: RECIPES[name].costs["rounds"][0] for name in ("SHA512-CRYPT", "SHA256-CRYPT")},
        **dict.fromkeys(("PBKDF2", "PBKDF2-SHA1", "PBKDF2-SHA256", "PBKDF2-SHA512", "SHA1-CRYPT"), _PBKDF2),
        **dict.fromkeys(MECHANISMS, _SCRAM),
    }
)
"""The cost of a secret that is made today; what is not here has costs that nobody chooses any more."""


def deserves(secret: StoredSecret, scheme: str) -> bool:
    """Whether a new secret of a scheme, made today, is harder to guess than this one."""
    own, new = RANKS[secret.scheme], RANKS[parsed_as(scheme)]
    return own < new or (own == new and cheaper(secret))


def cheaper(secret: StoredSecret) -> bool:
    """Whether a secret costs less than one of its own scheme that is made today."""
    return cost(secret) < TODAY.get(secret.scheme, 0)


def cost(secret: StoredSecret) -> int:
    """The one number that tells most about what a check costs, 0 for none: argon2's m times t, rounds, memory in KiB."""
    if secret.scheme in MEMORY:
        return secret.memory_kib
    _, _, told = secret.kind.partition(" ")
    numbers = {key: int(value) for key, _, value in (item.partition("=") for item in told.split(",")) if value}
    if secret.scheme.startswith("ARGON2"):
        return numbers["m"] * numbers["t"]
    return next(iter(numbers.values()), 0)


def is_scram(scheme: str) -> bool:
    """Whether a secret of a scheme is keys for SCRAM, which serve a mechanism that no hash can."""
    return scheme in MECHANISMS


def sees_all(secret: StoredSecret, password: bytes) -> bool:
    """Whether no other password is right for a secret too, as far as its scheme goes.

    Where a scheme does not look at all of a password, one with a slip at its end is right as well. To hash that one
    would lock its owner out.
    """
    match secret.scheme:
        case "DES-CRYPT":
            return len(password) <= 8 and password.isascii()
        case "BSDI-CRYPT":
            return password.isascii()
        case "BLF-CRYPT":
            return len(password) <= RECIPES["BLF-CRYPT"].longest
        case "MYSQL323":
            return not set(password) & set(b" \t")
        case "PLAIN-TRUNC":
            return False
    return True


def holds(scheme: str, password: bytes) -> bool:
    """Whether a scheme that can be made can hold a password."""
    return 0 < len(password) <= RECIPES[scheme].longest


def memory_kib(scheme: str) -> int:
    """The memory that making a secret needs, as ``StoredSecret.memory_kib``."""
    recipe = RECIPES[scheme]
    return recipe.costs["m"][0] if "m" in recipe.costs else TODAY[scheme] if scheme in MEMORY else 0


def upgradable(names: str | Sequence[str]) -> tuple[str, ...]:
    """The schemes that a configuration names, by their own names: one hash, keys for SCRAM, or both.

    Raises ``ValueError`` with what is wrong.
    """
    found: list[str] = []
    for given in (names,) if isinstance(names, str) else names:
        name = _made(given)
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found.append(name)
    hashes = [name for name in found if not is_scram(name)]
    if len(hashes) > 1:
        raise ValueError(f"{hashes[0]} and {hashes[1]}: one is enough; beside it there may be keys for SCRAM")
    return tuple(hashes + [name for name in found if is_scram(name)])


def _made(given: str) -> str:
    name = given.upper()
    name = {"ARGON2": "ARGON2ID", "BCRYPT": "BLF-CRYPT"}.get(name, name)
    if name not in RECIPES:
        raise ValueError(f"cannot make {given!r}; `saslpy hash --list` shows what can be made")
    if RANKS[parsed_as(name)] < LEAST:
        raise ValueError(f"{name} is no upgrade for anything: who steals it has the passwords soon")
    return name


def parsed_as(name: str) -> str:
    """The scheme that ``parse`` gives for what is made under a name."""
    return "SHA512-CRYPT" if name == "CRYPT" else name
