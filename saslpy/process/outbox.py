"""Packets that wait until the other end of a channel takes them: nobody who says something waits for it."""

from __future__ import annotations

import socket
from collections import deque

import trio

MAX_UNSENT = 2048
"""Packets that may wait. An end that leaves so many unread is not well."""

FULL = 0.01
"""Seconds until the next try where the channel can be written to, but does not take so long a packet."""


class Outbox:
    """Sends at once what can be sent, the rest in its order. ``run`` is its task."""

    def __init__(self, channel: socket.socket, most: int = MAX_UNSENT) -> None:
        self._channel = channel
        self._most = most
        self._unsent: deque[bytes] = deque()
        self._waits = trio.Event()

    def send(self, packet: bytes, keep: bool = True) -> bool:
        """Whether the packet has gone, or will go; False when too many wait. One for an end that is gone is lost.

        Without ``keep`` it goes at once or not at all.
        """
        if not self._unsent and self._goes(packet):
            return True
        if not keep or len(self._unsent) >= self._most:
            return False
        self._unsent.append(packet)
        self._waits.set()
        return True

    async def run(self) -> None:
        """What waits. It waits for ever: who is gone is heard of on its own."""
        while True:
            await self._waits.wait()
            self._waits = trio.Event()
            while self._unsent:
                await trio.lowlevel.wait_writable(self._channel)
                if self._goes(self._unsent[0]):
                    self._unsent.popleft()
                else:
                    await trio.sleep(FULL)

    def _goes(self, packet: bytes) -> bool:
        """Whether a packet need not be sent any more."""
        try:
            self._channel.send(packet)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the other end is gone
        return True
