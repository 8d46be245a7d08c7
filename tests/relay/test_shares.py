"""A hop's connections are for all: no login has more than its share, and who says nothing gives way to who waits."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from saslpy.relay.hop import Hop, NextHop
from saslpy.relay.pool import Keeping
from saslpy.relay.proxy import Proxy
from saslpy.relay.routes import Route
from saslpy.relay.shares import Shares

from ..servers.submission import DATA, END, LETTER, MAIL, RCPT, desk, plain
from .host import ANN, BEN, JOE, bench, kinds, pieces

LATE = ["Deferred 451"]


def shares(hop: NextHop) -> Shares:
    assert isinstance(hop, Hop)
    return hop.hosts.shares


async def begun(stack: AsyncExitStack, hop: NextHop, login: str) -> Any:
    """A transaction with one recipient, and nothing more."""
    delivery = await stack.enter_async_context(hop.begin(JOE, login))
    return delivery, kinds(await delivery.rcpt(ANN))


async def test_a_login_has_its_share_and_others_are_served() -> None:
    async with bench() as here, AsyncExitStack() as stack:
        hop = here.hop(await here.script(), keeping=Keeping(size=4, each=2, waiting=0.2))
        for login, answer in (("joe", "Accepted 250"), ("joe", "Accepted 250"), ("joe", "Deferred 451")):
            assert (await begun(stack, hop, login))[1] == [answer]
        for login in ("ann", "ben"):
            assert (await begun(stack, hop, login))[1] == ["Accepted 250"]
        assert "login=joe" in here.lines[0]
        await stack.aclose()
        assert len(shares(hop)) == 0
        assert (await begun(stack, hop, "joe"))[1] == ["Accepted 250"]


async def test_who_is_silent_gives_way_to_who_waits_and_hears_why() -> None:
    async with bench() as here, AsyncExitStack() as stack:
        hop = here.hop(await here.script(), keeping=Keeping(size=2, patience=0.1, waiting=5))
        first, _ = await begun(stack, hop, "joe")
        second, _ = await begun(stack, hop, "ann")
        await trio.sleep(0.2)
        with trio.fail_after(2):
            third, answer = await begun(stack, hop, "ben")
        assert answer == ["Accepted 250"]
        (late,) = await first.rcpt(BEN)
        assert str(late.reply) == "451 4.4.2 Too long without a word while others waited for the next hop, try again"
        async with aclosing(pieces()) as body:
            assert kinds(await first.content(body)) == LATE
        for delivery in (second, third):
            async with aclosing(pieces()) as body:
                assert kinds(await delivery.content(body)) == ["Delivered 250"]
        assert [line for line in here.lines if "event=gave-way" in line and "login=joe" in line]


async def test_as_long_as_nobody_waits_all_may_be_silent() -> None:
    async with bench() as here, AsyncExitStack() as stack:
        hop = here.hop(await here.script(), keeping=Keeping(size=2, patience=0.0))
        deliveries = [(await begun(stack, hop, "joe"))[0] for _ in range(2)]
        await trio.sleep(0.7)
        for delivery in deliveries:
            async with aclosing(pieces()) as body:
                assert kinds(await delivery.content(body)) == ["Delivered 250"]


async def test_a_transaction_that_has_failed_holds_no_place() -> None:
    async with bench() as here, AsyncExitStack() as stack:
        hop = here.hop("smtp://127.0.0.1:1", keeping=Keeping(size=1, waiting=0.1))
        for _ in range(2):
            _, answer = await begun(stack, hop, "joe")
            assert answer == LATE
        assert not [line for line in here.lines if "next-hop-busy" in line]


class Idle:
    """A holder that gives way."""

    def __init__(self, shares: Shares, login: str) -> None:
        self.shares, self.login, self.gave_way = shares, login, False

    async def give_way(self) -> None:
        self.gave_way = True
        self.shares.leave(self, self.login)


@pytest.mark.parametrize("patience", [1.0, 1e9])
async def test_no_place_is_lost_whenever_who_waits_is_cut_off(autojump_clock: MockClock, patience: float) -> None:
    places = trio.CapacityLimiter(3)
    made = Shares(places, 2, patience)
    holders = [Idle(made, login) for login in ("a", "a", "b")]
    for holder in holders:
        await made.enter(holder, holder.login, 5)
        made.rests(holder)
    for seconds in (0.0, 0.5, 1.0, 1.5, 2.0, 60.0):
        for login in ("a", "c", ""):
            waits = Idle(made, login)
            with trio.move_on_after(seconds):
                try:
                    await made.enter(waits, login, 30)
                except trio.TooSlowError:
                    continue
                made.leave(waits, login)
    await wait_all_tasks_blocked()
    left = [holder for holder in holders if not holder.gave_way]
    assert places.borrowed_tokens == len(left)
    assert len(made) == len({holder.login for holder in left})
    assert (len(left) == 3) == (patience > 100)


async def test_a_login_that_holds_all_its_connections_starves_nobody() -> None:
    """Two clients have fifty connections each, and so all places of the hop; a third one sends."""
    async with bench() as here:
        hop = here.hop(await here.script(), keeping=Keeping(size=100, waiting=0.3))
        route = Route(domains=("*",), via=("smtp://127.0.0.1:1",))
        async with desk(relay=Proxy([route], [hop]), per_client=0) as server, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(server.connected()) for _ in range(100)]
            codes = []
            async with trio.open_nursery() as nursery:

                async def hold(client: Any) -> None:
                    await client.ready(MAIL)
                    codes.append(await client.code(RCPT))

                for client in clients:
                    nursery.start_soon(hold, client)
            assert sorted(codes) == [250] * 20 + [451] * 80
            async with server.connected() as ann:
                await ann.hear()
                for line in (b"EHLO x.example\r\n", plain("ann@example.org", "sesame")):
                    assert (await ann.code(line)) in {250, 235}
                ann_mail = MAIL.replace(b"joe", b"ann")
                assert [await ann.code(line) for line in (ann_mail, RCPT, DATA)] == [250, 250, 354]
                assert await ann.code(LETTER.replace(b"joe", b"ann") + END) == 250
