"""MT-PRIORITY, DELIVERBY and FUTURERELEASE from the client to the next hop: their bytes, and what is said to them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from saslpy.relay.proxy import open_proxy
from saslpy.relay.routes import Route
from saslpy.servers.submission_options import SubmissionOptions
from saslpy.submission.options import Submission

from ..fakes import list_log
from ..real.sink import ScriptedHop
from .submission import DATA, EHLO, END, LETTER, RCPT, Client, desk

KNOWING = ("PIPELINING", "FUTURERELEASE 86400 2099-01-01T00:00:00Z", "DELIVERBY 30", "MT-PRIORITY")
SENT = b"250 2.0.0 taken\r\n"
MALFORMED = b"501 5.5.4 Malformed parameter\r\n"
TWICE = b"501 5.5.4 A parameter was given twice\r\n"


def mail(parameters: str) -> bytes:
    return f"MAIL FROM:<joe@example.org> {parameters}\r\n".encode()


@asynccontextmanager
async def sending(hop: ScriptedHop, release: int = 3600) -> AsyncIterator[Client]:
    """Somebody who has logged in to a server before this hop."""
    async with trio.open_nursery() as nursery:
        await nursery.start(hop.serve)
        routes = [Route(domains=("*",), via=f"smtp://127.0.0.1:{hop.port}")]
        relay = open_proxy(nursery, routes, "me.test", list_log()[0])
        async with desk(relay=relay, future_release=release) as here, here.connected() as client:
            yield await client.ready()
        nursery.cancel_scope.cancel()


async def test_what_is_offered() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        assert (await client.ask(EHLO)).endswith(b"\r\n250-DELIVERBY\r\n250 MT-PRIORITY\r\n")
    async with desk(future_release=86400) as here, here.connected() as client:
        await client.ready()
        line = rb"\r\n250-FUTURERELEASE 86400 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\r\n250-DELIVERBY\r\n"
        assert re.search(line, await client.ask(EHLO))


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ("HOLDFOR=3601", b"501 5.5.4 The release time is beyond the limit\r\n"),
        ("HOLDUNTIL=2999-01-01T00:00:00Z", b"501 5.5.4 The release time is beyond the limit\r\n"),
        ("HOLDUNTIL=2030-01-01T00:00:00+02:00", MALFORMED),
        ("HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z", TWICE),
        ("BY=0;R", MALFORMED),
        ("BY=1000000000;N", MALFORMED),
        ("BY=1;N BY=1;N", TWICE),
        ("MT-PRIORITY=10", MALFORMED),
        ("MT-PRIORITY=-0", MALFORMED),
        ("MT-PRIORITY=1 MT-PRIORITY=1", TWICE),
    ],
)
async def test_what_cannot_be_meant(parameters: str, answer: bytes) -> None:
    async with sending(ScriptedHop()) as client:
        assert await client.ask(mail(parameters)) == answer
        assert (await client.ask(mail("MT-PRIORITY=9 BY=+999999999;R HOLDFOR=3600"))).startswith(b"250 2.1.0")


async def test_a_release_that_is_not_configured() -> None:
    async with sending(ScriptedHop(extensions=KNOWING), release=0) as client:
        assert await client.ask(mail("HOLDFOR=1")) == b"555 5.5.4 Parameter not recognized or not implemented\r\n"


async def test_a_hop_that_knows_them() -> None:
    hop = ScriptedHop(extensions=KNOWING, answers={"end": SENT})
    async with sending(hop) as client:
        for line, begin in ((mail("HOLDFOR=60 BY=90;N MT-PRIORITY=-3"), b"250"), (RCPT, b"250"), (DATA, b"354")):
            assert (await client.ask(line)).startswith(begin)
        assert await client.ask(LETTER + END) == SENT
    assert [message.mail for message in hop.messages] == [
        "MAIL FROM:<joe@example.org> HOLDFOR=60 BY=90;N MT-PRIORITY=-3"
    ]


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ("BY=90;R", b"554 5.3.3 The next hop does not promise delivery in time\r\n"),
        ("HOLDFOR=60", b"554 5.3.3 The next hop cannot release the message later\r\n"),
    ],
)
async def test_a_hop_that_does_not(parameters: str, answer: bytes) -> None:
    hop = ScriptedHop()
    async with sending(hop) as client:
        assert (await client.ask(mail(parameters))).startswith(b"250")
        assert await client.ask(RCPT) == answer
        assert await client.ask(DATA) == b"554 5.5.1 No valid recipients\r\n"
    assert "MAIL" not in hop.verbs()


async def test_a_priority_ends_where_nobody_knows_it() -> None:
    hop = ScriptedHop(answers={"end": SENT})
    async with sending(hop) as client:
        for line in (mail("BY=90;N MT-PRIORITY=3"), RCPT, DATA):
            assert (await client.ask(line))[:1] in b"23"
        assert await client.ask(LETTER + END) == (
            b"250-2.3.6 0 is the new priority assigned to the message, since the next hop knows no priorities\r\n"
            b"250 2.3.6 taken\r\n"
        )
    assert hop.messages[0].mail == "MAIL FROM:<joe@example.org>"


def test_the_configuration_says_how_long_a_message_may_be_held() -> None:
    assert SubmissionOptions.of(Submission(hostname="mail.example.org", future_release=60)).future_release == 60
    assert SubmissionOptions.of(Submission(hostname="mail.example.org")).future_release == 0
