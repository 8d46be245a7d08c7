"""The door's bounds, its floor in time, and what stands in the audit log when somebody hangs up, or changes a password."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from saslpy import Account, Login, Reason, Refusal, assemble, passwords
from saslpy.authenticator import Authenticator, Bounds
from saslpy.conversation import Conversation
from saslpy.exchange import Challenge, Done
from saslpy.hashing import HashingFailed, HashThreads, Overloaded
from saslpy.mechanisms import named
from saslpy.model import Accept, Defer, Origin, Reject
from saslpy.rules import HELD
from saslpy.settings import from_table

from .doors import Standing, door_before
from .fakes import Slow, Users, list_log

ORIGIN = Origin("dovecot", "smtp", client="192.0.2.7")
JOE = {"joe": "{PLAIN}pencil"}
FEW = Bounds(deadline=8.0, min_seconds=1.0, pending=4)


class Knows:
    """A verifier, which needs no hash: the clock of some tests jumps, and would not wait for one."""

    async def verify(self, login: Login, password: str) -> Account | Refusal:
        return Account(login.name) if password == "pencil" else Refusal(Reason.WRONG_PASSWORD)


def begin(door: Authenticator, mechanism: str) -> Conversation:
    found = named(mechanism)
    assert found is not None
    return door.begin(found, ORIGIN)


async def verify(door: Authenticator, password: str = "wrong") -> Any:
    return await door.verify("joe", "", password, ORIGIN)


async def plain(door: Authenticator, message: bytes = b"\0joe\0wrong") -> Any:
    step = await begin(door, "PLAIN").start(message)
    assert isinstance(step, Done)
    return step.verdict


async def refused_token(door: Authenticator) -> Any:
    step = await begin(door, "OAUTHBEARER").start(b"nonsense")
    assert isinstance(step, Done)
    return step.verdict


# --- the floor in time


@pytest.mark.parametrize(
    "refused", [verify, partial(verify, password=""), plain, partial(plain, message=b"nonsense"), refused_token]
)
async def test_refusals_that_are_held_back_keep_nobody_out(
    refused: Callable[..., Awaitable[Any]], autojump_clock: trio.testing.MockClock
) -> None:
    async with door_before(Knows(), bounds=FEW) as at:
        for _ in range(2 * FEW.pending):
            at.nursery.start_soon(refused, at.door)
            await trio.testing.wait_all_tasks_blocked(0.01)
        rules = at.door.rules
        assert (rules.pending, rules.held) == (0, 2 * FEW.pending)
        assert rules.under_way == 2 * FEW.pending, "a stop waits for them"
        assert isinstance(await verify(at.door, "pencil"), Accept)
        assert isinstance(await plain(at.door, b"\0joe\0pencil"), Accept)
        assert isinstance(await verify(at.door), Reject)
        assert trio.current_time() >= 1.0
        await trio.sleep(1.0)
        assert rules.under_way == 0


async def test_more_than_can_be_held_back_are_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with door_before(Knows(), bounds=FEW) as at:
        at.door.rules.held = HELD * FEW.pending
        start = trio.current_time()
        assert await verify(at.door) == Reject(Reason.WRONG_PASSWORD, "b0")
        assert trio.current_time() - start < 0.5
        assert at.door.rules.held == HELD * FEW.pending


class Late(Users):
    """A store that takes its time."""

    async def lookup(self, login: Login) -> Account | None:
        await trio.sleep(0.05)
        return await super().lookup(login)


async def challenged(at: Standing, name: str) -> float:
    """Seconds until the challenge of SCRAM."""
    start = trio.current_time()
    step = await begin(at.door, "SCRAM-SHA-256").start(f"n,,n={name},r=nonce".encode())
    assert isinstance(step, Challenge)
    return trio.current_time() - start


async def test_a_challenge_does_not_tell_which_store_has_a_user(autojump_clock: trio.testing.MockClock) -> None:
    bounds = Bounds(min_seconds=0.5)
    keys = passwords.make("SCRAM-SHA-256", "pencil", rounds=4096)
    async with door_before(Late({"joe": keys}), Late({"ann": keys}), bounds=bounds) as at:
        for name in ("joe", "ann", "nobody"):
            assert await challenged(at, name) == pytest.approx(0.5, abs=0.01)
    async with door_before(Late({"joe": keys}), bounds=bounds) as at:
        for name in ("joe", "nobody"):
            assert await challenged(at, name) < 0.1, "all are asked about in the one store, and need no floor"


# --- an exchange with a mechanism that is not in the configuration any more


async def test_a_mechanism_that_was_taken_out_is_not_served_any_more() -> None:
    async with door_before(Users(JOE), listed=frozenset({"PLAIN", "LOGIN"})) as at:
        begun = begin(at.door, "LOGIN")
        await begun.start()
        at.door.rules.listed = frozenset({"LOGIN"})
        assert at.door.offered(("PLAIN", "LOGIN")) == ("LOGIN",)
        verdict = await plain(at.door, b"\0joe\0pencil")
        assert verdict.reason is Reason.SERVICE_DENIED
        assert "verdict=reject reason=service-denied" in at.lines[-1]
        at.door.rules.listed = frozenset()
        await begun.respond(b"joe")  # what was begun goes on
        step = await begun.respond(b"pencil")
        assert isinstance(step, Done)
        assert isinstance(step.verdict, Accept)


async def test_the_listeners_say_which_there_are(tmp_path: Path) -> None:
    listeners = [{"protocol": "dovecot", "path": "a", "mechanisms": ["CRAM-MD5"]}, {"protocol": "dovecot", "path": "b"}]
    users = {"type": "static", "users": {"joe": "{PLAIN}pencil"}}
    table = {"auth": {"chain": ["it"], "mechanisms": ["PLAIN"]}, "backend": {"it": users}, "listen": listeners}
    settings = from_table(table, tmp_path / "saslpy.toml")
    log, _ = list_log()
    async with assemble.rules(settings, log, None) as rules:
        assert rules.listed == frozenset({"CRAM-MD5", "PLAIN"})
        assert rules.lists("CRAM-SHA256"), "which is Courier's, who has its own look at its listener's"
        assert not rules.lists("LOGIN")
    async with assemble.rules(settings, log, None, once=True) as rules:
        assert rules.lists("LOGIN"), "saslpy test asks for what it likes"


# --- whoever asks hangs up


async def left_alone(at: Standing, ask: Callable[[], Awaitable[Any]]) -> Sequence[str]:
    """Start something, and cancel it when it waits; the audit lines."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert at.door.rules.under_way == 0
    return [line for line in at.lines if "event=login" in line]


