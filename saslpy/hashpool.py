"""Password hashes are computed in as many processes as there are cores, never on the event loop.

Processes, since threads that come and go in libcrypt fight the event loop for the GIL: with 64 logins under way every
call to the kernel cost the loop 40 us, more than the call itself. Several cheap hashes go to a process in one packet.
The queue is bounded, and so is the memory that checks may use at the same time: a 256 MiB argon2 hash waits until
others are done. A job whose asker has given up is not started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

import trio

from .hashing import HashingFailed, Overloaded, Task, TooLate, cores, default_memory, machine_memory
from .process import wire
from .process.hashworker import DONE, MADE, NO_MEMORY, Result, read_results
from .process.link import Link, OddAnswer, WorkerEnded

MAX_WAITING = 1024
"""Jobs in the queue before a further one is refused."""

AHEAD = 0.004
"""Seconds of work that a process is given ahead: enough not to idle, little enough that nobody waits behind it."""

PATIENCE = (0.002, 0.040)
"""Seconds that results may wait for others, least and most, no longer than the work that waits takes.

A process that reports each result on its own wakes the event loop for each, and at 64 logins at a time the loop then
took a third of the machine. It is given that much more ahead.
"""

UNKNOWN = AHEAD + PATIENCE[1]
"""Seconds that a kind is taken to need before the first of it was seen: its process gets nothing else meanwhile."""

MAX_JOBS = 64
"""Jobs at one process."""

MAX_SIZE = 64 * 1024
"""Bytes of arguments at one process: they fit into its socket's buffer, in one packet."""

STUCK = 15.0
"""Seconds without a word after which a process is ended. The caps of ``passwords.limits`` allow about 5 s a job."""

LONGEST = 2 * STUCK
"""Seconds that a job can have taken. What takes longer is no measurement, and would make all others wait."""

REST = 0.1
"""Seconds without a process after one that had to be ended for what it said: its heir may be asked the same."""

SWEEP = 0.1
"""Seconds between two looks for what is too late: one timer for all costs less than one each."""

MAX_KINDS = 64
"""Kinds of hashes whose usual time is remembered."""

Start: TypeAlias = Callable[[], Awaitable[Link]]
"""Starts one process. It may take its time (back-off); it does not fail."""


@dataclass(slots=True, eq=False)
class _Job:
    task: Task
    memory: int  # MiB
    until: float
    asker: trio.lowlevel.Task
    cost: float = 0.0  # seconds that it is expected to take
    abandoned: bool = False
    result: Any = None
    error: Exception | None = None


