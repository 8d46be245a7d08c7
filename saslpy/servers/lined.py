"""A connection of a protocol of lines, with many requests under way: both of Dovecot's sockets.

It may idle for ever; half a line has a deadline. Answers come in any order and at any time, and a client that does not read
them is hung up on. While too much of what it has asked for is being worked on, or too many answers are unread, no more is
read of it.
"""

from __future__ import annotations

import math
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

import trio

from ..protocols import ProtocolError
from .outgoing import NotRead, Outgoing

RECEIVE = 16_384
"""Bytes that are read at a time."""

AT_WORK = 256
"""Tasks of a connection that work for it at a time. What is asked beyond that stays unread; each task has a deadline."""

ALL_AT_WORK = 6144
"""Those of a listener's connections together: more than the door lets in, noes that it holds back included."""

UNREAD = 16_384
"""Bytes of answers that wait for their client to read before it may ask for more."""

E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S", bound="Side[object]")


class Side(Protocol[E_co]):
    """The protocol without I/O, our side of one connection."""

    @property
    def halfway(self) -> bool:
        """Whether the beginning of a line has come."""

    def receive(self, data: bytes, /) -> Iterable[E_co]:
        """What has come. Raises ``ProtocolError``."""


class Load:
    """How many tasks work for a listener's connections. Over ``most``, none is read from."""

    def __init__(self, most: int = ALL_AT_WORK) -> None:
        self._most = most
        self._paused: OrderedDict[LinedConnection[Any], None] = OrderedDict()
        self.at_work = 0

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return self.at_work >= self._most

    def pause(self, connection: LinedConnection[Any]) -> None:
        """It waits for its turn, first come, first served."""
        self._paused[connection] = None

    def more(self) -> None:
        """One more works."""
        self.at_work += 1

    def less(self) -> None:
        """One less works."""
        self.at_work -= 1
        while self._paused and not self.full:
            self._paused.popitem(last=False)[0].make_room()
            if self.at_work > self._most // 2:
                return  # one for one, as long as there is much to do


class LinedConnection(Generic[S]):
    """One accepted connection. ``ended``: its client says no more. ``fault``: what it has done wrong.

    ``nursery`` is there as long as it is served. ``tasks`` counts those that ``start`` has begun and that have not ended.
    """

    __slots__ = ("_line_until", "_room", "ended", "fault", "load", "nursery", "out", "side", "socket", "tasks")

    def __init__(self, connection: socket.socket, side: S, load: Load) -> None:
        self.socket = connection
        self.side = side
        self.load = load
        self.out = Outgoing(connection)
        self.nursery: trio.Nursery | None = None
        self.ended = False
        self.fault = ""
        self.tasks = 0
        self._room: trio.Event | None = None  # the reader waits for room
        self._line_until = math.inf  # when the line must be whole that has begun

    def open(self, nursery: trio.Nursery) -> None:
        """From now on it is served by tasks of this nursery."""
        self.nursery = nursery
        if self.out.rest:
            nursery.start_soon(self._flush)

    # --- what comes, and who works for it

    async def receive(self, take: Callable[..., None], timeout: float) -> bool:
        """Take what comes next; False at the end. Raises ``ProtocolError``, for a line that is not whole in ``timeout``
        seconds, too.

        ``take(connection, event)`` is called for each event, when there is room for it.
        """
        try:
            await self._readable(timeout)
            await self._has_room()
            data = self.socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for event in self.side.receive(data):
            take(self, event)
            await self._has_room()
            if self.ended:
                return False
        if not self.side.halfway:
            self._line_until = math.inf
        elif b"\n" in data or self._line_until == math.inf:
            self._line_until = trio.current_time() + timeout
        return bool(data)

    async def _readable(self, timeout: float) -> None:
        if not self.side.halfway:
            await trio.lowlevel.wait_readable(self.socket)  # for ever, if need be
            return
        with trio.move_on_at(self._line_until) as scope:
            await trio.lowlevel.wait_readable(self.socket)
        if scope.cancelled_caught:
            raise ProtocolError(f"half a line, and no more of it in {timeout:g} s")

    def start(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Let a task do that."""
        assert self.nursery is not None, "it is not served"
        self.tasks += 1
        self.load.more()
        self.nursery.start_soon(self._run, work, arguments)

    async def _run(self, work: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
        try:
            await work(*arguments)
        finally:
            self.tasks -= 1
            self.load.less()
            self.make_room()

    @property
    def at_work(self) -> int:
        """Tasks that work for the client."""
        return self.tasks

    @property
    def _full(self) -> bool:
        return self.at_work >= AT_WORK or len(self.out.rest) > UNREAD or self.load.full

    async def _has_room(self) -> None:
        """Wait until there is room for another event, or all has ended."""
        while self._full and not self.ended:
            self._room = trio.Event()
            if self.load.full:
                self.load.pause(self)
            await self._room.wait()

    def make_room(self) -> None:
        """There may be room for another event, or all has ended."""
        if self._room is not None:
            self._room.set()
            self._room = None

    # --- what goes

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
            self.out.rest = b""
            self.gone()
        self.flushed()
        self.make_room()

    def flushed(self) -> None:
        """Nothing waits to be sent any more."""

    def gone(self) -> None:
        """The client has gone, as the reader will find out."""

    # --- the end

    def drop(self, fault: str = "") -> None:
        """Hang up, if that is not done; what was sent may still be read."""
        self.ended = True
        self.fault = self.fault or fault
        self.dropped()
        self.make_room()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def dropped(self) -> None:
        """It is being hung up on: whatever waits for it is over."""
