"""The core, as a submission worker sees it: the auth process at the other end of a channel (``doorwire``).

Whatever keeps it from answering (it has ended, it does not read, it takes too long) is "could not find out".
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import outcome
import trio

from ..exchange import MAX_RESPONSE, Done, Step
from ..model import Accept, Account, Defer, Origin, Reason, Reject
from ..submission.crowd import Crowd
from ..submission.door import Exchange
from ..submission.limits import Allowed, Refused
from . import doortold, doorwire, wire
from .doorwire import Whence
from .link import Link, WorkerEnded
from .outbox import Outbox

SWEEP = 0.5
"""Seconds between two looks for questions that have waited too long."""


class _Asker(NamedTuple):
    """Who waits for an answer, and until when (``trio.current_time``)."""

    task: trio.lowlevel.Task
    until: float


class Orders:
    """What the auth process has told us to do. ``seconds`` belong to ``drain``; ``lost``: it has ended."""

    def __init__(self) -> None:
        self.go = trio.Event()
        self.retire = trio.Event()
        self.drain = trio.Event()
        self.lost = trio.Event()
        self.seconds = 0.0

    def drained(self, seconds: float) -> None:
        """End within this time."""
        self.seconds = seconds
        self.drain.set()


class RemoteDoor:
    """``submission.door.Door`` over a channel. ``patience``: seconds for the answer to a question.

    ``workers``: we are one of so many, and half of the connections that a client may have is shared out among them
    beforehand, so that those of nearly all clients cost no question. All together never have more than they may.
    """

    def __init__(
        self, channel: socket.socket, patience: float, counts: Callable[[], doorwire.Pong], workers: int = 1
    ) -> None:
        self.orders = Orders()
        self._link = Link(channel)
        self._outbox = Outbox(channel)
        self._patience = patience
        self._counts = counts
        self._offers: tuple[str, ...] = ()
        self._asked = 0
        self._exchanges = 0
        self._entries = 0
        self._workers = workers
        self._crowd = Crowd()
        self._askers: dict[int, _Asker] = {}

    @classmethod
    @asynccontextmanager
    async def over(
        cls, channel: socket.socket, patience: float, counts: Callable[[], doorwire.Pong], workers: int = 1
    ) -> AsyncIterator[RemoteDoor]:
        """Listens while the block runs, and closes the channel. ``counts`` says what we are at."""
        door = cls(channel, patience, counts, workers)
        with door._link:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(door._listen)
                nursery.start_soon(door._outbox.run)
                nursery.start_soon(door._sweep)
                yield door
                nursery.cancel_scope.cancel()

    def greet(self) -> None:
        """Tell that all is open."""
        self._tell(doorwire.Hello())

    # --- Door

    def offered(self, listed: Sequence[str]) -> tuple[str, ...]:
        """See ``Door``. As the auth process has told last; nothing where it has ended."""
        return tuple(name for name in self._offers if name in listed)

    def begin(self, mechanism: str, origin: Origin, plus_offered: bool = False) -> Exchange | None:
        """See ``Door``."""
        name = mechanism.upper()
        if name not in self._offers and not self.orders.lost.is_set():
            return None
        self._exchanges += 1
        return _RemoteExchange(self, self._exchanges, name, origin, plus_offered)

    async def may_send(self, account: Account, address: str, origin: Origin) -> Accept | Reject | Defer:
        """See ``Door``."""
        told = await self.ask(lambda number: doorwire.MaySend(number, account.login, address, Whence.of(origin)))
        return told.ruling.verdict if isinstance(told, doortold.Ruled) else Defer(Reason.SHUTDOWN)

    async def take(self, login: str, messages: int, recipients: int) -> Allowed | Refused | None:
        """See ``Door``."""
        told = await self.ask(lambda number: doorwire.Take(number, login, messages, recipients))
        return told.found if isinstance(told, doortold.Taken) else None

    async def give_back(self, login: str, messages: int, recipients: int, at: float) -> None:
        """See ``Door``. It does not wait, so that it is told of a message whose client has gone, too."""
        self._tell(doorwire.GiveBack(login, messages, recipients, at))

    @asynccontextmanager
    async def present(self, client: str, most: int) -> AsyncIterator[bool | None]:
        """See ``Door``."""
        ours = most // (2 * self._workers)
        if not most:
            yield True
        elif ours and self._crowd.enter(client, ours):
            try:
                yield True
            finally:
                self._crowd.leave(client)
        else:
            async with self._counted(client, most - ours * self._workers) as present:
                yield present

    @asynccontextmanager
    async def _counted(self, client: str, most: int) -> AsyncIterator[bool | None]:
        """As ``present``, of those that are counted for all workers."""
        self._entries += 1
        entry = self._entries
        try:
            told = await self.ask(lambda number: doorwire.Enter(number, entry, client, most))
            yield told.may if isinstance(told, doortold.Entered) else None
        finally:
            self._tell(doorwire.Leave(entry))  # an answer that nobody has waited for may have been yes

    # --- asking

    async def ask(self, question: Callable[[int], doorwire.Packet]) -> Any:
        """The answer to a question, which is made with its number; None: could not find out."""
        if self.orders.lost.is_set():
            return None
        self._asked += 1
        number = self._asked
        if not self._tell(question(number)):
            return None
        self._askers[number] = _Asker(trio.lowlevel.current_task(), trio.current_time() + self._patience)

        def abort(_raise: object) -> trio.lowlevel.Abort:
            self._askers.pop(number, None)
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    async def _sweep(self) -> None:
        """End what has waited for too long: one timer for all costs less than one each."""
        while True:
            await trio.sleep(min(SWEEP, self._patience))
            now = trio.current_time()
            for number in [number for number, asker in self._askers.items() if asker.until <= now]:
                self._wake(number, None)

    def cancel(self, exchange: int) -> None:
        """Nobody wants to know any more what becomes of an exchange."""
        self._tell(doorwire.Cancel(exchange))

    def _tell(self, packet: doorwire.Packet) -> bool:
        """Whether it has gone, or will go. What is no text, and so cannot, is no login's and no address."""
        try:
            packed = wire.encode(packet)
        except UnicodeEncodeError:
            return False
        return self._outbox.send(packed)

    # --- listening

    async def _listen(self) -> None:
        try:
            while True:
                self._heard(await self._link.receive(doortold.read_told))
        except WorkerEnded:
            self.orders.lost.set()
            for number in list(self._askers):
                self._wake(number, None)

    def _heard(self, told: doortold.Told) -> None:
        match told:
            case doortold.Stepped() | doortold.Ruled() | doortold.Taken() | doortold.Entered():
                self._wake(told.number, told)
            case doortold.Ping():
                self._tell(self._counts())
            case doortold.Go(offers):
                self._offers = offers
                self.orders.go.set()
            case doortold.Offers(offers):
                self._offers = offers
            case doortold.Retire():
                self.orders.retire.set()
            case doortold.Drain(seconds):
                self.orders.drained(seconds)

    def _wake(self, number: int, told: Any) -> None:
        asker = self._askers.pop(number, None)
        if asker is not None:  # else it has given up
            trio.lowlevel.reschedule(asker.task, outcome.Value(told))


