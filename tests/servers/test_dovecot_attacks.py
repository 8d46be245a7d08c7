"""Clients of the Dovecot sockets that flood, dawdle, do not read, or come in the middle of a reload. ⇥ is a tab."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from saslpy import Account, Login, passwords
from saslpy.authenticator import Bounds
from saslpy.observe.log import Log
from saslpy.protocols.dovecot.client import ClientSide
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.dovecot import DovecotOptions, DovecotServer
from saslpy.servers.dovecot_connection import DovecotConnection, Exchanges
from saslpy.servers.handed import Handed, HandedLogin, Ticket
from saslpy.servers.lined import AT_WORK
from saslpy.servers.outgoing import NotRead, Outgoing

from ..fakes import Users, list_log
from .dovecot import STORE, Front, Scram, Talk, b64, credentials, front, plain

ASKED = "VXNlcm5hbWU6"
"""LOGIN's first challenge."""


class Gate:
    """A store that answers as soon as it is open. What is not of ``names`` it answers at once."""

    def __init__(self, *names: str) -> None:
        self.open = trio.Event()
        self.names = names

    async def lookup(self, login: Login) -> Account | None:
        if not self.names or login.name in self.names:
            await self.open.wait()
        return Account(login.name, (SECRET,))


SECRET = passwords.make("MD5-CRYPT", "secret")
"""A worker's to check, so that a check takes its time."""


# --- floods


@pytest.mark.parametrize("minor", [0, 4])
async def test_what_is_cancelled_counts_as_long_as_it_is_worked_on(minor: int) -> None:
    gate, most = Gate("slow"), Bounds(min_seconds=0.0, pending=100_000)
    async with (
        front(gate, bounds=most, timeout=30) as server,
        server.connected(minor) as talk,
        server.connected(minor) as other,
        trio.open_nursery() as nursery,
    ):
        flood = [line for _ in range(2000) for line in (plain(1, "slow"), "CANCEL⇥1")]
        nursery.start_soon(partial(talk.say, *flood))
        await wait_all_tasks_blocked(0.05)
        assert server.door.rules.pending == AT_WORK
        assert await other.ask(plain(1)) == "OK⇥1⇥user=joe"
        gate.open.set()
        heard = {await talk.hear() for _ in range(2000)} if minor else set()
        assert heard == ({"CANCELLED⇥1"} if minor else set())
        assert await talk.ask(plain(2)) == "OK⇥2⇥user=joe", "and nothing of it is lost"
        with trio.fail_after(10):
            while sum("login=slow" in line for line in server.lines) < 2000:  # each was tried
                await trio.sleep(0.01)


async def test_a_flood_that_comes_at_once_is_answered_whole() -> None:
    most = Bounds(min_seconds=0.0, pending=100_000)
    async with front(Users(STORE), bounds=most) as server, server.connected(2) as talk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(talk.say, *(f"CONT⇥{key}⇥" for key in range(1, 10_001))))
            for key in range(1, 10_001):
                assert await talk.hear() == f"FAIL⇥{key}⇥code=temp_fail⇥reason=the exchange has timed out"
        await talk.say(*(f"AUTH⇥{key}⇥LOGIN⇥service=smtp" for key in range(1, 701)))
        assert {await talk.hear() for _ in range(700)} == {f"CONT⇥{key}⇥{ASKED}" for key in range(1, 701)}
        await talk.say(*(f"CONT⇥{key}⇥{b64('joe')}" for key in range(1, 701)))
        assert {(await talk.hear())[-12:] for _ in range(700)} == {"UGFzc3dvcmQ6"}


async def test_the_oldest_of_a_listener_that_wait_for_their_clients_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saslpy.servers.dovecot.Exchanges", partial(Exchanges, 3))
    begin, go_on = "AUTH⇥{}⇥LOGIN⇥service=smtp", f"CONT⇥{{}}⇥{b64('joe')}"
    async with front(Users(STORE)) as server, server.connected() as one, server.connected() as two:
        for talk, key in ((one, 1), (one, 2), (two, 1)):
            assert await talk.ask(begin.format(key)) == f"CONT⇥{key}⇥{ASKED}"
        # the one that goes on is the last in order, then
        assert await one.ask(go_on.format(1)) == "CONT⇥1⇥UGFzc3dvcmQ6"
        assert await two.ask(begin.format(2)) == f"CONT⇥2⇥{ASKED}"
        assert await one.ask(go_on.format(2)) == "FAIL⇥2⇥code=temp_fail⇥reason=the exchange has timed out"
        assert await one.ask(f"CONT⇥1⇥{b64('secret')}") == "OK⇥1⇥user=joe"
        for key in (1, 2):
            assert await two.ask(go_on.format(key)) == f"CONT⇥{key}⇥UGFzc3dvcmQ6"
            assert (
                await two.ask(f"CONT⇥{key}⇥{b64('sesame')}")
                == f"FAIL⇥{key}⇥user=joe⇥reason=login and password not accepted"
            )


