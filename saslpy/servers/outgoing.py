"""Bytes on their way to a client that may not read: sent at once where they fit, else kept, bounded in size and time."""

from __future__ import annotations

import socket

import trio

MOST = 65_536
"""Bytes that may wait. Clients read as they write, so more of them means one that does not read at all."""

PATIENCE = 10.0
"""Seconds in which a client must read what waits: not some byte of it now and then."""


class NotRead(Exception):
    """The client does not read what it has asked for."""


class Outgoing:
    """What a socket is told, in order. ``flush`` must run while there is a ``rest``."""

    __slots__ = ("_socket", "rest")

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.rest = b""

    def send(self, data: bytes) -> None:
        """Send it behind what waits. Raises ``OSError``, and ``NotRead`` when too much would wait."""
        if not self.rest:
            data = data[self._sent(data) :]
        if len(self.rest) + len(data) > MOST:
            raise NotRead(f"over {MOST} bytes wait to be read")
        self.rest += data

    async def flush(self) -> None:
        """Send all that waits, as fast as it is read. Raises ``OSError``, and ``NotRead`` when that takes too long."""
        while self.rest:
            with trio.move_on_after(PATIENCE) as scope:
                await self._flush(len(self.rest))
            if scope.cancelled_caught:
                raise NotRead(f"what was sent was not read in {PATIENCE:g} s")

    async def _flush(self, due: int) -> None:
        """Send so many bytes of what waits; there may be more by then."""
        while due > 0:
            await trio.lowlevel.wait_writable(self._socket)
            sent = self._sent(self.rest)
            self.rest = self.rest[sent:]
            due -= sent

    def _sent(self, data: bytes) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
