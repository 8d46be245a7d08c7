"""The hash pool: results reach the right task, and its queue, its memory and its end are bounded.

Real worker processes where that is the point; elsewhere a worker that the test plays itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from saslpy import hashpool, passwords
from saslpy.hashing import HashingFailed, HashThreads, Overloaded, Task
from saslpy.hashpool import HashPool
from saslpy.process import wire
from saslpy.process.hashworker import DONE, NO_MEMORY
from saslpy.process.link import Link

from .real.workers import workers

STORED = {word: passwords.make("MD5-CRYPT", word).encode() for word in ("one", "two", "three")}


def check(stored: str, tried: str) -> Task:
    return Task("check", ([(STORED[stored], "CRYPT")], tried.encode(), b""), kind="MD5-CRYPT", size=100)


class Played:
    """A worker that the test plays: what it was given, and what it answers."""

    def __init__(self) -> None:
        ours, theirs = wire.pair()
        self.link = Link(ours, self.kill)
        self.end = Link(theirs)
        self.killed = False

    def kill(self, why: str) -> None:
        self.killed = True
        self.end.socket.close()

    async def given(self) -> list[int]:
        """The numbers of the next packet."""
        with trio.fail_after(5):
            _patience, questions = await self.end.receive()
            return [number for number, _task, _args in questions]

    def answer(self, *numbers: int, result: Any = True, how: int = DONE, seconds: float = 0.0001) -> None:
        assert self.end.send(wire.encode([(number, how, result, seconds) for number in numbers]))


def starts(*played: Played) -> Callable[[], Awaitable[Link]]:
    waiting = list(played)

    async def start() -> Link:
        if not waiting:
            await trio.sleep_forever()
        return waiting.pop(0).link

    return start


async def forget(pool: HashPool, task: Task) -> None:
    """Ask, and do not mind if the pool's end comes before the answer."""
    with contextlib.suppress(HashingFailed):
        await pool.run(task)


@asynccontextmanager
async def pool_of(*played: Played, memory: int = 0) -> AsyncIterator[tuple[HashPool, trio.Nursery]]:
    async with trio.open_nursery() as nursery:
        async with HashPool.running(starts(*played), len(played), memory) as pool:
            yield pool, nursery
        nursery.cancel_scope.cancel()
    for one in played:
        one.end.close()
        one.link.close()


async def test_each_task_gets_its_own_result_from_real_processes() -> None:
    with workers() as started:
        wrong: list[tuple[str, str]] = []

        async def one(pool: HashPool, stored: str, tried: str) -> None:
            if await pool.run(check(stored, tried)) is not (stored == tried):
                wrong.append((stored, tried))

        async with HashPool.running(started.start, 2) as pool, trio.open_nursery() as nursery:
            for _ in range(40):
                for stored in STORED:
                    for tried in STORED:
                        nursery.start_soon(one, pool, stored, tried)
        assert len(started.processes) == 2
    assert wrong == []


async def test_a_process_gives_way_to_the_auth_process() -> None:
    with workers() as started:
        async with HashPool.running(started.start, processes=1) as pool:
            await pool.run(check("one", "one"))  # it is past its start
            pid = started.processes[0].pid
            assert os.sched_getscheduler(pid) == os.SCHED_BATCH
            assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_new_secret_is_made() -> None:
    with workers() as started:
        async with HashPool.running(started.start, 1) as pool:
            made = await pool.run(Task("make", ("SHA512-CRYPT", b"secret", b"", {})))
        assert passwords.parse(made).check(b"secret")
    assert passwords.parse(await HashThreads().run(Task("make", ("SSHA", b"secret", b"", {})))).check(b"secret")


async def test_a_worker_that_is_killed_costs_its_jobs_and_is_replaced() -> None:
    slow = Task("make", ("PBKDF2", b"secret", b"", {"rounds": 3_000_000}), kind="slow")
    with workers() as started:
        async with HashPool.running(started.start, 1) as pool, trio.open_nursery() as nursery:

            async def fails() -> None:
                with pytest.raises(HashingFailed, match="ended"):
                    await pool.run(slow)

            assert await pool.run(check("one", "one"))
            nursery.start_soon(fails)
            await trio.sleep(0.05)
            started.processes[0].send_signal(signal.SIGKILL)
            assert await pool.run(check("two", "two"))
        assert len(started.processes) == 2


