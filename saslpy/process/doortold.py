"""What the auth process tells a submission worker: ``doorwire`` has the whole exchange, and what the worker says.

No more of the core's answers than a worker may know: of an account, the names that mail may be sent as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

import msgspec

from ..exchange import Bind, Challenge, Done, Step
from ..model import Accept, Account, Defer, Reason, Reject, Verdict
from ..submission.limits import Allowed, Refused
from . import wire
from .doorwire import Packet


class Ruling(msgspec.Struct, array_like=True):
    """A verdict, without what is the audit line's alone. Of an account, no more than what mail may be sent as."""

    kind: Literal["accept", "reject", "defer"]
    reason: Reason | None = None
    login: str = ""
    aliases: tuple[str, ...] = ()
    master: str = ""

    def __repr__(self) -> str:
        return f"Ruling({self.kind!r})"

    @classmethod
    def of(cls, verdict: Verdict) -> Ruling:
        """A verdict."""
        match verdict:
            case Accept(account):
                return cls("accept", None, account.login, account.aliases, verdict.master)
            case Reject(reason):
                return cls("reject", reason)
            case Defer(reason):
                return cls("defer", reason)

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        if self.kind == "accept":
            return Accept(Account(self.login, aliases=self.aliases), master=self.master)
        reason = self.reason or Reason.INTERNAL
        return Reject(reason) if self.kind == "reject" else Defer(reason)


class Go(Packet):
    """Accept connections."""

    offers: tuple[str, ...]


class Offers(Packet):
    """The mechanisms that can be served from now on."""

    offers: tuple[str, ...]


class Stepped(Packet):
    """A step of an exchange: a challenge, a binding, or the end with its ruling.

    A challenge may have a ruling, too: it tells a refusal.
    """

    number: int
    ruling: Ruling | None = None
    challenge: bytes | None = None
    bind: str = ""
    final: bytes | None = None
    attempt: bool = True
    malformed: bool = False

    @property
    def step(self) -> Step:
        """The step."""
        if self.bind:
            return Bind(self.bind)
        verdict = Defer(Reason.INTERNAL) if self.ruling is None else self.ruling.verdict
        if self.challenge is not None:
            return Challenge(self.challenge, verdict if isinstance(verdict, Reject) else None)
        return Done(verdict, self.final, self.attempt, self.malformed)


class Ruled(Packet):
    """What ``may_send`` found."""

    number: int
    ruling: Ruling


class Taken(Packet):
    """What ``take`` found: ``at``, or what there is too much of and for how long, or nothing."""

    number: int
    at: float | None = None
    counted: Literal["messages", "recipients"] | None = None
    retry_after: float = 0.0

    @property
    def found(self) -> Allowed | Refused | None:
        """The answer."""
        if self.counted is not None:
            return Refused(self.counted, self.retry_after)
        return None if self.at is None else Allowed(self.at)


class Entered(Packet):
    """Whether a client may have one more connection."""

    number: int
    may: bool


class Ping(Packet):
    """Are you there?"""


class Retire(Packet):
    """Accept no more; what is open goes on."""


class Drain(Packet):
    """Accept no more, and end: what is under way has this time."""

    seconds: float


Told: TypeAlias = Go | Offers | Stepped | Ruled | Taken | Entered | Ping | Retire | Drain

read_told: Callable[[bytes], Told] = wire.typed(Told)
"""What the auth process says. Raises ``wire.Malformed``."""


def stepped(number: int, step: Step) -> bytes:
    """A packet with a step. An account with more aliases than fit goes without them: ``may_send`` knows them, too."""
    packet = wire.encode(_stepped(number, step))
    if len(packet) > wire.MAX_PACKET and isinstance(step, Done) and isinstance(step.verdict, Accept):
        alone = Accept(Account(step.verdict.account.login), master=step.verdict.master)
        packet = wire.encode(_stepped(number, replace(step, verdict=alone)))
    return packet


def _stepped(number: int, step: Step) -> Stepped:
    match step:
        case Challenge(data, verdict):
            return Stepped(number, None if verdict is None else Ruling.of(verdict), data)
        case Bind(kind):
            return Stepped(number, bind=kind)
        case Done(verdict, final, attempt, malformed):
            return Stepped(number, Ruling.of(verdict), final=final, attempt=attempt, malformed=malformed)


def ruled(number: int, verdict: Verdict) -> bytes:
    """A packet with what ``may_send`` found; the account is known to who asks."""
    if isinstance(verdict, Accept):
        verdict = Accept(Account(verdict.account.login))
    return wire.encode(Ruled(number, Ruling.of(verdict)))


def taken(number: int, found: Allowed | Refused | None) -> bytes:
    """A packet with what ``take`` found."""
    match found:
        case Allowed(at):
            return wire.encode(Taken(number, at))
        case Refused(counted, retry_after):
            return wire.encode(Taken(number, None, counted, retry_after))
        case None:
            return wire.encode(Taken(number))
