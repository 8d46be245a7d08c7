"""The first process of a private server: until it greets, and until it has ended."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable


def await_greeting(process: subprocess.Popen[bytes], port: int, greeting: bytes, log: Callable[[], str]) -> None:
    """Return when whoever connects to the port is greeted so; fail when the process ends, or does not do it in 20 s.

    One that has failed is ended: who could not enter its block does not leave it either.
    """
    try:
        _await(process, port, greeting, log)
    except BaseException:
        end(process)
        raise


def _await(process: subprocess.Popen[bytes], port: int, greeting: bytes, log: Callable[[], str]) -> None:
    deadline = time.monotonic() + 20.0
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                if sock.recv(200).startswith(greeting):
                    return
        except OSError:
            pass
        assert process.poll() is None, f"it ended:\n{log()}"
        assert time.monotonic() < deadline, f"it does not answer:\n{log()}"
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