async def test_a_fault_and_a_lack_of_memory_are_no_answer() -> None:
    played = Played()
    async with pool_of(played) as (pool, nursery):

        async def fails(how: str) -> None:
            with pytest.raises(HashingFailed, match=how):
                await pool.run(check("one", "one"))

        nursery.start_soon(fails, "no memory")
        played.answer(*await played.given(), how=NO_MEMORY, result="")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(fails, "KeyError")
        played.answer(*await played.given(), how=2, result="KeyError")
        await trio.testing.wait_all_tasks_blocked()


async def test_jobs_of_one_pass_go_out_in_one_packet_once_they_are_known_to_be_cheap() -> None:
    played = Played()
    async with pool_of(played) as (pool, nursery):
        for _ in range(5):
            nursery.start_soon(forget, pool, check("one", "one"))
        first = await played.given()
        assert len(first) == 1  # nothing is known of its cost yet
        played.answer(*first)
        assert len(await played.given()) == 4


async def test_a_costly_job_is_given_alone() -> None:
    played = Played(), Played()
    async with pool_of(*played) as (pool, nursery):
        nursery.start_soon(forget, pool, check("one", "one"))
        await trio.testing.wait_all_tasks_blocked()
        played[0].answer(*await played[0].given(), seconds=0.5)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            nursery.start_soon(forget, pool, check("one", "one"))
        assert [len(await one.given()) for one in played] == [1, 1]
        with trio.move_on_after(0.05) as scope:
            await played[0].end.receive()
        assert scope.cancelled_caught


async def test_a_job_that_nobody_waits_for_is_not_started() -> None:
    played = Played()
    async with pool_of(played) as (pool, nursery):
        nursery.start_soon(forget, pool, check("one", "one"))
        first = await played.given()
        with trio.move_on_after(0.01):
            await pool.run(check("two", "two"))
        nursery.start_soon(forget, pool, check("three", "three"))
        await trio.testing.wait_all_tasks_blocked()
        played.answer(*first)
        assert await played.given() == [first[0] + 1]


async def test_a_full_queue_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashpool, "MAX_WAITING", 3)
    played = Played()
    async with pool_of(played) as (pool, nursery):
        for _ in range(4):
            nursery.start_soon(forget, pool, check("one", "one"))
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await pool.run(check("one", "one"))


async def test_memory_is_shared_and_a_giant_runs_alone() -> None:
    played = [Played() for _ in range(4)]
    hungry = Task("check", ((), b"", b""), kind="hungry", memory_kib=40 << 10)
    giant = Task("check", ((), b"", b""), kind="giant", memory_kib=200 << 10)
    async with pool_of(*played, memory=100) as (pool, nursery):
        for task in (hungry, hungry, hungry, giant):
            nursery.start_soon(forget, pool, task)
            await trio.testing.wait_all_tasks_blocked()
        first, second = await played[0].given(), await played[1].given()
        played[0].answer(*first, seconds=0.1)
        third = await played[0].given()  # the third of the hungry, now that there is room
        played[0].answer(*third, seconds=0.1)
        with trio.move_on_after(0.05) as scope:
            await played[0].end.receive()
        assert scope.cancelled_caught  # the giant waits until everything is free
        played[1].answer(*second, seconds=0.1)
        assert len(await played[0].given()) == 1


async def test_what_would_take_half_the_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashpool, "machine_memory", lambda: 1024)
    async with pool_of(Played(), memory=100) as (pool, _nursery):
        with pytest.raises(HashingFailed, match="513 MiB"):
            await pool.run(Task("check", ((), b"", b""), memory_kib=513 << 10))


async def test_a_worker_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashpool, "STUCK", 0.1)
    played = Played()
    async with pool_of(played) as (pool, _nursery):
        with trio.fail_after(5), pytest.raises(HashingFailed):
            await pool.run(check("one", "one"))
    assert played.killed


async def test_it_is_quiet_when_a_process_has_nothing_to_do() -> None:
    played = Played(), Played()
    async with pool_of(*played) as (pool, nursery):
        await trio.testing.wait_all_tasks_blocked()
        assert pool.quiet()
        nursery.start_soon(forget, pool, check("one", "one"))
        await trio.testing.wait_all_tasks_blocked()
        assert pool.quiet()
        for _ in range(2):
            nursery.start_soon(forget, pool, check("one", "one"))
        await trio.testing.wait_all_tasks_blocked()
        assert not pool.quiet()
        played[0].answer(*await played[0].given())
        await trio.testing.wait_all_tasks_blocked()
        assert not pool.quiet()  # the third one is there now
    assert HashThreads().quiet()
