"""The two ends of a submission worker's channel: the door that the worker has, and the auth process behind it."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from saslpy.exchange import MAX_RESPONSE, Bind, Challenge, Done, Step
from saslpy.model import Accept, Account, Defer, Origin, Reason, Reject
from saslpy.process import doors as doors_module
from saslpy.process import doortold, doorwire, wire
from saslpy.process.doors import MAX_ASKED, MAX_EXCHANGES, Doors
from saslpy.process.doorwire import Whence
from saslpy.process.link import Link, OddAnswer, WorkerEnded
from saslpy.process.remotedoor import RemoteDoor
from saslpy.submission.crowd import Crowd
from saslpy.submission.door import LocalDoor
from saslpy.submission.limits import Allowed, Counters, Limits, Refused

from ..doors import door_before
from ..fakes import Users, list_log

ORIGIN = Origin("submission", "submission", client="192.0.2.7", secured=True)
WHENCE = Whence.of(ORIGIN)
PLAIN = b"\0joe\0secret"


def told(packet: bytes) -> Any:
    """What the auth process says."""
    return doortold.read_told(packet)


@dataclass
class Both:
    """A worker's door, and the auth process's end of it."""

    remote: RemoteDoor
    doors: Doors
    lines: list[str]
    ended: list[BaseException] = field(default_factory=list)

    async def serve(self) -> None:
        try:
            await self.doors.serve()
        except WorkerEnded as error:
            self.ended.append(error)


@asynccontextmanager
async def both(limits: Limits = Limits(), patience: float = 5.0, workers: int = 1) -> AsyncIterator[Both]:  # noqa: B008
    ours, theirs = wire.pair()
    with ours, theirs:
        theirs.setblocking(False)
        async with door_before(Users({"joe": "{PLAIN}secret"})) as standing, trio.open_nursery() as nursery:
            local = LocalDoor(standing.door, Counters(limits))
            doors = Doors(Link(ours), local, Crowd(), standing.log)
            async with RemoteDoor.over(theirs, patience, lambda: doorwire.Pong(7, ()), workers) as remote:
                made = Both(remote, doors, standing.lines)
                nursery.start_soon(made.serve)
                doors.offer(local.offered(("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")), go=True)
                await remote.orders.go.wait()
                yield made
                nursery.cancel_scope.cancel()


async def test_a_login_with_its_steps() -> None:
    async with both() as pair:
        exchange = pair.remote.begin("plain", ORIGIN)
        assert exchange is not None
        step = await exchange.start(PLAIN)
        assert step == Done(Accept(Account("joe")))
        exchange = pair.remote.begin("LOGIN", ORIGIN)
        assert exchange is not None
        assert isinstance(await exchange.start(None), Challenge)
        assert isinstance(await exchange.respond(b"joe"), Challenge)
        step = await exchange.respond(b"wrong")
        assert step == Done(Reject(Reason.WRONG_PASSWORD))
    assert [line.split("verdict=")[1].split()[0] for line in pair.lines if "event=login" in line] == [
        "accept",
        "reject",
    ]
    assert all("client=192.0.2.7" in line for line in pair.lines if "event=login" in line)


def final(challenge: Step, header: bytes) -> bytes:
    """A SCRAM client's last word, with no right proof."""
    assert isinstance(challenge, Challenge)
    nonce = challenge.data.split(b",")[0]
    return b"c=" + b64encode(header + b"x" * 32) + b"," + nonce + b",p=" + b64encode(b"y" * 32)


async def test_channel_binding_is_asked_for_across_the_channel() -> None:
    async with both() as pair:
        for kind, data in (("tls-server-end-point", b"x" * 32), ("tls-unique", None)):
            exchange = pair.remote.begin("SCRAM-SHA-256-PLUS", ORIGIN, plus_offered=True)
            assert exchange is not None
            header = f"p={kind},,".encode()
            challenge = await exchange.start(header + b"n=joe,r=abc")
            assert await exchange.respond(final(challenge, header)) == Bind(kind)
            step = await exchange.bind(data)
            assert isinstance(step, Done)
            assert isinstance(step.verdict, Reject)
        given_up = pair.remote.begin("SCRAM-SHA-256-PLUS", ORIGIN, plus_offered=True)
        assert given_up is not None
        assert isinstance(await given_up.start(b"p=tls-unique,,n=joe,r=abc"), Challenge)
        assert len(pair.doors._open) == 1
        given_up.cancel()
        await wait_all_tasks_blocked()
        assert not pair.doors._open


