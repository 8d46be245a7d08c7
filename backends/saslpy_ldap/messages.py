"""The answers in LDAP messages, read strictly: what has another tag than it should is no answer.

Both drivers' answers come by here. OpenLDAP's library looks at no tag of a result, and would take FALSE for success.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import ber
from .answers import Entry, Fault, Found, Result

BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE, MODIFY_RESPONSE = 0x61, 0x64, 0x65, 0x67
SEARCH_REFERENCE, EXTENDED_RESPONSE = 0x73, 0x78
"""Tags of protocolOp (RFC 4511, 4.2.2, 4.5.2, 4.6, 4.12)."""

CONTROLS = 0xA0
"""The tag of the controls behind it (RFC 4511, 4.1.1)."""

BIND_ANSWERS = frozenset({BIND_RESPONSE})
SEARCH_ANSWERS = frozenset({SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE})
MODIFY_ANSWERS = frozenset({MODIFY_RESPONSE})
EXTENDED_ANSWERS = frozenset({EXTENDED_RESPONSE})

POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
"""The password policy control, sent with a user's bind and never critical: who does not know it ignores it."""

PAGED = "1.2.840.113556.1.4.319"
"""The paged results control (RFC 2696), never critical: who does not know it sends everything at once."""

PAGE_SIZE = 500
"""Entries; Active Directory sends 1000 at most."""

MOST_ENTRIES = 100
MOST_REFERENCES = 100
"""In the answer to one search. One or two entries are asked for: a server that sends so many is out of order."""


class Gathering:
    """What a search brings, as it comes in. ``limit``: the entries that are of interest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._most = max(limit, MOST_ENTRIES)
        self._count = 0
        self._entries: list[Entry] = []
        self._references: list[str] = []

    def entry(self, entry: Entry) -> None:
        """One entry more. One above the limit is kept, since it tells of more. Raises ``Fault``."""
        self._count += 1
        if self._count > self._most:
            raise Fault(f"the server sends more than {self._most} entries where {self._limit} are asked for")
        if len(self._entries) <= self._limit:
            self._entries.append(entry)

    def references(self, urls: list[str]) -> None:
        """Places where the search could go on. Raises ``Fault``."""
        self._references += urls
        if len(self._references) > MOST_REFERENCES:
            raise Fault(f"the server sends more than {MOST_REFERENCES} references")

    def found(self, result: Result, cookie: bytes = b"") -> Found:
        """All of it."""
        return Found(tuple(self._entries), result, tuple(self._references), cookie)


def check(kind: int, operation: bytes, controls: bytes) -> None:
    """Whether an answer is one, for a driver that reads it by itself. Raises ValueError."""
    if kind == SEARCH_ENTRY:
        entry_of(operation)
    elif kind == SEARCH_REFERENCE:
        references_of(operation)
    else:
        result_of(operation, controls)


def result_of(operation: bytes, controls: bytes = b"") -> Result:
    """The LDAPResult (RFC 4511, 4.1.9) in the content of an answer, and of the controls with it. Raises ValueError."""
    code, matched, text, *_ = ber.items(operation)
    ber.content(matched, ber.OCTETS)
    policy = None
    for oid, value in _controls(controls):
        if oid == POLICY:
            policy = policy_error(value)
    words = ber.content(text, ber.OCTETS).decode("utf-8", "replace")
    return Result(ber.number(ber.content(code, ber.ENUMERATED)), words, policy)


def entry_of(operation: bytes) -> Entry:
    """The entry in the content of a SearchResultEntry (RFC 4511, 4.5.2). Raises ValueError."""
    name, attributes = ber.items(operation)
    values = {}
    for attribute in ber.contents(ber.content(attributes, ber.SEQUENCE), ber.SEQUENCE):
        kind, found = ber.items(attribute)
        described = ber.content(kind, ber.OCTETS).decode("utf-8", "replace").lower()
        values[described] = tuple(ber.contents(ber.content(found, ber.SET), ber.OCTETS))
    return Entry(ber.content(name, ber.OCTETS).decode(), values)


def references_of(operation: bytes) -> list[str]:
    """The URLs in the content of a SearchResultReference (RFC 4511, 4.5.2). Raises ValueError."""
    return [url.decode("utf-8", "replace") for url in ber.contents(operation, ber.OCTETS)]


def page_request(cookie: bytes) -> bytes:
    """The value of a paged results control in a request: SEQUENCE { size INTEGER, cookie OCTET STRING }."""
    size = ber.written(ber.INTEGER, PAGE_SIZE.to_bytes(2, "big"))
    return ber.written(ber.SEQUENCE, size + ber.written(ber.OCTETS, cookie))


def cookie_in(controls: bytes) -> bytes:
    """The cookie of the next page, empty where this was the last one, or pages are unknown. Raises ValueError."""
    return next((page_cookie(value) for oid, value in _controls(controls) if oid == PAGED), b"")


def page_cookie(value: bytes | None) -> bytes:
    """The cookie in the value of a paged results control. Raises ValueError."""
    (content,) = ber.contents(value or b"", ber.SEQUENCE)
    _, cookie = ber.items(content)
    return ber.content(cookie, ber.OCTETS)


def _controls(controls: bytes) -> Iterator[tuple[str, bytes | None]]:
    """The controls' OIDs and values (RFC 4511, 4.1.11). Raises ValueError."""
    for control in ber.contents(controls, ber.SEQUENCE):
        oid, *rest = ber.items(control)
        value = next((value for tag, value in rest if tag == ber.OCTETS), None)
        yield ber.content(oid, ber.OCTETS).decode("ascii", "replace"), value


def policy_error(control: bytes | None) -> int | None:
    """The error in a password policy response control, None where it has none or makes no sense.

    draft-behera-ldap-password-policy-10, 6.2: SEQUENCE { warning [0] …, error [1] ENUMERATED }, both optional.
    """
    try:
        ((_, content),) = ber.items(control or b"")
        return next((ber.number(value) for tag, value in ber.items(content) if tag == 0x81), None)
    except ValueError:
        return None
