"""The guard: whatever a plug-in does, the core hears an answer or "could not find out", and the daemon lives on."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import trio

from saslpy import Account, BadRecord, Login, Refusal
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import DOUBTS, Reason
from saslpy.texts import describe

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
    (Account("a\nb"), "login holds what no name may"),
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
    assert caught.value.detail == "RuntimeError (its text shows what is secret)"


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


SPELLINGS = [
    lambda password: password,
    repr,
    lambda password: repr(password.encode()),
    json.dumps,
    quote,
    lambda password: quote(password, safe=""),
    quote_plus,
    lambda password: base64.b64encode(password.encode()).decode(),
]


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("password", ["password", "pä ss/word+1", "x", "a\"b'c\\d\n"])
def test_a_text_that_shows_a_secret_is_left_out_whole(spelled: Callable[[str], str], password: str) -> None:
    text = f"Exceed {spelled(password)} retry limit"
    assert describe(RuntimeError(text), [password]) == "RuntimeError (its text shows what is secret)"
    assert describe(RuntimeError("a text"), ["", "secret"]) == "RuntimeError: a text"


NO_REFUSALS = [
    (Refusal(Reason.TIMEOUT, "server down"), "timeout says that nothing was found out: raise an exception"),
    (Refusal(Reason.BACKEND_FAILED), "nothing was found out"),
    (Refusal("unknown-user"), "reason is no saslpy.Reason"),  # type: ignore[arg-type]
    (Refusal(None), "reason is no saslpy.Reason"),  # type: ignore[arg-type]
    (Refusal(Reason.DISABLED, b"x"), "detail is no text"),  # type: ignore[arg-type]
    (None, "NoneType, not Account or Refusal"),
]


@pytest.mark.parametrize(("answer", "told"), NO_REFUSALS)
async def test_what_is_no_definite_no_is_no_answer(answer: Any, told: str) -> None:
    class Odd:
        def verify(self, login: Login, password: str) -> Any:
            return answer

    async with guarded(Odd()) as guard:
        with pytest.raises(BackendFailed, match=told):
            await guard.verify(JOE, "x")


@pytest.mark.parametrize("reason", sorted(set(Reason) - DOUBTS))
async def test_every_other_reason_is_one(reason: Reason) -> None:
    class No:
        def verify(self, login: Login, password: str) -> Refusal:
            return Refusal(reason)

    async with guarded(No()) as guard:
        assert await guard.verify(JOE, "x") == Refusal(reason)


@pytest.mark.parametrize("batch", [True, False])
async def test_a_bad_record_is_its_own_logins_trouble(batch: bool) -> None:
    log, lines = list_log()
    health = Health(log)

    class Store:
        def lookup(self, login: Login) -> Account:
            if login.name == "twice":
                raise BadRecord("two rows for one login")
            return Account(login.name, ("{PLAIN}x",))

        if batch:

            def lookup_many(self, logins: Sequence[Login]) -> list[Account | Exception]:
                return [BadRecord("two rows for one login") for _ in logins]

    async with Guarded.around("b", Store(), 1.0, health) as guard:
        for _ in range(3):
            with pytest.raises(BackendFailed, match="two rows"):
                await guard.lookup(Login.of("twice"))
            if not batch:
                assert await guard.lookup(Login.of("joe"))
        assert health.down("b") is None
        assert lines == []
        health.failed("b", "it was away")
        with pytest.raises(BackendFailed, match="two rows"):
            await guard.lookup(Login.of("twice"))
    assert health.down("b") is None  # it has answered
