"""A connection of a protocol of lines, with many requests under way: both of Dovecot's sockets.

It may idle for ever; half a line has a deadline. Answers come in any order and at any time, and a client that does not read
them is hung up on.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

import trio

from ..protocols import ProtocolError
from .outgoing import NotRead, Outgoing

RECEIVE = 16_384
"""Bytes that are read at a time."""

E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S", bound="Side[object]")


class Side(Protocol[E_co]):
    """The protocol without I/O, our side of one connection."""

    @property
    def halfway(self) -> bool:
        """Whether the beginning of a line has come."""

    def receive(self, data: bytes, /) -> Iterable[E_co]:
        """What has come. Raises ``ProtocolError``."""


class LinedConnection(Generic[S]):
    """One accepted connection. ``ended``: its client says no more. ``fault``: what it has done wrong.

    ``nursery`` is there as long as it is served.
    """

    __slots__ = ("ended", "fault", "nursery", "out", "side", "socket")

    def __init__(self, connection: socket.socket, side: S) -> None:
        self.socket = connection
        self.side = side
        self.out = Outgoing(connection)
        self.nursery: trio.Nursery | None = None
        self.ended = False
        self.fault = ""

    def open(self, nursery: trio.Nursery) -> None:
        """From now on it is served by tasks of this nursery."""
        self.nursery = nursery
        if self.out.rest:
            nursery.start_soon(self._flush)

    async def receive(self, take: Callable[..., None], timeout: float) -> bool:
        """Take what comes next; False at the end. Raises ``ProtocolError``, for half a line too, after ``timeout`` seconds.

        ``take(connection, event)`` is called for each event.
        """
        try:
            await self._readable(timeout)
            data = self.socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for event in self.side.receive(data):
            take(self, event)
        return bool(data)

    async def _readable(self, timeout: float) -> None:
        if not self.side.halfway:
            await trio.lowlevel.wait_readable(self.socket)  # for ever, if need be
            return
        with trio.move_on_after(timeout) as scope:
            await trio.lowlevel.wait_readable(self.socket)
        if scope.cancelled_caught:
            raise ProtocolError(f"half a line, and no more of it in {timeout:g} s")

    def write(self, data: bytes) -> None:
        """Send it, now or later; a client that does not read is hung up on."""
        flushed = not self.out.rest
        try:
            self.out.send(data)
        except NotRead as fault:
            self.drop(str(fault))
        except OSError:
            self.gone()
        if flushed and self.out.rest and self.nursery is not None:
            self.nursery.start_soon(self._flush)

    async def _flush(self) -> None:
        """The one writer of what could not be sent at once."""
        try:
            await self.out.flush()
        except NotRead as fault:
            self.drop(str(fault))
        except OSError:
            self.gone()
        self.flushed()

    def flushed(self) -> None:
        """Nothing waits to be sent any more."""

    def gone(self) -> None:
        """The client has gone, as the reader will find out."""

    def drop(self, fault: str = "") -> None:
        """Hang up, if that is not done; what was sent may still be read."""
        self.ended = True
        self.fault = self.fault or fault
        self.dropped()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def dropped(self) -> None:
        """It is being hung up on: whatever waits for it is over."""
