"""Relay mode "proxy": our client hears what the next hop says, when it says it; nothing is kept here.

One message, one hop: the first recipient that is accepted fixes the route, and one that would go another way hears 452,
"send it separately" (RFC 5321, 4.5.3.1.10): the client comes again with those that are left, so nothing is lost and nobody
gets it twice. Where LMTP answers for each recipient, one reply must do for them all:

    all have it     250
    nobody has it   4xx where any may have it later, else 5xx
    some have it    554 that says who: with 250 it would be lost for the others, with 4xx doubled for these
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import trio

from ..observe.log import Log
from ..protocols.smtp.envelope import Envelope
from ..protocols.smtp.replies import Reply, reply
from ..protocols.smtp.transaction import Recipient
from .dial import Bounds
from .hop import BOUNDS, Delivering, NextHop, open_hop
from .outcome import MAX_LINES, Accepted, Deferred, Delivered, Outcome, for_client
from .routes import Route, Routes

NO_ROUTE = reply(550, "5.1.2", "There is no route to this domain")
SEPARATELY = reply(452, "4.5.3", "Goes another way than the other recipients, send it separately")
ALREADY = "This message was delivered to some; do not send it to them again"


class Transfer(Protocol):
    """One message on its way. ``hop`` is where it goes, for the log; empty as long as nobody knows."""

    delivered: int
    """How many recipients have it, whatever the client hears: with a 554 it may be some."""

    @property
    def hop(self) -> str:
        """The place, or the first of several."""

    async def rcpt(self, recipient: Recipient) -> Reply:
        """What the client hears to a recipient: 250, 4xx or 5xx."""

    async def content(self, pieces: AsyncIterable[bytes]) -> Reply:
        """What the client hears at the end. ``pieces`` may not be read to their end; what they raise is raised."""


class Relaying(Protocol):
    """Where messages go."""

    def begin(self, envelope: Envelope, login: str) -> AbstractAsyncContextManager[Transfer]:
        """One transaction of a login's. Who leaves it without the last reply has delivered nothing."""


class Proxy:
    """The hops of some routes."""

    def __init__(self, routes: Sequence[Route], hops: Sequence[NextHop]) -> None:
        self._routes = Routes(routes)
        self._hops = dict(zip(map(id, routes), hops, strict=True))

    @asynccontextmanager
    async def begin(self, envelope: Envelope, login: str = "") -> AsyncIterator[Transfer]:
        """See ``Relaying``."""
        async with AsyncExitStack() as stack:
            yield ProxyTransfer(self, envelope, login, stack)

    def route(self, domain: str) -> Route | None:
        """Where the mail for a domain goes, None for nowhere."""
        return self._routes.of(domain)

    def hop(self, route: Route) -> NextHop:
        """The next hop of one of the routes."""
        return self._hops[id(route)]


class ProxyTransfer:
    """See ``Transfer``."""

    def __init__(self, proxy: Proxy, envelope: Envelope, login: str, stack: AsyncExitStack) -> None:
        self._proxy = proxy
        self._envelope = envelope
        self._login = login
        self._stack = stack
        self._route: Route | None = None
        self._delivery: Delivering | None = None
        self._accepted: list[Recipient] = []
        self.delivered = 0

    @property
    def hop(self) -> str:
        """See ``Transfer``."""
        via = self._route.via if self._route is not None else ""
        return via if isinstance(via, str) else via[0]

    async def rcpt(self, recipient: Recipient) -> Reply:
        """See ``Transfer``."""
        route = self._proxy.route(recipient.mailbox.domain)
        if route is None:
            return NO_ROUTE
        if self._accepted and route is not self._route:
            return SEPARATELY
        delivery = await self._by(route)
        (answer,) = await delivery.rcpt(recipient)
        if isinstance(answer, Accepted):
            self._accepted.append(recipient)
        return for_client(answer.reply)

    async def content(self, pieces: AsyncIterable[bytes]) -> Reply:
        """See ``Transfer``."""
        assert self._delivery is not None
        outcomes = await self._delivery.content(pieces)
        self.delivered = sum(isinstance(one, Delivered) for one in outcomes)
        return one_reply(self._accepted, outcomes)

    async def _by(self, route: Route) -> Delivering:
        """The delivery by a route. One by another has no recipient, and is given up."""
        if self._delivery is None or route is not self._route:
            await self._stack.aclose()
            begun = self._proxy.hop(route).begin(self._envelope, self._login)
            self._delivery = await self._stack.enter_async_context(begun)
            self._route = route
        return self._delivery


def open_proxy(  # noqa: PLR0913
    nursery: trio.Nursery,
    routes: Sequence[Route],
    name: str,
    log: Log,
    *,
    bounds: Bounds = BOUNDS,
    folder: Path = Path(),
) -> Proxy:
    """The relay of some routes, for as long as the nursery lives.

    ``name`` is ours, in EHLO. ``folder`` is where relative paths of ``via`` are taken from.
    """
    return Proxy(routes, [open_hop(nursery, route, name, log, folder=folder, bounds=bounds) for route in routes])


def one_reply(recipients: Sequence[Recipient], outcomes: Sequence[Outcome]) -> Reply:
    """What all outcomes come to; see above."""
    delivered = [one for one in outcomes if isinstance(one, Delivered)]
    if len(delivered) == len(outcomes):
        return _joined(delivered)
    if not delivered:
        return for_client(next((one for one in outcomes if isinstance(one, Deferred)), outcomes[0]).reply)
    return _both(recipients, outcomes)


def _joined(outcomes: Sequence[Outcome]) -> Reply:
    """One for all that took it: the words of the first, which are those of all where a hop has answered once."""
    first = for_client(outcomes[0].reply)
    lines = dict.fromkeys(line for one in outcomes[:MAX_LINES] for line in for_client(one.reply).lines)
    return Reply(first.code, first.enhanced, tuple(lines)[:MAX_LINES])


def _both(recipients: Sequence[Recipient], outcomes: Sequence[Outcome]) -> Reply:
    pairs = list(zip(recipients, outcomes, strict=True))
    failed = [f"not to {who.mailbox}: {one.reply}" for who, one in pairs if not isinstance(one, Delivered)]
    reached = [f"delivered to {who.mailbox}" for who, one in pairs if isinstance(one, Delivered)]
    return Reply(554, "5.3.0", (ALREADY, *_cut(failed), *_cut(reached)))


def _cut(lines: Sequence[str], most: int = 50) -> Sequence[str]:
    return lines if len(lines) <= most else (*lines[:most], f"and {len(lines) - most} more")