async def test_nothing_is_offered_that_cannot_be_served() -> None:
    async with both() as pair:
        assert pair.remote.offered(("LOGIN", "PLAIN", "XOAUTH2")) == ("PLAIN", "LOGIN")
        assert pair.remote.begin("XOAUTH2", ORIGIN) is None
        pair.doors.offer(("LOGIN",))
        await wait_all_tasks_blocked()
        assert pair.remote.offered(("LOGIN", "PLAIN")) == ("LOGIN",)


async def test_the_rest_of_a_door() -> None:
    async with both(Limits(2, 0)) as pair:
        assert isinstance(await pair.remote.may_send(Account("joe"), "other@example.org", ORIGIN), Reject)
        first = await pair.remote.take("joe", 1, 1)
        assert isinstance(first, Allowed)
        assert isinstance(await pair.remote.take("joe", 1, 1), Allowed)
        refused = await pair.remote.take("joe", 1, 1)
        assert isinstance(refused, Refused)
        assert (refused.counted, refused.retry_after > 3000) == ("messages", True)
        assert await pair.remote.take("joe", 3, 1) == Refused("messages", math.inf)
        await pair.remote.give_back("joe", 1, 1, first.at)
        assert isinstance(await pair.remote.take("joe", 1, 1), Allowed)
        with trio.fail_after(1):
            await pair.doors.asked()
        assert pair.doors.counts.messages == 7


async def test_connections_of_a_client_are_counted_across_the_channel() -> None:
    async with both() as pair, AsyncExitStack() as stack:
        for _ in range(2):
            assert await stack.enter_async_context(pair.remote.present("mail 192.0.2.7", 2)) is True
        async with pair.remote.present("mail 192.0.2.7", 2) as third, pair.remote.present("mail 192.0.2.8", 2) as other:
            assert (third, other) == (False, True)
        async with pair.remote.present("mail 192.0.2.7", 2) as again:
            assert again is False
        await stack.aclose()
        async with pair.remote.present("mail 192.0.2.7", 1) as first:
            assert first is True


async def test_half_of_the_connections_of_a_client_are_shared_out_among_the_workers_beforehand() -> None:
    async with both(workers=2) as pair, AsyncExitStack() as stack:
        crowd = pair.doors._crowd
        for count in range(6):  # two of its own, and what the two workers' shares leave of eight
            assert await stack.enter_async_context(pair.remote.present("mail 192.0.2.7", 8)) is True
            assert len(crowd) == (count >= 2)
        async with pair.remote.present("mail 192.0.2.7", 8) as present:
            assert present is False
        pair.doors.link.close()
        await pair.remote.orders.lost.wait()
        await stack.aclose()
        for _ in range(2):  # what is its own it can tell by itself
            assert await stack.enter_async_context(pair.remote.present("mail 192.0.2.7", 8)) is True
        async with pair.remote.present("mail 192.0.2.7", 8) as present:
            assert present is None


async def test_no_limit_of_connections_costs_no_question() -> None:
    async with both() as pair, AsyncExitStack() as stack:
        for _ in range(9):
            assert await stack.enter_async_context(pair.remote.present("mail 192.0.2.7", 0)) is True
        assert len(pair.doors._crowd) == 0


async def test_a_connection_whose_answer_nobody_waited_for_is_not_counted_for_ever() -> None:
    async with both() as pair:
        for _ in range(3):
            with trio.CancelScope() as scope:
                scope.cancel()
                async with pair.remote.present("mail 192.0.2.7", 1):
                    pytest.fail("it was not to wait")
        async with pair.remote.present("mail 192.0.2.7", 1) as present:
            assert present is True


