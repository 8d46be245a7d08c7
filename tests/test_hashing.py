"""The hash pool: results reach the right task, and its queue, its memory and its end are bounded."""

from __future__ import annotations

import threading
import time

import pytest
import trio

from saslpy import hashing
from saslpy.hashing import HashPool, Overloaded


async def test_each_task_gets_its_own_result() -> None:
    async with HashPool.running(threads=4) as pool:
        wrong: list[int] = []

        async def one(number: int) -> None:
            if await pool.run(lambda: number % 3 == 0) != (number % 3 == 0):
                wrong.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(one, number)
    assert wrong == []


async def test_an_error_reaches_its_task_alone() -> None:
    def bad() -> bool:
        raise ValueError("no such luck")

    async with HashPool.running(threads=1) as pool:
        with pytest.raises(ValueError, match="no such luck"):
            await pool.run(bad)
        assert await pool.run(lambda: True)


async def test_a_job_that_nobody_waits_for_is_not_started() -> None:
    hold, started = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return True

    async with HashPool.running(threads=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.run, lambda: hold.wait(5))
        await trio.sleep(0.05)
        with trio.move_on_after(0.01):
            await pool.run(work)
        hold.set()
        assert await pool.run(lambda: True)
    assert not started.is_set()


async def test_a_full_queue_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "MAX_WAITING", 3)
    hold = threading.Event()
    async with HashPool.running(threads=1) as pool, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(pool.run, lambda: hold.wait(5))
            await trio.sleep(0.02)
        with pytest.raises(Overloaded):
            await pool.run(lambda: True)
        hold.set()


async def test_memory_is_shared_and_a_giant_runs_alone() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def hungry() -> bool:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return True

    async with HashPool.running(threads=4, memory=100) as pool, trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(pool.run, hungry, 64 << 10)
        nursery.start_soon(pool.run, hungry, 10_000 << 10)
    assert most[0] == 1


async def test_the_event_loop_goes_on_while_hashes_run() -> None:
    def busy() -> bool:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            time.sleep(0.001)
        return True

    async with HashPool.running(threads=2) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.run, busy)
        ticks = 0
        with trio.move_on_after(0.2):
            while True:
                await trio.sleep(0.001)
                ticks += 1
    assert ticks > 20
