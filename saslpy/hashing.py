"""Password hashes are checked here: in as many threads as there are cores, never on the event loop.

A thread of the pool takes cheap hashes several at a time and reports their results together, since waking the event
loop costs more than an MD5-CRYPT. The queue is bounded, and so is the memory that checks may use at the same time: a
256 MiB argon2 hash waits until others are done. A job whose asker has given up is not started.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import trio

MAX_WAITING = 1024
"""Jobs in the queue before a further one is refused."""

REPORT_AFTER = 0.005
"""Seconds that a thread may gather results before it reports them, while jobs wait for every thread."""


class Overloaded(Exception):
    """The queue is full: the answer is "could not find out", at once."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], bool]
    memory: int  # MiB
    task: trio.lowlevel.Task
    abandoned: bool = False
    result: bool = False
    error: BaseException | None = field(default=None)


class HashPool:
    """Threads that run ``work() -> bool`` for tasks. Use ``async with HashPool.running(…)``.

    ``memory`` is the budget in MiB for all checks under way together. A single check above the budget runs alone.
    """

    def __init__(self, threads: int, memory: int) -> None:
        self.threads = threads
        self.memory = memory
        self._queue: deque[_Job] = deque()
        self._free_memory = memory
        self._stopping = False
        self._condition = threading.Condition()
        self._token: trio.lowlevel.TrioToken | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, threads: int | None = None, memory: int | None = None) -> AsyncIterator[HashPool]:
        """A pool whose threads run while the block does."""
        pool = cls(threads or cores(), memory or default_memory())
        pool._token = trio.lowlevel.current_trio_token()
        for number in range(pool.threads):
            # daemon threads: one second of bcrypt must not hold up the end of the process
            threading.Thread(target=pool._serve, name=f"hash-{number}", daemon=True).start()
        try:
            yield pool
        finally:
            with pool._condition:
                pool._stopping = True
                pool._condition.notify_all()

    async def run(self, work: Callable[[], bool], memory_kib: int = 0) -> bool:
        """The result of ``work``, run in a thread. Raises ``Overloaded``, and whatever ``work`` raises."""
        job = _Job(work, min(memory_kib >> 10, self.memory), trio.lowlevel.current_task())
        with self._condition:
            if len(self._queue) >= MAX_WAITING:
                raise Overloaded("the queue of password checks is full")
            self._queue.append(job)
            self._condition.notify()

        def abort(_raise: object) -> trio.lowlevel.Abort:
            job.abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if job.error is not None:
            raise job.error
        return job.result

    def _serve(self) -> None:
        while (job := self._take()) is not None:
            done = [job]
            self._work_off(job)
            deadline = monotonic() + REPORT_AFTER
            while monotonic() < deadline and (more := self._take_at_once()) is not None:
                self._work_off(more)
                done.append(more)
            self._report(done)

    def _take(self) -> _Job | None:
        """The next job, waiting for one; None at the end."""
        with self._condition:
            while True:
                if self._stopping:
                    return None
                if (job := self._pick()) is not None:
                    return job
                self._condition.wait()

    def _take_at_once(self) -> _Job | None:
        """The next job if that leaves the other threads theirs, else None."""
        with self._condition:
            return self._pick() if len(self._queue) >= self.threads else None

    def _pick(self) -> _Job | None:
        """The job at the head of the queue, if its memory is free. Called under the lock."""
        queue = self._queue
        while queue and queue[0].abandoned:
            queue.popleft()
        if not queue or queue[0].memory > self._free_memory:
            return None
        job = queue.popleft()
        self._free_memory -= job.memory
        return job

    def _work_off(self, job: _Job) -> None:
        try:
            job.result = job.work()
        except BaseException as error:
            job.error = error
        if job.memory:
            with self._condition:
                self._free_memory += job.memory
                self._condition.notify_all()

    def _report(self, jobs: list[_Job]) -> None:
        assert self._token is not None
        try:
            self._token.run_sync_soon(_deliver, jobs)
        except trio.RunFinishedError:
            self._stopping = True


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if not job.abandoned:
            trio.lowlevel.reschedule(job.task)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def default_memory() -> int:
    """A quarter of the machine's memory in MiB, at least 300: one hash of Dovecot's default kind always fits."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return max(300, pages * size // 4 >> 20)
