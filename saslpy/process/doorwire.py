"""What a submission worker and the auth process say to each other: typed, and checked by whoever reads it.

::

    worker  Hello | Cannot                    its servers are open, or why they cannot be
    auth    Go                                accept connections; the mechanisms that can be served
    worker  Start, Respond, Bound, Cancel     a SASL exchange, which the worker has numbered
    auth    Stepped                           its next step
    worker  MaySend, Take, GiveBack           the rest of ``submission.door.Door``
    auth    Ruled, Taken
    worker  Enter, Leave                      a client's connection, which the worker has numbered
    auth    Entered
    auth    Offers                            other mechanisms can be served from now on
    auth    Ping                              answered by Pong
    auth    Retire, Drain                     accept no more; also end within some seconds

A question has a number, which its answer carries. None of these shows in ``repr`` what is in it: passwords are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from ..exchange import MAX_RESPONSE, Bind, Challenge, Done, Step
from ..model import Accept, Account, Defer, Origin, Reason, Reject, Verdict
from ..submission.limits import Allowed, Refused
from . import wire

SERVICE = "submission"
"""What a worker's users log in to, by the core's name for it."""

Number: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Name: TypeAlias = Annotated[str, Meta(max_length=1100)]
"""A login ("legacy:" before an address included), or an address."""
Site: TypeAlias = Annotated[str, Meta(max_length=400)]
"""A listener and a client's address."""
Word: TypeAlias = Annotated[str, Meta(max_length=64)]
Response: TypeAlias = Annotated[bytes, Meta(max_length=MAX_RESPONSE + 1)]
"""One byte more than a response may have, so that it is refused where all others are."""


class Packet(msgspec.Struct, array_like=True, tag=True):
    """A packet's content."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Whence(msgspec.Struct, array_like=True):
    """An ``Origin``, as far as a worker can tell it: its service is always ``SERVICE``."""

    protocol: Word
    client: Word
    secured: bool
    certificate: Name

    @classmethod
    def of(cls, origin: Origin) -> Whence:
        """An origin, with what is no text in it replaced, and what is too long cut."""
        certificate = origin.certificate.encode("utf-8", "replace").decode()[:1100]
        return cls(origin.protocol[:64], origin.client[:64], origin.secured, certificate)

    @property
    def origin(self) -> Origin:
        """The origin."""
        return Origin(self.protocol, SERVICE, client=self.client, secured=self.secured, certificate=self.certificate)


# --- the worker's


class Hello(Packet):
    """All is open; ``Go`` is waited for."""


class Cannot(Packet):
    """It is not, and never will be."""

    why: str


class Start(Packet):
    """``Door.begin`` and ``Exchange.start`` in one. ``exchange`` is a number that no other open one has."""

    number: Number
    exchange: Number
    mechanism: Word
    whence: Whence
    plus_offered: bool
    initial: Response | None


class Respond(Packet):
    """``Exchange.respond``."""

    number: Number
    exchange: Number
    data: Response


class Bound(Packet):
    """``Exchange.bind``."""

    number: Number
    exchange: Number
    data: Response | None


class Cancel(Packet):
    """``Exchange.cancel``."""

    exchange: Number


class MaySend(Packet):
    """``Door.may_send``."""

    number: Number
    login: Name
    address: Name
    whence: Whence


class Take(Packet):
    """``Door.take``."""

    number: Number
    login: Name
    messages: Count
    recipients: Count


class GiveBack(Packet):
    """``Door.give_back``; nobody waits for an answer."""

    login: Name
    messages: Count
    recipients: Count
    at: Annotated[float, Meta(ge=0, le=1e12)]


class Enter(Packet):
    """``Door.present``, its beginning. ``entry`` is a number that no other open one has."""

    number: Number
    entry: Number
    client: Site
    most: Count


class Leave(Packet):
    """Its end, whatever the answer was, or will be."""

    entry: Number


class Open(msgspec.Struct, array_like=True):
    """A listener of a worker: connections that are open, and that were refused since it was started."""

    listen: str
    open: Count
    refused: Count


class Pong(Packet):
    """It goes round its loop. ``messages`` were taken since it was started."""

    messages: Number
    listeners: Annotated[tuple[Open, ...], Meta(max_length=250)]


Said: TypeAlias = Hello | Cannot | Start | Respond | Bound | Cancel | MaySend | Take | GiveBack | Enter | Leave | Pong


# --- the auth process's


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

read_said: Callable[[bytes], Said] = wire.typed(Said)
"""What a worker says. Raises ``wire.Malformed`` for anything else."""

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
