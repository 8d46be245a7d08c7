"""What a directory says, in words that both drivers share, and what it means when it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from saslpy.backend import BadRecord

SUCCESS = 0
SIZE_LIMIT_EXCEEDED = 4
REFERRAL = 10
NO_SUCH_ATTRIBUTE = 16
CONSTRAINT_VIOLATION = 19
NO_SUCH_OBJECT = 32
INVALID_CREDENTIALS = 49
BUSY = 51
UNAVAILABLE = 52
UNWILLING_TO_PERFORM = 53

NAMES = {
    0: "success",
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

POLICY_ERRORS = {
    0: "the password has expired",
    1: "the account is locked",
    2: "the password must be changed first",
    3: "the password may not be changed",
    4: "the old password is missing",
    5: "the new password is too weak",
    6: "the new password is too short",
    7: "the password was changed too short a while ago",
    8: "the new password was used before",
    9: "the new password is too long",
}
"""The errors of a password policy control (draft-behera-ldap-password-policy-10, 6.2)."""


class Fault(Exception):
    """The directory could not be asked, or what it said is no answer. The message holds no secret."""


class Unreachable(Fault):
    """No connection: refused, not trusted, or no time left."""


class Lost(Fault):
    """The connection ended before the answer: the same may be asked on a new one."""


class TooSlow(Fault):
    """No answer in time."""


class Failed(Fault):
    """An answer that is an error (RFC 4511, 4.1.9). ``code`` is its result code, ``hint`` what can be done."""

    def __init__(self, what: str, result: Result, hint: str = "") -> None:
        super().__init__(f"{what}: {result}" + (f"; {hint}" if hint else ""))
        self.code = result.code


class BadEntry(Fault, BadRecord):
    """The store's answer about one login makes no sense. The message holds no value of the entry."""


@dataclass(frozen=True, slots=True)
class Result:
    """An LDAPResult (RFC 4511, 4.1.9): the code, the server's own words, and what its password policy adds.

    ``policy`` is one of ``POLICY_ERRORS``.
    """

    code: int
    message: str = ""
    policy: int | None = None

    def __str__(self) -> str:
        """ "busy (51): come back later"; "success (0), password policy: the password must be changed first"."""
        text = f"{NAMES.get(self.code, 'error')} ({self.code})"
        if self.policy is not None:
            text += f", password policy: {POLICY_ERRORS.get(self.policy, f'error {self.policy}')}"
        return f"{text}: {self.message.rstrip(chr(0))}" if self.message else text


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its name, and its attributes by their names in lower case. Values may be secrets."""

    dn: str
    values: Mapping[str, tuple[bytes, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search. ``references``: URLs where the search could go on (RFC 4511, 4.5.3), never followed.

    ``cookie``: there is another page, which is to be asked for with this.
    """

    entries: tuple[Entry, ...]
    result: Result
    references: tuple[str, ...] = ()
    cookie: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A search. ``scope``: 0 the base alone, 1 its children, 2 all below. ``limit``: entries that are of interest.

    ``page``: the answer is to come in pages, and this is the cookie that came with the one before, empty for the first.
    """

    base: str
    scope: int
    filter: str = field(repr=False)
    attributes: tuple[str, ...]
    limit: int
    page: bytes | None = field(default=None, repr=False)

    @property
    def size_limit(self) -> int:
        """For the server; none where there are pages: it would be one for all of them."""
        return self.limit if self.page is None else 0


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
