"""What can be made, with which costs; ``make`` itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from . import limits, making
from .decode import to_base64
from .parsing import split_name
from .readers import ALIASES
from .secret import UnusableSecret


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one scheme is made: ``costs`` are (default, least, most); ``longest`` is the longest password in bytes."""

    text: str
    make: making.Maker
    weak: bool = False
    costs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    longest: int = limits.MAX_PASSWORD
    hexadecimal: bool = False  # how bytes are shown; else base64


ARGON2 = {"m": (19456, 8, limits.ARGON2_KIB), "t": (2, 1, 64), "p": (1, 1, limits.ARGON2_LANES)}
"""OWASP's first recommendation: 19 MiB, 20 ms."""

ROUNDS = {"rounds": (100_000, 1, limits.PBKDF2_ROUNDS)}
SCRAM_ROUNDS = {"rounds": (15_000, 4096, limits.PBKDF2_ROUNDS)}  # the client, which may be a phone, computes these
CRYPT = limits.CRYPT_PASSWORD

RECIPES: Mapping[str, Recipe] = {
    "ARGON2ID": Recipe("argon2id, 19 MiB: the default", making.argon2("ID"), costs=ARGON2),
    "ARGON2I": Recipe("argon2i, 19 MiB", making.argon2("I"), costs=ARGON2),
    "YESCRYPT": Recipe(
        "yescrypt, as in Debian's /etc/shadow",
        making.crypt("YESCRYPT", making.yescrypt),
        costs={"cost": (5, 1, 11)},
        longest=CRYPT,
    ),
    "BLF-CRYPT": Recipe(
        "bcrypt; passwords of 72 bytes at most",
        making.crypt("BLF-CRYPT", making.bcrypt),
        costs={"cost": (10, 4, limits.BCRYPT_COST)},
        longest=72,
    ),
    "SHA512-CRYPT": Recipe(
        "SHA-512 crypt; every mail server knows it",
        making.crypt("SHA512-CRYPT", making.sha_crypt("6")),
        costs={"rounds": (5000, 1000, limits.SHA512_CRYPT_ROUNDS)},
        longest=CRYPT,
    ),
    "SHA256-CRYPT": Recipe(
        "SHA-256 crypt",
        making.crypt("SHA256-CRYPT", making.sha_crypt("5")),
        costs={"rounds": (5000, 1000, limits.SHA256_CRYPT_ROUNDS)},
        longest=CRYPT,
    ),
    "SCRAM-SHA-256": Recipe("keys for SCRAM-SHA-256; PLAIN works too", making.scram_keys("sha256"), costs=SCRAM_ROUNDS),
    "SCRAM-SHA-1": Recipe("keys for SCRAM-SHA-1; PLAIN works too", making.scram_keys("sha1"), costs=SCRAM_ROUNDS),
    "PBKDF2": Recipe("Dovecot's PBKDF2 with SHA-1", making.pbkdf2, costs=ROUNDS),
    "CRYPT": Recipe(
        "what crypt(3) takes: SHA-512 crypt",
        making.crypt("SHA512-CRYPT", making.sha_crypt("6")),
        costs={"rounds": (5000, 1000, limits.SHA512_CRYPT_ROUNDS)},
        longest=CRYPT,
    ),
    "MD5-CRYPT": Recipe("MD5 crypt", making.crypt("MD5-CRYPT", making.md5_crypt), weak=True, longest=CRYPT),
    "DES-CRYPT": Recipe(
        "DES crypt; 8 bytes of ASCII count", making.crypt("DES-CRYPT", making.des_crypt), True, longest=8
    ),
    "SSHA512": Recipe("salted SHA-512, fast to guess", making.digest("sha512", 8), weak=True),
    "SSHA256": Recipe("salted SHA-256, fast to guess", making.digest("sha256", 8), weak=True),
    # Courier reads a salt of 4 bytes and no other
    "SSHA": Recipe("salted SHA-1, as in old LDAP directories", making.digest("sha1", 4), weak=True),
    "SMD5": Recipe("salted MD5", making.digest("md5", 8), weak=True),
    "SHA512": Recipe("SHA-512 without salt", making.digest("sha512"), weak=True),
    "SHA256": Recipe("SHA-256 without salt", making.digest("sha256"), weak=True),
    "SHA": Recipe("SHA-1 without salt", making.digest("sha1"), weak=True),
    "PLAIN-MD5": Recipe("MD5 in hex, without salt", making.digest("md5"), weak=True, hexadecimal=True),
    "LDAP-MD5": Recipe("MD5 in base64, without salt", making.digest("md5"), weak=True),
    "CRAM-MD5": Recipe(
        "keys for CRAM-MD5, as good as the password there", making.cram_md5, weak=True, hexadecimal=True
    ),
    "DIGEST-MD5": Recipe("MD5 of login and password; needs the login", making.digest_md5, weak=True, hexadecimal=True),
    "MYSQL41": Recipe("MySQL's PASSWORD()", making.mysql41, weak=True),
    "PLAIN": Recipe("the password itself; serves every mechanism", making.plain, weak=True),
}

