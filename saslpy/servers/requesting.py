"""A connection of a protocol with one request and one reply: the mux socket's and Courier's."""

from __future__ import annotations

import socket
from typing import Generic, Protocol, TypeVar

import trio

from ..protocols import ProtocolError

RECEIVE = 65_536
"""Bytes that are read at a time."""

R_co = TypeVar("R_co", covariant=True)


class RequestReader(Protocol[R_co]):
    """The protocol's reader, without I/O."""

    @property
    def started(self) -> bool:
        """Whether any byte has come."""

    def receive(self, data: bytes, /) -> R_co | None:
        """The request if it is complete now, None when more is needed. Raises ``ProtocolError``."""


class RequestConnection(Generic[R_co]):
    """One accepted connection. ``request`` when it is complete, ``fault`` when it is none."""

    __slots__ = ("_reader", "fault", "request", "socket")

    def __init__(self, connection: socket.socket, reader: RequestReader[R_co]) -> None:
        self.socket = connection
        self._reader = reader
        self.request: R_co | None = None
        self.fault: ProtocolError | None = None

    def receive(self) -> bool:
        """Take what the socket has; False at the end of the stream. Raises ``OSError``."""
        try:
            data = self.socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        try:
            self.request = self._reader.receive(data)
        except ProtocolError as fault:
            self.fault = fault
        return bool(data)

    async def read(self, seconds: float) -> R_co | None:
        """The request, or None when nothing has come and nothing will. Raises ``ProtocolError`` and ``OSError``."""
        with trio.move_on_after(seconds):
            while self.request is None:
                if self.fault is not None:
                    raise self.fault
                await trio.lowlevel.wait_readable(self.socket)
                if not self.receive():
                    break
            if self.request is None and self._reader.started:
                raise ProtocolError("the caller hung up in the middle of its request")
            return self.request
        if self._reader.started:
            raise ProtocolError(f"half a request, and no more of it in {seconds:g} s")
        return None
