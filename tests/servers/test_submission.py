"""The submission server in this process: what it does with messages, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from saslpy import Account
from saslpy.protocols.smtp.replies import LOCAL_ERROR, NO_RELAY, RECIPIENT_OK, reply
from saslpy.relay.proxy import open_proxy
from saslpy.relay.routes import Route
from saslpy.submission.limits import Limits

from ..fakes import Broken, Users, list_log
from ..real.sink import DROP, ScriptedHop
from .submission import (
    AUTH,
    BODY,
    DATA,
    EHLO,
    END,
    HEADER,
    LETTER,
    MAIL,
    QUIT,
    RCPT,
    STORE,
    Client,
    desk,
    plain,
)


async def sent(client: Client, letter: bytes = LETTER, *rcpts: bytes) -> bytes:
    """A message from MAIL to its last reply."""
    for line in (MAIL, *(rcpts or (RCPT,)), DATA):
        assert (await client.ask(line))[:1] in b"23"
    return await client.ask(letter + END)


async def test_a_message() -> None:
    async with desk() as here, here.connected() as client:
        assert await client.hear() == b"220 mail.example.org ESMTP\r\n"
        assert b"AUTH PLAIN LOGIN\r\n" in await client.ask(EHLO)
        assert await client.code(AUTH) == 235
        assert [await client.code(line) for line in (MAIL, RCPT, DATA)] == [250, 250, 354]
        assert await client.ask(LETTER, END) == b"250 2.0.0 Message accepted as x\r\n"
        assert await client.code(QUIT) == 221
        assert await client.rest() == b""
        (message,) = here.messages
        assert (message.sender, message.recipients) == ("joe@example.org", ["ann@example.net"])
        received, added = message.content.split(HEADER)
        assert received.startswith(b"Received: by mail.example.org with ESMTPA id ")
        assert [line.split(b":")[0] for line in added.removesuffix(BODY).splitlines()] == [b"Date", b"Message-ID"]
        assert added.endswith(BODY)
        (line,) = here.log("message")
        identity = received.split(b" id ")[1].split(b";")[0].decode()
        assert f"id={identity} login=joe@example.org client=- sender=joe@example.org recipients=1 size=46" in line
        assert 'hop=taking code=250 detail="2.0.0 Message accepted as x" ms=' in line
        assert not here.log("session-ended")


async def test_pipelined_messages_and_bdat() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        await client.say(MAIL + RCPT + RCPT + DATA)
        assert [(await client.hear())[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
        chunks = b"BDAT %d\r\n" % len(HEADER) + HEADER + b"BDAT %d LAST\r\n" % len(BODY) + BODY
        await client.say(LETTER + END + MAIL + RCPT + chunks + b"NOOP\r\n")
        assert [(await client.hear())[:3] for _ in range(6)] == [b"250"] * 6
        assert [message.content.endswith(BODY) for message in here.messages] == [True, True]


async def test_the_body_goes_on_byte_for_byte() -> None:
    body = b"\r\n..dots\r\n. \r\n\r\n" + bytes(range(32, 256)) + b"\r\n" + b"x" * 100_000 + b"\r\n\r\n\r\n"
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        assert await client.code((HEADER + body).replace(b"\r\n.", b"\r\n..") + END) == 250
        assert here.messages[0].content.endswith(body)
        assert HEADER in here.messages[0].content


@pytest.mark.parametrize("letter", [b"", b"\r\n", b"\r\nbody\r\n", b"Subject: only a header\r\n"])
async def test_what_has_no_from_gets_the_login_s(letter: bytes) -> None:
    async with desk() as here, here.connected() as client:
        assert (await sent(await client.ready(), letter)).startswith(b"250")
        assert b"From: <joe@example.org>\r\n" in here.messages[0].content


async def test_what_is_not_for_readers_is_removed() -> None:
    forged = b"Bcc: secret@x.test\r\nAuthentication-Results: mail.example.org; spf=pass\r\nReturn-Path: <a@b.test>\r\n"
    async with desk() as here, here.connected() as client:
        assert (await sent(await client.ready(), HEADER + forged + BODY)).startswith(b"250")
        for word in (b"Bcc", b"Authentication-Results", b"Return-Path"):
            assert word not in here.messages[0].content


async def test_where_it_comes_from_is_told_only_when_wanted() -> None:
    async with desk(trace_client=True, trace_login=True) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            assert (await sent(await client.ready())).startswith(b"250")
        received = here.messages[0].content.partition(b"From:")[0].replace(b"\r\n   ", b"")
        assert b"from client.example ([127.0.0.1]) by mail.example.org" in received
        assert b"(Authenticated sender: joe@example.org)" in received


# --- who may


async def test_nobody_sends_without_a_login() -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        assert await client.code(EHLO) == 250
        said = await client.ask(MAIL)
        assert said == b"530 5.7.0 Authentication required\r\n"
        assert [await client.code(line) for line in (RCPT, b"BDAT 0 LAST\r\n", DATA)] == [530, 530, 530]
        assert here.hop.begun == 0


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        (plain("joe@example.org", "wrong"), b"535 5.7.8 Authentication failed\r\n"),
        (plain("nobody@example.org", "secret"), b"535 5.7.8 Authentication failed\r\n"),
        (plain("off@example.org", "secret"), b"535 5.7.8 Authentication failed\r\n"),
        (plain("joe@example.org", "secret", "ann@example.org"), b"535 5.7.8 Authentication failed\r\n"),
        (plain("joe@example.org\0", "secret"), b"501 5.5.2 Malformed response\r\n"),
        (plain("joe\r\n@example.org", "secret"), b"535 5.7.8 Authentication failed\r\n"),
        (b"AUTH PLAIN =\r\n", b"501 5.5.2 Malformed response\r\n"),
        (b"AUTH PLAIN !\r\n", b"501 5.5.2 Malformed base64\r\n"),
        (b"AUTH CRAM-MD5\r\n", b"504 5.5.4 Mechanism not offered\r\n"),
        (b"AUTH PLAIN eA== x\r\n", b"501 5.5.4 Syntax: AUTH mechanism [initial-response]\r\n"),
    ],
)
async def test_what_is_no_login(attempt: bytes, answer: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        assert await client.code(EHLO) == 250
        assert await client.ask(attempt) == answer
        assert await client.code(MAIL) == 530


async def test_a_store_that_fails_is_no_wrong_password() -> None:
    async with desk(Broken()) as here, here.connected() as client:
        await client.hear()
        assert await client.code(EHLO) == 250
        for _ in range(5):  # and is not counted as one
            assert await client.ask(AUTH) == b"454 4.7.0 Cannot tell now, try again later\r\n"


async def test_three_wrong_passwords_are_enough() -> None:
    wrong = plain("joe@example.org", "wrong")
    async with desk() as here, here.connected() as client:
        await client.hear()
        assert [await client.code(line) for line in (EHLO, wrong, wrong)] == [250, 535, 535]
        assert await client.code(wrong) == 535
        assert await client.rest() == b"421 4.7.0 Too many failed authentications, closing\r\n"
        assert len(here.log("login")) == 3
        assert "Too many failed" in here.log("session-ended")[0]


async def test_login_step_by_step_and_cancelled() -> None:
    async with desk(mechanisms=("LOGIN", "CRAM-MD5")) as here, here.connected() as client:
        await client.hear()
        assert await client.code(EHLO) == 250
        assert await client.ask(b"AUTH login\r\n") == b"334 VXNlcm5hbWU6\r\n"
        assert await client.ask(b"*\r\n") == b"501 5.7.0 Authentication cancelled\r\n"
        assert (await client.ask(b"AUTH CRAM-MD5\r\n")).startswith(b"334 ")
        assert await client.ask(b"eA==\r\n") == b"501 5.5.2 Malformed response\r\n"
        await client.ask(b"AUTH LOGIN\r\n")
        assert await client.ask(b"am9lQGV4YW1wbGUub3Jn\r\n") == b"334 UGFzc3dvcmQ6\r\n"
        assert await client.code(b"c2VjcmV0\r\n") == 235
        assert await client.ask(AUTH) == b"503 5.5.1 Already authenticated\r\n"
        (cancelled_is_none, line) = here.log("login")
        assert "malformed" in cancelled_is_none
        assert "login=joe@example.org" in line


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        (b"joe@example.org", 250),
        (b"JOE@Example.ORG", 250),
        (b"joe+tag@example.org", 250),
        (b"sales@example.org", 250),
        (b"", 250),
        (b"ann@example.org", 550),
        (b"joe@example.net", 550),
        (b'"joe"@example.org', 250),
        (b"joe@example.org.evil.test", 550),
    ],
)
async def test_mail_from_is_the_login_s(sender: bytes, code: int) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        assert await client.code(b"MAIL FROM:<" + sender + b">\r\n") == code
        assert len(here.log("refused")) == (code == 550)


@pytest.mark.parametrize(
    "header",
    [
        b"From: ann@example.org\r\n",
        b"From: joe@example.org\r\nFrom: ann@example.org\r\n",
        b"From: joe@example.org, ann@example.org\r\n",
        b"From : ann@example.org\r\n",
        b"From\0: ann@example.org\r\n",
        b"From: joe@example.org\r\nSender: ann@example.org\r\n",
        b"From: friends: ann@example.org;\r\n",
        b"From: <joe@example.org> <ann@example.org>\r\n",
        b"From: =?utf-8?q?ann=40example.org?=\r\n",
        b"From:\r\nSender: joe@example.org\r\n",
        b"From: joe@example.org (ann@example.org\r\n",
        b"Subject: x\r\n \r\nFrom: ann@example.org\r\n",
        b"Fr\r\n om: ann@example.org\r\n",
        b": x\r\n",
        b"From joe Mon Jan 1\r\nFrom: joe@example.org\r\n",
        b"no field at all\r\n",
        b"Subject: " + b"x" * 1000 + b"\r\n",
    ],
)
async def test_a_from_that_is_not_his_or_can_be_read_in_two_ways(header: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        reply = await client.ask(header + BODY + END)
        assert reply.startswith(b"550 5.")
        assert here.hop.begun == 0, "the next hop has heard of it"
        hostile = b"\0" in header
        assert await client.code(b"NOOP\r\n") == (0 if hostile else 250)


async def test_a_doubt_about_the_sender_is_none_about_the_message() -> None:
    class Doubt(Users):
        async def may_send(self, account: Account, address: str) -> bool:
            raise OSError("gone")

    async with desk(Doubt(STORE)) as here, here.connected() as client:
        await client.ready()
        assert await client.code(b"MAIL FROM:<boss@example.org>\r\n") == 451
        await client.ask(MAIL)
        await client.ask(RCPT)
        await client.ask(DATA)
        assert await client.code(b"From: boss@example.org\r\n" + BODY + END) == 451


async def test_what_the_store_lets_him() -> None:
    class Allowing(Users):
        async def may_send(self, account: Account, address: str) -> bool:
            return address == "boss@example.org"

    async with desk(Allowing(STORE)) as here, here.connected() as client:
        await client.ready(b"MAIL FROM:<boss@example.org>\r\n", RCPT, DATA)
        assert await client.code(b"From: joe@example.org, boss@example.org\r\n" + BODY + END) == 250
        assert b"Sender: <joe@example.org>\r\n" in here.messages[0].content


# --- limits


async def test_limits_of_a_login() -> None:
    async with desk(sending=Limits(2, 5)) as here, here.connected() as client:
        await client.ready()
        assert (await sent(client)).startswith(b"250")
        assert await client.code(MAIL) == 250
        for n in range(5):
            assert await client.code(b"RCPT TO:<a%d@x.test>\r\n" % n) == 250
        assert (await client.ask(DATA)).startswith(b"450 4.7.1 too many recipients in a day; try again in ")
        assert await client.code(MAIL) == 250  # nothing is left of the transaction
        assert await client.code(b"RSET\r\n") == 250
        assert (await sent(client)).startswith(b"250")
        assert [await client.code(line) for line in (MAIL, RCPT)] == [250, 250]
        assert (await client.ask(b"BDAT 4 LAST\r\nx\r\n\r")).startswith(b"450 4.7.1 too many messages in an hour")
        assert "code=450" in here.log("message")[-1]


@pytest.mark.parametrize("letter", [b"From: ann@example.org\r\n" + BODY, b"x", b"a\nb\r\n"])
async def test_what_was_not_sent_does_not_count(letter: bytes) -> None:
    async with desk(sending=Limits(1, 1)) as here:
        async with here.connected() as client:
            await client.ready(MAIL, RCPT, DATA)
            assert (await client.ask(letter + b"\r\n" + END)).startswith(b"55")
        async with here.connected() as client:
            await client.ready(MAIL, RCPT, DATA)
            await client.say(HEADER)  # and hang up
        async with here.connected() as client:
            assert (await sent(await client.ready())).startswith(b"250")
            assert len(here.messages) == 1


async def test_what_some_have_counts_for_them() -> None:
    """Else whoever adds one full mailbox to his recipients sends without limits."""
    scripted = ScriptedHop(lmtp=True, answers={"end": [b"250 2.0.0 ok\r\n", b"552 5.2.2 full\r\n"] * 2})
    async with trio.open_nursery() as nursery:
        await nursery.start(scripted.serve)
        log, _ = list_log()
        relay = open_proxy(nursery, [Route(domains=("*",), via=f"lmtp:127.0.0.1:{scripted.port}")], "me.test", log)
        async with desk(relay=relay, sending=Limits(2, 3)) as here, here.connected() as client:
            full = b"RCPT TO:<full@example.net>\r\n"
            assert (await sent(await client.ready(), LETTER, RCPT, full)).startswith(b"554-5.3.0")
            assert (await sent(client, LETTER, RCPT, full)).startswith(b"554-5.3.0")
            assert [await client.code(line) for line in (MAIL, RCPT)] == [250, 250]
            assert (await client.ask(DATA)).startswith(b"450 4.7.1 too many messages in an hour")
        nursery.cancel_scope.cancel()


async def test_limits_of_a_message() -> None:
    async with desk(size=1000, recipients=2) as here, here.connected() as client:
        await client.ready()
        assert await client.code(b"MAIL FROM:<> SIZE=1001\r\n") == 552
        assert [await client.code(line) for line in (MAIL, RCPT, RCPT, RCPT)] == [250, 250, 250, 452]
        assert await client.code(DATA) == 354
        assert await client.code(LETTER + b"x" * 1000 + b"\r\n" + END) == 552
        assert here.messages == []
        assert await client.code(MAIL) == 250


# --- the next hop


async def test_what_the_hop_says_is_what_the_client_hears() -> None:
    async with desk() as here, here.connected() as client:
        here.hop.rcpt = lambda one: RECIPIENT_OK if one.mailbox.local == "ann" else reply(550, "5.1.1", "no such user")
        here.hop.end = lambda taken: LOCAL_ERROR
        await client.ready(MAIL)
        assert await client.ask(b"RCPT TO:<x@y.test>\r\n") == b"550 5.1.1 no such user\r\n"
        assert await client.code(DATA) == 554
        assert (await sent(client)).startswith(b"451 4.3.0")
        here.hop.end = lambda taken: NO_RELAY
        assert (await sent(client)).startswith(b"550 5.7.1")
        assert here.messages == []
        assert await client.code(RCPT) == 503


async def test_a_hop_that_takes_no_more() -> None:
    """The rest is read to its end, and is no command."""
    async with desk() as here, here.connected() as client:
        here.hop.most = 10
        await client.ready(MAIL, RCPT, DATA)
        assert await client.code(LETTER + b"RSET\r\n" * 50_000 + END) == 452
        assert await client.code(b"NOOP\r\n") == 250


@pytest.fixture(params=["reset", "gone", "ehlo", "faulty"])
def broken_off(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


async def test_a_message_that_is_broken_off_reaches_nobody(broken_off: str) -> None:
    async with trio.open_nursery() as nursery:
        scripted = ScriptedHop()
        await nursery.start(scripted.serve)
        log, _ = list_log()
        relay = open_proxy(nursery, [Route(domains=("*",), via=f"smtp://127.0.0.1:{scripted.port}")], "me.test", log)
        async with desk(relay=relay) as here:
            async with here.connected() as client:
                await client.ready(MAIL, RCPT)
                assert await client.code(b"BDAT %d\r\n" % len(LETTER) + LETTER) == 250
                match broken_off:
                    case "reset":
                        assert await client.code(b"RSET\r\n") == 250
                    case "ehlo":
                        assert await client.code(EHLO) == 250
                    case "faulty":
                        assert await client.code(b"BDAT 3 LAST\r\na\nb") == 550
                if broken_off in ("reset", "ehlo"):
                    assert (await sent(client)).startswith(b"250 2.0.0 taken")
            await here.standing.nursery.start(settled)
        assert len(scripted.messages) == (broken_off in ("reset", "ehlo"))
        assert scripted.broken_off == 1
        nursery.cancel_scope.cancel()


async def settled(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    await trio.testing.wait_all_tasks_blocked(0.05)
    task_status.started()


async def test_a_hop_that_breaks_is_a_4xx() -> None:
    async with trio.open_nursery() as nursery:
        scripted = ScriptedHop(answers={"end": [DROP, b"250 2.0.0 taken\r\n"]})
        await nursery.start(scripted.serve)
        log, _ = list_log()
        relay = open_proxy(nursery, [Route(domains=("*",), via=f"smtp://127.0.0.1:{scripted.port}")], "me.test", log)
        async with desk(relay=relay) as here, here.connected() as client:
            assert (await sent(await client.ready())).startswith(b"451 4.4.2")
            assert (await sent(client)).startswith(b"451 4.4.2")
        nursery.cancel_scope.cancel()


async def test_to_a_folder(tmp_path: Path) -> None:
    log, _ = list_log()
    async with trio.open_nursery() as nursery:
        relay = open_proxy(nursery, [Route(domains=("*",), via="capture:in")], "me.test", log, folder=tmp_path)
        async with desk(relay=relay) as here, here.connected() as client:
            said = await sent(await client.ready())
            assert said.startswith(b"250 2.0.0 Message accepted as ")
            assert "hop=capture:in" in here.log("message")[0]
        nursery.cancel_scope.cancel()
    (file,) = (tmp_path / "in" / "new").iterdir()
    assert file.read_bytes().endswith(BODY.replace(b"\r", b""))