class _Seat:
    """One process and what it has to do."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.jobs: dict[int, _Job] = {}
        self.load = 0.0  # seconds
        self.size = 0  # bytes
        self.heard = 0.0  # when it last told something, or got work after it had none

    def takes(self, ahead: float) -> bool:
        """Whether it should be given more, to have that many seconds of work ahead."""
        return self.load < ahead and len(self.jobs) < MAX_JOBS and self.size < MAX_SIZE

    def take(self, number: int, job: _Job) -> None:
        """One more job."""
        if not self.jobs:
            self.heard = trio.current_time()
        self.jobs[number] = job
        self.load += job.cost
        self.size += job.task.size

    def done(self, number: int) -> _Job:
        """A job is done. Raises ``OddAnswer`` when it was not given to this process."""
        job = self.jobs.pop(number, None)
        if job is None:
            raise OddAnswer("it answers what it was not asked")
        self.size -= job.task.size
        self.load = self.load - job.cost if self.jobs else 0.0
        return job


class HashPool:
    """Processes that compute hashes for tasks. Use ``async with HashPool.running(…)``.

    ``memory`` is the budget in MiB for all checks under way together. A single check above the budget runs alone; one
    that needs more than half of the machine is refused.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._largest = max(memory, machine_memory() // 2)
        self._free_memory = memory
        self._queue: deque[_Job] = deque()
        self._seats: list[_Seat] = []
        self._costs: dict[str, float] = {}
        self._number = 0
        self._idle = trio.lowlevel.ParkingLot()  # the task that gives jobs out, while there is nothing to give

    @classmethod
    @asynccontextmanager
    async def running(cls, start: Start, processes: int = 0, memory: int = 0) -> AsyncIterator[HashPool]:
        """A pool whose processes run while the block does; 0 means the machine's cores, and a quarter of its memory."""
        pool = cls(memory or default_memory())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool._dispatch_when_needed)
            nursery.start_soon(pool._sweep)
            for _ in range(processes or cores()):
                nursery.start_soon(pool._keep_seat, start)
            yield pool
            nursery.cancel_scope.cancel()

    async def run(self, task: Task, until: float = inf) -> Any:
        """The result of a task, by ``until`` (``trio.current_time``). Raises ``Overloaded`` and ``HashingFailed``."""
        if len(self._queue) >= MAX_WAITING:
            raise Overloaded("the queue of password checks is full")
        memory = task.memory_kib >> 10
        if memory > self._largest:
            raise HashingFailed(f"needs {memory} MiB of memory, [auth.passwords] memory_mib allows {self.memory}")
        job = _Job(task, min(memory, self.memory), until, trio.lowlevel.current_task())
        self._queue.append(job)
        self._idle.unpark()

        def abort(_raise: object) -> trio.lowlevel.Abort:
            job.abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if job.error is not None:
            raise job.error
        return job.result

    def quiet(self) -> bool:
        """Whether no job waits, and a process has nothing to do: what is given to it keeps nobody waiting."""
        return not self._queue and any(not seat.jobs for seat in self._seats)

    async def _dispatch_when_needed(self) -> None:
        """The jobs of one pass of the event loop go out together."""
        while True:
            self._dispatch()  # first, since an unpark before the first wait is lost
            await self._idle.park()

    def _dispatch(self) -> None:
        packets: dict[_Seat, list[tuple[int, str, Any]]] = {}
        patience = self._patience()
        while (seat := self._freest(AHEAD + patience)) is not None and (job := self._pick()) is not None:
            self._number += 1
            job.cost = self._costs.get(job.task.kind, UNKNOWN)
            seat.take(self._number, job)
            packets.setdefault(seat, []).append((self._number, job.task.name, job.task.args))
        for seat, packet in packets.items():
            self._send(seat, wire.encode((patience, packet)))

    def backlog(self) -> float:
        """For how many seconds the jobs in the queue keep all processes busy."""
        if not self._queue or not self._seats:
            return 0.0
        return len(self._queue) * self._costs.get(self._queue[0].task.kind, 0.0) / len(self._seats)

    def _patience(self) -> float:
        """How long results may wait for others: no longer than the jobs in the queue wait anyway."""
        return min(max(PATIENCE[0], self.backlog()), PATIENCE[1])

    def _freest(self, ahead: float) -> _Seat | None:
        """The process with the least to do, None when all have enough."""
        seat = min(self._seats, key=lambda seat: seat.load, default=None)
        return seat if seat is not None and seat.takes(ahead) else None

    def _pick(self) -> _Job | None:
        """The job at the head of the queue, if its memory is free."""
        queue = self._queue
        while queue and queue[0].abandoned:
            queue.popleft()
        if not queue or queue[0].memory > self._free_memory:
            return None
        job = queue.popleft()
        self._free_memory -= job.memory
        return job

    def _send(self, seat: _Seat, packet: bytes) -> None:
        try:
            if not seat.link.send(packet):
                seat.link.end(
                    "it does not read"
                )  # MAX_SIZE keeps this from happening; should it, nothing waits for nobody
        except WorkerEnded:
            return  # _keep_seat hears of it, too

    async def _keep_seat(self, start: Start) -> None:
        """One process after another."""
        while True:
            with await start() as link:
                try:
                    await self._listen(link)
                except OddAnswer as odd:
                    link.end(str(odd))
                    await trio.sleep(REST)
                except WorkerEnded:
                    pass

    async def _listen(self, link: Link) -> None:
        """Work with one process until it ends. Raises ``WorkerEnded``, and ``OddAnswer`` when it must be ended."""
        seat = _Seat(link)
        self._seats.append(seat)
        self._idle.unpark()
        try:
            while True:
                self._results(seat, await link.receive(read_results))
        finally:
            self._seats.remove(seat)
            self._fail_all(seat)
            self._idle.unpark()  # its memory is free for others

    def _results(self, seat: _Seat, results: list[tuple[int, int, Result, float]]) -> None:
        if not results:
            raise OddAnswer("it answers nothing")
        seat.heard = trio.current_time()
        for number, how, result, seconds in results:
            job = seat.done(number)
            try:
                self._settle(job, how, result, seconds)
            finally:
                self._finish(job)
        if self._queue:
            self._dispatch()

    def _settle(self, job: _Job, how: int, result: Result, seconds: float) -> None:
        """What came of a job. Raises ``OddAnswer`` when that cannot be: nothing is learnt from it, and the job fails."""
        if not (0.0 <= seconds <= LONGEST and type(result) is (MADE[job.task.name] if how == DONE else str)):
            job.error = HashingFailed("the process that computed the hash answered what cannot be")
            raise OddAnswer("it answers what cannot be")
        self._learn(job.task.kind, seconds)
        if how == DONE:
            job.result = result
        else:
            job.error = HashingFailed("no memory" if how == NO_MEMORY else str(result))

    def _finish(self, job: _Job) -> None:
        self._free_memory += job.memory
        if not job.abandoned:
            trio.lowlevel.reschedule(job.asker)

    def _fail_all(self, seat: _Seat) -> None:
        for job in seat.jobs.values():
            job.error = HashingFailed("the process that computed the hash has ended")
            self._finish(job)

    def _learn(self, kind: str, seconds: float) -> None:
        known = self._costs.get(kind)
        if known is not None:
            self._costs[kind] = known + (seconds - known) / 8
        elif len(self._costs) < MAX_KINDS:
            self._costs[kind] = seconds

    async def _sweep(self) -> None:
        """End what is too late: the wait for a job, the process that is stuck in one."""
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            for seat in self._seats:
                if seat.jobs and seat.heard < now - STUCK:
                    seat.link.end("did not answer in time")
                self._give_up(seat.jobs.values(), now)
            self._give_up(self._queue, now)

    def _give_up(self, jobs: Iterable[_Job], now: float) -> None:
        for job in jobs:
            if job.until <= now and not job.abandoned:
                job.abandoned = True
                job.error = TooLate("the hash was not computed in time")
                trio.lowlevel.reschedule(job.asker)
