r"""Addresses of the envelope: read strictly, written in one spelling (RFC 5321, 4.1.2; RFC 6531, 3.3).

::

    path    := "<" [route ":"] mailbox ">"            the route is dropped (RFC 5321, appendix C): the last domain counts
    route   := "@" domain *("," "@" domain)
    mailbox := local "@" domain
    local   := atom *("." atom) | quote *(char | "\" char) quote

What one server reads as one address and the next as another is how mail gets where nobody has allowed it. So there are no
comments, no blanks, no second @ outside of quotes, no domain that is left out (but for <postmaster>); and what goes on is
never what came, but what was understood, written anew.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from . import domains

MAX_LOCAL = 64
"""Octets of a local part as it is written (RFC 5321, 4.5.3.1.1)."""

MAX_PATH = 254
"""Octets of an address: 256 with its angle brackets (RFC 5321, 4.5.3.1.3; RFC 3696, erratum 1690)."""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED = r'"(?:[^"\\]|\\[ -~])*"'
_MAILBOX = rf'(?P<local>{_QUOTED}|[^"@<>(),:;\\\[\] ]*)(?:@(?P<domain>\[[^\[\]<>@ ]*\]|[^"@<>(),:;\\\[\] ]*))?'
_ROUTE = r'(?P<route>@[^":<>\[\]\\ ]*:)?'
_PATH = re.compile(rf"<{_ROUTE}{_MAILBOX}>")
_ADDRESS = re.compile(_MAILBOX)
_PAIR = re.compile(r"\\(.)")
_SPECIAL = re.compile(r'(["\\])')

POSTMASTER = "postmaster"


class MalformedAddress(ValueError):
    """No address, or one that can be read in two ways. The message does not hold it."""


class NonAscii(MalformedAddress):
    """An address beyond ASCII where SMTPUTF8 was not declared."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address that was understood. ``str`` is its one spelling.

    ``local`` is what is meant, without quotes and escapes, in NFC; its case is kept. ``domain`` is lower case in A-labels,
    or a literal in brackets; it is empty for <postmaster> alone.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{written(self.local)}@{self.domain}" if self.domain else self.local

    @property
    def utf8(self) -> bool:
        """Whether it can only travel with SMTPUTF8."""
        return not self.local.isascii()

    @property
    def nested(self) -> bool:
        """Whether the local part asks, in somebody's eyes, to be sent on elsewhere: ``v%elsewhere``, ``elsewhere!v``."""
        return any(sign in self.local for sign in "@%!:")


@dataclass(frozen=True, slots=True)
class Path:
    """An address as a command has it. ``mailbox`` is None for the null sender, ``<>``. ``end`` is where the path ends."""

    mailbox: Mailbox | None
    end: int


def path(text: str, start: int = 0, utf8: bool = False) -> Path:
    """The path that begins at ``start``; more may follow. Raises ``MalformedAddress``."""
    found = _PATH.match(text, start)
    if not found:
        raise MalformedAddress("no path")
    _allow(found[0], utf8)
    if found["route"]:
        _check_route(found["route"])
    elif found[0] == "<>":
        return Path(None, found.end())
    return Path(_understood(found), found.end())


def mailbox(text: str, utf8: bool = True) -> Mailbox:
    """The address ``local@domain``, without brackets, and nothing else. Raises ``MalformedAddress``."""
    found = _ADDRESS.fullmatch(text)
    if not found or found["domain"] is None:
        raise MalformedAddress("no address")
    _allow(text, utf8)
    return _understood(found)


def written(local: str) -> str:
    """A local part as it stands in an address: in quotes only where it must."""
    return local if _DOT_STRING.fullmatch(local) else '"' + _SPECIAL.sub(r"\\\1", local) + '"'


def _allow(text: str, utf8: bool) -> None:
    if not utf8 and not text.isascii():
        raise NonAscii("an address beyond ASCII without SMTPUTF8")


def _understood(found: re.Match[str]) -> Mailbox:
    local, domain = _local(found["local"]), found["domain"]
    if domain is None:
        if local.lower() != POSTMASTER:
            raise MalformedAddress("no domain")
        return Mailbox(POSTMASTER, "")
    understood = Mailbox(local, _domain(domain))
    if len(str(understood).encode()) > MAX_PATH:
        raise MalformedAddress(f"longer than {MAX_PATH} octets")
    return understood


def _local(text: str) -> str:
    meant = _PAIR.sub(r"\1", text[1:-1]) if text.startswith('"') else text
    if not meant.isascii():
        meant = unicodedata.normalize("NFC", meant)
        _refuse_lookalikes(meant)
    # of characters that no font shows, and of controls, none is printable
    if not meant or not meant.isprintable():
        raise MalformedAddress("no local part")
    if not text.startswith('"') and not _DOT_STRING.fullmatch(meant):
        raise MalformedAddress("a dot at the wrong place")
    if len(written(meant).encode()) > MAX_LOCAL:
        raise MalformedAddress(f"a local part of over {MAX_LOCAL} octets")
    return meant


def _refuse_lookalikes(local: str) -> None:
    """Of signs that a mapping would make a sign of the syntax: a full-width @ (U+FF20) for one."""
    mapped = unicodedata.normalize("NFKC", local)
    if any(mapped.count(sign) != local.count(sign) for sign in '@"\\<>%!:, \r\n\0'):
        raise MalformedAddress("a character that is another one to somebody")


def _domain(text: str) -> str:
    try:
        return domains.canonical(text)
    except domains.MalformedDomain as fault:
        raise MalformedAddress(str(fault)) from None


def _check_route(route: str) -> None:
    for hop in route[:-1].split(","):
        if not hop.startswith("@"):
            raise MalformedAddress("no route")
        _domain(hop[1:])
