"""Processes that the bench starts, and only those, are ended here, each by its pid. And what memory a daemon takes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@contextmanager
def spawned(command: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program while the block runs, its output in a file. It leads a process group of its own."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_tree(pid: int) -> None:
    """End a daemon that has left our process group, and its children."""
    members = tree(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while any(map(running, members)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for member in filter(running, members):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    return _status(pid)[0] not in ("", "Z", "X")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {int(entry.name): _status(int(entry.name))[1] for entry in Path("/proc").glob("[0-9]*")}
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def _status(pid: int) -> tuple[str, int]:
    """State and parent; ``("", 0)`` when it has gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, int(parent)


def memory_kib(pid: int, key: str = "Pss") -> int:
    """Memory of a process and its children. Pss: pages that several of them share are counted once. Or Rss."""
    return sum(_rollup(member, key) for member in tree(pid))


def _rollup(pid: int, key: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
    return 0