class _RemoteExchange:
    """``submission.door.Exchange``. ``over``: nothing is left to be cancelled."""

    __slots__ = ("_door", "_key", "_mechanism", "_origin", "_over", "_plus_offered")

    def __init__(self, door: RemoteDoor, key: int, mechanism: str, origin: Origin, plus_offered: bool) -> None:
        self._door = door
        self._key = key
        self._mechanism = mechanism
        self._origin = origin
        self._plus_offered = plus_offered
        self._over = True  # it has not begun

    async def start(self, initial: bytes | None = None) -> Step:
        """See ``Exchange``."""
        self._over = False
        begun = (self._key, self._mechanism, Whence.of(self._origin), self._plus_offered, _cut(initial))
        return await self._step(lambda number: doorwire.Start(number, *begun))

    async def respond(self, response: bytes) -> Step:
        """See ``Exchange``."""
        data = _cut(response)
        assert data is not None
        return await self._step(lambda number: doorwire.Respond(number, self._key, data))

    async def bind(self, data: bytes | None) -> Step:
        """See ``Exchange``."""
        return await self._step(lambda number: doorwire.Bound(number, self._key, _cut(data)))

    def cancel(self) -> None:
        """See ``Exchange``."""
        if not self._over:
            self._over = True
            self._door.cancel(self._key)

    async def _step(self, question: Callable[[int], doorwire.Packet]) -> Step:
        told = await self._door.ask(question)
        if not isinstance(told, doortold.Stepped):
            self.cancel()
            return Done(Defer(Reason.SHUTDOWN))
        step = told.step
        self._over = isinstance(step, Done)
        return step


def _cut(data: bytes | None) -> bytes | None:
    """As much of a response as tells that it is too long."""
    return None if data is None else data[: MAX_RESPONSE + 1]
