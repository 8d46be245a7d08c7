"""A submission worker, as the auth process sees it: its questions are answered, and it is watched.

A worker reads what strangers send, so it may have been taken over: what it says is read by its type, what is out of turn
ends it, and all that it can make us keep has a bound.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeAlias

import trio

from ..exchange import Bind, Challenge, Done, Step
from ..model import Account, Defer, Reason
from ..observe.log import Log
from ..submission.crowd import Crowd
from ..submission.door import Door, Exchange
from . import doortold, doorwire, wire
from .link import Link, OddAnswer, WorkerEnded
from .outbox import Outbox

MAX_EXCHANGES = 4096
"""Of a worker. For one more, the one goes whose client has been silent for longest."""

MAX_ENTERED = 100_000
"""Connections of a worker. One more is refused."""

MAX_ASKED = 512
"""Questions of a worker that are answered at a time; the next ones are read later."""

EVERY, MOST_MISSED = 5.0, 5
"""Seconds between two pings; those without an answer until the worker is ended."""

Silent: TypeAlias = type[Challenge] | type[Bind] | None


@dataclass(slots=True, eq=False)
class _Open:
    """An exchange. ``waits`` is for what its client is to say; None while we are at it. ``over``: nobody wants the end."""

    exchange: Exchange
    waits: Silent = None
    over: bool = False


class Doors:
    """One worker. ``serve`` runs until it ends. ``crowd`` is that of all workers together."""

    def __init__(self, link: Link, door: Door, crowd: Crowd, log: Log) -> None:
        self.link = link
        self.counts = doorwire.Pong(0, ())
        self.began = trio.current_time()
        self.leaving = False
        self._door = door
        self._crowd = crowd
        self._log = log
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._entered: dict[int, str] = {}
        self._outbox = Outbox(link.socket)
        self._room = trio.Semaphore(MAX_ASKED)
        self._unanswered = 0
        self._pong = trio.Event()
        self._odd = ""
        self._scope = trio.CancelScope()

    # --- what we tell

    def offer(self, offers: tuple[str, ...], go: bool = False) -> None:
        """The mechanisms that can be served; with ``go``, it may begin."""
        self._tell(wire.encode(doortold.Go(offers) if go else doortold.Offers(offers)))

    def retire(self) -> None:
        """It is to accept no more, and ends when all its connections have."""
        self.leaving = True
        self._tell(wire.encode(doortold.Retire()))

    def drain(self, seconds: float) -> None:
        """It is to end, within the time."""
        self.leaving = True
        self._tell(wire.encode(doortold.Drain(seconds)))

    async def asked(self) -> None:
        """Until it has said anew what it is at. Who calls has a deadline."""
        pong = self._pong
        self._ping()
        await pong.wait()

    def _tell(self, packet: bytes) -> None:
        if not self._outbox.send(packet):
            self._end("it does not read")

    def _ping(self) -> None:
        self._unanswered += 1
        self._tell(wire.encode(doortold.Ping()))

    # --- its life

    async def hello(self) -> str:
        """Until it is ready to begin; why it cannot, empty when it can. Raises ``WorkerEnded``."""
        match await self.link.receive(doorwire.read_said):
            case doorwire.Hello():
                return ""
            case doorwire.Cannot(why):
                return wire.text(why) or "it does not say why"
        raise OddAnswer("it does not begin with a greeting")

    async def serve(self) -> None:
        """Answer until it ends. Raises ``WorkerEnded``, and ``OddAnswer`` when it must be ended."""
        ended = WorkerEnded("the process has ended")
        try:
            with self._scope:
                async with trio.open_nursery() as tasks:
                    tasks.start_soon(self._outbox.run)
                    tasks.start_soon(self._watch)
                    try:
                        await self._listen(tasks)
                    except WorkerEnded as error:
                        ended = error
                    tasks.cancel_scope.cancel()
        finally:
            for opened in self._open.values():
                opened.exchange.cancel()
            self._open.clear()
            for entry in list(self._entered):
                self._leave(entry)
        raise OddAnswer(self._odd) if self._odd else ended

    def _end(self, why: str) -> None:
        """It must be ended."""
        self._odd = self._odd or why
        self._scope.cancel()

    async def _watch(self) -> None:
        while True:
            await trio.sleep(EVERY)
            if self._unanswered >= MOST_MISSED:
                self._end("it does not answer")
            self._ping()

    # --- what it says

    async def _listen(self, tasks: trio.Nursery) -> None:
        while True:
            said = await self.link.receive(doorwire.read_said)
            match said:
                case doorwire.Start() | doorwire.Respond() | doorwire.Bound() | doorwire.MaySend():
                    await self._room.acquire()
                    tasks.start_soon(self._answer, said, self._begun(said))
                case doorwire.Take(number, login, messages, recipients):
                    self._tell(doortold.taken(number, await self._door.take(login, messages, recipients)))
                case doorwire.GiveBack(login, messages, recipients, at):
                    await self._door.give_back(login, messages, recipients, at)
                case doorwire.Enter():
                    self._enter(said)
                case doorwire.Leave(entry):
                    self._leave(entry)
                case doorwire.Cancel(exchange):
                    self._cancel(exchange)
                case doorwire.Pong():
                    self._heard(said)
                case _:
                    raise OddAnswer("it greets twice")

    def _heard(self, pong: doorwire.Pong) -> None:
        if not self._unanswered:
            raise OddAnswer("it answers without a question")
        self._unanswered = 0
        self.counts = pong
        self._pong.set()
        self._pong = trio.Event()

    def _enter(self, said: doorwire.Enter) -> None:
        if said.entry in self._entered:
            raise OddAnswer("it counts a connection twice")
        may = len(self._entered) < MAX_ENTERED and self._crowd.enter(said.client, said.most)
        if may:
            self._entered[said.entry] = said.client
        self._tell(wire.encode(doortold.Entered(said.number, may)))

    def _leave(self, entry: int) -> None:
        """One that had to be refused is not known."""
        client = self._entered.pop(entry, None)
        if client is not None:
            self._crowd.leave(client)

    def _begun(self, said: _Asked) -> Awaitable[bytes]:
        """What will answer a question. That it came in its turn is looked at now, in the order in which they come."""
        match said:
            case doorwire.Start():
                return self._start(said)
            case doorwire.Respond(number, key, data):
                opened = self._turn(key, Challenge)
                return self._step(number, key, opened, opened.exchange.respond(data)) if opened else _gone(number)
            case doorwire.Bound(number, key, given):
                opened = self._turn(key, Bind)
                return self._step(number, key, opened, opened.exchange.bind(given)) if opened else _gone(number)
            case doorwire.MaySend():
                return self._may_send(said)

    def _start(self, said: doorwire.Start) -> Awaitable[bytes]:
        if said.exchange in self._open:
            raise OddAnswer("it begins an exchange that is open")
        exchange = self._door.begin(said.mechanism, said.whence.origin, said.plus_offered)
        if exchange is None:  # what is offered has changed
            return _gone(said.number)
        if len(self._open) >= MAX_EXCHANGES:
            self._make_room()
        opened = self._open[said.exchange] = _Open(exchange)
        return self._step(said.number, said.exchange, opened, exchange.start(said.initial))

    def _make_room(self) -> None:
        """The oldest goes that waits for its client. What we are at ourselves is never so much (``MAX_ASKED``)."""
        for key, opened in self._open.items():
            if opened.waits is not None:
                self._cancel(key)
                return

    def _turn(self, key: int, waits: Silent) -> _Open | None:
        """An exchange whose client may say this now; None when it had to go."""
        opened = self._open.get(key)
        if opened is None:
            return None
        if opened.waits is not waits:
            raise OddAnswer("it answers out of turn")
        opened.waits = None
        self._open.move_to_end(key)
        return opened

    def _cancel(self, key: int) -> None:
        """Nobody wants to know any more. What we are at comes to its end first: it is an attempt, and in the log."""
        opened = self._open.get(key)
        if opened is None:
            return
        opened.over = True
        if opened.waits is not None:
            self._open.pop(key).exchange.cancel()

    # --- the answers, each in a task

    async def _answer(self, said: _Asked, answer: Awaitable[bytes]) -> None:
        try:
            self._tell(await answer)
        finally:
            self._room.release()

    async def _step(self, number: int, key: int, opened: _Open, step: Awaitable[Step]) -> bytes:
        try:
            found = await step
        except Exception as error:  # a fault of ours
            self._log.fault(error)
            found = Done(Defer(Reason.INTERNAL))
        if isinstance(found, Done):
            self._open.pop(key, None)
        elif opened.over:
            self._open.pop(key).exchange.cancel()
        else:
            opened.waits = type(found)
        return doortold.stepped(number, found)

    async def _may_send(self, said: doorwire.MaySend) -> bytes:
        account = Account(said.login)
        return doortold.ruled(said.number, await self._door.may_send(account, said.address, said.whence.origin))


_Asked: TypeAlias = doorwire.Start | doorwire.Respond | doorwire.Bound | doorwire.MaySend


async def _gone(number: int) -> bytes:
    """There is no such exchange, or no such mechanism, any more."""
    return doortold.stepped(number, Done(Defer(Reason.OVERLOAD), attempt=False))
