"""Worker processes for tests, started by exec: pytest's own process has threads, and must not fork."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from saslpy.process import wire
from saslpy.process.link import Link

SERVE = "import socket, sys; from {0} import serve; serve(socket.socket(fileno=int(sys.argv[1])))"


class Workers:
    """Hash workers that were started; all of them are gone at the end."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    async def start(self) -> Link:
        """One more."""
        ours, theirs = wire.pair()
        with theirs:
            program = SERVE.format("saslpy.process.hashworker")
            process = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        self.processes.append(process)
        return Link(ours, lambda _why: process.kill())


@contextmanager
def workers() -> Iterator[Workers]:
    """No worker outlives the block."""
    started = Workers()
    try:
        yield started
    finally:
        for process in started.processes:
            process.kill()
            process.wait()
