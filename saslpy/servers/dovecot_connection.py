"""A connection of the Dovecot auth protocol's client socket, and its exchanges: what they wait for, and their ends."""

from __future__ import annotations

import secrets
import socket

import trio

from ..protocols.dovecot.client import ClientSide
from ..protocols.dovecot.events import Binding, Response
from .outgoing import NotRead, Outgoing


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


class DovecotConnection:
    """One accepted connection. ``ended``: its client says no more. ``fault``: what it has done wrong.

    ``nursery`` is there as long as it is served. ``handed``: a login process may have a login of it.
    """

    __slots__ = ("_socket", "cookie", "cuid", "ended", "exchanges", "fault", "handed", "nursery", "out", "side")

    def __init__(self, connection: socket.socket, side: ClientSide, cuid: int) -> None:
        self._socket = connection
        self.side = side
        self.cuid = cuid
        self.cookie = secrets.token_hex(16)
        self.out = Outgoing(connection)
        self.exchanges: dict[int, Exchange] = {}
        self.nursery: trio.Nursery | None = None
        self.ended = False
        self.fault = ""
        self.handed = False

    @property
    def socket(self) -> socket.socket:
        """Where it is read."""
        return self._socket

    def open(self, nursery: trio.Nursery) -> None:
        """From now on it is served by tasks of this nursery."""
        self.nursery = nursery
        if self.out.rest:
            nursery.start_soon(self._flush)

    def write(self, data: bytes) -> None:
        """Send it, now or later; a client that does not read is hung up on."""
        flushed = not self.out.rest
        try:
            self.out.send(data)
        except NotRead as fault:
            self.drop(str(fault))
        except OSError:
            return  # it has gone, as the reader will find out
        if flushed and self.out.rest and self.nursery is not None:
            self.nursery.start_soon(self._flush)

    async def _flush(self) -> None:
        """The one writer of what could not be sent at once."""
        try:
            await self.out.flush()
        except NotRead as fault:
            self.drop(str(fault))
        except OSError:
            return

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

    def drop(self, fault: str = "") -> None:
        """Hang up: what was sent may still be read, all else is over."""
        self.ended = True
        self.fault = self.fault or fault
        for key in list(self.exchanges):
            self.stop(key)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
