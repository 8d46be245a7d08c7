"""The circuit breaker: silence opens it, any answer closes it, and one question a second gets through meanwhile."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from saslpy import Account, Login
from saslpy.breaker import PROBE_EVERY, Breaker
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Reason


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_several_logins_in_a_row_open_it() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(10):
        breaker.silent("joe")
    assert breaker.lets_through()
    breaker.silent("ann")
    breaker.answered()
    breaker.silent("tom")
    breaker.silent("ann")
    assert breaker.lets_through()
    breaker.silent("joe")
    assert not breaker.lets_through()


def test_one_question_a_second_gets_through_and_its_answer_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for name in ("a", "b", "c"):
        breaker.silent(name)
    for _ in range(3):
        assert not breaker.lets_through()
        clock.now += PROBE_EVERY
        assert breaker.lets_through()
    assert not breaker.lets_through()
    breaker.answered()
    assert all(breaker.lets_through() for _ in range(10))


class Sometimes:
    """A verifier that hangs until told otherwise."""

    def __init__(self) -> None:
        self.hangs = True
        self.asked = 0

    async def verify(self, login: Login, password: str) -> Account:
        self.asked += 1
        if self.hangs:
            await trio.sleep_forever()
        return Account(login.name)


async def _seconds(guard: Guarded, name: str) -> float:
    start = trio.current_time()
    with pytest.raises(BackendFailed) as caught:
        await guard.verify(Login.of(name), "x")
    assert caught.value.reason is Reason.TIMEOUT
    return trio.current_time() - start


async def test_a_hung_backend_is_waited_for_by_few_and_answers_soon_after_its_return(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = Sometimes()
    async with Guarded.around("b", backend, 3.0, Health(None)) as guard:
        for name in ("a", "b", "c"):
            assert await _seconds(guard, name) == pytest.approx(3.0)
        assert await _seconds(guard, "d") == 0.0
        asked = backend.asked
        for number in range(100):
            assert await _seconds(guard, f"u{number}") == 0.0
        assert backend.asked == asked
        backend.hangs = False
        await trio.sleep(PROBE_EVERY)
        assert await guard.verify(Login.of("joe"), "x") == Account("joe")
        assert await guard.verify(Login.of("ann"), "x") == Account("ann")


async def test_one_backend_cannot_take_all_places() -> None:
    backend = Sometimes()
    async with Guarded.around("b", backend, 3.0, Health(None), limit=2) as guard, trio.open_nursery() as nursery:
        for name in ("a", "b"):
            nursery.start_soon(guard.verify, Login.of(name), "x")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BackendFailed) as caught:
            await guard.verify(Login.of("c"), "x")
        assert caught.value.reason is Reason.OVERLOAD
        nursery.cancel_scope.cancel()
