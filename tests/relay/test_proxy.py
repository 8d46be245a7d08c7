"""Relay mode "proxy": one message, one hop; what several recipients come to in one reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.parameters import RcptParameters
from saslpy.protocols.smtp.replies import Reply, reply
from saslpy.protocols.smtp.transaction import Recipient
from saslpy.relay.dial import Bounds
from saslpy.relay.outcome import Deferred, Delivered, Outcome, Refused
from saslpy.relay.proxy import NO_ROUTE, SEPARATELY, Proxy, one_reply, open_proxy
from saslpy.relay.routes import Route

from ..fakes import list_log
from ..real.sink import DROP, HANG, ScriptedHop
from .host import ANN, BEN, CONTENT, JOE, pieces


def at(address: str) -> Recipient:
    local, _, domain = address.partition("@")
    return Recipient(Mailbox(local, domain), RcptParameters())


async def proxied(
    proxy: Proxy, *recipients: Recipient, content: Sequence[bytes] = ()
) -> tuple[list[int], Reply | None]:
    """The codes that recipients heard, and the last reply, if there was a recipient."""
    async with proxy.begin(JOE) as transfer:
        answers = [await transfer.rcpt(one) for one in recipients]
        if not any(answer.positive for answer in answers):
            return [answer.code for answer in answers], None
        return [answer.code for answer in answers], await transfer.content(pieces(*content))


@asynccontextmanager
async def standing(*hops: ScriptedHop, timeout: float = 5.0) -> AsyncIterator[Proxy]:
    """The first hop is for example.net, the second for example.com, the third for all others."""
    async with trio.open_nursery() as nursery:
        routes = []
        for domain, hop in zip(("example.net", "example.com", "*"), hops, strict=False):
            await nursery.start(hop.serve)
            scheme = "lmtp:" if hop.lmtp else "smtp://"
            routes.append(Route(domains=(domain,), via=f"{scheme}127.0.0.1:{hop.port}"))
        log, _ = list_log()
        yield open_proxy(nursery, routes, "me.test", log, bounds=Bounds(timeout, timeout))
        nursery.cancel_scope.cancel()


async def test_one_route() -> None:
    hop = ScriptedHop()
    async with standing(hop) as proxy:
        codes, last = await proxied(proxy, ANN, BEN)
        assert codes == [250, 250]
        assert str(last) == "250 2.0.0 taken"
        assert [message.content for message in hop.messages] == [b"Subject: x\r\n\r\n..dot\r\nend\r\n"]
        assert CONTENT.startswith(b"Subject")


async def test_the_first_recipient_that_is_accepted_fixes_the_route() -> None:
    first, second = ScriptedHop(answers={"RCPT": [b"550 5.1.1 no\r\n", b""]}), ScriptedHop()
    async with standing(first, second) as proxy:
        async with proxy.begin(JOE) as transfer:
            assert transfer.hop == ""
            assert (await transfer.rcpt(ANN)).code == 550
            assert (await transfer.rcpt(at("cat@example.com"))).code == 250
            assert transfer.hop == f"smtp://127.0.0.1:{second.port}"
            assert await transfer.rcpt(BEN) == SEPARATELY
            assert await transfer.rcpt(at("x@elsewhere.test")) == NO_ROUTE
            assert (await transfer.content(pieces())).code == 250
        assert len(second.messages) == 1
        assert first.messages == []
        assert (await proxied(proxy, BEN))[0] == [250]
        assert len(first.messages) == 1


async def test_all_the_rest_has_a_route_of_its_own() -> None:
    hops = ScriptedHop(), ScriptedHop(), ScriptedHop()
    async with standing(*hops) as proxy:
        assert (await proxied(proxy, at("x@elsewhere.test"), ANN))[0] == [250, 452]
        assert [len(hop.messages) for hop in hops] == [0, 0, 1]


@pytest.mark.parametrize(
    ("answers", "codes", "last"),
    [
        ({"RCPT": b"452 4.2.2 full\r\n"}, [452], None),
        ({"MAIL": b"550 5.7.1 not you\r\n"}, [550], None),
        ({"MAIL": b"530 5.7.0 log in\r\n"}, [554], None),
        ({"DATA": b"451 4.3.0 later\r\n"}, [250], 451),
        ({"DATA": b"554 5.5.1 never\r\n"}, [250], 554),
        ({"end": b"552 5.3.4 too large\r\n"}, [250], 552),
        ({"end": b"421 4.3.2 bye\r\n" + DROP}, [250], 451),
        ({"end": DROP}, [250], 451),
        ({"end": HANG}, [250], 451),
        ({"RCPT": HANG}, [451], None),
        ({"greeting": b"554 5.3.2 go away\r\n"}, [451], None),
    ],
)
async def test_the_hop_s_class_is_kept(answers: dict[str, Any], codes: list[int], last: int | None) -> None:
    async with standing(ScriptedHop(answers=answers), timeout=0.3) as proxy:
        heard, end = await proxied(proxy, ANN)
        assert heard == codes
        assert (end.code if end else None) == last


async def test_lmtp_for_several() -> None:
    hop = ScriptedHop(lmtp=True, answers={"end": [b"250 2.0.0 ann has it\r\n", b"552 5.2.2 full\r\n"]})
    async with standing(hop) as proxy:
        _, last = await proxied(proxy, ANN, BEN)
        assert last is not None
        assert (last.code, last.enhanced) == (554, "5.3.0")
        assert last.lines[1:] == ("not to ben@example.net: 552 5.2.2 full", "delivered to ann@example.net")


OK, LATER, NEVER = (
    Delivered(reply(250, "2.0.0", "queued")),
    Deferred(reply(452, "4.2.2", "full")),
    Refused(reply(550, "5.1.1", "unknown")),
)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([OK], "250 2.0.0 queued"),
        ([OK, OK], "250 2.0.0 queued"),
        ([OK, Delivered(reply(250, "2.1.5", "ben saved"))], "250 2.0.0 queued ben saved"),
        ([LATER], "452 4.2.2 full"),
        ([NEVER], "550 5.1.1 unknown"),
        ([NEVER, LATER], "452 4.2.2 full"),
        ([NEVER, NEVER], "550 5.1.1 unknown"),
        ([Deferred(reply(421, "4.3.2", "bye"))], "451 4.3.2 bye"),
        (
            [OK, NEVER],
            "554 5.3.0 This message was delivered to some; do not send it to them again "
            "not to ben@example.net: 550 5.1.1 unknown delivered to ann@example.net",
        ),
    ],
)
def test_one_reply_for_all(outcomes: list[Outcome], said: str) -> None:
    assert str(one_reply([ANN, BEN][: len(outcomes)], outcomes)) == said


def test_a_long_list_is_cut() -> None:
    recipients = [at(f"u{n}@example.net") for n in range(200)]
    said = one_reply(recipients, [OK] * 100 + [LATER] * 100)
    assert said.code == 554
    assert len(said.lines) == 1 + 51 + 51
    assert "and 50 more" in said.lines
