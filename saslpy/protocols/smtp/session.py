"""What is known of a connection, and the few ways in which it changes. The machine's parts share it (``server``)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from . import extensions, replies
from .events import Ended, Event, Question, Reset
from .lines import LineBuffer
from .options import Options
from .receiving import Chunk, Content
from .replies import Reply
from .states import NEXT, State
from .transaction import Transaction

SEPARATELY = "4.5.3"
"""The enhanced code of "send it in a transaction of its own" (RFC 5321, 4.5.3.1.10): nothing is wrong with it."""

_WITHOUT_TRANSACTION = frozenset((State.CONNECTED, State.GREETED, State.READY))


@dataclass(slots=True)
class Counts:
    """``failures`` of AUTH and ``messages`` since ever; all others since the last message that was taken.

    ``refused`` are recipients, ``put_off`` those that were to come in a transaction of their own.
    """

    errors: int = 0
    idle: int = 0
    refused: int = 0
    put_off: int = 0
    failures: int = 0
    messages: int = 0


class Session:
    """The state; what has come and is not read; what is to be said and to be told."""

    __slots__ = (
        "authenticated",
        "buffer",
        "chunk",
        "content",
        "counts",
        "esmtp",
        "events",
        "hello",
        "mechanisms",
        "offered",
        "options",
        "out",
        "question",
        "state",
        "tls",
        "transaction",
    )

    def __init__(self, options: Options, tls: bool) -> None:
        self.options = options
        self.state = State.CONNECTED
        self.buffer = LineBuffer()
        self.out: list[bytes] = []
        self.events: deque[Event] = deque()
        self.question: Question | None = None
        self.content: Content | None = None
        self.chunk: Chunk | None = None
        self.counts = Counts()
        self.forget(tls, options.mechanisms)

    def forget(self, tls: bool, mechanisms: tuple[str, ...], authenticated: bool = False) -> None:
        """All that the client has said."""
        self.tls = tls
        self.authenticated = authenticated
        self.hello = ""
        self.esmtp = False
        self.transaction: Transaction | None = None
        self.mechanisms = mechanisms
        self.offered = extensions.offered(self.options, mechanisms, tls)

    def ask(self, event: Question) -> None:
        """An event that is answered before anything else is read."""
        self.question = event
        self.events.append(event)

    def say(self, reply: Reply) -> None:
        """A reply."""
        self.out.append(reply.encode())

    def move(self, what: str, reply: Reply | None) -> None:
        """The state behind ``what``, and a reply to it."""
        self.state = NEXT[what]
        if reply is not None:
            self.say(reply)

    def say_error(self, reply: Reply) -> None:
        """A refusal of ours; one too many is the last one."""
        self.counts.errors += (
            reply is not replies.TOO_LARGE
        )  # which is no misbehaviour, and MAIL has a bound of its own
        if self.counts.errors >= self.options.limits.errors:
            self.close(replies.TOO_MANY_ERRORS)
        else:
            self.say(reply)

    def say_no_recipient(self, reply: Reply) -> None:
        """A refusal of a recipient. A long list has its faults, so these are no errors, and have a bound of their own."""
        if reply.enhanced == SEPARATELY:
            self.counts.put_off += 1
        else:
            self.counts.refused += 1
        if self.counts.put_off > self.options.limits.put_off:
            self.close(replies.TOO_MANY_REFUSED)
        else:
            self.say(reply)

    def refused_enough(self) -> bool:
        """Whether no more recipients are to be asked for: so many were refused."""
        return self.counts.refused >= self.options.limits.refused

    def idled(self) -> bool:
        """A command that brings no message forward. Whether it was one too many, and the end."""
        self.counts.idle += 1
        if self.counts.idle <= self.options.limits.idle_commands:
            return False
        self.close(replies.TOO_MANY_COMMANDS)
        return True

    def auth_failed(self, reply: Reply) -> None:
        """AUTH that came to nothing. The last one is told so, too: its user should know that it was the password."""
        self.say(reply)
        self.counts.failures += reply.permanent
        if self.counts.failures >= self.options.limits.auth_failures:
            self.close(replies.TOO_MANY_FAILURES)
        elif reply.temporary:
            self.idled()

    def out_of_step(self) -> bool:
        """Whether something came behind a command that must be the last one, which is the end."""
        if not len(self.buffer):
            return False
        self.close(replies.OUT_OF_STEP)
        return True

    def drop(self, why: str) -> None:
        """The transaction is over, its message not taken."""
        if self.transaction is not None:
            self.events.append(Reset(why))
        self.end_transaction()

    def end_transaction(self) -> None:
        """The state behind RSET, and behind a message."""
        self.transaction = None
        self.content = None
        if self.state not in _WITHOUT_TRANSACTION:
            self.state = NEXT["message"]

    def close(self, reply: Reply | None, why: str = "") -> None:
        """The end. ``why``: in other words than the reply's."""
        if reply is not None:
            self.say(reply)
            why = why or reply.text
        self.state = State.CLOSED
        self.transaction = self.content = self.chunk = self.question = None
        self.buffer.clear()
        self.events.append(Ended("" if reply is replies.GOODBYE else why))
