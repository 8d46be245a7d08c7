"""How long a login waits: for a backend that is silent its timeout, for its turn as long as others are answered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from saslpy import NEVER_HERE, Account, Login, Refusal
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Reason

from .fakes import list_log

TIMEOUT = 3.0


class Slow:
    """Takes so many seconds for each question."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def verify(self, login: Login, password: str) -> Account | Refusal:
        await trio.sleep(self.seconds)
        return Account(login.name)


class SlowBatch:
    """So many seconds for each question, which may be about many."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def lookup(self, login: Login) -> Account | None:
        return (await self.lookup_many([login]))[0]

    async def lookup_many(self, logins: Sequence[Login]) -> list[Account | None]:
        await trio.sleep(self.seconds)
        return [Account(login.name) for login in logins]


async def asked(guard: Guarded, number: int, seen: list[tuple[Reason | None, float]], until: float = 8.0) -> None:
    """One login of a client that waits until its deadline: what came of it, and after how many seconds."""
    since = trio.current_time()
    login = Login.of(f"user{number}")
    reason = None
    try:
        await (guard.lookup(login, since + until) if guard.has_secrets else guard.verify(login, "x", since + until))
    except BackendFailed as failure:
        reason = failure.reason
    seen.append((reason, trio.current_time() - since))


async def test_who_waits_for_a_worker_does_not_use_up_its_time(autojump_clock: MockClock) -> None:
    seen: list[tuple[Reason | None, float]] = []
    async with Guarded.around("b", Slow(2.0), TIMEOUT, Health(None), workers=4) as guard:
        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(asked, guard, number, seen)
        assert not guard.circuit_open
    # four at a time, two seconds each: the last ones at the login's own deadline
    assert [reason for reason, _ in seen].count(None) == 12
    assert all(seconds <= 8.0 for _, seconds in seen), seen


async def test_who_waits_for_the_next_question_does_not_use_up_its_time(autojump_clock: MockClock) -> None:
    seen: list[tuple[Reason | None, float]] = []
    async with Guarded.around("b", SlowBatch(1.9), TIMEOUT, Health(None)) as guard, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(asked, guard, number, seen)
            await trio.sleep(0.15)
    assert [reason for reason, _ in seen] == [None] * 20, seen


@pytest.mark.parametrize("workers", [4, None])
async def test_what_is_silent_is_waited_for_no_longer_than_its_timeout(
    workers: int | None, autojump_clock: MockClock
) -> None:
    seen: list[tuple[Reason | None, float]] = []
    backend = Slow(3600) if workers else SlowBatch(3600)
    async with Guarded.around("b", backend, TIMEOUT, Health(None), workers=workers) as guard:
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(asked, guard, number, seen)
                await trio.sleep(0.05)
        assert guard.circuit_open
    assert {reason for reason, _ in seen} == {Reason.TIMEOUT}
    assert all(seconds <= TIMEOUT + 0.2 for _, seconds in seen), seen


async def test_a_flood_for_a_backend_that_works_does_not_open_the_circuit(autojump_clock: MockClock) -> None:
    log, lines = list_log()
    seen: list[tuple[Reason | None, float]] = []
    async with Guarded.around("b", Slow(1.0), TIMEOUT, Health(log), workers=1) as guard:
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(asked, guard, number, seen, 4.5)
        assert not guard.circuit_open
        await asked(guard, 31, seen)
    assert seen[-1][0] is None
    assert seen.count((Reason.OVERLOAD, 4.5)) >= 25
    assert not [line for line in lines if "backend-down" in line], lines


@pytest.mark.parametrize("answer", [NEVER_HERE, Refusal(Reason.WRONG_PASSWORD, asked=False)])
async def test_an_answer_without_the_store_says_nothing_of_the_store(
    answer: Refusal, autojump_clock: MockClock
) -> None:
    log, lines = list_log()
    health = Health(log)

    class Picky:
        async def verify(self, login: Login, password: str) -> Account | Refusal:
            if login.name == "picky":
                return answer
            await trio.sleep(3600)
            raise AssertionError

    async with Guarded.around("b", Picky(), TIMEOUT, health) as guard:
        for number in range(3):
            with pytest.raises(BackendFailed):
                await guard.verify(Login.of(f"user{number}"), "x")
            if not guard.circuit_open:
                assert await guard.verify(Login.of("picky"), "x") == answer
        assert guard.circuit_open
        await trio.sleep(2)
        assert await guard.verify(Login.of("picky"), "x") == answer  # and the next question still finds out
        start = trio.current_time()
        with pytest.raises(BackendFailed):
            await guard.verify(Login.of("joe"), "x")
        assert trio.current_time() - start == TIMEOUT
    assert health.down("b")
    assert len(lines) == 1, lines


async def test_nobody_without_a_look_is_nobody() -> None:
    class Picky:
        def lookup(self, login: Login) -> Refusal:
            return NEVER_HERE

    async with Guarded.around("b", Picky(), TIMEOUT, Health(None)) as guard:
        assert await guard.lookup(Login.of("joe")) is None