async def test_many_connections_together_are_bounded_too_and_each_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Few(Exchanges):
        def __init__(self) -> None:
            super().__init__()
            self._most = 20
            self.highest = 0

        def more(self) -> None:
            super().more()
            self.highest = max(self.highest, self.at_work)

    monkeypatch.setattr("saslpy.servers.dovecot.Exchanges", Few)

    async def one(server: Front) -> None:
        async with server.connected(2) as talk:
            for _ in range(2):
                await talk.say(*(plain(key) for key in range(1, 31)))
                assert {await talk.hear() for _ in range(30)} == {f"OK⇥{key}⇥user=joe" for key in range(1, 31)}
            await talk.say(*(plain(key, "slow") for key in range(60, 80)))  # and goes, unanswered

    gate = Gate("slow")
    async with front(gate, timeout=30) as server, trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(one, server)
        await wait_all_tasks_blocked(0.1)
        gate.open.set()
    made = server.server._exchanges
    assert isinstance(made, Few)
    assert (made.at_work, made.highest) == (0, 20)


async def test_whatever_ends_an_exchange_it_waits_no_more() -> None:
    everything = Exchanges()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = DovecotConnection(ours, ClientSide(("PLAIN",)), 1, everything)
        async with trio.open_nursery() as nursery:
            for key in range(1, 6):
                nursery.start_soon(connection.begin(key).answer, 60.0 if key > 1 else 0.01)
            await wait_all_tasks_blocked(0.05)
            assert (connection.waiting, everything.waiting) == (4, 4), "the first has had its time"
            connection.stop(2)
            connection.exchanges[3].expire()
            assert (connection.waiting, everything.waiting) == (2, 2)
            connection.end()
            assert (connection.waiting, everything.waiting, len(connection.exchanges)) == (0, 0, 1)
            connection.dropped()
        late = connection.begin(9)
        late.stop()
        with trio.fail_after(5):
            assert await late.answer(60.0) is None
        with trio.move_on_after(0):
            await connection.begin(10).answer(60.0)
        assert (connection.waiting, everything.waiting) == (0, 0)


async def test_an_id_that_is_used_again_while_its_first_exchange_is_worked_on() -> None:
    gate = Gate("slow")
    async with front(gate) as server, server.connected(4) as talk:
        assert await talk.ask(plain(1, "slow"), "CANCEL⇥1") == "CANCELLED⇥1"
        assert await talk.ask("AUTH⇥1⇥LOGIN⇥service=smtp") == f"CONT⇥1⇥{ASKED}"
        gate.open.set()
        while not any("login=slow" in line for line in server.lines):
            await trio.sleep(0.001)
        assert await talk.ask(f"CONT⇥1⇥{b64('joe')}") == "CONT⇥1⇥UGFzc3dvcmQ6", "it has not ended with the first one"
        assert await talk.ask(f"CONT⇥1⇥{b64('secret')}") == "OK⇥1⇥user=joe"
        assert await talk.ask(f"CONT⇥1⇥{b64('secret')}") == "FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out"


def any_line(rng: random.Random) -> str:
    """A line that is right somewhere."""
    key = rng.randint(1, 4)
    lines = [
        f"AUTH⇥{key}⇥{rng.choice(['LOGIN', 'PLAIN', 'CRAM-MD5', 'SCRAM-SHA-256', 'X'])}⇥service=smtp",
        plain(key, rng.choice(["joe", "ann", "nobody"])),
        f"AUTH⇥{key}⇥SCRAM-SHA-256⇥service=imap⇥resp={Scram('sha256', 'joe', 'secret').first}",
        f"CONT⇥{key}⇥{rng.choice([b64('joe'), b64('secret'), credentials('joe', 'secret'), '', '%'])}",
        f"CONT⇥{key}⇥#⇥channel_binding=AAAA",
        f"CANCEL⇥{key}",
    ]
    return rng.choice(lines)


