"""A channel to a worker process, as the process that asks sees it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import trio

from . import wire


class WorkerEnded(Exception):
    """The process at the other end is gone."""


class OddAnswer(WorkerEnded):
    """It is there, and says what nobody has asked it: it is to be ended."""


@dataclass(slots=True, eq=False)
class Link:
    """One worker: packets to it and from it. ``end`` kills it, at once and for sure, and gets the reason for the log."""

    socket: socket.socket
    end: Callable[[str], None] = field(default=lambda _why: None)
    pid: int = 0
    _room: wire.Room = field(default_factory=wire.Room, init=False, repr=False)

    def __post_init__(self) -> None:
        self.socket.setblocking(False)

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The worker ends by itself once it has done what it is at."""
        self.socket.close()

    def alive(self) -> bool:
        """Whether the worker is still there, as far as can be told without asking it.

        Raises ``OddAnswer`` when it has sent something, though nobody has asked.
        """
        try:
            unasked = self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if unasked:
            raise OddAnswer("it answers without a question")
        return False

    def send(self, packet: bytes) -> bool:
        """Whether the packet has gone; False when the worker has enough unread ones. Raises ``WorkerEnded``."""
        try:
            self.socket.send(packet)
        except BlockingIOError:
            return False
        except OSError as error:
            raise WorkerEnded(error.strerror) from None
        return True

    async def receive(self, read: Callable[[bytes], Any] = wire.decode) -> Any:
        """The value of the next packet. Raises ``WorkerEnded``, and ``OddAnswer`` when ``read`` makes nothing of it."""
        packet = await self.receive_packet()
        try:
            return read(packet)
        except wire.Malformed:
            raise OddAnswer("it sends what is no answer") from None

    async def receive_packet(self) -> bytes:
        """The next packet. Raises ``WorkerEnded``."""
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            try:
                packet = self._room.receive(self.socket)
            except BlockingIOError:
                continue
            except OSError as error:
                raise WorkerEnded(error.strerror) from None
            if not packet:
                raise WorkerEnded("the process has ended")
            return packet
