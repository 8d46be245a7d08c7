"""The one naming policy: what the client and the caller said becomes one ``Login``, before anything else sees it.

A caller may send the whole name (``joe@example.org``), or the name and a realm apart: libsasl2 splits at the last
``@`` and sends ``joe`` and ``example.org``. Both must become the same identity, or a cache, a throttle or a store
would know two users where there is one.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from .model import Login, Origin

MAX_BYTES = 1024
"""The longest name a store is asked about, in bytes of UTF-8 (RFC 5321 allows 320 for an address)."""

RealmJoin = Literal["join", "ignore", "require"]


class MalformedName(ValueError):
    """A name that no store may be asked about; the message says why, without the name."""


@dataclass(frozen=True, slots=True)
class NamePolicy:
    """How login, realm and default domain become one name.

    ``realm_join``: "join" makes ``login@realm`` of a login without ``@`` and a realm that is not empty; "ignore"
    forgets the realm; "require" joins, and refuses a login that ends up without a domain of its own.
    """

    default_domain: str = ""
    realm_join: RealmJoin = "join"

    def login(self, given: str, realm: str = "", origin: Origin | None = None) -> Login:
        """The login meant by a name and a realm. Raises ``MalformedName``."""
        _refuse_odd_characters(given)
        local, at, domain = given.rpartition("@")
        if not at:
            local, domain = given, self._domain_of_bare(realm)
        _refuse_blanks(local)
        if not local:
            raise MalformedName("an empty name")
        if at and not domain:
            raise MalformedName("nothing behind the @")
        return _assemble(local, domain, given, origin)

    def _domain_of_bare(self, realm: str) -> str:
        if realm and self.realm_join != "ignore":
            _refuse_odd_characters(realm)
            return realm
        if self.realm_join == "require":
            raise MalformedName("no realm was given")
        return self.default_domain


def _assemble(local: str, domain: str, given: str, origin: Origin | None) -> Login:
    _refuse_blanks(domain)
    if "@" in domain:
        raise MalformedName("an @ in the realm")
    # NFC: the same name typed on two systems is one name; the stricter NFKC would turn other signs into an @
    local = local if local.isascii() else unicodedata.normalize("NFC", local)
    domain = domain.lower() if domain.isascii() else unicodedata.normalize("NFC", domain).lower()
    name = f"{local}@{domain}" if domain else local
    return Login(name, local, domain, given, origin)


def folded(name: str) -> str:
    """A name to compare with others: stores take A to Z for a to z, and of other letters josé and JOSÉ are two people."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _refuse_odd_characters(text: str) -> None:
    if not text.isprintable() and (odd := odd_character(text)):
        raise MalformedName(odd)
    if len(text) > MAX_BYTES // 4 and len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise MalformedName(f"longer than {MAX_BYTES} bytes")


def odd_character(text: str) -> str | None:
    """What no name may hold, in words, if this one does."""
    for char in text:
        category = unicodedata.category(char)
        if category == "Cs":
            return "not UTF-8"
        if category == "Cc":
            return f"a control character (0x{ord(char):02x})"
        if category in ("Zl", "Zp", "Cf"):
            return f"an invisible character (U+{ord(char):04X})"
    return None


def _refuse_blanks(part: str) -> None:
    # refused, not trimmed: MySQL compares "joe " and "joe" as equal, a cache would not
    if part != part.strip():
        raise MalformedName("a blank around the name")
