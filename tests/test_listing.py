"""All users of a backend, who exists, and as whom they may send: through the guard, whatever a plug-in does."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from saslpy import NEVER_HERE, Account, Login, Refusal
from saslpy import listing as listings
from saslpy.accounts import AccountTemplate
from saslpy.backend import BadRecord
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Reason

from .fakes import list_log

JOE, ANN = Account("joe", ("{PLAIN}x",), uid=8), Account("ann", ("{PLAIN}y",))


@asynccontextmanager
async def guarded(backend: Any, timeout: float = 1.0) -> AsyncIterator[Guarded]:
    async with Guarded.around("b", backend, timeout, Health(None)) as guard:
        yield guard


class Only:
    """A verifier without any other ability."""

    async def verify(self, login: Login, password: str) -> Account | Refusal:
        return Account(login.name)


class Lists(Only):
    """Gives what it is told to give as its list."""

    def __init__(self, make: Callable[[], Any] = lambda: [JOE, ANN]) -> None:
        self.make = make

    def accounts(self) -> Any:
        return self.make()


class ListsAsync(Lists):
    async def accounts(self) -> Any:
        await trio.lowlevel.checkpoint()
        return self.make()


def generated() -> Iterator[Account]:
    yield JOE
    yield ANN


KINDS = [Lists, ListsAsync]


# --- lists


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [lambda: [JOE, ANN], lambda: (JOE, ANN), generated, {"x": JOE, "y": ANN}.values])
async def test_sorted_and_without_secrets(kind: type[Lists], make: Callable[[], Iterable[Account]]) -> None:
    async with guarded(kind(make)) as guard:
        assert guard.can_list
        assert await guard.accounts() == [Account("ann"), Account("joe", uid=8)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: [JOE, None], "lists NoneType, not Account"),
        (lambda: ["joe"], "lists str, not Account"),
        (lambda: None, "lists NoneType, not accounts"),
        (lambda: [JOE, Account("a\nb")], r"an account 'a\\nb' whose login holds what no name may"),
        (lambda: [Account("joe", uid=-1)], "an account 'joe' whose uid is no number from 0"),
        (lambda: [Account(7)], "an account '7' whose login is no text"),  # type: ignore[arg-type]
    ],
)
async def test_one_that_is_not_sound_fails_the_list(kind: type[Lists], make: Callable[[], Any], told: str) -> None:
    async with guarded(kind(make)) as guard:
        with pytest.raises(BackendFailed, match=told) as caught:
            await guard.accounts()
    assert caught.value.reason is Reason.BACKEND_FAILED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [OSError, BadRecord, KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit])
async def test_whatever_is_raised_is_no_list(kind: type[Lists], error: type[BaseException]) -> None:
    def make() -> Any:
        raise error("odd")

    def late() -> Iterator[Account]:
        yield JOE
        make()

    for how in (make, late):
        async with guarded(kind(how)) as guard:
            with pytest.raises(BackendFailed):
                await guard.accounts()


async def test_a_failing_list_says_nothing_about_logins() -> None:
    log, lines = list_log()
    health = Health(log)

    def broken() -> Any:
        raise OSError("the disk is gone")

    async with Guarded.around("b", Lists(broken), 1.0, health) as guard:
        for _ in range(5):
            with pytest.raises(BackendFailed, match="the disk is gone"):
                await guard.accounts()
        assert not guard.circuit_open
        assert await guard.verify(Login.of("joe"), "x") == Account("joe")
    assert health.down("b") is None
    assert lines == []


async def test_what_is_to_be_done_with_each_is_done() -> None:
    template = AccountTemplate(home="/var/vmail/{login}")
    async with guarded(Lists()) as guard:
        accounts = await guard.accounts(finish=template.fill)
    assert [account.home for account in accounts] == ["/var/vmail/ann", "/var/vmail/joe"]


async def test_a_backend_that_cannot() -> None:
    async with guarded(Only()) as guard:
        assert not guard.can_list
        with pytest.raises(BackendFailed, match="cannot list"):
            await guard.accounts()


async def test_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MOST", 10)
    async with guarded(Lists(lambda: [JOE] * 11)) as guard:
        with pytest.raises(BackendFailed, match="more than 10 accounts"):
            await guard.accounts()


async def test_an_async_list_that_never_comes(autojump_clock: MockClock) -> None:
    class Hangs(Only):
        async def accounts(self) -> list[Account]:
            await trio.sleep_forever()
            raise AssertionError

    async with guarded(Hangs()) as guard:
        for until, seconds in ((float("inf"), 50.0), (trio.current_time() + 57, 7.0)):
            began = trio.current_time()
            with pytest.raises(BackendFailed, match="not listed in time") as caught:
                await guard.accounts(until)
            assert caught.value.reason is Reason.TIMEOUT
            assert trio.current_time() - began == pytest.approx(seconds)


async def test_a_blocking_list_that_hangs_holds_up_no_login_and_ends() -> None:
    """Eight of them would be all threads that logins have."""
    go, ended = threading.Event(), threading.Event()

    class Hangs(Only):
        def verify(self, login: Login, password: str) -> Account | Refusal:  # type: ignore[override]
            return Account(login.name)

        def accounts(self) -> Iterator[Account]:
            try:
                go.wait(10)
                while True:
                    yield JOE
            finally:
                ended.set()

    async with guarded(Hangs()) as guard:
        try:
            for _ in range(12):
                with pytest.raises(BackendFailed, match="not listed in time"):
                    await guard.accounts(trio.current_time() + 0.01)
            with trio.fail_after(5):
                assert await guard.verify(Login.of("joe"), "x") == Account("joe")
        finally:
            go.set()
        assert await trio.to_thread.run_sync(ended.wait, 5)  # nobody waits any more, so it stops


async def test_logins_go_on_beside_a_long_list() -> None:
    class Busy(Only):
        def accounts(self) -> Iterator[Account]:
            for number in range(20_000):
                yield Account(f"user{number}", uid=number)

    async with guarded(Busy()) as guard, trio.open_nursery() as nursery:
        nursery.start_soon(guard.accounts)
        await trio.sleep(0.01)
        with trio.fail_after(5):
            for _ in range(20):
                assert await guard.verify(Login.of("joe"), "x")
                await trio.sleep(0.001)


# --- who exists


class Finds(Only):
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def find(self, login: Login) -> Any:
        self.asked.append(login.name)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class FindsAsync(Finds):
    async def find(self, login: Login) -> Any:
        return super().find(login)


@pytest.mark.parametrize("kind", [Finds, FindsAsync])
@pytest.mark.parametrize(("answer", "expected"), [(JOE, JOE), (None, None), (NEVER_HERE, None)])
async def test_found_or_not(kind: type[Finds], answer: Any, expected: Account | None) -> None:
    async with guarded(kind(answer)) as guard:
        assert guard.can_find
        assert await guard.find(Login.of("joe")) == expected


@pytest.mark.parametrize("kind", [Finds, FindsAsync])
@pytest.mark.parametrize(
    "answer",
    [False, "joe", Account(""), Refusal(Reason.DISABLED), OSError("away"), BadRecord("two"), KeyboardInterrupt()],
)
async def test_could_not_find_out(kind: type[Finds], answer: Any) -> None:
    async with guarded(kind(answer)) as guard:
        with pytest.raises(BackendFailed):
            await guard.find(Login.of("joe"))


async def test_a_store_is_asked_by_lookup() -> None:
    class Store:
        def lookup(self, login: Login) -> Account | None:
            return JOE if login.name == "joe" else None

        def find(self, login: Login) -> Account | None:
            raise AssertionError

    async with guarded(Store()) as guard:
        assert guard.can_find
        assert await guard.find(Login.of("joe")) == JOE
        assert await guard.find(Login.of("ann")) is None


async def test_who_cannot_tell_says_so() -> None:
    async with guarded(Only()) as guard:
        assert not guard.can_find
        with pytest.raises(BackendFailed, match="can only check passwords"):
            await guard.find(Login.of("joe"))
        assert not guard.circuit_open


async def test_silence_opens_the_circuit_for_this_too(autojump_clock: MockClock) -> None:
    class Hangs(Only):
        async def find(self, login: Login) -> Account | None:
            await trio.sleep_forever()
            raise AssertionError

    async with guarded(Hangs(), timeout=3.0) as guard:
        for name in ("joe", "ann", "tom"):
            with pytest.raises(BackendFailed) as caught:
                await guard.find(Login.of(name))
            assert caught.value.reason is Reason.TIMEOUT
        assert guard.circuit_open
        assert guard.under_way == 0


# --- as whom one may send


class Sends(Only):
    def __init__(self, answer: Any = True) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def may_send(self, account: Account, address: str) -> Any:
        self.asked.append(address)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if address != "sales+x@example.org" else False


SELF = Account("joe@example.org")


async def test_his_own_is_not_asked_about() -> None:
    backend = Sends(OSError("away"))
    async with guarded(backend) as guard:
        for address in ("joe@example.org", "JOE+x@example.org"):
            assert await guard.may_send(SELF, address)
        for odd in ("joe\0@example.org", "joe\n@example.org", "joe\udcff@example.org"):
            assert not await guard.may_send(SELF, odd)
        assert backend.asked == []
        with pytest.raises(BackendFailed, match="away"):
            await guard.may_send(SELF, "sales@example.org")


async def test_with_and_without_the_tag() -> None:
    backend = Sends()
    async with guarded(backend) as guard:
        assert await guard.may_send(SELF, "sales+x@EXAMPLE.org")
        assert backend.asked == ["sales+x@example.org", "sales@example.org"]
        backend.answer = False
        assert not await guard.may_send(SELF, "sales@example.org")


@pytest.mark.parametrize("answer", [None, 1, "yes", Account("joe")])
async def test_neither_yes_nor_no(answer: Any) -> None:
    async with guarded(Sends(answer)) as guard:
        with pytest.raises(BackendFailed, match="not yes or no"):
            await guard.may_send(SELF, "sales@example.org")


async def test_without_the_ability_there_is_the_rule() -> None:
    async with guarded(Only()) as guard:
        assert await guard.may_send(SELF, "joe+x@example.org")
        assert not await guard.may_send(SELF, "sales@example.org")
