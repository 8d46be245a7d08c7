"""Killing a process with all that it has started.

What has a session of its own, or has forked twice, is found by its parents: every child of the supervisor is told to be
the one to whom its descendants' orphans come (PR_SET_CHILD_SUBREAPER, prctl(2)).
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

ROUNDS = 8
"""How often we look again for what was started while we looked."""


def children_of(pid: int) -> list[int]:
    """Of all its threads. Nothing where /proc does not show them: for other processes than ourselves hidepid= may hide them
    (proc(5)), even from root without CAP_SYS_PTRACE, since our processes cannot be dumped."""
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)  # noqa: PTH208 (names, not paths)
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        with suppress(OSError):  # a thread may end while we look
            found += map(int, Path(folder, thread, "children").read_text().split())
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and what it has started. All are stopped first, so that nothing starts more while we look."""
    stopped: dict[int, None] = {}  # in the order of their finding
    for _ in range(ROUNDS):
        before = len(stopped)
        _stop(pid, stopped)
        if len(stopped) == before:
            break
    for one in reversed(stopped):  # from the leaves: an orphan would change its parent
        _send(one, signal.SIGKILL)


def _stop(pid: int, stopped: dict[int, None]) -> None:
    """Stop what is not stopped yet of a process and its descendants."""
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        if one not in stopped:
            _send(one, signal.SIGSTOP)
            stopped[one] = None
        waiting += children_of(one)


def _send(pid: int, number: signal.Signals) -> None:
    """A process that is gone does not mind; one of another user's is not ours to kill."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
