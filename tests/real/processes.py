"""The first process of a private server: until it greets, and until it has ended."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 60.0
"""On a machine that runs other tests, too."""


def await_greeting(
    process: subprocess.Popen[bytes], port: int, greeting: bytes, log: Callable[[], str], seconds: float = SECONDS
) -> None:
    """Return when whoever connects to the port is greeted so; fail when the process ends, or does not do it in time.

    One that has failed is ended: who could not enter its block does not leave it either.
    """
    try:
        _await(process, port, greeting, log, seconds)
    except BaseException:
        end(process)
        raise


def _await(
    process: subprocess.Popen[bytes], port: int, greeting: bytes, log: Callable[[], str], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    heard = "nobody listens"
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                heard = "it accepts, and says nothing"
                # one connection to the end: each further one is work for a machine that has too much of it already
                sock.settimeout(max(1.0, deadline - time.monotonic()))
                said = sock.recv(200)
                if said.startswith(greeting):
                    return
                heard = f"it says {said!r}"
        except OSError:
            pass
        assert process.poll() is None, f"it ended:\n{log()}"
        assert time.monotonic() < deadline, (
            f"no {greeting!r} on port {port} in {seconds} s: {heard}. It waits in {_waits(process)}. Its log:\n{log()}"
        )
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes] | None, seconds: float = 15.0) -> None:
    """Tell it to end, which ends what it has started; kill it when it takes longer."""
    if process is None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _waits(process: subprocess.Popen[bytes]) -> str:
    """Where in the kernel it is, as far as we may know."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/wchan").read_text() or "nothing"
    return "?"
