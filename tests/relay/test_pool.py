"""Connections that are kept: how many, for how long, and what happens when one has ended meanwhile."""

from __future__ import annotations

import pytest
import trio

from saslpy.relay.pool import Keeping

from ..real.sink import DROP, EXTENSIONS, HANG
from .host import ANN, BEN, JOE, bench, kept, kinds, pieces, send

OK = b"250 ok\r\n"


async def test_one_connection_for_many_messages() -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script)
        for _ in range(5):
            assert kinds((await send(hop))[1]) == ["Delivered 250"]
        assert (len(script.wire), script.verbs().count("RSET")) == (1, 0)


async def test_messages_at_the_same_time_have_connections_of_their_own() -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(send, hop)
        assert len(script.messages) == len(script.wire) == kept(hop) == 5


@pytest.mark.parametrize("end", [DROP, b"421 4.4.2 idle for too long\r\n" + DROP])
@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_one_that_ends_when_it_is_used_again_is_replaced(end: bytes, extensions: tuple[str, ...]) -> None:
    """Nobody hears of it: neither the client, nor the log."""
    async with bench() as place:
        script = await place.script(answers={"MAIL": [OK, end]}, extensions=extensions)
        hop = place.hop(script)
        assert kinds((await send(hop))[1]) == ["Delivered 250"]
        assert kinds((await send(hop, ANN, BEN))[1]) == ["Delivered 250"] * 2
        assert (len(script.wire), len(script.messages), place.lines) == (2, 2, [])


async def test_a_refusal_over_a_kept_connection_is_an_answer() -> None:
    async with bench() as place:
        script = await place.script(answers={"MAIL": [OK, b"451 4.3.0 later\r\n"]})
        hop = place.hop(script)
        await send(hop)
        assert kinds((await send(hop))[0]) == ["Deferred 451"]
        assert len(script.wire) == 1


async def test_one_that_has_ended_meanwhile_is_not_used() -> None:
    async with bench() as place:
        script = await place.script(answers={"end": b"250 2.0.0 taken\r\n" + DROP})
        hop = place.hop(script)
        for _ in range(3):
            assert kinds((await send(hop))[1]) == ["Delivered 250"]
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert (len(script.wire), len(script.messages)) == (3, 3)


async def test_one_that_has_said_something_unasked_is_not_used() -> None:
    async with bench() as place:
        for bytewise in (False, True):
            again = b"250 2.0.0 taken\r\n250 2.0.0 and again\r\n"
            script = await place.script(answers={"end": again}, bytewise=bytewise)
            hop = place.hop(script)
            for _ in range(2):
                assert kinds((await send(hop))[1]) == ["Delivered 250"]
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(script.wire) == 2


async def test_one_with_an_open_question_is_not_kept() -> None:
    """Its answer would become the next message's."""
    async with bench() as place:
        script = await place.script(answers={"RCPT": [OK, HANG]})
        hop = place.hop(script)
        with trio.move_on_after(0.05):
            async with hop.begin(JOE) as delivery:
                await delivery.rcpt(ANN)
                await delivery.rcpt(BEN)
        assert kept(hop) == 0


@pytest.mark.parametrize("keeping", [Keeping(age_seconds=0.02), Keeping(idle_seconds=0.02, age_seconds=1000)])
async def test_one_that_is_too_old_is_not_used(keeping: Keeping) -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script, keeping=keeping)
        for _ in range(2):
            await send(hop)
            await trio.sleep(0.03)
        assert len(script.wire) == 2


async def test_it_is_replaced_once() -> None:
    """And then the host is gone."""
    async with bench() as place:
        script = await place.script(answers={"MAIL": [OK, DROP], "greeting": b"220 ok\r\n"})
        hop = place.hop(script)
        assert kinds((await send(hop))[1]) == ["Delivered 250"]
        script.answers = {"MAIL": DROP}
        assert kinds((await send(hop))[0]) == ["Deferred 451"]
        assert len(script.wire) == 2


async def test_after_a_connection_that_had_ended_its_contemporaries_are_forgotten() -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script)
        async with hop.begin(JOE) as one, hop.begin(JOE) as other:
            await one.rcpt(ANN)
            await other.rcpt(ANN)
        assert kept(hop) == 2
        script.answers = {"RSET": DROP}
        assert kinds((await send(hop))[1]) == ["Delivered 250"]
        assert (kept(hop), len(script.wire)) == (1, 3)


async def test_bounds() -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script, keeping=Keeping(messages=2, idle=1))
        for _ in range(4):
            await send(hop)
        assert len(script.wire) == 2
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(send, hop)
        assert kept(hop) == 1
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert script.verbs().count("QUIT") == len(script.wire) - 1


@pytest.mark.parametrize("keeping", [Keeping(idle_seconds=0.02), Keeping(age_seconds=0.02, idle_seconds=0.1)])
async def test_what_is_old_is_closed(keeping: Keeping) -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script, keeping=keeping)
        await send(hop)
        assert kept(hop) == 1
        with trio.fail_after(2):
            while kept(hop) or script.verbs()[-1] != "QUIT":
                await trio.sleep(0.005)


async def test_who_waits_too_long_for_a_place_is_deferred() -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script, keeping=Keeping(size=1, waiting=0.05))
        async with hop.begin(JOE) as delivery:
            await delivery.rcpt(ANN)
            answers, _ = await send(hop)
            assert (kinds(answers), answers[0].reply.enhanced) == (["Deferred 451"], "4.4.5")
            assert kinds(await delivery.content(pieces())) == ["Delivered 250"]
        assert kinds((await send(hop))[1]) == ["Delivered 250"]


async def test_no_place_is_lost() -> None:
    """Whatever ends a message: refused, broken off, cancelled, failed."""
    async with bench() as place:
        script = await place.script(answers={"RCPT": [OK, b"550 no\r\n", DROP, OK]})
        hop = place.hop(script, keeping=Keeping(size=1, waiting=1.0))
        for turn in range(12):
            with trio.move_on_after(0.0 if turn % 3 else 10):
                async with hop.begin(JOE) as delivery:
                    await delivery.rcpt(ANN)
        script.answers = {}
        assert kinds((await send(hop))[1]) == ["Delivered 250"]


async def test_the_end_says_quit() -> None:
    async with bench() as place:
        script = await place.script()
        async with trio.open_nursery() as nursery:
            place.nursery, outer = nursery, place.nursery
            hop = place.hop(script)
            await send(hop)
            nursery.cancel_scope.cancel()
        place.nursery = outer
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert script.verbs()[-1] == "QUIT"
        assert kinds((await send(hop))[1]) == ["Delivered 250"], "who is under way is not stopped"
        assert kept(hop) == 0
