"""New stored secrets: what ``saslpy hash`` and ``saslpy user`` write."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import TypeAlias

from . import argon, digests, libcrypt, md5state, scram
from .decode import to_base64
from .patterns import BCRYPT64, ITOA64

Costs: TypeAlias = Mapping[str, int]
Maker: TypeAlias = Callable[[bytes, str, Costs], str | bytes]
"""``make(password, login, costs)``: text, or the bytes that hex or base64 will show."""


def salt64(length: int, alphabet: str = ITOA64) -> str:
    """A random salt of crypt(3)'s digits."""
    return "".join(alphabet[byte & 63] for byte in os.urandom(length))


def argon2(kind: str) -> Maker:
    """Argon2 of a type ("ID"); m is in KiB."""

    def make(password: bytes, _login: str, costs: Costs) -> str:
        return argon.make(kind, password, os.urandom(16), costs["m"], costs["t"], costs["p"])

    return make


def crypt(scheme: str, setting: Callable[[Costs], str]) -> Maker:
    """A crypt string with the setting that the costs give."""
    return lambda password, _login, costs: libcrypt.hashed(scheme, password, setting(costs))


def sha_crypt(ident: str) -> Callable[[Costs], str]:
    """A SHA crypt's setting; 5000 rounds are what no number means."""

    def setting(costs: Costs) -> str:
        rounds = "" if costs["rounds"] == 5000 else f"rounds={costs['rounds']}$"
        return f"${ident}${rounds}{salt64(16)}"

    return setting


def md5_crypt(_costs: Costs) -> str:
    """An MD5 crypt setting."""
    return f"$1${salt64(8)}$"


def des_crypt(_costs: Costs) -> str:
    """A DES crypt setting."""
    return salt64(2)


def bcrypt(costs: Costs) -> str:
    """A bcrypt setting; the cost is log2 of the rounds."""
    # two bits of the last character count: the others are 0 in what bcrypt gives back
    return f"$2y${costs['cost']:02}${salt64(21, BCRYPT64)}{salt64(1, '.Oeu' * 16)}"


def yescrypt(costs: Costs) -> str:
    """The cost is crypt_gensalt(3)'s, 1 to 11: r is 8 for the first two, else 32; N doubles with each."""
    cost = costs["cost"]
    r, log2_n = ("5", cost + 9) if cost <= 2 else ("T", cost + 7)
    return f"$y$j{ITOA64[log2_n - 1]}{r}${salt64(20)}{salt64(1)}{ITOA64[os.urandom(1)[0] & 3]}"


def plain(password: bytes, _login: str, _costs: Costs) -> str:
    """The password itself."""
    return password.decode("utf-8", "surrogateescape")


def digest(name: str, salt_size: int = 0) -> Maker:
    """Digest and salt."""

    def make(password: bytes, _login: str, _costs: Costs) -> bytes:
        salt = os.urandom(salt_size)
        return hashlib.new(name, password + salt, usedforsecurity=False).digest() + salt

    return make


def digest_md5(password: bytes, login: str, _costs: Costs) -> bytes:
    """MD5 of user:realm:password."""
    if not login:
        raise ValueError("DIGEST-MD5: needs the login, which it mixes in")
    return digests.digest_md5(login, password)


def cram_md5(password: bytes, _login: str, _costs: Costs) -> bytes:
    """Both contexts."""
    made = md5state.contexts(password)
    return made.outer + made.inner


def pbkdf2(password: bytes, _login: str, costs: Costs) -> str:
    """Dovecot's form, HMAC-SHA1."""
    salt = salt64(16)
    key = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), costs["rounds"])
    return f"$1${salt}${costs['rounds']}${key.hex()}"


def scram_keys(hash_name: str) -> Maker:
    """Dovecot's form."""

    def make(password: bytes, _login: str, costs: Costs) -> str:
        made = scram.derive(hash_name, password, os.urandom(16), costs["rounds"])
        parts = (made.salt, made.stored_key, made.server_key)
        return ",".join([str(made.iterations), *map(to_base64, parts)])

    return make


def mysql41(password: bytes, _login: str, _costs: Costs) -> str:
    """MySQL's PASSWORD()."""
    return "*" + digests.mysql41(password).hex().upper()