async def test_whether_there_are_too_many_could_not_be_found_out() -> None:
    async with both() as pair:
        pair.doors.link.close()
        await pair.remote.orders.lost.wait()
        async with pair.remote.present("mail 192.0.2.7", 1) as present:
            assert present is None


async def test_a_worker_that_ends_gives_its_connections_back() -> None:
    async with worker() as client:
        crowd = client.doors._crowd
        client.say(*(doorwire.Enter(number, number, f"mail {number}", 9) for number in range(3)), doorwire.Leave(77))
        assert [one.may for one in await client.heard(3)] == 3 * [True]
        assert len(crowd) == 3
        client.say(doorwire.Leave(1))
        await wait_all_tasks_blocked()
        assert len(crowd) == 2
        client.channel.close()
        with trio.fail_after(2):
            while not client.ended:
                await trio.sleep(0.01)
        assert len(crowd) == 0


async def test_more_connections_than_are_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors_module, "MAX_ENTERED", 2)
    async with worker(Waits()) as hostile:
        hostile.say(*(doorwire.Enter(number, number, f"mail {number}", 9) for number in range(3)))
        assert [one.may for one in await hostile.heard(3)] == [True, True, False]


async def test_a_response_that_is_too_long_is_refused_where_all_are() -> None:
    async with both() as pair:
        exchange = pair.remote.begin("PLAIN", ORIGIN)
        assert exchange is not None
        step = await exchange.start(b"x" * (MAX_RESPONSE + 70_000))
        assert step == Done(Reject(Reason.MALFORMED), malformed=True)
        assert not pair.ended


async def test_what_is_no_text_is_nobodys() -> None:
    async with both() as pair:
        assert isinstance(await pair.remote.may_send(Account("joe"), "\udcff@example.org", ORIGIN), Defer)
        odd = Origin("submission", certificate="\udcffjoe", client="\udcff" * 99)
        exchange = pair.remote.begin("PLAIN", odd)
        assert exchange is not None
        assert isinstance(await exchange.start(PLAIN), Done)


async def test_an_auth_process_that_is_gone_is_could_not_find_out_everywhere() -> None:
    async with both() as pair:
        login = pair.remote.begin("LOGIN", ORIGIN)
        assert login is not None
        assert isinstance(await login.start(None), Challenge)
        pair.doors.link.close()
        await pair.remote.orders.lost.wait()
        assert await login.respond(b"joe") == Done(Defer(Reason.SHUTDOWN))
        fresh = pair.remote.begin("PLAIN", ORIGIN)
        assert fresh is not None
        assert await fresh.start(PLAIN) == Done(Defer(Reason.SHUTDOWN))
        assert await pair.remote.may_send(Account("joe"), "a@b.c", ORIGIN) == Defer(Reason.SHUTDOWN)
        assert await pair.remote.take("joe", 1, 1) is None
        await pair.remote.give_back("joe", 1, 1, 0.0)


async def test_who_asks_when_it_goes_hears_so_at_once(autojump_clock: MockClock) -> None:
    ours, theirs = wire.pair()
    with ours:
        theirs.setblocking(False)
        async with RemoteDoor.over(theirs, 5.0, lambda: doorwire.Pong(0, ())) as remote, trio.open_nursery() as nursery:
            found: list[object] = []

            async def ask() -> None:
                found.append(await remote.take("joe", 1, 1))

            start = trio.current_time()
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            assert await remote.take("ann", 1, 1) is None  # nobody reads, and the time is over
            assert trio.current_time() - start == 5.0
            await wait_all_tasks_blocked()
            assert found == [None]
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            ours.close()
            await remote.orders.lost.wait()
            await wait_all_tasks_blocked()
            assert found == [None, None]
            assert await remote.take("joe", 1, 1) is None
            assert trio.current_time() - start == 5.0


