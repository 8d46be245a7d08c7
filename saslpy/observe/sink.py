"""Where lines go: a file descriptor that may stall, and must never stall a login.

A full pipe or a stopped journal would block ``write``. So bytes are written only when the descriptor can take them now (a
pipe that polls writable takes PIPE_BUF bytes without blocking, pipe(7)); otherwise lines wait in a bounded backlog, and
what does not fit is dropped, counted, and told once there is room again. Lines of one pass of the event loop are written
together, when there is one (``later``).
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

MAX_LINE = 4096
"""Bytes of one line and of one write; PIPE_BUF on Linux, so that a line is written whole or not at all."""

MAX_BACKLOG = 10_000
"""Lines that wait for a stalled reader."""


class Sink:
    """Writes whole lines to a file descriptor without ever blocking."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._backlog: deque[bytes] = deque()
        self._due = False
        self.later: Callable[[Callable[[], object]], None] | None = None
        self.dropped = 0

    def write(self, line: str) -> None:
        """One line, without its line end. Never raises, never waits."""
        if len(self._backlog) >= MAX_BACKLOG:
            self.flush()
        if len(self._backlog) >= MAX_BACKLOG:
            self.dropped += 1
            return
        self._backlog.append(line.encode("utf-8", "backslashreplace")[: MAX_LINE - 1] + b"\n")
        if self.later is None:
            self.flush()
        elif not self._due:
            self._due = True
            self.later(self.flush)

    def flush(self) -> bool:
        """Write what waits, as far as the reader takes it; True when nothing is left."""
        self._due = False
        while self._backlog and self._ready():
            self._put(self._next())
        return not self._backlog

    def take_dropped(self) -> int:
        """How many lines were lost since the last call, once there is room to tell."""
        lost, self.dropped = (self.dropped, 0) if len(self._backlog) < MAX_BACKLOG else (0, self.dropped)
        return lost

    def _next(self) -> bytes:
        """As many lines as one write takes."""
        backlog = self._backlog
        lines = [backlog.popleft()]
        size = len(lines[0])
        while backlog and size + len(backlog[0]) <= MAX_LINE:
            size += len(backlog[0])
            lines.append(backlog.popleft())
        return b"".join(lines)

    def _ready(self) -> bool:
        try:
            return bool(self._poll.poll(0))
        except OSError:
            return False

    def _put(self, data: bytes) -> None:
        """A reader that is gone (EPIPE), or a full disk, costs the log, and nothing else."""
        try:
            os.write(self._fd, data)
        except OSError:
            self.dropped += data.count(b"\n")
