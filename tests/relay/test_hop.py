"""A message on its way to a next hop that is right, wrong, slow, or gone: every recipient has the truth."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import trio

from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.parameters import MailParameters
from saslpy.relay.connection import Connection
from saslpy.relay.dial import Bounds
from saslpy.relay.hop import NextHop
from saslpy.relay.outcome import Deferred, Refused

from ..real.postfix import free_port
from ..real.sink import DROP, EXTENSIONS, HANG, ScriptedHop
from .host import ANN, BEN, CONTENT, JOE, Bench, bench, kept, kinds, pieces, send, to

HASTY = Bounds(timeout=0.05, final=0.05)
STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end")
BEFORE_RCPT = STEPS[:4]


async def test_a_message() -> None:
    async with bench() as place:
        script = await place.script()
        answers, outcomes = await send(
            place.hop(script), ANN, BEN, content=(b"Subject: x\r\n\r\n.d", b"ot\r", b"\nend\r\n")
        )
        assert kinds(answers) == ["Accepted 250"] * 2
        assert kinds(outcomes) == ["Delivered 250"] * 2
        (message,) = script.messages
        assert message.mail == "MAIL FROM:<joe@example.org>"
        assert message.rcpts == ["RCPT TO:<ann@example.net>", "RCPT TO:<ben@example.net>"]
        assert message.content == b"Subject: x\r\n\r\n..dot\r\nend\r\n"
        assert place.lines == []


async def test_recipients_one_after_the_other() -> None:
    async with bench() as place:
        script = await place.script(answers={"RCPT": [b"250 ok\r\n", b"550 5.1.1 no\r\n", b"450 4.2.1 wait\r\n"]})
        async with place.hop(script).begin(JOE) as delivery:
            answers = [*await delivery.rcpt(ANN), *await delivery.rcpt(BEN), *await delivery.rcpt(to("cat"))]
            assert kinds(answers) == ["Accepted 250", "Refused 550", "Deferred 450"]
            assert kinds(await delivery.content(pieces())) == ["Delivered 250"]
        assert script.verbs() == ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "DATA"]


async def test_nothing_is_said_for_nobody() -> None:
    async with bench() as place:
        script = await place.script()
        async with place.hop(script).begin(JOE) as delivery:
            with pytest.raises(ValueError, match="nobody"):
                await delivery.content(pieces())
        assert script.wire == []


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_data_with_the_last_recipient(extensions: tuple[str, ...]) -> None:
    async with bench() as place:
        script = await place.script(extensions=extensions, bytewise=True)
        hop = place.hop(script)
        assert kinds((await send(hop, ANN, BEN, data=True))[1]) == ["Delivered 250"] * 2
        assert kinds((await send(hop, ANN, data=True))[1]) == ["Delivered 250"]
        assert len(script.messages) == 2
        assert len(script.wire) == 1


async def test_data_that_was_said_and_never_followed() -> None:
    """Whoever goes away then has delivered nothing, not even an empty message."""
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script)
        async with hop.begin(JOE) as delivery:
            assert kinds(await delivery.rcpt(ANN, data=True)) == ["Accepted 250"]
        assert kept(hop) == 0
        assert kinds((await send(hop))[1]) == ["Delivered 250"]
        assert [message.content for message in script.messages] == [CONTENT.replace(b"\n.", b"\n..")]


async def test_content_is_not_kept() -> None:
    """A message goes on while it comes: the hop has its beginning before its end is there."""
    async with bench() as place:
        script = await place.script()
        seen = []

        async def large() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b"x" * 65_534 + b"\r\n"
                await trio.testing.wait_all_tasks_blocked(0.001)
                seen.append(len(script.wire[0]))

        async with place.hop(script).begin(JOE) as delivery:
            await delivery.rcpt(ANN)
            assert kinds(await delivery.content(large())) == ["Delivered 250"]
        assert seen[31] > 10 * 65_536
        assert len(script.messages[0].content) == 64 * 65_536


# --- a hop that is gone, or goes


async def test_nobody_there() -> None:
    async with bench() as place:
        answers, _ = await send(place.hop(f"smtp://127.0.0.1:{free_port()}"), ANN, BEN)
        assert kinds(answers) == ["Deferred 451"] * 2
        assert answers[0].reply.enhanced == "4.4.1"
        assert "Connection refused" in place.lines[0]


async def test_no_such_name_and_no_such_socket(tmp_path: Path) -> None:
    async with bench() as place:
        for via in ("smtp://no.such.host.invalid", f"lmtp:{tmp_path}/nothing"):
            assert kinds((await send(place.hop(via, tls="none")))[0]) == ["Deferred 451"]


def not_delivered(result: tuple[list[object], list[object]]) -> bool:
    """Every recipient was deferred, by a reply of ours."""
    answers, outcomes = result
    last = outcomes or answers
    return all(isinstance(one, Deferred) and one.reply.enhanced.startswith("4.4.") for one in last)


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", [DROP, HANG, b"\0\r\n", b"hello\r\n", b"250-", b"250 a\n", b"199 x\r\n", b"333 x\r\n"])
async def test_a_hop_that_fails_at_every_step(what: bytes, step: str, extensions: tuple[str, ...]) -> None:
    async with bench() as place:
        script = await place.script(answers={step: what}, extensions=extensions)
        result = await send(place.hop(script, bounds=HASTY))
        assert not_delivered(result)  # type: ignore[arg-type]
        if step != "end":
            assert script.messages == []


@pytest.mark.parametrize("step", STEPS)
async def test_a_hop_that_says_421_at_every_step(step: str) -> None:
    async with bench() as place:
        script = await place.script(answers={step: b"421 4.3.2 closing\r\n" + DROP})
        answers, outcomes = await send(place.hop(script))
        assert kinds(outcomes or answers) in (["Deferred 421"], ["Deferred 451"])


@pytest.mark.parametrize("step", STEPS)
async def test_a_hop_that_talks_without_end(step: str) -> None:
    async with bench() as place:
        script = await place.script(answers={step: b"250-" + b"x" * 100_000})
        assert not_delivered(await send(place.hop(script)))  # type: ignore[arg-type]
        script.answers = {step: b"250-x\r\n" * 1000}
        assert not_delivered(await send(place.hop(script)))  # type: ignore[arg-type]


async def test_every_class_of_answer_is_kept() -> None:
    steps = ("MAIL", "RCPT", "DATA", "end")
    said = {b"450 4.1.1 later\r\n": "Deferred 450", b"554 5.7.1 never\r\n": "Refused 554"}
    async with bench() as place:
        for step, text in itertools.product(steps, said):
            script = await place.script(answers={step: text})
            hop = place.hop(script)
            answers, outcomes = await send(hop)
            assert kinds(outcomes or answers) == [said[text]]
            assert kept(hop) == 1, "the connection is none the worse"
            script.answers = {}
            assert kinds((await send(hop))[1]) == ["Delivered 250"]
            assert len(script.wire) == 1


async def test_refusals_of_the_connection_are_nobodys_refusal() -> None:
    """554 instead of a greeting, EHLO refused: this is about us, and not about a recipient."""
    async with bench() as place:
        for answers in ({"greeting": b"554 5.7.1 go away\r\n"}, {"EHLO": b"550 no\r\n", "HELO": b"550 no\r\n"}):
            script = await place.script(answers=answers)
            assert kinds((await send(place.hop(script)))[0]) == ["Deferred 451"]
            assert "go away" in place.lines[0] or "550 no" in place.lines[0]


async def test_an_answer_that_is_lost_after_the_dot_is_deferred() -> None:
    async with bench() as place:
        script = await place.script(answers={"end": DROP})
        _answers, outcomes = await send(place.hop(script), ANN, BEN)
        assert kinds(outcomes) == ["Deferred 451"] * 2
        assert "next-hop-broke" in place.lines[0]


async def test_a_refusal_behind_garbage_is_none() -> None:
    async with bench() as place:
        script = await place.script(answers={"end": b"hello\r\n552 5.0.0 no\r\n"})
        assert kinds((await send(place.hop(script)))[1]) == ["Deferred 451"]


async def test_after_a_break_nothing_is_begun_again() -> None:
    """What was accepted is not told twice, and not to another host."""
    async with bench() as place:
        first = await place.script(answers={"RCPT": [b"250 ok\r\n", DROP]})
        second = await place.script()
        async with place.hop(first, second).begin(JOE) as delivery, aclosing(pieces()) as body:
            answers = [*await delivery.rcpt(ANN), *await delivery.rcpt(BEN), *await delivery.rcpt(to("cat"))]
            assert kinds(answers) == ["Accepted 250", "Deferred 451", "Deferred 451"]
            assert kinds(await delivery.content(body)) == ["Deferred 451"]
        assert (len(first.wire), second.wire) == (1, [])


async def test_a_hop_that_says_why_before_it_closes() -> None:
    """In the middle of the content: what it has said is the truth, if it is a no."""

    async def serve(stream: trio.SocketStream, words: bytes) -> None:
        await stream.send_all(b"220 x\r\n")
        for answer in (b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await stream.receive_some()
            await stream.send_all(answer)
        await trio.sleep(0.05)
        await stream.send_all(words)
        await stream.send_eof()
        with trio.move_on_after(1):
            while await stream.receive_some():
                pass

    async with bench() as place:
        for words, expected in {b"552 5.3.4 large\r\n": "Refused 552", b"250 fine\r\n": "Deferred 451"}.items():
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            place.nursery.start_soon(trio.serve_listeners, lambda stream, words=words: serve(stream, words), listeners)

            async def slow() -> AsyncIterator[bytes]:
                for _ in range(5):
                    yield b"x" * 50_000 + b"\r\n"
                    await trio.sleep(0.05)

            async with place.hop(f"smtp://127.0.0.1:{listeners[0].socket.getsockname()[1]}").begin(JOE) as delivery:
                await delivery.rcpt(ANN)
                assert kinds(await delivery.content(slow())) == [expected]


# --- several hosts


async def test_the_next_host_takes_over() -> None:
    async with bench() as place:
        for answers in (
            {"greeting": DROP},
            {"greeting": b"554 no\r\n"},
            {"EHLO": DROP},
            {"MAIL": DROP},
            {"RCPT": DROP},
        ):
            first, second = await place.script(answers=answers), await place.script()
            hop = place.hop(f"smtp://127.0.0.1:{free_port()}", first, second)
            assert kinds((await send(hop))[1]) == ["Delivered 250"]
            assert (len(first.messages), len(second.messages)) == (0, 1)
            async with hop.begin(JOE) as one, hop.begin(JOE) as other:
                assert kinds(await one.rcpt(ANN) + await other.rcpt(ANN)) == ["Accepted 250"] * 2
            assert len(first.wire) == 1, "one that could not be used is asked last, for a while"


async def test_a_host_that_is_back_is_told() -> None:
    async with bench() as place:
        port = free_port()
        hop = place.hop(f"smtp://127.0.0.1:{port}")
        for _ in range(3):
            assert kinds((await send(hop))[0]) == ["Deferred 451"]
        async with trio.open_nursery() as nursery:
            script = ScriptedHop(port=port)
            await nursery.start(script.serve)
            assert kinds((await send(hop))[1]) == ["Delivered 250"]
            nursery.cancel_scope.cancel()
        assert events(place) == ["next-hop-down", "next-hop-up"], "once, and not for each message"
        assert "seconds=0" in place.lines[1]


async def test_a_host_that_fails_in_another_way_is_told_again() -> None:
    """One that takes connections, and no message, is not up between two of them."""
    async with bench() as place:
        numbers = iter(range(10))

        class Busy(dict[str, bytes]):
            def get(self, verb: str, usual: bytes) -> bytes:  # type: ignore[override]
                return b"421 4.3.2 busy %d\r\n" % next(numbers) if verb == "MAIL" else usual

        answers = Busy()
        script = await place.script(answers=answers)
        hop = place.hop(script)
        for _ in range(3):
            assert (await send(hop))[0] != []
        assert events(place) == ["next-hop-down"]
        script.answers = {"EHLO": DROP}
        await send(hop)
        assert events(place) == ["next-hop-down"] * 2


def events(place: Bench) -> list[str]:
    return [line.split("event=")[1].split(" ")[0] for line in place.lines if "level=debug" not in line]


async def test_a_refusal_is_not_asked_again_elsewhere() -> None:
    async with bench() as place:
        first, second = await place.script(answers={"RCPT": b"550 5.1.1 no\r\n"}), await place.script()
        assert kinds((await send(place.hop(first, second)))[0]) == ["Refused 550"]
        assert second.wire == []


async def test_no_host_is_asked_twice_behind_an_answer() -> None:
    """What was accepted by one host and is lost there is deferred, and never sent to another."""
    async with bench() as place:
        for step in ("DATA", "end"):
            first, second = await place.script(answers={step: DROP}), await place.script()
            assert kinds((await send(place.hop(first, second)))[1]) == ["Deferred 451"]
            assert second.wire == []


# --- whoever goes away


async def left(hop: NextHop, how: str) -> None:
    """Begin a message, and do not end it."""

    async def content() -> AsyncIterator[bytes]:
        yield CONTENT * 5000
        if how == "raised":
            raise RuntimeError("our client has gone")
        await trio.sleep_forever()

    with trio.move_on_after(0.2):
        async with hop.begin(JOE) as delivery:
            assert kinds(await delivery.rcpt(ANN)) == ["Accepted 250"]
            if how != "without content":
                await delivery.content(content())


@pytest.mark.parametrize("how", ["raised", "cancelled", "without content"])
async def test_who_goes_away_has_delivered_nothing(how: str) -> None:
    async with bench() as place:
        script = await place.script()
        hop = place.hop(script)
        if how == "raised":
            with pytest.raises(RuntimeError, match="our client"):
                await left(hop, how)
        else:
            await left(hop, how)
        assert kept(hop) == (how == "without content")
        assert kinds((await send(hop))[1]) == ["Delivered 250"]
        assert len(script.messages) == 1
        assert ("RSET" in script.verbs()) == (how == "without content")


async def test_content_that_cannot_be_sent_ends_without_its_end() -> None:
    async with bench() as place:
        for bad in (b"a\nb", b"a\rb", b"\r\n.\n", b"\0"):
            script = await place.script()
            hop = place.hop(script)
            _answers, outcomes = await send(hop, ANN, BEN, content=(CONTENT * 2000, bad, CONTENT))
            assert [(type(one), one.reply.enhanced) for one in outcomes] == [(Refused, "5.6.11")] * 2
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert (script.messages, script.broken_off, kept(hop)) == ([], 1, 0)


# --- LMTP


async def test_lmtp(tmp_path: Path) -> None:
    script = ScriptedHop(
        lmtp=True, answers={"end": [b"250 2.0.0 ok\r\n", b"552 5.2.2 full\r\n", b"451 4.3.0 disk\r\n"]}
    )
    async with bench() as place:
        await place.nursery.start(script.serve_unix, tmp_path / "lmtp")
        hop = place.hop("lmtp:./lmtp", folder=tmp_path)
        _answers, outcomes = await send(hop, ANN, BEN, to("cat"))
        assert kinds(outcomes) == ["Delivered 250", "Refused 552", "Deferred 451"]
        assert kept(hop) == 1
        assert script.verbs() == ["LHLO", "MAIL", "RCPT", "RCPT", "RCPT", "DATA"]


async def test_lmtp_that_ends_half_way() -> None:
    """Who has an answer has it; the others may get the message twice, and never not at all."""
    async with bench() as place:
        script = await place.script(lmtp=True, answers={"end": [b"250 2.0.0 ok\r\n", DROP]})
        _, outcomes = await send(place.hop(script), ANN, BEN, to("cat"))
        assert kinds(outcomes) == ["Delivered 250", "Deferred 451", "Deferred 451"]


# --- what the hop cannot do


async def test_what_a_hop_cannot_take_is_refused_for_good() -> None:
    async with bench() as place:
        script = await place.script(extensions=("PIPELINING",))
        hop = place.hop(script)
        for parameters, code in {"BINARYMIME": "5.6.3", "REQUIRETLS": "5.7.30"}.items():
            given = MailParameters(body=parameters) if parameters == "BINARYMIME" else MailParameters(requiretls=True)
            answers, _ = await send(hop, envelope=Envelope(JOE.sender, given))
            assert [(type(one), one.reply.enhanced) for one in answers] == [(Refused, code)]
        jose = Envelope(Mailbox("josé", "example.org"), MailParameters(smtputf8=True))
        answers, _ = await send(hop, envelope=jose)
        assert answers[0].reply.enhanced == "5.6.7"
        assert script.verbs() == ["EHLO"]


# --- the answer to the whole content


async def test_the_last_answer_may_take_longer_than_others() -> None:
    """What is slow behind the dot is not taken for gone: the message would arrive twice (RFC 5321, 4.5.3.2.6)."""
    async with bench() as place:
        script = await place.script(answers={"end": HANG})
        begun = trio.current_time()
        outcomes = (await send(place.hop(script, bounds=Bounds(timeout=0.05, final=0.3))))[1]
        assert kinds(outcomes) == ["Deferred 451"]
        assert 0.3 <= trio.current_time() - begun < 3
        assert "does not answer within 0.3 s" in place.lines[0]


@pytest.mark.parametrize("answer", [HANG, DROP])
async def test_who_hears_nothing_of_the_whole_message_is_told_that_it_may_arrive_twice(answer: bytes) -> None:
    async with bench() as place:
        script = await place.script(answers={"end": answer})
        (outcome,) = (await send(place.hop(script, bounds=HASTY)))[1]
        assert str(outcome.reply) == (
            "451 4.4.2 The next hop has the message and does not tell what it does with it; it may arrive twice"
        )


async def early(stream: trio.SocketStream) -> None:
    """A hop that says 250 behind the first of the content, and takes the rest only then."""

    async def lines(*answers: bytes) -> None:
        for answer in answers:
            await stream.receive_some()
            await stream.send_all(answer)

    await stream.send_all(b"220 hop\r\n")
    await lines(b"250 hop\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
    await stream.receive_some(1)
    await stream.send_all(b"250 2.0.0 taken\r\n")
    await trio.sleep(0.05)
    while await stream.receive_some():
        pass


@pytest.mark.parametrize("content", [(b"x" * 998 + b"\r\n",) * 40, ((b"y" * 998 + b"\r\n") * 8_000,)])
async def test_a_yes_before_the_end_is_none(content: tuple[bytes, ...]) -> None:
    """Whether it comes between two pieces, or while one waits for room."""
    async with bench() as place, trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, early, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        hop = place.hop(f"smtp://127.0.0.1:{listeners[0].socket.getsockname()[1]}")

        async def slowly() -> AsyncIterator[bytes]:
            for piece in content:
                yield piece
                await trio.sleep(0.005)

        async with hop.begin(JOE) as delivery:
            await delivery.rcpt(ANN)
            assert kinds(await delivery.content(slowly())) == ["Deferred 451"]
        assert "answered what was not asked" in place.lines[0]
        nursery.cancel_scope.cancel()


async def test_nothing_waits_to_be_sent_when_the_hop_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last of a long message could wait for room together with its dot, and a yes come in the meantime."""
    waiting: list[int] = []
    catch_up = Connection.catch_up

    async def listened(connection: Connection) -> None:
        waiting.append(connection.client.to_send)
        await catch_up(connection)

    monkeypatch.setattr(Connection, "catch_up", listened)
    async with bench() as place:
        script = await place.script()
        outcomes = (await send(place.hop(script), content=(CONTENT * 2000, CONTENT)))[1]
        assert kinds(outcomes) == ["Delivered 250"]
    assert waiting == [0]


@pytest.mark.parametrize("answer", [b"250 chunk\r\n250 taken\r\n", b"250 chunk\r\n250 ta"])
async def test_a_yes_before_the_last_chunk_is_none(answer: bytes) -> None:
    async with bench() as place:
        script = await place.script(extensions=("BINARYMIME", "CHUNKING", "8BITMIME"), answers={"BDAT": answer})
        binary = Envelope(JOE.sender, MailParameters(body="BINARYMIME"))
        assert kinds((await send(place.hop(script), envelope=binary))[1]) == ["Deferred 451"]
        assert "answered what was not asked" in place.lines[0]
