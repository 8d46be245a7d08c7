"""Priorities, times of delivery and times of release: what a next hop can do of them, and what our client hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.parameters import mail

from ..real.sink import ScriptedHop
from .host import ANN, CONTENT, bench, kinds, send

WISHES = ("FUTURERELEASE 3600 2099-01-01T00:00:00Z", "DELIVERBY 60", "MT-PRIORITY MIXER")
KEYWORDS = {"FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"}


def asked(text: str) -> Envelope:
    """For this, a moment ago."""
    return Envelope(Mailbox("joe", "example.org"), mail(text, KEYWORDS), trio.current_time() - 3.5)


async def sent(script: ScriptedHop, text: str) -> str:
    """What is heard at the end, of the recipient or the message."""
    async with bench() as place:
        await place.nursery.start(script.serve)
        answers, outcomes = await send(place.hop(script), envelope=asked(text))
        return str((outcomes or answers)[0].reply)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("MT-PRIORITY=9", "MT-PRIORITY=9"),
        ("MT-PRIORITY=0", "MT-PRIORITY=0"),
        ("BY=70;RT", "BY=67;RT"),
        ("BY=3;N", "BY=0;N"),
        ("HOLDFOR=3600", "HOLDFOR=3597"),
        ("HOLDUNTIL=2098-12-31T23:59:59Z", "HOLDUNTIL=2098-12-31T23:59:59Z"),
    ],
)
async def test_a_hop_that_knows_them(text: str, heard: str) -> None:
    script = ScriptedHop(extensions=WISHES)
    assert (await sent(script, text)).startswith("250 ")
    assert script.messages[0].mail == f"MAIL FROM:<joe@example.org> {heard}"


async def test_a_hop_that_gives_another_priority_says_so_itself() -> None:
    script = ScriptedHop(extensions=WISHES, answers={"end": b"250 2.3.6 3 is the new priority assigned\r\n"})
    assert await sent(script, "MT-PRIORITY=6") == "250 2.3.6 3 is the new priority assigned"


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("MT-PRIORITY=0", "250 2.0.0 queued"),
        (
            "MT-PRIORITY=-4",
            "250 2.3.6 0 is the new priority assigned to the message, since the next hop knows no priorities queued",
        ),
        ("BY=60;N", "250 2.0.0 queued"),
        ("BY=3;R", "554 5.4.7 The time for delivery has expired"),
        ("HOLDFOR=1", "554 5.3.3 The next hop cannot release the message later"),
        ("HOLDUNTIL=2020-01-01T00:00:00Z", "554 5.3.3 The next hop cannot release the message later"),
    ],
)
async def test_a_hop_that_knows_none(text: str, heard: str, lmtp: bool) -> None:
    script = ScriptedHop(lmtp=lmtp, answers={"end": b"250 2.0.0 queued\r\n"})
    assert await sent(script, text) == heard
    assert [message.mail for message in script.messages] == ["MAIL FROM:<joe@example.org>"] * heard.startswith("250")


async def test_a_hop_that_cannot_return_what_is_late() -> None:
    """LMTP delivers at once: it need not know how (RFC 2033)."""
    assert await sent(ScriptedHop(), "BY=60;R") == "554 5.3.3 The next hop does not promise delivery in time"
    assert (await sent(ScriptedHop(lmtp=True), "BY=60;R")).startswith("250 ")
    late = await sent(ScriptedHop(extensions=WISHES), "BY=62;R")
    assert late == "554 5.4.7 The next hop does not promise delivery in so short a time"


async def test_a_time_that_is_over_before_the_content_is() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT
        await trio.sleep(1.1)

    async with bench() as place:
        script = await place.script(lmtp=True)
        async with place.hop(script).begin(asked("BY=4;R")) as delivery:
            assert kinds(await delivery.rcpt(ANN)) == ["Accepted 250"]
            (outcome,) = await delivery.content(slow())
        assert str(outcome.reply) == "554 5.4.7 The time for delivery has expired"
        await trio.testing.wait_all_tasks_blocked()
        assert (script.messages, script.broken_off) == ([], 1)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("MT-PRIORITY=9 BY=60;R", "250"),
        ("BY=3;R", "554 5.4.7 The time for delivery has expired"),
        ("HOLDFOR=1", "554 5.3.3 The next hop cannot release the message later"),
    ],
)
async def test_a_folder(text: str, heard: str, tmp_path: Path) -> None:
    async with bench() as place:
        answers, outcomes = await send(place.hop("capture:in", folder=tmp_path), envelope=asked(text))
        assert str((outcomes or answers)[0].reply).startswith(heard)
