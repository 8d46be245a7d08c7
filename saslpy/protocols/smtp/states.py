"""The states of a connection, as tables: which command is allowed when, what is said when it is not, what comes next.

Beside the state there are two facts that hold on: whether there is TLS, and whether somebody has authenticated. What needs
them is in tables of their own, which count before the state does. Where an event waits for its answer nothing is read: that
is no state. Code, since it does not fit: BDAT, whose octets are read whatever is wrong (``server``).
"""

from __future__ import annotations

from enum import Enum, auto

from . import replies
from .replies import Reply


class State(Enum):
    """Where a connection is."""

    CONNECTED = auto()  # we have not greeted
    GREETED = auto()  # no EHLO yet, or forgotten
    READY = auto()
    AUTH = auto()  # a challenge, or its answer, is on its way
    MAIL = auto()  # a sender, no recipient
    RCPT = auto()
    DATA = auto()  # content up to its dot
    CHUNK = auto()  # content up to a number of octets
    CHUNKS = auto()  # between two of a message
    TLS = auto()  # 220 was said: the handshake
    CLOSED = auto()


ANYTIME = frozenset(("EHLO", "HELO", "RSET", "NOOP", "QUIT", "HELP", "VRFY", "EXPN"))

ALLOWED: dict[State, frozenset[str]] = {
    State.GREETED: ANYTIME | {"XCLIENT", "STARTTLS"},  # gsasl says no EHLO before it; all is forgotten behind it anyway
    State.READY: ANYTIME | {"XCLIENT", "STARTTLS", "AUTH", "MAIL"},
    State.MAIL: ANYTIME | {"RCPT"},
    State.RCPT: ANYTIME | {"RCPT", "DATA", "BDAT"},
    State.CHUNKS: ANYTIME | {"BDAT"},
}

OUT_OF_SEQUENCE: dict[State, dict[str, Reply]] = {
    State.GREETED: dict.fromkeys(("AUTH", "MAIL", "RCPT", "DATA", "BDAT"), replies.HELLO_FIRST),
    State.READY: dict.fromkeys(("RCPT", "DATA", "BDAT"), replies.MAIL_FIRST),
    State.MAIL: {"MAIL": replies.NESTED_MAIL, "DATA": replies.NO_RECIPIENTS, "BDAT": replies.NO_RECIPIENTS},
    State.RCPT: {"MAIL": replies.NESTED_MAIL},
    State.CHUNKS: {"MAIL": replies.NESTED_MAIL, "DATA": replies.CHUNKS_BEGUN, "RCPT": replies.CHUNKS_BEGUN},
}
"""What is said; ``BAD_SEQUENCE`` where nothing stands here."""

NEXT: dict[str, State] = {
    "220": State.GREETED,
    "EHLO": State.READY,
    "HELO": State.READY,
    "STARTTLS": State.TLS,
    "handshake": State.GREETED,
    "XCLIENT": State.GREETED,
    "AUTH": State.AUTH,
    "authenticated": State.READY,
    "MAIL": State.MAIL,
    "RCPT": State.RCPT,
    "DATA": State.DATA,
    "BDAT": State.CHUNK,
    "chunk": State.CHUNKS,
    "message": State.READY,
    "QUIT": State.CLOSED,
}
"""The state behind what was accepted, or has happened. What is refused changes nothing, but for a message that is refused:
as behind RSET, its transaction is gone."""

NEEDS_TLS: dict[str, Reply] = {
    "AUTH": replies.ENCRYPTION_REQUIRED,
    "MAIL": replies.TLS_REQUIRED,
    "RCPT": replies.TLS_REQUIRED,
    "DATA": replies.TLS_REQUIRED,
    "BDAT": replies.TLS_REQUIRED,
}

NEEDS_AUTH = frozenset(("MAIL", "RCPT", "DATA", "BDAT"))

IN_STEP = frozenset(("EHLO", "HELO", "STARTTLS", "AUTH", "XCLIENT"))
"""Nothing may follow these before they are answered (RFC 2920, 3.1; RFC 3207, 4.2; RFC 4954, 4): what does is never run."""

IDLE = (ANYTIME - {"QUIT"}) | {"MAIL"}
"""What brings no message forward; MAIL, too, as long as no message is taken: refusals of senders and messages must end."""