async def cram(door: Authenticator) -> Any:
    exchange = begin(door, "CRAM-MD5")
    await exchange.start()
    return await exchange.respond(b"joe " + 32 * b"0")


@pytest.mark.parametrize("ask", [verify, plain, cram])
async def test_a_password_that_was_tried_is_told_though_nobody_waits(ask: Callable[..., Awaitable[Any]]) -> None:
    async with door_before(Slow()) as at:
        lines = await left_alone(at, partial(ask, at.door))
    assert len(lines) == 1
    assert "verdict=defer reason=shutdown login=joe" in lines[0]


@pytest.mark.parametrize("ask", [verify, plain, partial(plain, message=b"nonsense")])
async def test_and_so_is_its_verdict_while_that_is_held_back(ask: Callable[..., Awaitable[Any]]) -> None:
    async with door_before(Users(JOE), bounds=Bounds(min_seconds=5.0)) as at:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, at.door)
            while not at.door.rules.held:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert at.door.counts == {Accept: 0, Reject: 1, Defer: 0}
    assert sum("event=login verdict=reject" in line for line in at.lines) == 1


async def test_a_name_without_a_password_is_no_attempt() -> None:
    async with door_before(Slow()) as at:
        exchange = begin(at.door, "SCRAM-SHA-256")
        assert await left_alone(at, partial(exchange.start, b"n,,n=joe,r=nonce")) == []


async def test_who_gives_up_while_he_is_being_answered_is_answered() -> None:
    async with door_before(Slow(0.05), Users(JOE)) as at:
        exchange = begin(at.door, "PLAIN")
        at.nursery.start_soon(exchange.start, b"\0joe\0pencil")
        await trio.testing.wait_all_tasks_blocked()
        exchange.cancel()
        with trio.fail_after(5):
            while not at.lines:
                await trio.sleep(0.01)
    assert "verdict=accept" in at.lines[0]


# --- who exists, and what no backend is asked


