"""The guard: whatever a plug-in does, the core hears an answer or "could not find out", and the daemon lives on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from saslpy import Account, Login, Refusal
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Reason

from .fakes import Broken, list_log

JOE = Login.of("joe@example.org")


@asynccontextmanager
async def guarded(backend: Any, timeout: float = 1.0) -> AsyncIterator[Guarded]:
    log, _lines = list_log()
    async with Guarded.around("b", backend, timeout, Health(log)) as guard:
        yield guard


class Answers:
    """A store that answers one thing."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def lookup(self, login: Login) -> Any:
        return self.answer


class Many(Answers):
    """A batch store that answers one thing for the first login, and an account for the others."""

    def lookup_many(self, logins: Sequence[Login]) -> list[Any]:
        return [self.answer if login.name == "odd" else Account(login.name) for login in logins]


ODD = [
    (Account("joe", "{PLAIN}secret"), "secrets"),  # type: ignore[arg-type]
    (Account("joe", (b"{PLAIN}secret",)), "secrets"),  # type: ignore[arg-type]
    (Account("joe", ["{PLAIN}secret"]), "secrets"),  # type: ignore[arg-type]
    (Account(None), "login"),  # type: ignore[arg-type]
    (Account(""), "login"),
    (Account("joe", disabled="no"), "disabled is neither"),  # type: ignore[arg-type]
    (Account("joe", expired=0), "expired"),  # type: ignore[arg-type]
    (Account("joe", allow_nets=("any",)), "no network"),
    (Account("joe", allow_nets="10.0.0.0/8"), "allow_nets"),  # type: ignore[arg-type]
    (Account("joe", deny_services="smtp"), "deny_services"),  # type: ignore[arg-type]
    ("joe", "str, not Account"),
    (False, "bool, not Account"),
]


@pytest.mark.parametrize(("answer", "told"), ODD)
async def test_an_odd_answer_is_no_answer(answer: Any, told: str) -> None:
    async with guarded(Answers(answer)) as guard:
        with pytest.raises(BackendFailed, match=told) as caught:
            await guard.lookup(JOE)
    assert "secret" not in str(caught.value).replace("secrets", "")


async def test_an_odd_answer_among_many_harms_its_own_login_alone() -> None:
    async with guarded(Many("odd")) as guard, trio.open_nursery() as nursery:

        async def fine(name: str) -> None:
            assert await guard.lookup(Login.of(name)) == Account(name)

        async def fails() -> None:
            with pytest.raises(BackendFailed, match="not Account"):
                await guard.lookup(Login.of("odd"))

        for name in ("ann", "joe", "tom"):
            nursery.start_soon(fine, name)
        nursery.start_soon(fails)


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, GeneratorExit, SystemExit, StopIteration, MemoryError, TimeoutError]
)
@pytest.mark.parametrize("blocking", [True, False])
async def test_whatever_is_raised_is_no_answer(kind: type[BaseException], blocking: bool) -> None:
    def make() -> BaseException:
        return kind("odd")

    class Blocking:
        def lookup(self, login: Login) -> Account:
            raise make()

    async with guarded(Blocking() if blocking else Broken(make)) as guard:
        with pytest.raises(BackendFailed):
            await guard.lookup(JOE)


async def test_a_message_that_shows_the_password_does_not_pass() -> None:
    class Talkative:
        def verify(self, login: Login, password: str) -> Account | Refusal:
            raise RuntimeError(f"login {login.name} with hunter2 failed: {password}")

    async with guarded(Talkative()) as guard:
        with pytest.raises(BackendFailed) as caught:
            await guard.verify(JOE, "hunter2")
    assert "hunter2" not in caught.value.detail
    assert "failed" in caught.value.detail


@pytest.mark.parametrize(
    "make",
    [
        lambda password: RuntimeError(f"failed: {password}"),
        lambda password: RuntimeError(f"failed: {password!r}"),
        lambda password: RuntimeError("x" * 280 + password),
        KeyError,  # its text is the repr
    ],
)
async def test_nor_does_it_reach_the_log_or_the_status(make: Callable[[str], Exception]) -> None:
    password = "hunter2  is\tlong, and 'quoted'"
    log, lines = list_log()
    health = Health(log)

    class Talkative:
        def verify(self, login: Login, password: str) -> Account | Refusal:
            raise make(password)

    async with Guarded.around("b", Talkative(), 1.0, health) as guard:
        with pytest.raises(BackendFailed) as caught:
            await guard.verify(JOE, password)
    down = health.down("b")
    assert down is not None
    for told in (*lines, down[1], caught.value.detail, str(caught.value)):
        assert "hunter2" not in told


async def test_a_slow_backend_is_no_answer_in_time() -> None:
    class Slow:
        async def verify(self, login: Login, password: str) -> Account | Refusal:
            await trio.sleep(60)
            return Refusal(Reason.WRONG_PASSWORD)

    async with guarded(Slow(), timeout=0.05) as guard:
        with trio.fail_after(5), pytest.raises(BackendFailed) as caught:
            await guard.verify(JOE, "x")
    assert caught.value.reason is Reason.TIMEOUT
