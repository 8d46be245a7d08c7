"""Parameters of MAIL and RCPT, each with the extension that brings it.

::

    parameters := parameter *(SP parameter)
    parameter  := keyword ["=" value]            RFC 5321, 4.1.2; a keyword's case does not count

A keyword that was not offered is refused (555), not ignored: who asks for a receipt shall not believe that he gets one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from . import replies, xtext
from .addresses import mailbox
from .replies import Reply

MAX_ENVID = 100
MAX_ORCPT = 500
"""Characters (RFC 3461, 4.4 and 4.2)."""

MAX_BY = 999_999_999
"""Seconds of BY, in both directions (RFC 2852)."""

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\U0010ffff]+))?")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII | re.IGNORECASE)  # UTC alone (RFC 4865)
_BY = re.compile(r"([+-]?\d{1,9});([NR])(T?)", re.IGNORECASE | re.ASCII)


class Refused(Exception):
    """A command that is answered with ``reply``."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """RFC 2852. ``returned``: the message comes back then (R), else its sender is told and it goes on (N)."""

    seconds: int
    returned: bool
    traced: bool = False

    def later(self, seconds: int) -> DeliverBy:
        """What is left of it."""
        return replace(self, seconds=max(self.seconds - seconds, -MAX_BY))

    def __str__(self) -> str:
        return f"{self.seconds};{'R' if self.returned else 'N'}{'T' if self.traced else ''}"


@dataclass(frozen=True, slots=True)
class OriginalRecipient:
    """ORCPT (RFC 3461, 4.2; RFC 6533, 3). ``str`` is its value, in ASCII."""

    kind: str
    address: str

    def __str__(self) -> str:
        encode = xtext.encode_utf8 if self.kind == "utf-8" else xtext.encode
        return f"{self.kind};{encode(self.address)}"


@dataclass(frozen=True, slots=True)
class MailParameters:
    """None is what was not given. ``auth`` is empty for ``<>``; ``hold_for`` counts seconds."""

    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    auth: str | None = None
    ret: str | None = None
    envid: str | None = None
    requiretls: bool = False
    hold_for: int | None = None
    hold_until: datetime | None = None
    deliver_by: DeliverBy | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """None is what was not given, which is not NEVER."""

    notify: tuple[str, ...] | None = None
    orcpt: OriginalRecipient | None = None


def mail(text: str, offered: Container[str]) -> MailParameters:
    """Those of MAIL. Raises ``Refused``."""
    found = MailParameters(**_parsed(text, _MAIL, offered))
    if found.body == "BINARYMIME" and found.body not in offered:
        raise Refused(replies.UNKNOWN_PARAMETER)
    if found.hold_for is not None and found.hold_until is not None:
        raise Refused(replies.REPEATED_PARAMETER)
    return found


def rcpt(text: str, offered: Container[str]) -> RcptParameters:
    """Those of RCPT. Raises ``Refused``."""
    return RcptParameters(**_parsed(text, _RCPT, offered)) if text else RcptParameters()


_Reader: TypeAlias = Callable[[str], Any]
_Table: TypeAlias = dict[str, tuple[str, str, _Reader | None]]


def _parsed(text: str, table: _Table, offered: Container[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in filter(None, text.split(" ")):
        found = _PARAMETER.fullmatch(word)
        if not found:
            raise Refused(replies.BAD_PARAMETER)
        extension, name, reader = table.get(found[1].upper(), ("", "", None))
        if extension not in offered:
            raise Refused(replies.UNKNOWN_PARAMETER)
        if name in values:
            raise Refused(replies.REPEATED_PARAMETER)
        values[name] = _value(found[2], reader)
    return values


def _value(text: str | None, reader: _Reader | None) -> Any:
    if (text is None) != (reader is None):
        raise Refused(replies.BAD_PARAMETER)
    if text is None or reader is None:
        return True
    try:
        return reader(text)
    except ValueError:  # of these are MalformedXtext and MalformedAddress
        raise Refused(replies.BAD_PARAMETER) from None


# --- values; ValueError is for one that is none


def _digits(text: str, most: int) -> int:
    if len(text) > most or not (text.isascii() and text.isdigit()):
        raise ValueError("no number")
    return int(text)


def _one_of(*words: str) -> _Reader:
    def read(text: str) -> str:
        if text.upper() not in words:
            raise ValueError("no such word")
        return text.upper()

    return read


def _auth(text: str) -> str:
    meant = xtext.decode(text)
    return "" if meant == "<>" else str(mailbox(meant))


def _envid(text: str) -> str:
    meant = xtext.decode(text)
    if len(text) > MAX_ENVID:
        raise ValueError("too long")
    return meant


def _hold_until(text: str) -> datetime:
    if not _DATE.fullmatch(text):
        raise ValueError("no date")
    return datetime.fromisoformat(text.upper())


def _by(text: str) -> DeliverBy:
    found = _BY.fullmatch(text)
    if not found:
        raise ValueError("no time and mode")
    by = DeliverBy(int(found[1]), found[2].upper() == "R", bool(found[3]))
    if by.returned and by.seconds <= 0:  # RFC 2852, 4
        raise ValueError("to be returned before it came")
    return by


def _priority(text: str) -> int:
    if not re.fullmatch(r"-?[1-9]|0", text):
        raise ValueError("no priority")
    return int(text)


def _notify(text: str) -> tuple[str, ...]:
    words = tuple(text.upper().split(","))
    if words != ("NEVER",) and (len(set(words)) < len(words) or not {"SUCCESS", "FAILURE", "DELAY"}.issuperset(words)):
        raise ValueError("no such words")
    return words


def _orcpt(text: str) -> OriginalRecipient:
    kind, semicolon, address = text.partition(";")
    if not semicolon or not re.fullmatch(r"[A-Za-z0-9-]{1,32}", kind) or not address or len(text) > MAX_ORCPT:
        raise ValueError("no address with its type")
    kind = kind.lower()
    return OriginalRecipient(kind, xtext.decode_utf8(address) if kind == "utf-8" else xtext.decode(address))


_MAIL: _Table = {
    "SIZE": ("SIZE", "size", lambda text: _digits(text, 20)),
    "BODY": ("8BITMIME", "body", _one_of("7BIT", "8BITMIME", "BINARYMIME")),
    "SMTPUTF8": ("SMTPUTF8", "smtputf8", None),
    "AUTH": ("AUTH", "auth", _auth),
    "RET": ("DSN", "ret", _one_of("FULL", "HDRS")),
    "ENVID": ("DSN", "envid", _envid),
    "REQUIRETLS": ("REQUIRETLS", "requiretls", None),
    "HOLDFOR": ("FUTURERELEASE", "hold_for", lambda text: _digits(text, 9)),
    "HOLDUNTIL": ("FUTURERELEASE", "hold_until", _hold_until),
    "BY": ("DELIVERBY", "deliver_by", _by),
    "MT-PRIORITY": ("MT-PRIORITY", "priority", _priority),
}
_RCPT: _Table = {
    "NOTIFY": ("DSN", "notify", _notify),
    "ORCPT": ("DSN", "orcpt", _orcpt),
}
