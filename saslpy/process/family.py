"""The supervisor's children: who runs, who has ended, who must end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import inf
from time import monotonic, sleep

from ..observe.log import Log
from .children import Child, adopt_orphans
from .ending import children_of, kill_tree

END = 0.5
"""Seconds that workers get to end by themselves when the supervisor ends."""

KILLED = 2.0
"""Seconds to wait for those that were killed: one that hangs in the kernel ends when that lets it."""


class Family:
    """All children by their pid. What a child has started and left behind comes to us, and is killed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._children: dict[int, Child] = {}
        # with `exec`, a shell gives us what it has started before
        self._strangers = frozenset(children_of(os.getpid()))
        # the first process of a container gets everybody's orphans, and cannot tell which are ours
        self._mops = os.getpid() != 1
        adopt_orphans()

    def add(self, child: Child) -> None:
        """One more."""
        self._children[child.pid] = child

    def get(self, pid: int) -> Child | None:
        """The child with a pid."""
        return self._children.get(pid)

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._children.values()))

    def count(self, key: str) -> int:
        """How many of a role run, without those that we end."""
        return sum(child.key == key and not child.ends for child in self._children.values())

    def total(self, name: str) -> int:
        """How many there are of a role in all its generations, with those that are hard to end."""
        return sum(child.role == name for child in self._children.values())

    def reap(self) -> list[tuple[Child, int]]:
        """Those that have ended, with their exit status, negative for a signal (``os.waitstatus_to_exitcode``)."""
        ended = []
        somebody = False
        while (found := _waited()) is not None:
            somebody = True
            child = self._children.pop(found[0], None)
            if child is not None:
                ended.append((child, found[1]))
        if somebody:
            self._mop()
        return ended

    def _mop(self) -> None:
        """Kill what has lost its parent. Its own children are found when its end is heard of."""
        for pid in self._strays():
            kill_tree(pid)

    def _strays(self) -> set[int]:
        return set(children_of(os.getpid())) - self._strangers - self._children.keys() if self._mops else set()

    def end_later(self, children: Iterable[Child], seconds: float) -> None:
        """Kill these unless they end by themselves within some seconds."""
        at = monotonic() + seconds
        for child in children:
            child.kill_at = min(child.kill_at, at)

    def kill_due(self, now: float) -> None:
        """Kill whose time is over."""
        for child in self._children.values():
            if child.kill_at <= now:
                child.kill_at = inf
                self.kill(child, "did not end in time")

    def kill(self, child: Child, why: str) -> None:
        """End one, once, with all that it has started."""
        if not child.wanted_dead:
            self._log.warning("killed", process=child.role, pid=child.pid, detail=why)
            child.kill()

    def next_kill(self) -> float:
        """When the next one's time is over (``monotonic``)."""
        return min((child.kill_at for child in self._children.values()), default=inf)

    def end_all(self) -> None:
        """Workers end when their channel does; what is left is killed."""
        self._wait_for_all(END)
        for child in self._children.values():
            child.kill()
        self._mop()
        self._wait_for_all(KILLED)

    def _wait_for_all(self, seconds: float) -> None:
        end = monotonic() + seconds
        self.reap()
        while (self._children or self._strays()) and monotonic() < end:
            sleep(0.01)
            self.reap()


def _waited() -> tuple[int, int] | None:
    """The pid and the exit status of a child that has ended."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None
