"""What a submission server asks the core: who logs in, as whom he may send, how much.

The server may be in the same process as the core (``LocalDoor``), or in a worker that holds no users' data. Every method
may answer "could not find out": ``Done(Defer)``, ``Defer``, or None where it says so. None of them raises for that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from ..authenticator import Authenticator
from ..exchange import Step
from ..mechanisms import named
from ..model import Accept, Account, Defer, Origin, Reject
from .crowd import Crowd
from .limits import Allowed, Counters, Refused


class Exchange(Protocol):
    """One SASL exchange, as ``conversation.Conversation`` is one."""

    async def start(self, initial: bytes | None = None) -> Step:
        """The first step. ``initial`` is None where the client sent no initial response."""

    async def respond(self, response: bytes) -> Step:
        """The next step, after a ``Challenge``."""

    async def bind(self, data: bytes | None) -> Step:
        """The next step, after a ``Bind``: the channel-binding data, None where there is none of that type."""

    def cancel(self) -> None:
        """The client has given up, or has gone: no attempt."""


class Door(Protocol):
    """The core, as a submission server sees it."""

    def offered(self, listed: Sequence[str]) -> tuple[str, ...]:
        """Those of the listed mechanisms that can be served, in the order in which they are offered."""

    def begin(self, mechanism: str, origin: Origin, plus_offered: bool = False) -> Exchange | None:
        """A new exchange; None where no such mechanism can be served.

        ``origin.client`` is the mail client's own address, whoever has handed the connection on. ``plus_offered``: the
        client was offered a mechanism with channel binding, too.
        """

    async def may_send(self, account: Account, address: str, origin: Origin) -> Accept | Reject | Defer:
        """Whether an account may send as an address that is not its own by what is known of it."""

    async def take(self, login: str, messages: int, recipients: int) -> Allowed | Refused | None:
        """Count what a login is about to send. None: could not find out."""

    async def give_back(self, login: str, messages: int, recipients: int, at: float) -> None:
        """It was not sent after all. ``at`` is ``Allowed.at``."""

    def present(self, client: str, most: int) -> AbstractAsyncContextManager[bool | None]:
        """Count a client's connection as long as the block runs: whether he has no more than ``most`` with it, over all
        workers. None: could not find out."""


class LocalDoor:
    """The core in the same process."""

    def __init__(
        self, authenticator: Authenticator, counters: Counters, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._authenticator = authenticator
        self._counters = counters
        self._clock = clock
        self._crowd = Crowd()

    def offered(self, listed: Sequence[str]) -> tuple[str, ...]:
        """See ``Door``."""
        return self._authenticator.offered(listed)

    def begin(self, mechanism: str, origin: Origin, plus_offered: bool = False) -> Exchange | None:
        """See ``Door``."""
        found = named(mechanism)
        if found is None or not self._authenticator.offered((mechanism,)):
            return None
        return self._authenticator.begin(found, origin, plus_offered)

    async def may_send(self, account: Account, address: str, origin: Origin) -> Accept | Reject | Defer:
        """See ``Door``."""
        return await self._authenticator.may_send(account.login, address, origin)

    async def take(self, login: str, messages: int, recipients: int) -> Allowed | Refused | None:
        """See ``Door``."""
        return self._counters.take(login, messages, recipients, self._clock())

    async def give_back(self, login: str, messages: int, recipients: int, at: float) -> None:
        """See ``Door``."""
        self._counters.give_back(login, messages, recipients, at)

    @asynccontextmanager
    async def present(self, client: str, most: int) -> AsyncIterator[bool | None]:
        """See ``Door``."""
        entered = self._crowd.enter(client, most)
        try:
            yield entered
        finally:
            if entered:
                self._crowd.leave(client)
