"""Every scheme by its name: which reader takes its data. Tables only, and the few cases where the data decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from . import argon, bcrypted, crypts, digests, kdf, md5state, passlibs, plain, scram
from .decode import from_base64, from_hex
from .secret import Fault, StoredSecret, UnusableSecret

Reader: TypeAlias = Callable[[str], StoredSecret]
BinaryReader: TypeAlias = Callable[[bytes], StoredSecret]

ALIASES = {
    "CLEAR": "PLAIN",
    "CLEARTEXT": "PLAIN",
    "SHA1": "SHA",
    "HMAC-MD5": "CRAM-MD5",
    "MD5RAW": "PLAIN-MD5",
    "ARGON2": "CRYPT",
    "BCRYPT": "CRYPT",
    "MYSQL": "MYSQL41",
    "NT": "NTLM",
    "PBKDF2-SHA": "PBKDF2-SHA1",
}


def _crypt(text: str) -> StoredSecret:
    """A crypt(3) string or one of its relations, by its own prefix."""
    if text.startswith("$"):
        return _prefixed(text, text[1 : text.find("$", 1)])
    if text.startswith("_"):
        return crypts.read("BSDI-CRYPT", text)
    if len(text) == 13:
        return crypts.read("DES-CRYPT", text)
    return _bare(text)


def _prefixed(text: str, ident: str) -> StoredSecret:
    """``$ident$…``."""
    if (scheme := crypts.IDENTS.get(ident)) is not None:
        return crypts.read(scheme, text)
    if (reader := MODULAR.get(ident)) is not None:
        return reader(text)
    if ident.startswith("md5,"):
        return crypts.read("SUN-MD5-CRYPT", text)
    raise UnusableSecret(Fault.UNKNOWN, "CRYPT: a prefix that no scheme of ours has")


def _bare(text: str) -> StoredSecret:
    """What begins with a name, or with MySQL's star."""
    name, dollar, _ = text.partition("$")
    if dollar and (reader := BARE.get(name.rstrip(" "))) is not None:
        return reader(text)
    if len(text) == 41 and text.startswith("*"):
        return digests.read_mysql41(from_hex("MYSQL41", text[1:]))
    if text.startswith("grub."):
        return passlibs.read_tail(("grub_pbkdf2_sha512",), text)
    raise UnusableSecret(Fault.UNKNOWN, "CRYPT: not a crypt(3) string; another kind needs its default scheme")


def _md5(text: str) -> StoredSecret:
    """``{MD5}``: a crypt string for Dovecot, hex or base64 for the others."""
    if text.startswith("$"):
        return crypts.read("MD5-CRYPT", text)
    if len(text) == 32:
        return digests.plain_reader("PLAIN-MD5")(from_hex("MD5", text))
    return digests.plain_reader("LDAP-MD5")(from_base64("MD5", text))


def _mysql41(text: str) -> StoredSecret:
    return digests.read_mysql41(from_hex("MYSQL41", text.removeprefix("*")))


def _after_prefix(reader: Reader, text: str) -> StoredSecret:
    """Django puts its own name before another's string: ``argon2$argon2id$…``, ``bcrypt$$2b$…``."""
    return reader("$" + text.partition("$")[2].removeprefix("$"))


MODULAR: Mapping[str, Reader] = {
    "argon2i": argon.read,
    "argon2id": argon.read,
    "argon2d": argon.read,
    "pbkdf2": kdf.read_modular,
    "pbkdf2-sha1": kdf.read_modular,
    "pbkdf2-sha256": kdf.read_modular,
    "pbkdf2-sha512": kdf.read_modular,
    "scrypt": kdf.read_scrypt,
    "bcrypt-sha256": bcrypted.read,
    "P": passlibs.read_phpass,
    "H": passlibs.read_phpass,
    "apr1": passlibs.read_apr1,
    "p5k2": partial(passlibs.read_tail, ("cta_pbkdf2_sha1", "dlitz_pbkdf2_sha1")),
    "md5": partial(crypts.read, "SUN-MD5-CRYPT"),
}

BARE: Mapping[str, Reader] = {
    "pbkdf2_sha1": kdf.read_django,
    "pbkdf2_sha256": kdf.read_django,
    "argon2": partial(_after_prefix, argon.read),
    "bcrypt": partial(_after_prefix, partial(crypts.read, "BLF-CRYPT")),
    **dict.fromkeys(scram.MECHANISMS, scram.read_bare),
}

CRYPT_NAMES = (
    "CRYPT",
    *crypts.FORMS,
    "ARGON2I",
    "ARGON2ID",
    "ARGON2D",
    "SCRYPT",
    "BCRYPT-SHA256",
    "PHPASS",
    "APR1-MD5",
)
"""In braces these are but names: the string's own prefix decides, as crypt(3) itself has it."""

TEXT: Mapping[str, Reader] = {
    **dict.fromkeys(CRYPT_NAMES, _crypt),
    **{name: partial(scram.read, name) for name in scram.MECHANISMS},
    "PLAIN": plain.read_plain,
    "PLAIN-TRUNC": plain.read_truncated,
    "MD5": _md5,
    "MYSQL41": _mysql41,
    "PBKDF2": kdf.read_braced,
    "PBKDF2-SHA1": partial(kdf.read_ldap, "sha1"),
    "PBKDF2-SHA256": partial(kdf.read_ldap, "sha256"),
    "PBKDF2-SHA512": partial(kdf.read_ldap, "sha512"),
    "PKCS5S2": passlibs.read_atlassian,
}

SALTED: Mapping[str, BinaryReader] = {name: digests.salted_reader(name) for name in digests.SALTED_DIGESTS}

FIXED: Mapping[str, tuple[BinaryReader, int]] = {
    **{name: (digests.plain_reader(name), digests.SIZES[kind]) for name, kind in digests.PLAIN_DIGESTS.items()},
    "PLAIN-MD4": (digests.read_md4, 16),
    "NTLM": (digests.read_nt, 16),
    "DIGEST-MD5": (digests.read_digest_md5, 16),
    "CRAM-MD5": (md5state.read, 32),
    "MYSQL323": (digests.read_mysql323, 8),
}
"""Readers of data that has one length only: hex and base64 are told apart by it."""

QUICK = frozenset({"PLAIN", "MYSQL41", *digests.PLAIN_DIGESTS, *digests.SALTED_DIGESTS})
"""Schemes whose check is one digest, or two, and so a microsecond: less than it takes to ask another process."""

SUFFIXES = {"": "", "HEX": "HEX", "B64": "B64", "BASE64": "B64"}

NAMES = frozenset({*TEXT, *SALTED, *FIXED, *ALIASES})
"""Every name that may stand in braces."""

TAIL = ("CTA-PBKDF2-SHA1", "DLITZ-PBKDF2-SHA1", "GRUB-PBKDF2-SHA512", "FSHP")

KNOWN = frozenset({*NAMES, *TAIL}) - set(ALIASES) - {"CRYPT", "MD5"}
"""Every name that a parsed secret's ``scheme`` may have."""


def scheme_named(name: str) -> str | None:
    """The one scheme that a name or another name of it stands for; None for none, and for those that are several."""
    upper = name.upper()
    scheme = ALIASES.get(upper, upper)
    return scheme if scheme in KNOWN else None
