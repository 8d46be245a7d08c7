"""A connection of Courier's authdaemon socket: its request, as far as it has come, and what it is told."""

from __future__ import annotations

import socket

import trio

from ..protocols.authdaemon import ProtocolError, Request, RequestReader

RECEIVE = 65_536


class AuthdaemonConnection:
    """One accepted connection. ``request`` when it is complete, ``fault`` when it is none."""

    __slots__ = ("_fault", "reader", "request", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.reader = RequestReader()
        self.request: Request | None = None
        self._fault: ProtocolError | None = None

    def receive(self) -> bool:
        """Take what the socket has; False when nothing is left to do. Raises ``OSError``."""
        try:
            data = self.socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        try:
            self.request = self.reader.receive(data)
        except ProtocolError as fault:
            self._fault = fault
        return bool(data)

    async def read(self, seconds: float) -> Request | None:
        """The request, or None when nothing has come and nothing will. Raises ``ProtocolError`` and ``OSError``."""
        with trio.move_on_after(seconds):
            while self.request is None:
                if self._fault is not None:
                    raise self._fault
                await trio.lowlevel.wait_readable(self.socket)
                if not self.receive():
                    break
            if self.request is None and self.reader.started:
                raise ProtocolError("the caller hung up in the middle of its request")
            return self.request
        if self.reader.started:
            raise ProtocolError(f"half a request, and no more of it in {seconds:g} s")
        return None

    async def send(self, data: bytes, seconds: float) -> None:
        """All of it. Raises ``OSError``, and ``ProtocolError`` where it is not read in time."""
        with trio.move_on_after(seconds) as scope:
            while data:
                try:
                    data = data[self.socket.send(data, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.socket)
        if scope.cancelled_caught:
            raise ProtocolError(f"the reply was not read in {seconds:g} s")
