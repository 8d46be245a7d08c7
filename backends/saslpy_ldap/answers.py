"""What a directory says, in words that both drivers share, and what it means when it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from . import ber

SUCCESS = 0
SIZE_LIMIT_EXCEEDED = 4
REFERRAL = 10
NO_SUCH_ATTRIBUTE = 16
NO_SUCH_OBJECT = 32
BUSY = 51
UNAVAILABLE = 52
INVALID_CREDENTIALS = 49

NAMES = {
    1: "operationsError",
    2: "protocolError",
    3: "timeLimitExceeded",
    4: "sizeLimitExceeded",
    7: "authMethodNotSupported",
    8: "strongerAuthRequired",
    10: "referral",
    11: "adminLimitExceeded",
    12: "unavailableCriticalExtension",
    13: "confidentialityRequired",
    16: "noSuchAttribute",
    18: "inappropriateMatching",
    19: "constraintViolation",
    20: "attributeOrValueExists",
    21: "invalidAttributeSyntax",
    32: "noSuchObject",
    34: "invalidDNSyntax",
    48: "inappropriateAuthentication",
    49: "invalidCredentials",
    50: "insufficientAccessRights",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    54: "loopDetect",
    65: "objectClassViolation",
    80: "other",
}
"""The result codes that a bind, a search or a change may end with (RFC 4511, appendix A)."""


class Fault(Exception):
    """The directory could not be asked, or what it said is no answer. The message holds no secret."""


class Unreachable(Fault):
    """No connection: refused, not trusted, or no time left."""


class Lost(Fault):
    """The connection ended before the answer: the same may be asked on a new one."""


class TooSlow(Fault):
    """No answer in time."""


class Failed(Fault):
    """An answer that is an error (RFC 4511, 4.1.9). ``code`` is its result code."""

    def __init__(self, what: str, result: Result) -> None:
        super().__init__(f"{what}: {result}")
        self.code = result.code


@dataclass(frozen=True, slots=True)
class Result:
    """An LDAPResult (RFC 4511, 4.1.9): the code, the server's own words, and what its password policy adds.

    ``policy`` is the error of draft-behera-ldap-password-policy-10, 6.2: 0 expired, 1 locked, 2 must be changed.
    """

    code: int
    message: str = ""
    policy: int | None = None

    def __str__(self) -> str:
        """ "busy (51): come back later"."""
        text = f"{NAMES.get(self.code, 'error')} ({self.code})"
        return f"{text}: {self.message.rstrip(chr(0))}" if self.message else text


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its name, and its attributes by their names in lower case. Values may be secrets."""

    dn: str
    values: Mapping[str, tuple[bytes, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search. ``references``: URLs where the search could go on (RFC 4511, 4.5.3), never followed."""

    entries: tuple[Entry, ...]
    result: Result
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A search. ``scope``: 0 the base alone, 1 its children, 2 all below. ``limit``: entries that are of interest."""

    base: str
    scope: int
    filter: str = field(repr=False)
    attributes: tuple[str, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Change:
    """Values of an attribute that make room for others; all of it in one step, or nothing (RFC 4511, 4.6)."""

    dn: str
    attribute: str
    old: tuple[bytes, ...] = field(repr=False)
    new: tuple[bytes, ...] = field(repr=False)


class Session(Protocol):
    """One connection, of either driver. ``until`` is a time of ``monotonic``: no wait lasts longer.

    Every method raises ``Lost`` and ``TooSlow``; after any exception the connection is good for nothing but ``close``.
    """

    def bind(self, name: str, password: bytes, until: float) -> Result:
        """A simple bind (RFC 4513, 5.1.3). Neither may be empty: that would be another kind of bind, which succeeds."""

    def search(self, question: Question, until: float) -> Found:
        """A search; what it ends with is in the result."""

    def modify(self, change: Change, until: float) -> Result:
        """A change; what it ends with is the result."""

    def quiet(self) -> bool:
        """Whether an idle connection still stands: nothing came in that nobody asked for, no end either."""

    def close(self) -> None:
        """Say good-bye, and close."""


def refuse_empty(name: str, password: bytes) -> None:
    """The last line of defence: what would be an anonymous or unauthenticated bind is a fault of ours. ValueError."""
    if not name or not password:
        raise ValueError("a bind needs a name and a password (RFC 4513, 5.1.2)")


def result_of(operation: bytes, controls: bytes = b"") -> Result:
    """The LDAPResult (RFC 4511, 4.1.9) in the content of an answer, and of the controls with it. Raises ValueError."""
    parts = ber.items(operation)
    if len(parts) < 3:
        raise ValueError("no result")
    policy = None
    for _, control in ber.items(controls):
        (_, oid), *rest = ber.items(control)
        if oid == POLICY.encode():
            policy = policy_error(next((value for tag, value in rest if tag == 0x04), None))
    return Result(ber.number(parts[0][1]), parts[2][1].decode("utf-8", "replace"), policy)


def entry_of(operation: bytes) -> Entry:
    """The entry in the content of a SearchResultEntry (RFC 4511, 4.5.2). Raises ValueError."""
    (_, name), (_, attributes) = ber.items(operation)
    values = {}
    for _, attribute in ber.items(attributes):
        (_, kind), (_, found) = ber.items(attribute)
        values[kind.decode("utf-8", "replace").lower()] = tuple(value for _, value in ber.items(found))
    return Entry(name.decode(), values)


def policy_error(control: bytes | None) -> int | None:
    """The error in a password policy response control, None where it has none or makes no sense.

    draft-behera-ldap-password-policy-10, 6.2: SEQUENCE { warning [0] …, error [1] ENUMERATED }, both optional.
    """
    try:
        ((_, content),) = ber.items(control or b"")
        return next((ber.number(value) for tag, value in ber.items(content) if tag == 0x81), None)
    except ValueError:
        return None


POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
"""The password policy control, sent with a user's bind and never critical: who does not know it ignores it."""