async def test_orders() -> None:
    async with both() as pair:
        pair.doors.retire()
        await pair.remote.orders.retire.wait()
        pair.doors.drain(2.5)
        await pair.remote.orders.drain.wait()
        assert pair.remote.orders.seconds == 2.5


# --- a worker that has been taken over


@dataclass
class Worker:
    """The raw end of a worker."""

    channel: Any
    doors: Doors
    local: Any
    ended: list[BaseException] = field(default_factory=list)

    async def serve(self) -> None:
        try:
            await self.doors.serve()
        except WorkerEnded as error:
            self.ended.append(error)

    def say(self, *packets: bytes | doorwire.Packet) -> None:
        for packet in packets:
            self.channel.send(packet if isinstance(packet, bytes) else wire.encode(packet))

    async def heard(self, count: int) -> list[Any]:
        heard: list[Any] = []
        with trio.fail_after(5):
            while len(heard) < count:
                await trio.lowlevel.wait_readable(self.channel)
                heard.append(told(self.channel.recv(wire.MAX_PACKET)))
        return heard


class Waits:
    """A door whose every exchange asks for more, for ever."""

    def __init__(self) -> None:
        self.open = 0
        self.blocked: trio.Event | None = None

    def offered(self, listed: Sequence[str]) -> tuple[str, ...]:
        return tuple(listed)

    def begin(self, mechanism: str, origin: Origin, plus_offered: bool = False) -> Waiting:
        self.open += 1
        return Waiting(self)

    async def may_send(self, account: Account, address: str, origin: Origin) -> Accept | Reject | Defer:
        return Defer(Reason.OVERLOAD)

    async def take(self, login: str, messages: int, recipients: int) -> None:
        return None

    async def give_back(self, login: str, messages: int, recipients: int, at: float) -> None:
        return

    @asynccontextmanager
    async def present(self, client: str, most: int) -> AsyncIterator[bool | None]:
        yield True


class Waiting:
    def __init__(self, door: Waits) -> None:
        self.door = door

    async def start(self, initial: bytes | None = None) -> Step:
        if self.door.blocked is not None:
            await self.door.blocked.wait()
        return Challenge(b"more")

    async def respond(self, response: bytes) -> Step:
        return await self.start()

    async def bind(self, data: bytes | None) -> Step:
        return await self.start()

    def cancel(self) -> None:
        self.door.open -= 1


@asynccontextmanager
async def worker(door: Any = None) -> AsyncIterator[Worker]:
    ours, theirs = wire.pair()
    with ours, theirs:
        theirs.setblocking(False)
        log, _ = list_log()
        async with door_before(Users({"joe": "{PLAIN}secret"})) as standing, trio.open_nursery() as nursery:
            local = door or LocalDoor(standing.door, Counters(Limits()))
            made = Worker(theirs, Doors(Link(ours), local, Crowd(), log), local)
            nursery.start_soon(made.serve)
            yield made
            nursery.cancel_scope.cancel()


def start(number: int, exchange: int, mechanism: str = "LOGIN", initial: bytes | None = None) -> doorwire.Start:
    return doorwire.Start(number, exchange, mechanism, WHENCE, False, initial)


