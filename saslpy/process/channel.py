"""The supervisor's end of its channel to the auth process."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from . import wire


class NotSent(Exception):
    """A packet has not gone; the message says why."""


class Deaf(NotSent):
    """The other end has so much unread that it takes no more."""


class Channel:
    """Packets to and fro, without waiting. ``odd`` counts those that made no sense."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.odd = 0
        self._room = wire.Room()

    def close(self) -> None:
        """The other end hears of it."""
        self.socket.close()

    def receive(self) -> bytes | None:
        """A packet; None when there is none, an empty one when the other end is closed."""
        try:
            return self._received()
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _received(self) -> bytes:
        try:
            return self._room.receive(self.socket)
        except ConnectionResetError:
            # it ended with something of ours unread: this is told once, and before what it had said itself
            return self._room.receive(self.socket)

    def send(self, message: Any, files: Sequence[int] = ()) -> None:
        """A message with file descriptors. Raises ``NotSent``."""
        packet = wire.encode(message)
        if len(packet) > wire.MAX_PACKET:
            raise NotSent("it is too long")
        try:
            socket.send_fds(self.socket, [packet], files)
        except BlockingIOError:
            raise Deaf("it does not listen") from None
        except OSError as error:
            raise NotSent(os.strerror(error.errno or 0)) from None
