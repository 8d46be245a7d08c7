"""What came of a recipient: the truth, as the next hop has told it or has failed to.

``Delivered`` is said for what a hop has taken, and nothing else. Where its answer is lost the outcome is ``Deferred``,
although the message may have arrived (``UNTOLD``): once more is better than never (RFC 5321, 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from ..protocols.smtp.replies import Reply, reply

MAX_LINES = 8
"""Of a hop's answer that are handed on."""

UNREACHABLE = reply(451, "4.4.1", "The next hop cannot be reached, try again later")
SILENT = reply(451, "4.4.2", "The next hop does not answer in time, try again later")
LOST = reply(451, "4.4.2", "The next hop has closed the connection, try again later")
UNTOLD = reply(451, "4.4.2", "The next hop has the message and does not tell what it does with it; it may arrive twice")
UNTRUSTED = reply(451, "4.4.0", "The next hop cannot be trusted, try again later")
BUSY = reply(451, "4.4.5", "Too much is on its way to the next hop, try again later")
GAVE_WAY = reply(451, "4.4.2", "Too long without a word while others waited for the next hop, try again")
UNWRITABLE = reply(451, "4.3.0", "The message cannot be stored, try again later")

_OF_THE_CONNECTION = frozenset((421, 430, 432, 454, 500, 502, 503, 523, 524, 525, 530, 534, 535, 538))
"""Codes that a client would take for something about its own connection: that it ends, that its login is no good."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The hop will take content for this recipient. Nothing has been delivered yet."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Delivered:
    """The hop has taken the message."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Refused:
    """For good: 5xx."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: 4xx, or a reply of ours that says why the hop has given none."""

    reply: Reply


Answer: TypeAlias = Accepted | Refused | Deferred
"""To a recipient."""

Outcome: TypeAlias = Delivered | Refused | Deferred
"""Of the content."""


def answer(reply: Reply) -> Answer:
    """What a reply to RCPT means."""
    return Accepted(reply) if reply.positive else refusal(reply)


def outcome(reply: Reply) -> Outcome:
    """What a reply to the content means."""
    return Delivered(reply) if reply.positive else refusal(reply)


def refusal(reply: Reply) -> Refused | Deferred:
    """What a reply of 4xx or 5xx means."""
    return Refused(reply) if reply.permanent else Deferred(reply)


def for_client(reply: Reply) -> Reply:
    """A hop's reply as our own client may hear it: its class and its words, with a code that is about the message.

    An enhanced code is added where the hop has none.
    """
    kind = reply.code // 100
    if reply.code == 250 and reply.enhanced and len(reply.lines) == 1 and reply.lines[0]:
        return reply
    code = {2: 250, 4: 451, 5: 554}[kind] if kind == 2 or reply.code in _OF_THE_CONNECTION else reply.code
    lines = tuple(line or "(no text)" for line in reply.lines[:MAX_LINES])
    return replace(reply, code=code, enhanced=reply.enhanced or f"{kind}.0.0", lines=lines)