@given(st.integers(0, 2**32))
@settings(max_examples=40)
def test_whatever_a_client_says_in_whatever_order_nothing_of_it_stays(seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        async with front(Users(STORE)) as server:
            async with server.connected(rng.choice([0, 2, 4])) as talk:
                for _ in range(rng.randint(1, 12)):
                    with suppress(trio.BrokenResourceError):
                        await talk.say(*(any_line(rng) for _ in range(rng.randint(1, 6))))
                    if rng.random() < 0.3:
                        await trio.sleep(0.002)
                if rng.random() < 0.5:
                    with suppress(trio.BrokenResourceError):
                        await talk.stream.send_eof()
                    while await talk.hear():
                        pass
            assert (server.server._exchanges.waiting, server.server._exchanges.at_work) == (0, 0)
            assert not any("internal" in line or "fault" in line for line in server.lines), server.lines

    trio.run(main)


# --- dawdlers


async def test_a_line_has_its_time_as_a_whole_and_the_next_one_has_it_anew() -> None:
    async with front(Users(STORE), read_timeout=0.3) as server, server.connected(2) as talk:
        line = plain(1).replace("⇥", "\t").encode() + b"\n"
        whole = line + line.replace(b"\t1\t", b"\t2\t") + line.replace(b"\t1\t", b"\t3\t")
        cuts = [0, 9, len(line) + 9, 2 * len(line) + 9, len(whole)]
        for start, end in pairwise(cuts):  # there is half a line all the time, but each line is whole soon
            await talk.stream.send_all(whole[start:end])
            await trio.sleep(0.2)
        assert [await talk.hear() for _ in range(3)] == [f"OK⇥{key}⇥user=joe" for key in (1, 2, 3)]
        await trio.sleep(0.4)
        start_time = trio.current_time()
        with trio.fail_after(5):
            while not server.lines or "half a line" not in server.lines[-1]:
                try:
                    await talk.stream.send_all(b"A")
                except trio.BrokenResourceError:
                    break
                await trio.sleep(0.05)
        assert trio.current_time() - start_time > 0.25
        assert await talk.hear() == ""


async def test_who_reads_a_few_bytes_now_and_then_does_not_read(autojump_clock: MockClock) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        out = Outgoing(ours)
        while len(out.rest) < 60_000:
            out.send(b"x" * 1000)

        async def read_slowly() -> None:
            while theirs.recv(2048):
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_slowly)
            with pytest.raises(NotRead, match="in 10 s"):
                await out.flush()
            assert trio.current_time() < 12
            nursery.cancel_scope.cancel()


async def test_an_answer_that_came_with_the_end_of_the_stream_is_still_answered() -> None:
    async with front(Users(STORE)) as server:
        for _ in range(20):
            async with server.connected(2) as talk:
                assert await talk.ask("AUTH⇥1⇥PLAIN⇥service=smtp") == "CONT⇥1⇥"
                os.write(talk.stream.socket.fileno(), f"CONT\t1\t{credentials('joe', 'secret')}\n".encode())
                talk.stream.socket.shutdown(socket.SHUT_WR)
                assert await talk.hear() == "OK⇥1⇥user=joe"
                assert await talk.hear() == ""


# --- what was offered

PLUS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")


async def test_a_client_that_was_greeted_before_its_version_came_is_not_taken_for_downgraded() -> None:
    async with front(Users(STORE), mechanisms=PLUS) as server, server.connected(greeted=False) as talk:
        assert not any("PLUS" in line for line in await talk.greeted(None))
        client = Scram("sha256", "joe", "secret")
        answer = await talk.ask(
            "VERSION⇥1⇥4", "CPID⇥1", f"AUTH⇥1⇥SCRAM-SHA-256⇥service=imap⇥resp={b64('y,,' + client.bare)}"
        )
        assert answer.startswith("CONT⇥1⇥")
        assert await talk.ask("AUTH⇥2⇥SCRAM-SHA-256-PLUS⇥service=imap") == "FAIL⇥2⇥reason=unknown mechanism"


async def test_all_that_comes_in_one_packet_is_answered_behind_the_greeting() -> None:
    async with front(Users(STORE), mechanisms=PLUS, bounds=Bounds(min_seconds=0.0, pending=1000)) as server:
        async with server.connected(greeted=False) as talk:
            begin = "AUTH⇥1⇥SCRAM-SHA-256-PLUS⇥service=imap"
            await talk.say("VERSION⇥1⇥4", "CPID⇥1", "AUTH⇥3⇥GSSAPI⇥service=imap", begin, plain(2))
            lines = [await talk.hear() for _ in range(11)]
            assert [line.partition("⇥")[0] for line in lines[:9]] == [
                *("VERSION", "MECH", "MECH", "MECH", "SPID", "CUID", "COOKIE", "DONE"),
                "FAIL",
            ]
            # of the two that have to ask, either may be the first
            assert {line.partition("⇥r=")[0].rstrip("⇥") for line in lines[9:]} == {"CONT⇥1", "OK⇥2⇥user=joe"}
        async with server.connected(greeted=False) as talk:
            await talk.say("VERSION⇥1⇥4", "CPID⇥1", *(f"AUTH⇥{key}⇥PLAIN⇥service=imap" for key in range(1, 501)))
            while await talk.hear() != "DONE":
                pass
            assert {await talk.hear() for _ in range(500)} == {f"CONT⇥{key}⇥" for key in range(1, 501)}


