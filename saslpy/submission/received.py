"""The Received field that we put before a message (RFC 5321, 4.4), and the other values of ours that a header gets.

::

    Received: [from helo ([client])] by hostname [(Authenticated sender: login)]
        with ESMTPSA id trace [tls cipher]; date

Where somebody wrote a message, and who he is by name, is nobody's business but the operator's: client and login are left
out unless they are asked for. The id is what his log has. What a client has a say in stands there in characters of host
names alone, any other as in xtext (RFC 3461, 4): ``+0D``.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
import time
from dataclasses import dataclass

from ..protocols.smtp.replies import Reply, reply
from .headers import Header

MAX_HOPS = 50
"""Received fields of a message that goes in circles (RFC 5321, 6.3, wants 100 at least to be let pass; Postfix has 50)."""

MAX_WORD = 255
"""Characters of what a client has a say in."""

WIDTH = 77

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f:.]{2,45}\]")


@dataclass(frozen=True, slots=True)
class Trace:
    """What the field tells. ``client`` and ``login`` are empty where they are not to be told."""

    by: str
    protocol: str
    id: str
    date: str
    helo: str = ""
    client: str = ""
    login: str = ""
    cipher: str = ""


def field(trace: Trace) -> bytes:
    """The field, folded, with its CRLF."""
    clauses = [
        f"from {_host(trace.helo)} ([{_literal(trace.client)}])" if trace.client else "",
        f"by {_word(trace.by)}",
        f"(Authenticated sender: {_word(trace.login, b'@')})" if trace.login else "",
        f"with {_word(trace.protocol)}",
        f"id {_word(trace.id)}",
        f"tls {_word(trace.cipher)}" if trace.cipher else "",
    ]
    return _folded("Received:", " ".join(filter(None, clauses)) + f"; {trace.date}")


def protocol(esmtp: bool, tls: bool, authenticated: bool, utf8: bool) -> str:
    """The name behind ``with`` (RFC 3848; RFC 6531, 4.3; IANA's "Mail Transmission Types")."""
    if not esmtp:
        return "SMTP"
    return ("UTF8SMTP" if utf8 else "ESMTP") + "S" * tls + "A" * authenticated


def trace_id(key: bytes, session: str, number: int) -> str:
    """An id for a session's message that tells nothing without the key: 16 characters of a keyed hash.

    Who has the key and a session's name in his log finds the id again, and nobody makes one up.
    """
    digest = hmac.digest(key, f"{session}\0{number}".encode("utf-8", "surrogatepass"), "sha256")
    return base64.b32encode(digest[:10]).decode().lower()


def message_id(unique: str, hostname: str) -> str:
    """A Message-ID (RFC 5322, 3.6.4) of a name that is used once."""
    return f"<{_word(unique)}@{_word(hostname)}>"


def date(seconds: float) -> str:
    """A time since 1970 as in RFC 5322, 3.3, in UTC: from where somebody writes is told by nothing."""
    at = time.gmtime(seconds)
    day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d}"
    return f"{day} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000"


def circling(header: Header, most: int = MAX_HOPS) -> Reply | None:
    """Why a message that has come by too many servers is not taken. X-Received is what ``fixups`` makes of ours."""
    hops = sum(one.name in (b"received", b"x-received") for one in header.fields)
    return reply(554, "5.4.6", "too many hops: the message goes in circles") if hops > most else None


def _host(helo: str) -> str:
    if not helo:
        return "unknown"
    return helo if _LITERAL.fullmatch(helo) else _word(helo)


def _literal(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return _word(client)
    return f"IPv6:{address.compressed}" if address.version == 6 else str(address)


def _word(text: str, more: bytes = b"") -> str:
    """Text in characters of host names, and of ``more``; others as in xtext."""
    data = text.encode("utf-8", "surrogatepass")
    if _PLAIN.issuperset(data) and len(text) <= MAX_WORD:
        return text
    safe = "".join(chr(byte) if byte in _PLAIN or byte in more else f"+{byte:02X}" for byte in data[:MAX_WORD])
    return safe[:MAX_WORD]


def _folded(name: str, text: str) -> bytes:
    """Words in lines of at most ``WIDTH`` columns, as far as a word is not longer itself."""
    lines = [name]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) > WIDTH and lines[-1] != name:
            lines.append("   ")
        lines[-1] += " " + word
    return "".join(line + "\r\n" for line in lines).encode("ascii")
