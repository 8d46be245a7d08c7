"""A connection of the Dovecot auth protocol's client socket, and its exchanges: what they wait for, and their ends."""

from __future__ import annotations

import secrets
import socket
from collections import OrderedDict

import trio

from ..protocols.dovecot.client import ClientSide
from ..protocols.dovecot.events import Binding, Response
from .lined import LinedConnection, Load

MOST_WAITING = 4096
"""Exchanges of a listener that wait for their clients; each costs 6 to 8 KB."""

MOST_OF_ONE = 1024
"""Those of one connection: a login process of Dovecot has thousands of clients, few of whom are in the middle of it."""

MOST_ABANDONED = 128
"""Those of a client of minor version 0: Postfix has one at a time, but never says that its user has given up."""


class Exchanges(Load):
    """The exchanges of a listener: how many are worked on, and those whose client's turn it is, the oldest turn first.

    Over ``most_waiting``, the first is forgotten, as Dovecot's login processes do with their clients: who means it answers
    within a second, so that it is one who has gone. To refuse new ones would lock all out until the old ones expire.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self._most_waiting = most_waiting
        self._waiting: OrderedDict[Exchange, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait for their clients."""
        return len(self._waiting)

    def enter(self, exchange: Exchange) -> None:
        """Its client's turn begins."""
        self._waiting[exchange] = None
        self.less()
        if len(self._waiting) > self._most_waiting:
            next(iter(self._waiting)).expire()

    def leave(self, exchange: Exchange) -> None:
        """Our turn begins."""
        del self._waiting[exchange]
        self.more()


class Exchange:
    """One exchange of a connection. ``over``: nobody wants to know its outcome."""

    __slots__ = ("_answer", "_arrived", "_connection", "_key", "over")

    def __init__(self, connection: DovecotConnection, key: int) -> None:
        self.over = False
        self._connection = connection
        self._key = key
        self._answer: Response | Binding | None = None
        self._arrived: trio.Event | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is its client's turn."""
        return self._arrived is not None

    async def answer(self, timeout: float) -> Response | Binding | None:
        """What the client answers; None when it has had its time (seconds), or the exchange is over."""
        if self.over:
            return None
        arrived = self._arrived = trio.Event()
        self._answer = None
        self._connection.waits(self)
        try:
            with trio.move_on_after(timeout):
                await arrived.wait()
        finally:
            self._go_on()
        return None if self.over else self._answer

    def deliver(self, answer: Response | Binding) -> None:
        """The client's answer."""
        self._answer = answer
        self._go_on()

    def expire(self) -> None:
        """Its client has had its time."""
        self._connection.forget(self._key, self)

    def stop(self) -> None:
        """It is over."""
        self.over = True
        self._go_on()

    def _go_on(self) -> None:
        """It is our turn, if it was not before."""
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None
            self._connection.goes_on(self)


class DovecotConnection(LinedConnection[ClientSide]):
    """One accepted connection. ``handed``: a login process may have a login of it. ``waiting`` counts exchanges."""

    __slots__ = ("_all", "cookie", "cuid", "exchanges", "handed", "waiting")

    def __init__(self, connection: socket.socket, side: ClientSide, cuid: int, everybodys: Exchanges) -> None:
        super().__init__(connection, side, everybodys)
        self.cuid = cuid
        self.cookie = secrets.token_hex(16)
        self.exchanges: dict[int, Exchange] = {}
        self.handed = False
        self.waiting = 0
        self._all = everybodys

    @property
    def at_work(self) -> int:
        """Tasks that do not wait for the client, those included whose exchange is over."""
        return self.tasks - self.waiting

    def begin(self, key: int) -> Exchange:
        """A new exchange."""
        exchange = self.exchanges[key] = Exchange(self, key)
        return exchange

    def waits(self, exchange: Exchange) -> None:
        """It is the client's turn, in one exchange more. The oldest of those may have to go."""
        self.waiting += 1
        self._all.enter(exchange)
        if self.waiting > (MOST_OF_ONE if self.side.minor else MOST_ABANDONED):
            next(other for other in self.exchanges.values() if other.waiting).expire()
        self.make_room()

    def goes_on(self, exchange: Exchange) -> None:
        """It is our turn in this one."""
        self.waiting -= 1
        self._all.leave(exchange)

    def stop(self, key: int) -> None:
        """This exchange is over, if there is one."""
        if (exchange := self.exchanges.pop(key, None)) is not None:
            exchange.stop()
        if not self.exchanges:
            self.exchanges.clear()  # gives back what many at a time have needed
        self.side.forget(key)

    def forget(self, key: int, exchange: Exchange) -> None:
        """An exchange has ended. By now its id may be another one's."""
        if self.exchanges.get(key) is exchange:
            self.stop(key)

    def end(self) -> None:
        """The client says no more: whatever waits for it is over, the rest is still answered."""
        self.ended = True
        for key in [key for key, exchange in self.exchanges.items() if exchange.waiting]:
            self.stop(key)

    def dropped(self) -> None:
        """All exchanges are over."""
        for key in list(self.exchanges):
            self.stop(key)
