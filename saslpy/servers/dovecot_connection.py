"""A connection of the Dovecot auth protocol's client socket, and its exchanges: what they wait for, and their ends."""

from __future__ import annotations

import secrets
import socket

import trio

from ..protocols.dovecot.client import ClientSide
from ..protocols.dovecot.events import Binding, Response
from .lined import LinedConnection


class Exchange:
    """One exchange of a connection. ``over``: nobody wants to know its outcome."""

    __slots__ = ("_answer", "_arrived", "over")

    def __init__(self) -> None:
        self.over = False
        self._answer: Response | Binding | None = None
        self._arrived: trio.Event | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is its client's turn."""
        return self._arrived is not None

    async def answer(self, timeout: float) -> Response | Binding | None:
        """What the client answers; None when it has had its time (seconds), or the exchange is over."""
        self._answer, self._arrived = None, trio.Event()
        with trio.move_on_after(timeout):
            await self._arrived.wait()
        self._arrived = None
        return None if self.over else self._answer

    def deliver(self, answer: Response | Binding) -> None:
        """The client's answer."""
        self._answer = answer
        self._wake()

    def stop(self) -> None:
        """It is over."""
        self.over = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()


class DovecotConnection(LinedConnection[ClientSide]):
    """One accepted connection. ``handed``: a login process may have a login of it."""

    __slots__ = ("cookie", "cuid", "exchanges", "handed")

    def __init__(self, connection: socket.socket, side: ClientSide, cuid: int) -> None:
        super().__init__(connection, side)
        self.cuid = cuid
        self.cookie = secrets.token_hex(16)
        self.exchanges: dict[int, Exchange] = {}
        self.handed = False

    def begin(self, key: int) -> Exchange:
        """A new exchange."""
        exchange = self.exchanges[key] = Exchange()
        return exchange

    def stop(self, key: int) -> None:
        """This exchange is over, if there is one."""
        if (exchange := self.exchanges.pop(key, None)) is not None:
            exchange.stop()
        self.side.forget(key)

    def forget(self, key: int, exchange: Exchange) -> None:
        """An exchange has ended. By now its id may be another one's."""
        if self.exchanges.get(key) is exchange:
            self.stop(key)

    def make_room(self, most: int, most_waiting: int) -> bool:
        """Whether there are fewer exchanges than ``most``. The oldest of those that wait for the client may have to go."""
        waiting = [key for key, exchange in self.exchanges.items() if exchange.waiting]
        if waiting and (len(waiting) >= most_waiting or len(self.exchanges) >= most):
            self.stop(waiting[0])
        return len(self.exchanges) < most

    def end(self) -> None:
        """The client says no more: whatever waits for it is over, the rest is still answered."""
        self.ended = True
        for key in [key for key, exchange in self.exchanges.items() if exchange.waiting]:
            self.stop(key)

    def dropped(self) -> None:
        """All exchanges are over."""
        for key in list(self.exchanges):
            self.stop(key)