@pytest.mark.parametrize("failure", [Overloaded("too many wait"), HashingFailed("its process ended")])
async def test_a_hash_that_cannot_be_computed_does_not_tell_who_exists(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def run(*_: object) -> bool:
        raise failure

    monkeypatch.setattr(HashThreads, "run", run)
    async with door_before(Users({"joe": passwords.make("MD5-CRYPT", "pencil")})) as at:
        known = await at.door.verify("joe", "", "wrong", ORIGIN)
        unknown = await at.door.verify("nobody", "", "wrong", ORIGIN)
    assert isinstance(known, Defer)
    assert unknown == known


async def test_a_password_that_no_bytes_stand_for_is_no_fault_of_the_backend() -> None:
    class Bytes(Knows):
        async def verify(self, login: Login, password: str) -> Account | Refusal:
            password.encode("utf-8", "surrogateescape")
            return await super().verify(login, password)

    async with door_before(Bytes()) as at:
        assert await verify(at.door, "\ud800") == Reject(Reason.MALFORMED, detail="a password that no bytes stand for")
        assert await verify(at.door, "\udcff") == Reject(Reason.WRONG_PASSWORD, "b0")
    assert all("event=login " in line for line in at.lines), "the backend is not told to be down"


# --- a new password


class Changing(Users):
    """A store that can be written to, unless somebody else was there before."""

    def __init__(self, writes: bool | type[Exception] = True) -> None:
        super().__init__(JOE)
        self.writes = writes
        self.written: list[Sequence[str]] = []

    async def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        if not isinstance(self.writes, bool):
            raise self.writes("the disk is gone")
        self.written.append(new)
        return self.writes


@asynccontextmanager
async def changing(store: Any, **rules: Any) -> AsyncIterator[tuple[Standing, list[str]]]:
    """A door, and the lines about changed passwords."""
    lines: list[str] = []
    async with door_before(store, **rules) as at:
        yield at, lines
    lines += [line for line in at.lines if "password-change" in line]
    assert sum("event=login verdict=accept" in line for line in at.lines) == 1
    assert not any("pencil" in line or "hunter2" in line for line in at.lines)


@pytest.mark.parametrize(
    ("store", "new", "kind", "told"),
    [
        (Changing(), "hunter2", Accept, "outcome=changed"),
        (Changing(), "pencil", Accept, "outcome=same"),
        (Changing(), "", Reject, "outcome=empty-password"),
        (Changing(), "hunter2\0", Reject, 'outcome=malformed detail="a NUL in the password"'),
        (Changing(), "hunter2" * 600, Reject, 'outcome=malformed detail="a new password of over 4096 bytes"'),
        (Changing(), "\ufdfa" * 1000, Reject, 'outcome=malformed detail="a new password of over 4096 bytes"'),
        (Changing(writes=False), "hunter2", Defer, "outcome=backend-failed"),
        (Changing(writes=OSError), "hunter2", Defer, "outcome=backend-failed"),
        (Users(JOE), "hunter2", Reject, "outcome=service-denied"),
    ],
)
async def test_what_became_of_a_new_password_is_told(store: Any, new: str, kind: type, told: str) -> None:
    async with changing(store) as (at, lines):
        assert isinstance(await at.door.change_password("joe", "pencil", new, ORIGIN), kind)
    assert len(lines) == 1
    assert f"event=password-change login=joe backend=b0 {told}" in lines[0]
    if isinstance(store, Changing) and "failed" not in told:
        assert len(store.written) == ("outcome=changed" in told)


async def test_also_when_nobody_waits_for_it() -> None:
    class Hanging(Changing):
        async def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
            self.written.append(new)
            await trio.sleep_forever()
            return True

    store = Hanging()
    async with changing(store) as (at, lines), trio.open_nursery() as nursery:
        nursery.start_soon(at.door.change_password, "joe", "pencil", "hunter2", ORIGIN)
        with trio.fail_after(10):
            while not store.written:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert "outcome=shutdown" in lines[0]


async def test_a_wrong_old_password_is_a_login_that_failed_and_nothing_else() -> None:
    store = Changing()
    async with door_before(store) as at:
        assert isinstance(await at.door.change_password("joe", "wrong", "hunter2", ORIGIN), Reject)
    assert len(at.lines) == 1
    assert "event=login verdict=reject" in at.lines[0]
    assert store.written == []