ODD: dict[str, list[Any]] = {
    "garbage": [b"\xff\xfe\x00"],
    "deep": [b"\x91" * 10_000],
    "a question of nobody's": [wire.encode(["Reload", 1])],
    "an answer of ours": [doortold.Taken(1, 2.0)],
    "a second greeting": [doorwire.Hello()],
    "a number too large": [doorwire.Take(1 << 60, "joe", 1, 1)],
    "a number below zero": [wire.encode(["Take", -1, "joe", 1, 1])],
    "messages below zero": [wire.encode(["Take", 1, "joe", -5, 1])],
    "recipients beyond all measure": [doorwire.Take(1, "joe", 1, 1 << 40)],
    "a login of a megabyte, nearly": [doorwire.Take(1, "x" * 150_000, 1, 1)],
    "an address of the same": [doorwire.MaySend(1, "joe", "x" * 150_000, WHENCE)],
    "a time that is none": [doorwire.GiveBack("joe", 1, 1, math.nan)],
    "a time without end": [doorwire.GiveBack("joe", 1, 1, math.inf)],
    "no UTF-8": [b"\x95\xa4Take\x01\xa3jo\xff\x01\x01"],
    "too long a response": [start(1, 1, "PLAIN", b"x" * (MAX_RESPONSE + 2))],
    "a client of a hundred characters": [doorwire.Start(1, 1, "PLAIN", Whence("p", "x" * 100, True, ""), False, None)],
    "an exchange begun twice": [start(1, 1), start(2, 1)],
    "a binding that nobody wants": [start(1, 1), doorwire.Bound(2, 1, b"x")],
    "a pong without a ping": [doorwire.Pong(0, ())],
    "a connection counted twice": [doorwire.Enter(1, 1, "x", 5), doorwire.Enter(2, 1, "x", 5)],
    "a client that is none": [doorwire.Enter(1, 1, "x" * 401, 5)],
    "more listeners than there can be": [doorwire.Pong(0, tuple(doorwire.Open("x", 1, 1) for _ in range(251)))],
}


@pytest.mark.parametrize("packets", ODD.values(), ids=list(ODD))
async def test_what_makes_no_sense_ends_the_worker(packets: list[Any]) -> None:
    async with worker() as hostile:
        for packet in packets:
            hostile.say(packet)
            await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(2):
            while not hostile.ended:
                await trio.sleep(0.01)
        assert isinstance(hostile.ended[0], OddAnswer)
        assert not hostile.doors._open


async def test_what_is_only_late_is_no_fault() -> None:
    async with worker() as honest:
        honest.say(doorwire.Cancel(77), doorwire.Respond(1, 77, b"x"), start(2, 1, "GSSAPI"), start(3, 2, ""))
        answers = await honest.heard(3)
        assert [one.step.verdict for one in answers] == 3 * [Defer(Reason.OVERLOAD)]
        honest.say(doorwire.GiveBack("nobody", 1, 1, 3.0))
        await wait_all_tasks_blocked()
        assert not honest.ended


async def test_two_responses_to_one_challenge() -> None:
    waits = Waits()
    async with worker(waits) as hostile:
        hostile.say(start(1, 1))
        await hostile.heard(1)
        waits.blocked = trio.Event()
        hostile.say(doorwire.Respond(2, 1, b"x"), doorwire.Respond(3, 1, b"x"))
        await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert str(hostile.ended[0]) == "it answers out of turn"


async def test_exchanges_have_a_bound_and_the_oldest_goes() -> None:
    waits = Waits()
    async with worker(waits) as hostile:
        for number in range(MAX_EXCHANGES + 100):
            hostile.say(start(number, number))
            await hostile.heard(1)
        assert waits.open == len(hostile.doors._open) == MAX_EXCHANGES
        hostile.say(doorwire.Respond(1, 3, b"x"))
        (answer,) = await hostile.heard(1)
        assert answer.step.verdict == Defer(Reason.OVERLOAD)
        hostile.channel.close()
        await wait_all_tasks_blocked()
        assert waits.open == 0


async def test_a_flood_is_read_as_fast_as_it_is_answered() -> None:
    waits = Waits()
    waits.blocked = trio.Event()
    async with worker(waits) as hostile:
        sent = 0
        with trio.move_on_after(1):
            while True:
                try:
                    hostile.say(start(sent, sent))
                    sent += 1
                except BlockingIOError:
                    if waits.open >= MAX_ASKED:
                        break
                    await trio.sleep(0.01)
        await wait_all_tasks_blocked()
        assert waits.open == MAX_ASKED
        waits.blocked.set()
        await hostile.heard(sent)
        assert not hostile.ended


async def test_a_cancelled_question_comes_to_its_end_first() -> None:
    waits = Waits()
    waits.blocked = trio.Event()
    async with worker(waits) as client:
        client.say(start(1, 1), doorwire.Cancel(1))
        await wait_all_tasks_blocked()
        assert waits.open == 1
        waits.blocked.set()
        await client.heard(1)
        assert (waits.open, len(client.doors._open)) == (0, 0)


