"""A next hop: messages are handed to it, and every recipient has the hop's own answer.

::

    hop = open_hop(nursery, route, name, log)
    async with hop.begin(envelope) as delivery:
        answers = await delivery.rcpt(recipient, …)       Accepted, Refused, Deferred; once or several times
        outcomes = await delivery.content(pieces)         Delivered, Refused, Deferred for those that were accepted

Nothing is said to the hop before the first recipient. If its connection breaks before anything has been answered, a new one
to the same or to the next host takes its place, and nobody hears of it; afterwards, all that has no answer is deferred, as
it is where a client was silent while others waited for a connection (``shares``). Who leaves ``begin`` without the
outcomes, however that happens, has delivered nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import trio

from ..observe.log import Log
from ..protocols.smtp.envelope import Envelope
from ..protocols.smtp.transaction import Recipient
from .capture import CaptureHop
from .delivery import Delivery
from .dial import Bounds, Dialler
from .hosts import Hosts
from .outcome import Answer, Outcome
from .places import Capture, Server
from .pool import Keeping, Pool
from .routes import Route

BOUNDS, KEEPING = Bounds(), Keeping()


class Delivering(Protocol):
    """One message on its way to a next hop, whatever kind it is of."""

    async def rcpt(self, *recipients: Recipient, data: bool = False) -> list[Answer]:
        """An answer for each. ``data``: there are no more, and content follows for certain."""

    async def content(self, pieces: AsyncIterable[bytes]) -> list[Outcome]:
        """For each recipient that was accepted, in their order; there must be one.

        ``pieces`` are not read to their end where the hop takes no more. What reading them raises is raised here, and
        nothing is delivered then.
        """


class NextHop(Protocol):
    """Where messages are handed to."""

    def begin(self, envelope: Envelope, login: str = "") -> AbstractAsyncContextManager[Delivering]:
        """A message. ``login`` has no more than its share of the connections; empty: nobody's."""


class Hop:
    """A next hop that speaks SMTP or LMTP."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    @asynccontextmanager
    async def begin(self, envelope: Envelope, login: str = "") -> AsyncIterator[Delivering]:
        """A message, over a connection that it has alone."""
        delivery = Delivery(self.hosts, envelope, login)
        try:
            yield delivery
        finally:
            await delivery.finish()


def open_hop(  # noqa: PLR0913
    nursery: trio.Nursery,
    route: Route,
    name: str,
    log: Log,
    *,
    folder: Path = Path(),
    bounds: Bounds = BOUNDS,
    keeping: Keeping = KEEPING,
) -> NextHop:
    """The next hop of a route, for as long as the nursery lives; nothing is connected before the first message.

    ``name`` is ours, in EHLO. ``folder`` is where relative paths of ``via`` are taken from.
    """
    places = route.places(folder)
    if isinstance(places[0], Capture):
        return CaptureHop(places[0].folder, name)
    servers = [place for place in places if isinstance(place, Server)]
    pool = Pool(keeping)
    nursery.start_soon(pool.sweep)
    return Hop(Hosts(servers, Dialler(route, name, bounds), pool, keeping, log))
