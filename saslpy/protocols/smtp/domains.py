"""The part of an address behind its @, in one spelling: lower case, A-labels (RFC 5890), address literals normalised.

::

    domain  := label *("." label)                             RFC 5321, 4.1.2; an underscore is let pass, as by Postfix
    literal := "[" IPv4 "]" | "[IPv6:" IPv6 "]"               RFC 5321, 4.1.3
"""

from __future__ import annotations

import encodings.punycode  # noqa: F401 (which idna would load at the first need: the daemon can read no modules then)
import ipaddress
import re
import unicodedata

import idna

MAX_DOMAIN = 253
"""Octets. The 255 of RFC 1035, 2.3.4 are those of its form in the DNS."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV6 = "ipv6:"


class MalformedDomain(ValueError):
    """No domain, or one that can be read in two ways."""


def canonical(domain: str) -> str:
    """The one spelling of a domain or a literal in brackets. Raises ``MalformedDomain``."""
    if domain.startswith("["):
        return _literal(domain)
    name = domain.lower() if domain.isascii() else _a_labels(domain)
    if len(name) > MAX_DOMAIN or not _DOMAIN.fullmatch(name):
        raise MalformedDomain("no domain")
    if name.rpartition(".")[2].isdigit():  # 127.0.0.1 and 2130706433: an address to some, a name to others
        raise MalformedDomain("a number for a domain")
    return name


def _a_labels(domain: str) -> str:
    # as for sender binding (senders.py): what UTS 46 would map beyond case and composition is refused. Its table is big
    lower = unicodedata.normalize("NFC", domain.lower())
    if len(lower) > MAX_DOMAIN:  # idna's work grows with the square of a label
        raise MalformedDomain("no domain")
    try:
        return idna.encode(lower).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise MalformedDomain("no domain in A-labels") from None


def _literal(domain: str) -> str:
    inside = domain[1:-1]
    if not domain.endswith("]") or not domain.isascii() or "%" in inside:  # fe80::1%eth0 means something here alone
        raise MalformedDomain("no address literal")
    try:
        if inside.lower().startswith(_IPV6):
            return f"[IPv6:{ipaddress.IPv6Address(inside[len(_IPV6) :])}]"
        return f"[{ipaddress.IPv4Address(inside)}]"
    except ValueError:
        raise MalformedDomain("no address literal") from None
