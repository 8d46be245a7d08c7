"""What happens on a connection of the server's side (``server``).

To those marked *answer* the server around must say ``accept`` or ``refuse`` before anything else is read; to AUTH's also
``challenge``. The others are told, and need nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from .addresses import Mailbox
from .content import Summary
from .parameters import MailParameters, RcptParameters


@dataclass(frozen=True, slots=True)
class Hello:
    """*Answer.* EHLO, or HELO where it is not ``extended``. ``name`` is what the client calls itself."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class StartTls:
    """*Answer.* When it is accepted: send, shake hands, call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class AuthBegin:
    """*Answer.* ``initial`` is None where there is no initial response, which is not an empty one."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """*Answer.* What answers a challenge."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The exchange is over without a verdict: the client has cancelled it, or its response could not be read."""


@dataclass(frozen=True, slots=True)
class Xclient:
    """*Answer*, with ``accept_xclient``. Attributes by name; None is one that the peer does not know."""

    attributes: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class MailFrom:
    """*Answer.* A transaction begins, if it is accepted. ``sender`` is None for the null sender."""

    sender: Mailbox | None
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class RcptTo:
    """*Answer.*"""

    mailbox: Mailbox
    parameters: RcptParameters


@dataclass(frozen=True, slots=True)
class ContentBegin:
    """*Answer.* DATA, or the first BDAT of a message (``chunked``)."""

    chunked: bool


@dataclass(frozen=True, slots=True)
class ContentPiece:
    """Some of the content, as it is meant. ``refuse`` may be called: no more comes then, the client hears it at the end."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ContentEnd:
    """*Answer.* All of the content has come, and the machine has found no fault in it."""

    summary: Summary


@dataclass(frozen=True, slots=True)
class Reset:
    """The transaction is over, content that has come of it is void. ``why`` in words."""

    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over: send what is to be sent, close. ``why`` in words, empty for QUIT."""

    why: str


Question: TypeAlias = (
    Hello | StartTls | AuthBegin | AuthResponse | Xclient | MailFrom | RcptTo | ContentBegin | ContentEnd
)
"""Those that are answered."""

Event: TypeAlias = Question | AuthCancelled | ContentPiece | Reset | Ended

SYNCHRONOUS = (Hello, StartTls, AuthBegin, AuthResponse, Xclient)
"""Nothing may have come behind these when they are answered (RFC 2920, 3.1; RFC 3207, 4.2; RFC 4954, 4)."""