SCHEMES: Mapping[str, str] = MappingProxyType({name: recipe.text for name, recipe in RECIPES.items()})
"""What ``make`` can make, with a line about each. ``weak`` tells which are."""

STRONG = frozenset({"YESCRYPT", "GOST-YESCRYPT", "SCRYPT-CRYPT", "SCRYPT", "BCRYPT-SHA256", "SHA1-CRYPT", "ARGON2D"})
"""Those that are read but not made, and yet are slow to guess."""


def weak(scheme: str) -> bool:
    """Whether who steals a secret of this scheme soon has the password: too fast to compute, or no hash at all."""
    name = scheme.upper().partition(".")[0]
    if name in RECIPES:
        return RECIPES[name].weak
    name = ALIASES.get(name, name)
    if name in RECIPES:
        return RECIPES[name].weak
    return not (name in STRONG or "PBKDF2" in name or name.startswith("SCRAM-"))


def make(scheme: str, password: str, login: str = "", **cost: int) -> str:
    """``{SCHEME}data`` with a fresh salt.

    ``login`` is the canonical login, for DIGEST-MD5. ``cost`` is what the scheme knows: ``rounds`` (SHA crypts, PBKDF2,
    SCRAM), ``cost`` (bcrypt's and yescrypt's), ``m`` (KiB), ``t`` and ``p`` (argon2). Raises ``ValueError`` with what is
    wrong: a scheme that cannot be made, a cost out of bounds, a password that the scheme cannot hold.
    """
    name, encoding, recipe = _recipe(scheme)
    raw = _holdable(name, password, recipe.longest)
    made = recipe.make(raw, login, _costs(name, recipe, cost))
    if isinstance(made, str):
        if encoding:
            raise ValueError(f"{name}: is text, leave out the .{encoding}")
        return f"{{{name}}}{made}"
    if encoding:
        return f"{{{name}.{encoding}}}{made.hex() if encoding == 'HEX' else to_base64(made)}"
    return f"{{{name}}}{made.hex() if recipe.hexadecimal else to_base64(made)}"


def _recipe(scheme: str) -> tuple[str, str, Recipe]:
    """The name as it was asked for, the encoding, the recipe."""
    name = scheme.upper().partition(".")[0]
    name = {"ARGON2": "ARGON2ID", "BCRYPT": "BLF-CRYPT"}.get(name, name)
    try:
        found, encoding = split_name(scheme)
    except UnusableSecret:
        name = found = encoding = ""
    recipe = RECIPES.get(name) or RECIPES.get(found)
    if recipe is None:
        raise ValueError(f"cannot make {scheme!r}; there are {', '.join(RECIPES)}")
    return name, encoding, recipe


def _holdable(name: str, password: str, longest: int) -> bytes:
    try:
        raw = password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("the password is not text") from None
    if not raw or b"\0" in raw:
        raise ValueError("a password is not empty and holds no NUL")
    if len(raw) > longest:
        raise ValueError(f"{name}: takes passwords of up to {longest} bytes, this one has {len(raw)}")
    return raw


def _costs(name: str, recipe: Recipe, asked: Mapping[str, int]) -> dict[str, int]:
    costs = {key: default for key, (default, _, _) in recipe.costs.items()}
    for key, value in asked.items():
        if key not in recipe.costs:
            raise ValueError(f"{name}: has no cost {key!r}; it has {', '.join(recipe.costs) or 'none'}")
        _, least, most = recipe.costs[key]
        if not least <= value <= most:
            raise ValueError(f"{name}: {key} is from {least} to {most}")
        costs[key] = value
    if "m" in costs:
        _argon2_fits(name, costs)
    return costs


def _argon2_fits(name: str, costs: Mapping[str, int]) -> None:
    if costs["m"] < 8 * costs["p"]:
        raise ValueError(f"{name}: m is at least 8 KiB for each of p lanes")
    if costs["m"] * costs["t"] > limits.ARGON2_WORK:
        raise ValueError(f"{name}: m times t is {limits.ARGON2_WORK} at most")
