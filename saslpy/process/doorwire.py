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

A question has a number, which its answer carries. None of these shows in ``repr`` what is in it: passwords are. Here is
what the worker says; ``doortold`` has what it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from ..exchange import MAX_RESPONSE
from ..model import Origin
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

read_said: Callable[[bytes], Said] = wire.typed(Said)
"""What a worker says. Raises ``wire.Malformed`` for anything else."""
