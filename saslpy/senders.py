"""As which addresses a user may send, where nobody says more: his own, his aliases, and user+tag of these.

Domains are compared as A-labels (RFC 5890) without regard to case, local parts without regard to case between A and Z, as
the stores compare logins: ``José`` and ``JOSÉ`` are two people. What stands in quotes is compared as it is written.
"""

from __future__ import annotations

import encodings.punycode  # noqa: F401 (which idna would load at the first need: the daemon can read no modules then)
import unicodedata
from typing import TypeAlias

import idna

from .model import Account

TAG = "+"
"""What separates a user from his own subdivisions (RFC 5233; Postfix's ``recipient_delimiter``)."""

Key: TypeAlias = tuple[bytes, str]


def may_send(account: Account, address: str) -> bool:
    """Whether an address is the account's own. An empty one, the null sender, is nobody's."""
    local, domain = _key(address)
    for name in (account.login, *account.aliases):
        own, at = _key(name)
        if own and at == domain and (local == own or local.startswith(own + TAG.encode())):
            return True
    return False


def spellings(address: str) -> tuple[str, ...]:
    """An address as a backend is asked about it: its domain in A-labels; then the same without its tag, if it has one."""
    local, at, domain = _parts(address)
    end = at + _ascii(domain)
    user, tag, _ = local.partition(TAG)
    return (local + end, user + end) if tag and user and not local.startswith('"') else (local + end,)


def same(one: str, other: str) -> bool:
    """Whether two addresses are one."""
    return _key(one) == _key(other)


def _parts(address: str) -> tuple[str, str, str]:
    local, at, domain = address.rpartition("@")
    return (local, at, domain) if at else (address, "", "")


def _key(address: str) -> Key:
    local, _, domain = _parts(address)
    composed = local if local.isascii() else unicodedata.normalize("NFC", local)
    return composed.encode("utf-8", "surrogatepass").lower(), _ascii(domain)


def _ascii(domain: str) -> str:
    """A domain in A-labels and lower case; one that has no such form in lower case alone."""
    if domain.isascii():
        return domain.lower()
    lower = unicodedata.normalize("NFC", domain.lower())
    try:
        # without the table of UTS 46, which is loaded at its first use, too
        return idna.encode(lower).decode()
    except (idna.IDNAError, UnicodeError):
        return lower
