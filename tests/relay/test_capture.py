"""A folder instead of a next hop."""

from __future__ import annotations

import mailbox
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.parameters import MailParameters

from .host import ANN, BEN, JOE, bench, kinds, send


async def test_a_message_is_in_the_maildir(tmp_path: Path) -> None:
    async with bench() as place:
        hop = place.hop("capture:caught/here", folder=tmp_path)
        answers, outcomes = await send(hop, ANN, BEN, content=(b"Subject: x\r", b"\n\r", b"\n.a\r\nb\r\n"))
        assert kinds(answers) == ["Accepted 250"] * 2
        assert kinds(outcomes) == ["Delivered 250"] * 2
        await send(hop, ANN, envelope=Envelope(None))
    folder = tmp_path / "caught" / "here"
    assert sorted(path.name for path in folder.iterdir()) == ["cur", "new", "tmp"]
    assert not list((folder / "tmp").iterdir())
    first, second = sorted((folder / "new").iterdir())
    assert first.read_bytes() == (
        b"Return-Path: <joe@example.org>\nDelivered-To: ann@example.net\nDelivered-To: ben@example.net\n"
        b"Subject: x\n\n.a\nb\n"
    )
    assert second.read_bytes().startswith(b"Return-Path: <>\n")
    assert first.stat().st_mode & 0o777 == 0o600
    assert first.name in outcomes[0].reply.text
    assert len(mailbox.Maildir(str(folder), create=False)) == 2


async def test_binary_content_is_kept_as_it_is(tmp_path: Path) -> None:
    envelope = Envelope(JOE.sender, MailParameters(body="BINARYMIME"))
    async with bench() as place:
        await send(place.hop(f"capture:{tmp_path}"), envelope=envelope, content=(b"\r\n\r", b"\0\n"))
    (file,) = (tmp_path / "new").iterdir()
    assert file.read_bytes().endswith(b"\n\r\n\r\0\n")


async def test_a_message_that_does_not_come_to_its_end_is_not_there(tmp_path: Path) -> None:
    async def ends(how: str) -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n"
        if how == "raised":
            raise OSError("our client is gone")
        await trio.sleep_forever()

    async with bench() as place:
        hop = place.hop(f"capture:{tmp_path}")
        async with hop.begin(JOE) as delivery:
            await delivery.rcpt(ANN)
            with pytest.raises(OSError, match="gone"):
                await delivery.content(ends("raised"))
            with trio.move_on_after(0.05):
                await delivery.content(ends("cancelled"))
    assert not list((tmp_path / "new").iterdir())
    assert not list((tmp_path / "tmp").iterdir())


async def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with bench() as place:
        assert kinds((await send(place.hop(f"capture:{tmp_path}/file")))[1]) == ["Deferred 451"]