async def test_a_client_that_goes_before_it_was_greeted_harms_nobody() -> None:
    async with front(Users(STORE), mechanisms=PLUS) as server:
        for words in ((), ("HELLO",), ("VERSION⇥1⇥4",)):
            async with server.connected(greeted=False) as talk:
                await talk.say(*words)
        await trio.sleep(0.3)
        assert not any("internal" in line for line in server.lines)


# --- names


async def test_names_that_are_too_long_are_not_told() -> None:
    long = "x" * 5000
    store = {"joe": Account("j" * 2000, ("{PLAIN}secret",))}
    async with front(Users(store)) as server, server.connected(2) as talk:
        assert await talk.ask(plain(1, long)) == "FAIL⇥1"
        assert await talk.ask(plain(2)) == "FAIL⇥2⇥code=temp_fail", "a yes without a name is none"


# --- a reload


def again(server: Front, mechanisms: tuple[str, ...], **options: Any) -> DovecotServer:
    """The server that a reload makes."""
    return DovecotServer(server.door, DovecotOptions(mechanisms, **options), server.site, list_log()[0])


async def test_a_mechanism_that_is_not_offered_any_more_is_unknown_on_open_connections() -> None:
    async with front(Users(STORE), mechanisms=("PLAIN", "LOGIN")) as server, server.connected(2) as talk:
        assert await talk.ask("AUTH⇥1⇥LOGIN⇥service=smtp") == f"CONT⇥1⇥{ASKED}"
        assert server.server.adopt(again(server, ("PLAIN", "CRAM-MD5"), exchange_timeout=0.05))
        assert await talk.ask("AUTH⇥2⇥LOGIN⇥service=smtp") == "FAIL⇥2⇥reason=unknown mechanism"
        assert await talk.ask("AUTH⇥2⇥CRAM-MD5⇥service=smtp") == "FAIL⇥2⇥reason=unknown mechanism", "not told of it"
        assert await talk.ask(plain(2)) == "OK⇥2⇥user=joe"
        assert await talk.ask(f"CONT⇥1⇥{b64('joe')}") == "CONT⇥1⇥UGFzc3dvcmQ6", "what was begun goes on"
        await trio.sleep(0.1)
        assert await talk.ask(f"CONT⇥1⇥{b64('secret')}") == "FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out"
        async with server.connected(2, greeted=False) as new:
            assert [line for line in await new.greeted(2) if "MECH" in line] == [
                "MECH⇥CRAM-MD5⇥dictionary⇥active",
                "MECH⇥PLAIN⇥plaintext",
            ]


@asynccontextmanager
async def looped(server: Front, log: Log) -> AsyncIterator[tuple[AcceptLoop[Any], Talk]]:
    """A connection through an accept loop."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # an abstract address of the kernel's choice
        listener.listen()
        listener.setblocking(False)
        loop: AcceptLoop[Any] = AcceptLoop("dovecot", listener, server.server, 10, log)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run, nursery)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(listener.getsockname())
                async with trio.SocketStream(trio.socket.from_stdlib_socket(client)) as stream:
                    talk = Talk(stream)
                    await talk.greeted(2)
                    yield loop, talk
            nursery.cancel_scope.cancel()


async def test_a_socket_that_is_no_login_socket_any_more_hangs_up() -> None:
    log, lines = list_log()
    async with front(Users(STORE)) as server:
        async with looped(server, log) as (loop, talk):
            loop.change(again(server, ("PLAIN",)), 10)
            assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"
            loop.retire()
            assert await talk.ask(plain(2)) == "", "could not find out, which is no no"
        async with looped(server, log) as (loop, talk):
            loop.change(object(), 10)  # type: ignore[arg-type] # another protocol's
            assert await talk.ask(plain(3)) == ""
        assert lines == []


# --- logins that are handed over


def test_who_leaves_looks_through_nothing_but_its_own() -> None:
    now = 0.0
    handed = Handed(most=100, clock=lambda: now)
    joe = HandedLogin(Account("joe"), "PLAIN")
    for key in range(1, 301):
        handed.remember(Ticket(1, key, f"{key % 3}"), joe)
    handed.leave("1")
    now += 11
    assert handed.take(Ticket(1, 298, "1")) is None
    assert handed.take(Ticket(1, 299, "2")) == joe
    for key in range(1, 301):
        handed.take(Ticket(1, key, f"{key % 3}"))
    assert (len(handed), handed._by_cookie) == (0, {})
    assert "secret-cookie" not in repr(Ticket(1, 1, "secret-cookie"))
