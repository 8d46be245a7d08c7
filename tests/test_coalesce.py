"""Concurrent lookups become one question, and each asker gets its own answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from saslpy import Account, Login
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Reason

from .fakes import Batch


@pytest.fixture
async def batch() -> Batch:
    return Batch({"joe": "{PLAIN}a", "ann": "{PLAIN}b"})


@pytest.fixture
async def guarded(batch: Batch) -> AsyncIterator[Guarded]:
    async with Guarded.around("batch", batch, 3.0, Health(None)) as guarded:
        yield guarded


async def test_a_lone_lookup_goes_out_at_once_and_the_others_together(batch: Batch, guarded: Guarded) -> None:
    found: dict[str, Account | None] = {}

    async def look(name: str) -> None:
        found[name] = await guarded.lookup(Login.of(name))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, "joe")
        await trio.testing.wait_all_tasks_blocked()
        for name in ("x", "y", "ann", "joe", "z"):
            nursery.start_soon(look, name)
        await trio.testing.wait_all_tasks_blocked()
        batch.go.set()
    assert batch.batches[0] == ["joe"]
    assert sorted(batch.batches[1]) == ["ann", "joe", "x", "y", "z"]
    assert len(batch.batches) == 2
    assert {name: bool(account) for name, account in found.items()} == {
        "joe": True,
        "ann": True,
        "x": False,
        "y": False,
        "z": False,
    }


async def test_a_question_that_takes_long_does_not_hold_up_the_next(batch: Batch, guarded: Guarded) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guarded.lookup, Login.of("joe"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(guarded.lookup, Login.of("ann"))
        with trio.fail_after(1):
            while len(batch.batches) < 2:
                await trio.sleep(0.01)
        batch.go.set()
    assert batch.batches == [["joe"], ["ann"]]


async def test_the_same_name_is_asked_once(batch: Batch, guarded: Guarded) -> None:
    batch.go.set()
    answers: list[Account | None] = []

    async def look() -> None:
        answers.append(await guarded.lookup(Login.of("joe")))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(look)
    assert len(answers) == 20
    assert sum(len(names) for names in batch.batches) < 5


async def test_a_failure_is_everybodys_and_each_has_its_own_exception(batch: Batch, guarded: Guarded) -> None:
    batch.fail = RuntimeError("gone")
    errors: list[BackendFailed] = []

    async def look(name: str) -> None:
        with pytest.raises(BackendFailed) as error:
            await guarded.lookup(Login.of(name))
        errors.append(error.value)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(look, f"user{number}")
        await trio.testing.wait_all_tasks_blocked()
        batch.go.set()
    assert len({id(error) for error in errors}) == 6
    assert {error.detail for error in errors} == {"RuntimeError: gone"}
    batch.fail = None
    assert await guarded.lookup(Login.of("joe")) is not None


async def test_who_gives_up_does_not_harm_the_others(batch: Batch, guarded: Guarded) -> None:
    found: list[Account | None] = []

    async def look(name: str) -> None:
        found.append(await guarded.lookup(Login.of(name)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, "joe")
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.01):
            await guarded.lookup(Login.of("ann"))
        nursery.start_soon(look, "ann")
        await trio.testing.wait_all_tasks_blocked()
        batch.go.set()
    assert len(found) == 2
    assert all(found)


async def test_a_question_that_hangs_is_a_timeout_and_not_for_ever(batch: Batch) -> None:
    async with Guarded.around("batch", batch, 0.05, Health(None)) as guarded:
        with pytest.raises(BackendFailed) as error:
            await guarded.lookup(Login.of("joe"))
        assert error.value.reason is Reason.TIMEOUT
        batch.go.set()
        assert await guarded.lookup(Login.of("joe")) is not None


async def test_a_fault_of_one_row_is_not_the_others(batch: Batch, guarded: Guarded) -> None:
    batch.users["twice"] = RuntimeError("2 rows for one login")
    batch.go.set()
    results: dict[str, str] = {}

    async def look(name: str) -> None:
        try:
            results[name] = "account" if await guarded.lookup(Login.of(name)) else "none"
        except BackendFailed as failure:
            results[name] = failure.detail

    async with trio.open_nursery() as nursery:
        for name in ("twice", "joe", "nobody", "twice", "ann"):
            nursery.start_soon(look, name)
    assert results == {
        "twice": "RuntimeError: 2 rows for one login",
        "joe": "account",
        "nobody": "none",
        "ann": "account",
    }


async def test_lookups_wait_for_company_while_their_checks_would_wait_anyway(
    batch: Batch, autojump_clock: trio.testing.MockClock
) -> None:
    backlog = 0.05
    batch.go.set()
    async with Guarded.around("batch", batch, 3.0, Health(None), backlog=lambda: backlog) as guarded:
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for name in ("joe", "ann", "x"):
                nursery.start_soon(guarded.lookup, Login.of(name))
                await trio.sleep(0.001)
        assert batch.batches == [["joe", "ann", "x"]]
        assert trio.current_time() - start == pytest.approx(0.005)
        backlog = 0.005  # too little to be worth it
        start = trio.current_time()
        await guarded.lookup(Login.of("joe"))
        assert trio.current_time() == start
