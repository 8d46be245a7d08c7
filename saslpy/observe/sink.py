"""Where lines go: a file descriptor that may stall, and must never stall a login.

A full pipe or a stopped journal would block ``write``. So bytes are written only when the descriptor can take them now (a
pipe that polls writable takes PIPE_BUF bytes without blocking, pipe(7)); otherwise lines wait in a bounded backlog, and
what does not fit is dropped, counted, and told once there is room again. A disk that is full is waited for in the same
way; of a line that it took in part, the rest comes first. Lines of one pass of the event loop are written together, when
there is one (``later``).
"""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

MAX_LINE = 4096
"""Bytes of one line and of one write; PIPE_BUF on Linux, so that a line is written whole or not at all."""

MAX_BACKLOG = 10_000
"""Lines that wait for a stalled reader."""

PASSES = frozenset({errno.EAGAIN, errno.ENOSPC, errno.EDQUOT})
"""Why a write may fail now and work later."""


class _Line(NamedTuple):
    """``weight``: how many lines are lost with it, as a line that tells of lost ones stands for all of them."""

    data: bytes
    weight: int


class Sink:
    """Writes whole lines to a file descriptor without ever blocking."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._backlog: deque[_Line] = deque()
        self._begun = False  # the first of the backlog is the rest of a line
        self._torn = False  # what was written last has no line end, and will get none
        self._due = False
        self.later: Callable[[Callable[[], object]], None] | None = None
        self.dropped = 0

    def write(self, line: str, weight: int = 1) -> None:
        """One line, without its line end. Never raises, never waits."""
        if len(self._backlog) >= MAX_BACKLOG:
            self.flush()
        if len(self._backlog) >= MAX_BACKLOG:
            self.dropped += weight
            return
        self._backlog.append(_Line(line.encode("utf-8", "backslashreplace")[: MAX_LINE - 1] + b"\n", weight))
        if self.later is None:
            self.flush()
        elif not self._due:
            self._due = True
            self.later(self.flush)

    def forget(self) -> None:
        """Drop what waits, in a child: its parent will write it."""
        self._backlog.clear()
        self.later, self._due = None, False

    def flush(self) -> bool:
        """Write what waits, as far as the reader takes it; True when nothing is left."""
        self._due = False
        while self._backlog and self._ready() and self._put(self._next()):
            pass
        return not self._backlog

    def take_dropped(self) -> int:
        """How many lines were lost since the last call, once there is room to tell."""
        lost, self.dropped = (self.dropped, 0) if len(self._backlog) < MAX_BACKLOG else (0, self.dropped)
        return lost

    def _next(self) -> list[_Line]:
        """As many lines as one write takes."""
        backlog = self._backlog
        lines = [backlog.popleft()]
        size = len(lines[0].data)
        while backlog and size + len(backlog[0].data) <= MAX_LINE:
            size += len(backlog[0].data)
            lines.append(backlog.popleft())
        return lines

    def _ready(self) -> bool:
        try:
            return bool(self._poll.poll(0))
        except OSError:
            return False

    def _put(self, lines: list[_Line]) -> bool:
        """Write, and put back what was not taken; False when there is no sense in going on now.

        A reader that is gone (EPIPE) costs the log, and nothing else.
        """
        start = b"\n" if self._torn else b""
        try:
            written = os.write(self._fd, start + b"".join([line.data for line in lines]))
        except OSError as error:
            if error.errno in PASSES:
                self._backlog.extendleft(reversed(lines))
                return False
            self.dropped += sum([line.weight for line in lines])
            self._torn, self._begun = self._torn or self._begun, False
            return True
        self._torn = self._torn and not written
        self._put_back(lines, max(0, written - len(start)))
        return written > 0

    def _put_back(self, lines: list[_Line], written: int) -> None:
        """Keep what lies behind the first ``written`` bytes."""
        for number, line in enumerate(lines):
            if written < len(line.data):
                self._backlog.extendleft(reversed([_Line(line.data[written:], line.weight), *lines[number + 1 :]]))
                self._begun = written > 0 or (self._begun and number == 0)
                return
            written -= len(line.data)
        self._begun = False
