"""Where lines go: a file descriptor that may stall, and must never stall a login.

A full pipe or a stopped journal would block ``write``. So a line is written only when the descriptor can take it now
(a pipe that polls writable takes PIPE_BUF bytes without blocking, pipe(7)); otherwise it waits in a bounded backlog, and
what does not fit is dropped, counted, and told once there is room again.
"""

from __future__ import annotations

import os
import select
from collections import deque

MAX_LINE = 4096
"""Bytes of one line; PIPE_BUF on Linux, so that a line is written whole or not at all."""

MAX_BACKLOG = 10_000
"""Lines that wait for a stalled reader."""


class Sink:
    """Writes whole lines to a file descriptor without ever blocking."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._backlog: deque[bytes] = deque()
        self.dropped = 0

    def write(self, line: str) -> None:
        """One line, without its line end. Never raises, never waits."""
        data = line.encode("utf-8", "backslashreplace")[: MAX_LINE - 1] + b"\n"
        if (self._backlog and not self.flush()) or not self._put(data):
            self._keep(data)

    def flush(self) -> bool:
        """Write what waits, as far as the reader takes it; True when nothing is left."""
        while self._backlog and self._put(self._backlog[0]):
            self._backlog.popleft()
        return not self._backlog

    def take_dropped(self) -> int:
        """How many lines were lost since the last call, once there is room to tell."""
        lost, self.dropped = (self.dropped, 0) if not self._backlog else (0, self.dropped)
        return lost

    def _put(self, data: bytes) -> bool:
        try:
            ready = self._poll.poll(0)
            if not ready:
                return False
            # a reader that is gone (POLLERR) gets nothing any more, and must not end the daemon
            return bool(ready[0][1] & select.POLLERR) or os.write(self._fd, data) > 0
        except OSError:  # EIO, ENOSPC: the log is lost, the logins go on
            self.dropped += 1
            return True

    def _keep(self, data: bytes) -> None:
        if len(self._backlog) < MAX_BACKLOG:
            self._backlog.append(data)
        else:
            self.dropped += 1
