"""A connection of Courier's authdaemon socket: its request, as far as it has come, and what it is told."""

from __future__ import annotations

import socket

import trio

from ..protocols import ProtocolError
from ..protocols.authdaemon import Request, RequestReader
from .requesting import RequestConnection


class AuthdaemonConnection(RequestConnection[Request]):
    """One accepted connection. ``reader`` knows what was told beside the request."""

    __slots__ = ("reader",)

    def __init__(self, connection: socket.socket) -> None:
        self.reader = RequestReader()
        super().__init__(connection, self.reader)

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
