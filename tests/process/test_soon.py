"""Calls in the event loop's next pass."""

from __future__ import annotations

import trio
import trio.testing

from saslpy.process.soon import Soon


async def test_calls_are_made_in_the_next_pass_in_their_order() -> None:
    made: list[int] = []
    async with trio.open_nursery() as nursery:
        soon = Soon()
        nursery.start_soon(soon.run)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            soon(lambda number=number: made.append(number))  # type: ignore[misc]
        assert made == []
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert made == [0, 1, 2]
        nursery.cancel_scope.cancel()


async def test_what_comes_before_its_task_and_what_a_call_asks_for_is_called_too() -> None:
    called = trio.Event()
    async with trio.open_nursery() as nursery:
        soon = Soon()
        soon(lambda: soon(called.set))
        nursery.start_soon(soon.run)
        with trio.fail_after(2):
            await called.wait()
        nursery.cancel_scope.cancel()


async def test_another_thread_may_ask() -> None:
    called = trio.Event()
    async with trio.open_nursery() as nursery:
        soon = Soon()
        nursery.start_soon(soon.run)
        await trio.to_thread.run_sync(soon, called.set)
        with trio.fail_after(2):
            await called.wait()
        nursery.cancel_scope.cancel()
