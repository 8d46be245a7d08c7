"""The signals that a process was sent, for a loop without an event loop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HANDLED = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Signals:
    """Which signals have come since they were last taken.

    The handlers note them, so none is lost. The socket only wakes who waits: what is written there is lost when it is full.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    @contextmanager
    def caught(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """Caught while the block runs: the socket that is readable when one has come, and its other end."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            before = {number: signal.signal(number, self._note) for number in HANDLED}
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            try:
                yield ours, theirs
            finally:
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self._seen.add(number)

    def take(self) -> set[int]:
        """Those that have come, each once."""
        taken, self._seen = self._seen, set()
        return taken


def drain(sock: socket.socket) -> None:
    """Take what has woken us."""
    with suppress(BlockingIOError):
        while sock.recv(4096):
            pass