async def test_who_does_not_read_is_ended() -> None:
    async with worker(Waits()) as hostile:
        with trio.move_on_after(5):
            while not hostile.ended:
                try:
                    hostile.say(doorwire.Take(1, "joe", 1, 1))
                except (BlockingIOError, OSError):
                    await trio.sleep(0.001)
                await trio.lowlevel.checkpoint()
        assert str(hostile.ended[0]) == "it does not read"


async def test_who_does_not_answer_is_ended(autojump_clock: MockClock) -> None:
    async with worker() as hanging:
        await trio.sleep(doors_module.EVERY * (doors_module.MOST_MISSED + 2))
        assert str(hanging.ended[0]) == "it does not answer"


async def test_a_worker_that_ends_takes_its_exchanges_with_it() -> None:
    waits = Waits()
    async with worker(waits) as client:
        client.say(start(1, 1))
        await client.heard(1)
        client.channel.close()
        with trio.fail_after(2):
            while not client.ended:
                await trio.sleep(0.01)
        assert not isinstance(client.ended[0], OddAnswer)
        assert waits.open == 0


# --- packets


def test_no_packet_shows_what_is_in_it() -> None:
    secret = b"secret-4711"
    packets: list[doorwire.Packet] = [
        doorwire.Start(1, 1, "PLAIN", WHENCE, False, secret),
        doorwire.Respond(1, 1, secret),
        doorwire.Bound(1, 1, secret),
        doortold.Stepped(1, challenge=secret, final=secret),
        doorwire.Cannot("secret-4711"),
    ]
    for packet in packets:
        assert "4711" not in repr(packet) + str(packet) + f"{packet}"
        assert "4711" not in repr([packet])
    broken = wire.encode(doorwire.Respond(1, 1, secret)).replace(b"Respond", b"Suspend")
    with pytest.raises(wire.Malformed) as raised:
        doorwire.read_said(broken)
    assert "4711" not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_stored_secrets_stay_where_they_are() -> None:
    account = Account("joe", ("{PLAIN}secret-4711",), 7, 7, "/home/joe", aliases=("j@example.org",), options={"a": "b"})
    for packet in (
        doortold.stepped(1, Done(Accept(account, "users", "master"))),
        doortold.ruled(1, Accept(account)),
    ):
        assert b"4711" not in packet
        assert b"/home" not in packet
    heard = told(doortold.stepped(1, Done(Accept(account, "users", "master"))))
    assert heard.step == Done(Accept(Account("joe", aliases=("j@example.org",)), master="master"))


STEPS: list[Step] = [
    Challenge(b""),
    Challenge(b"no", Reject(Reason.INVALID_TOKEN)),
    Bind("tls-unique"),
    Done(Accept(Account("joe")), b"v=abc"),
    Done(Reject(Reason.MALFORMED), malformed=True),
    Done(Defer(Reason.TIMEOUT), attempt=False),
]


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_a_step_comes_as_it_went(step: Step) -> None:
    assert told(doortold.stepped(3, step)).step == step


def test_more_aliases_than_fit_are_left_out() -> None:
    many = Account("joe", aliases=tuple(f"alias{number}@example.org" for number in range(20_000)))
    packet = doortold.stepped(1, Done(Accept(many), b"v"))
    assert len(packet) < wire.MAX_PACKET
    assert told(packet).step == Done(Accept(Account("joe")), b"v")


def test_every_packet_is_small_enough_for_the_channel() -> None:
    longest = doorwire.Start(1, 1, "X" * 64, Whence("p" * 64, "c" * 64, True, "ü" * 1100), True, b"x" * MAX_RESPONSE)
    assert len(wire.encode(longest)) < wire.MAX_PACKET
    assert len(wire.encode(doorwire.MaySend(1, "ü" * 1100, "ü" * 1100, WHENCE))) < wire.MAX_PACKET
    assert issubclass(wire.Malformed, msgspec.DecodeError)
