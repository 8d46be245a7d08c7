"""Hash workers that have been taken over: what they say ends them, and nobody else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from saslpy import hashpool
from saslpy.hashing import HashingFailed, Task
from saslpy.hashpool import HashPool
from saslpy.process import wire
from saslpy.process.hashworker import DONE, NO_MEMORY
from saslpy.process.link import Link

from .test_hashpool import Played, check, starts

Packet = Callable[[int], bytes]
FAULT = 2


def results(*found: Any) -> Packet:
    """Results, whose number is put in the place of ``...``."""
    return lambda number: wire.encode([[number if part is ... else part for part in one] for one in found])


ODD: dict[str, Packet] = {
    "no msgpack": lambda number: b"\xc1garbage",
    "too deep": lambda number: b"\x91" * 150_000,
    "not UTF-8": lambda number: b"\x91\x94\x01\x00\xa2\xff\xfe\x01",
    "a number": wire.encode,
    "nothing": lambda number: wire.encode([]),
    "no list of fours": lambda number: wire.encode([[number, DONE, True]]),
    "what nobody asked": results((2**40, DONE, True, 0.001)),
    "an answer twice": results((..., DONE, True, 0.001), (..., DONE, True, 0.001)),
    "a number that is none": results(("one", DONE, True, 0.001)),
    "a time that is none": results((..., DONE, True, "long")),
    "NaN": results((..., DONE, True, math.nan)),
    "infinity": results((..., DONE, True, math.inf)),
    "less than no time": results((..., DONE, True, -1.0)),
    "more time than there was": results((..., DONE, True, 1e9)),
    "a text for a yes": results((..., DONE, "yes", 0.001)),
    "a number for a yes": results((..., DONE, 1, 0.001)),
    "nothing for a yes": results((..., DONE, None, 0.001)),
    "a list for a yes": results((..., DONE, [[b"x"], [0]], 0.001)),
    "a fault that is no text": results((..., FAULT, True, 0.001)),
    "no memory, and more": results((..., NO_MEMORY, [[], []], 0.001)),
}


class Told(Played):
    """A worker that remembers why it was ended."""

    why = ""

    def kill(self, why: str) -> None:
        self.why = why
        super().kill(why)


@pytest.mark.parametrize("case", ODD)
async def test_it_is_ended_and_another_one_answers(case: str, autojump_clock: trio.testing.MockClock) -> None:
    odd, good = Told(), Told()
    async with HashPool.running(starts(odd, good), 1) as pool:
        assert case == "an answer twice" or await _asked(pool, odd, ODD[case]) is None
        if case == "an answer twice":
            assert await _asked(pool, odd, ODD[case]) is True  # the first counts
        assert await _asked(pool, good, results((..., DONE, False, 0.001))) is False
        assert pool._costs["MD5-CRYPT"] <= 0.001  # nothing was learnt from it
    assert odd.why.startswith("it ")
    assert not good.killed
    _close(odd, good)


def _close(*workers: Played) -> None:
    for worker in workers:
        worker.end.close()
        worker.link.close()


async def _asked(pool: HashPool, worker: Played, packet: Packet) -> bool | None:
    """The answer to a check that a worker answers with a packet; None for "could not find out"."""
    answers: list[bool | None] = []

    async def ask() -> None:
        try:
            answers.append(await pool.run(check("one", "one")))
        except HashingFailed:
            answers.append(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        (number,) = await worker.given()
        assert worker.end.send(packet(number))
    return answers[0]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [("make", "{SSHA}x", True), ("matching", [[b"x"], [0]], True), ("matching", [["x"], ["y"]], [["x"], ["y"]])],
)
async def test_each_task_has_results_of_its_own_type(
    name: str, right: Any, wrong: Any, autojump_clock: trio.testing.MockClock
) -> None:
    task = Task(name, ())
    for result, fits in ((right, right != wrong), (wrong, False)):
        played, heir = Told(), Told()
        async with HashPool.running(starts(played, heir), 1) as pool, trio.open_nursery() as nursery:
            nursery.start_soon(_answer, played, result)
            if fits:
                await pool.run(task)
            else:
                with pytest.raises(HashingFailed):
                    await pool.run(task)
        assert bool(played.why) is not fits
        _close(played, heir)


async def _answer(played: Played, result: Any) -> None:
    played.answer(*await played.given(), result=result)


async def test_those_that_follow_are_started_one_after_another(autojump_clock: trio.testing.MockClock) -> None:
    """One that says such things at once must not have processes started as fast as they can be."""
    begun: list[float] = []

    async def start() -> Link:
        begun.append(trio.current_time())
        ours, theirs = wire.pair()
        theirs.send(b"\xc1")
        return Link(ours, lambda _why: theirs.close())

    async with HashPool.running(start, 1):
        await trio.sleep(5 * hashpool.REST - 0.01)
    assert len(begun) == 5
