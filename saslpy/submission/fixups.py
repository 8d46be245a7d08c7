"""What a submission server changes in a header (RFC 6409, 8), and nothing else.

Gone are fields that are not for those who read the message (Bcc, Resent-Bcc), that others would believe (Return-Path,
Content-Length, Authentication-Results in our name, what tells a login), as Postfix's ``message_drop_headers`` has it. What
is missing is put behind the other fields: Date, Message-ID, From, Sender. A Received field in our name is history that we
have not written; it stays as ``X-Received``, since a trace is not to be thrown away. Our own Received goes before all.
Every other byte is the client's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from .headers import MAX_LINE, Field, Header

DROPPED = ("bcc", "resent-bcc", "return-path", "content-length")

FORGED = ("x-*auth-user", "x-authuser", "x-auth*-sender", "x-authenticated-user", "x-authentication-warning")
"""Fields by which some relays tell who has logged in; ``*`` stands for anything."""

# our id is the first token behind comments and blanks (RFC 8601, 2.2); what is not as plain as this may be it, too
_AUTHSERV_ID = re.compile(rb"[ \t]*([A-Za-z0-9._-]+)(?=[ \t]*;|[ \t]+\d+[ \t]*;|[ \t]*\Z)")
_PARENTHESIS = re.compile(rb"[()]")
_BY = rb"(?:^|[ \t)])by[ \t]+%b\.?(?=[ \t;]|\Z)"


@dataclass(frozen=True)
class Rules:
    """What is never let through: ``ids`` are the names that we go by, our hostname first; field names may hold ``*``."""

    ids: tuple[str, ...]
    dropped: tuple[str, ...] = DROPPED
    forged: tuple[str, ...] = FORGED

    @cached_property
    def unwanted(self) -> re.Pattern[bytes]:
        """Matches a whole field name, in lower case."""
        names = (re.escape(name.lower()).replace(r"\*", "[^:]*") for name in (*self.dropped, *self.forged))
        return re.compile("|".join(names).encode() or rb"(?!)")

    @cached_property
    def authservs(self) -> frozenset[bytes]:
        """Our names in lower case."""
        return frozenset(name.lower().rstrip(".").encode() for name in self.ids)

    @cached_property
    def by_us(self) -> re.Pattern[bytes]:
        """Matches a Received field's value that says that it is ours."""
        names = b"(?:" + b"|".join(map(re.escape, sorted(self.authservs))) + b")"
        return re.compile(_BY % names, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Missing:
    """What the header gets where it has no such field. An empty value: it gets none.

    ``date`` and ``message_id`` are whole values (``received.date``, ``received.message_id``), ``author`` and ``sender``
    addresses in their one spelling.
    """

    date: str = ""
    message_id: str = ""
    author: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The header that goes on, each line with its CRLF; and for the log the names of fields, in lower case."""

    header: bytes
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Changes:
    removed: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)


def fix(header: Header, rules: Rules, missing: Missing, received: bytes = b"") -> Fixed:
    """The header with everything done to it. ``received`` is our field with its CRLF (``received.field``), or nothing.

    Raises ``ValueError`` for a value that is to be added and would not be one line; those are ours, and not the client's.
    """
    changes = _Changes()
    kept = [raw for one in header.fields if (raw := _kept(one, rules, changes)) is not None]
    added = [(name, value) for name, value in _values(missing) if value and name.lower().encode() not in header]
    raw = b"".join((received, *kept, *(_line(name, value) for name, value in added)))
    return Fixed(raw, tuple(name.lower() for name, _ in added), tuple(changes.removed), tuple(changes.renamed))


def _kept(one: Field, rules: Rules, changes: _Changes) -> bytes | None:
    """A field as it goes on; None when it does not."""
    if rules.unwanted.fullmatch(one.name) or (one.name == b"authentication-results" and _may_be_ours(one.value, rules)):
        changes.removed.append(one.name.decode())
        return None
    if one.name == b"received" and _says_by_us(one.value, rules):
        changes.renamed.append(one.name.decode())
        return _renamed(one.raw)
    return one.raw


def _may_be_ours(value: bytes, rules: Rules) -> bool:
    found = _AUTHSERV_ID.match(value)
    return found is None or found[1].lower().rstrip(b".") in rules.authservs


def _says_by_us(value: bytes, rules: Rules) -> bool:
    # with comments and without: with a parenthesis too many, who knows which of them is one
    return bool(rules.by_us.search(value) or rules.by_us.search(_without_comments(value)))


def _without_comments(value: bytes) -> bytes:
    """The text outside of all parentheses, in one walk: they may be a hundred thousand deep."""
    outside, depth, at = [], 0, 0
    for found in _PARENTHESIS.finditer(value):
        if depth == 0:
            outside.append(value[at : found.start()])
        depth = depth + 1 if found[0] == b"(" else max(0, depth - 1)
        at = found.end()
    return b" ".join(outside) + (b" " + value[at:] if depth == 0 else b"")


def _renamed(raw: bytes) -> bytes:
    """The field as X-Received; folded before its text where its first line would grow too long."""
    end = raw.index(b"\r\n")
    if end + 2 <= MAX_LINE:
        return b"X-" + raw
    return b"X-Received:\r\n " + raw[len(b"Received:") :]


def _values(missing: Missing) -> Iterable[tuple[str, str]]:
    yield "Date", missing.date
    yield "Message-ID", missing.message_id
    yield "From", missing.author and f"<{missing.author}>"
    yield "Sender", missing.sender and f"<{missing.sender}>"


def _line(name: str, value: str) -> bytes:
    line = f"{name}: {value}".encode()
    if not value.isprintable() or len(line) > MAX_LINE:
        raise ValueError(f"a value for {name} that is not one line")
    return line + b"\r\n"
