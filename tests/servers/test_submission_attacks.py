"""Attacks on a submission server, with their exact bytes: smuggling, injection, relaying, floods."""

from __future__ import annotations

import pytest

from saslpy.protocols.smtp import replies
from saslpy.protocols.smtp.replies import Reply
from saslpy.protocols.smtp.transaction import Recipient

from .submission import AUTH, BODY, DATA, EHLO, END, HEADER, LETTER, MAIL, QUIT, RCPT, Taking, desk, plain

SMUGGLED = (
    b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nFrom: joe@example.org\r\n\r\nfake\r\n.\r\n"
)
BAD_CONTENT = b"550 5.6.11 The message has a CR or LF that is not a line end, or a NUL; closing\r\n"


# --- the end of data

ENDS = [
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\r.\r\n"),
    *(b"\r\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\0\r\n.\r", b"\n\n.\n\n"),
]


@pytest.mark.parametrize("end", ENDS)
async def test_only_crlf_dot_crlf_ends_data(end: bytes) -> None:
    """What is no end makes the whole of it unfit, which is told at the true end; nothing of it is run, or handed on."""
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        await client.say(HEADER + b"\r\nhello" + end + SMUGGLED)
        assert await client.rest() == BAD_CONTENT
        assert here.messages == []


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n"])
async def test_nor_at_the_beginning(end: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        await client.say(end + SMUGGLED)
        assert await client.rest() == BAD_CONTENT
        assert here.messages == []


async def test_an_empty_message_and_a_dot_in_front() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        assert await client.code(b".\r\n") == 250
        assert [await client.code(line) for line in (MAIL, RCPT, DATA)] == [250, 250, 354]
        assert await client.code(HEADER + b"\r\n..x\r\n...\r\n" + END) == 250
        assert here.messages[1].content.endswith(b"\r\n\r\n.x\r\n..\r\n")


@pytest.mark.parametrize("letter", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r\r\n", b"x\n.y\r\n"])
async def test_repair_is_wanted_for_lf_alone_and_never_at_a_dot(letter: bytes) -> None:
    async with desk(repair_line_ends=True) as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        said = await client.ask(HEADER + b"\r\n" + letter + END)
        if letter == b"a\nb\r\n":
            assert said.startswith(b"250")
            assert here.messages[0].content.endswith(b"\r\na\r\nb\r\n")
        else:
            assert said == BAD_CONTENT


async def test_dots_cut_at_every_byte() -> None:
    letter = HEADER + b"\r\n..a\r\n...\r\n" + END
    async with desk() as here, here.connected() as client:
        await client.ready()
        for at in range(1, len(letter)):
            for line in (MAIL, RCPT, DATA):
                await client.ask(line)
            assert await client.code(letter[:at], letter[at:]) == 250
        assert {message.content.partition(b"\r\n\r\n")[2] for message in here.messages} == {b".a\r\n..\r\n"}


# --- BDAT

PAYLOAD = b"MAIL FROM:<x@y>\r\nRCPT TO:<zzz>"


@pytest.mark.parametrize("bdat", [b"BDAT 30\r\n", b"BDAT 30 LAST\r\n", b"bdat 30 last\r\n"])
async def test_the_octets_of_a_bdat_that_is_refused_are_no_commands(bdat: bytes) -> None:
    assert len(PAYLOAD) == 30
    async with desk() as here, here.connected() as client:
        await client.ready()
        await client.say(bdat + PAYLOAD + b"NOOP\r\n")
        assert await client.hear() == b"503 5.5.1 Send MAIL first\r\n"
        assert await client.hear() == b"250 2.0.0 Ok\r\n"


@pytest.mark.parametrize(
    "size", [b"-1", b"99999999999999999999", b"0x10", b"+5", b"5 x", b"", b"5 LAST x", b"1e3", b"\xd9\xa1", b"30 LASTx"]
)
async def test_a_bdat_whose_size_nobody_knows_is_the_end(size: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT)
        await client.say(b"BDAT " + size + b"\r\n" + PAYLOAD)
        assert await client.rest() == b"501 5.5.4 Syntax: BDAT size [LAST], closing\r\n"


async def test_data_behind_bdat() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, b"BDAT 4\r\na: b")
        assert await client.code(DATA) == 503
        assert await client.code(RCPT) == 503
        assert await client.code(b"BDAT 4 LAST\r\n\r\n\r\n") == 250
        assert len(here.messages) == 1


@pytest.mark.parametrize("chunk", [b"BDAT 5\r\na\nb\r\n", b"BDAT 1\r\n\0", b"BDAT 2\r\n\rx"])
async def test_a_faulty_chunk(chunk: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT)
        await client.say(chunk + b"DATA\r\n")
        assert (await client.rest()).startswith(BAD_CONTENT)
        assert here.messages == []


async def test_very_many_chunks_of_nothing() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, b"BDAT 8\r\nFoo: x\r\n")
        await client.say(b"BDAT 0\r\n" * 200)
        assert (await client.rest()).endswith(b"421 4.7.0 Too many commands without a message, closing\r\n")


# --- what comes too early


@pytest.mark.parametrize("behind", [b"NOOP injected\r\n", b"MAIL FROM:<a@b>\r\n", b"\x16\x03\x01\x02\x00", b"\r\n"])
async def test_what_comes_behind_starttls_is_never_run(behind: bytes) -> None:
    from .submission import server_context

    async with desk(context=server_context(), require_tls=True) as here, here.connected() as client:
        await client.hear()
        assert b"STARTTLS" in await client.ask(EHLO)
        await client.say(b"STARTTLS\r\n" + behind)
        assert await client.rest() == b"554 5.5.0 Commands came before the answer that they must wait for, closing\r\n"
        assert "Commands came before" in here.log("session-ended")[0]


@pytest.mark.parametrize("line", [EHLO, b"HELO x\r\n", AUTH, b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n"])
async def test_what_comes_behind_what_must_be_waited_for(line: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        await client.say(line + MAIL)
        assert (await client.rest()).startswith(b"554 5.5.0")


async def test_behind_the_last_line_of_auth() -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        await client.ask(b"AUTH PLAIN\r\n")
        await client.say(AUTH.removeprefix(b"AUTH PLAIN ") + MAIL + RCPT)
        assert (await client.rest()).startswith(b"554 5.5.0")
        assert here.log("login") == []


async def test_who_speaks_before_he_is_greeted() -> None:
    async with desk() as here:
        assert (await here.says(EHLO + MAIL)).startswith(b"554 5.5.0")


async def test_content_behind_a_data_that_was_refused() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        await client.say(b"DATA\r\n" + SMUGGLED)
        assert await client.rest() == b"503 5.5.1 Send MAIL first\r\n"
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL)
        await client.say(b"DATA\r\n" + SMUGGLED)
        assert await client.rest() == b"554 5.5.1 No valid recipients\r\n"


# --- lines


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"NOOP\n", b"500 5.5.2 A line must end with CRLF and hold no other CR, LF or NUL, closing\r\n"),
        (b"NOOP\rQUIT\r\n", b"500 5.5.2 A line must end"),
        (b"NO\0OP\r\n", b"500 5.5.2 A line must end"),
        (b"MAIL FROM:<joe\0@example.org>\r\n", b"500 5.5.2 A line must end"),
        (b"NOOP " + b"x" * 600 + b"\r\n", b"500 5.5.2 Line too long, closing\r\n"),
        (b"x" * 200_000, b"500 5.5.2 Line too long, closing\r\n"),
        (b"AUTH PLAIN " + b"A" * 12_288, b"500 5.5.6 Authentication exchange line is too long, closing\r\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"421 4.7.0 This is not an HTTP server, closing\r\n"),
        (b"POST / HTTP/1.1\r\n\r\n" + SMUGGLED, b"421 4.7.0 This is not an HTTP server, closing\r\n"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, b"500 5.5.2 A line must end"),
    ],
)
async def test_lines_that_are_none(line: bytes, answer: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        await client.say(line)
        said = await client.rest()
        assert said.startswith(answer)
        assert said.count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:<\xc3\xa9@example.org>\r\n", 553),
        (b"MAIL FROM:<\xff@example.org>\r\n", 553),
        (b"MAIL FROM:<\xff@example.org> SMTPUTF8\r\n", 500),
        (b"MAIL FROM:<joe@example.org> AUTH=a+0D+0Ab\r\n", 501),
        (b"MAIL FROM:<joe@example.org> ENVID=x+0AEvil:\r\n", 501),
        (b"MAIL FROM:<joe@example.org> FOO=bar\r\n", 555),
        (b"MAIL FROM:<joe@example.org> SIZE=1 SIZE=2\r\n", 501),
        (b"MAIL FROM:<joe@example.org>SIZE=1\r\n", 501),
        (b"FOO\r\n", 500),
        (b"\r\n", 500),
        (b"VRFY joe\r\n", 252),
        (b"EXPN all\r\n", 502),
        (b"ETRN #x'; drop\r\n", 500),
        (b"XCLIENT LOGIN=root\r\n", 550),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", 500),
        (b"STARTTLS x\r\n", 501),
    ],
)
async def test_commands_that_are_refused(line: bytes, code: int) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        assert await client.code(line) == code
        assert await client.code(b"NOOP\r\n") == 250


@pytest.mark.parametrize("orcpt", [b"rfc822;v@x+0D+0AEvil:+20y", b"rfc822;v@x+00", b"rfc822;", b"v@x", b"rfc822;a+zz"])
async def test_controls_in_orcpt(orcpt: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL)
        assert await client.code(b"RCPT TO:<ann@example.net> ORCPT=" + orcpt + b"\r\n") == 501
        assert await client.code(DATA) == 554


# --- floods


async def test_floods_end() -> None:
    for line, reply in (
        (b"FOO\r\n", b"Too many errors"),
        (b"NOOP\r\n", b"Too many commands"),
        (RCPT, b"Too many errors"),
        (b"MAIL FROM:<ann@example.org>\r\n", b"Too many commands"),
        (MAIL + RCPT + b"BDAT 28 LAST\r\nFrom: <ann@example.org>\r\n\r\nx", b"Too many commands"),
    ):
        async with desk() as here, here.connected() as client:
            await client.ready()
            await client.say(line * 1000)
            said = await client.rest()
            assert said.splitlines()[-1].startswith(b"421 4.7.0 " + reply)
            assert said.count(b"\r\n") <= 101 * line.count(b"\r\n")


async def test_a_header_without_end() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        for _ in range(300):
            await client.say(b"From nobody Mon Jan  1 00:00:00 2024\r\n" * 100)
        assert (await client.ask(END)).startswith(b"55")
        assert here.hop.begun == 0


async def test_too_many_hops() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        assert (await client.ask(b"Received: x\r\n" * 60 + LETTER + END)).startswith(b"554 5.4.6")


# --- errors that take away a part


async def test_a_refused_message_leaves_nothing_behind() -> None:
    """Postfix, 2026-08-03: RCPT and DATA without MAIL behind a message that policy had refused."""
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        assert await client.code(b"From: ann@example.org\r\n" + BODY + END) == 550
        assert [await client.code(line) for line in (RCPT, b"BDAT 0 LAST\r\n", DATA)] == [503, 503, 503]
        assert here.messages == []


async def test_a_faulty_bdat_leaves_nothing_behind() -> None:
    """Postfix, 2026-07-24; Exim, CVE-2020-28019."""
    async with desk(size=10) as here, here.connected() as client:
        await client.ready(MAIL, RCPT)
        assert await client.code(b"BDAT 30\r\n" + b"x" * 30) == 552
        assert [await client.code(line) for line in (RCPT, b"BDAT 1 LAST\r\nx", DATA)] == [503, 503, 503]


async def test_vrfy_takes_nothing_away() -> None:
    """Postfix, 2026-08-12."""
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT)
        assert await client.code(b"VRFY \xc3\xa9\r\n") == 252
        assert await client.code(DATA) == 354
        assert await client.code(LETTER + END) == 250
        assert here.messages[0].sender == "joe@example.org"


# --- open relay

TRICKS = [
    *(b"v%evil.test@local.test", b'"v@evil.test"@local.test', b'"v%evil.test"@local.test', b"evil.test!v@local.test"),
    *(
        b'"a\\"@evil.test>x"@local.test',
        b"@local.test:v@evil.test",
        b"@a,@local.test:v@evil.test",
        b"v@evil.test@local.test",
    ),
    *(b"v@local.test@evil.test", b'"v@evil.test"', b"v%evil.test", b"evil.test!v", b"v@local.test\0@evil.test", b""),
    *(
        b"v@evil.test (@local.test)",
        b"v@local.test,w@evil.test",
        b"v@[127.0.0.1]",
        b"v@local.test.",
        b"|/bin/sh@local.test",
    ),
    *(b"/etc/passwd@local.test", b"-oQ/tmp@local.test", b"a" * 65 + b"@local.test", b"a" * 300 + b"@local.test"),
    *(b"${run{/bin/sh}}@local.test", b"v@local\xe3\x80\x82test", b"v@\xe2\x84\xaaelvin.test", b"postmaster"),
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_nobody_relays_without_a_login(trick: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        for sender in (b"<joe@example.org>", b"<>", b"<" + trick + b">"):
            said = await client.ask(b"MAIL FROM:" + sender + b"\r\n")
            assert said[:1] in b"5"
            if b"\0" in trick:
                return
        assert (await client.ask(b"RCPT TO:<" + trick + b">\r\n"))[:1] in b"5"
        assert here.hop.begun == 0


ONE_SPELLING = {
    b"@local.test:v@evil.test": "v@evil.test",
    b"@a,@local.test:v@evil.test": "v@evil.test",
    b'"v"@EVIL.test': "v@evil.test",
    b'"v@evil.test"@local.test': '"v@evil.test"@local.test',
    b"v%evil.test@local.test": "v%evil.test@local.test",
    b'"\\v w"@local.test': '"v w"@local.test',
}


@pytest.mark.parametrize("spelling", ONE_SPELLING)
async def test_one_spelling_is_judged_and_handed_on(spelling: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, b"RCPT TO:<" + spelling + b">\r\n", DATA)
        assert await client.code(LETTER + END) == 250
        assert here.messages[0].recipients == [ONE_SPELLING[spelling]]


REFUSED = [
    *(b"v@evil.test@local.test", b"v@local.test@evil.test", b'"v@evil.test"', b"v%evil.test", b"evil.test!v"),
    *(
        b"v@evil.test (@local.test)",
        b"v@local.test,w@evil.test",
        b"",
        b"a" * 65 + b"@local.test",
        b"a" * 300 + b"@local.test",
    ),
    *(b"v@", b"@local.test", b"v@-local.test", b"v@local..test", b".v@local.test", b"v@local.test>", b"v w@local.test"),
]


@pytest.mark.parametrize("address", REFUSED)
async def test_what_is_no_address_is_refused_after_a_login_too(address: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL)
        assert await client.code(b"RCPT TO:<" + address + b">\r\n") == 501
        assert await client.code(b"RSET\r\n") == 250
        if address:
            assert await client.code(b"MAIL FROM:<" + address + b">\r\n") == 501


# --- AUTH


async def test_auth_within_a_transaction_and_without_tls() -> None:
    from .submission import server_context

    async with desk(context=server_context(), require_tls=True) as here, here.connected() as client:
        await client.hear()
        said = await client.ask(EHLO)
        assert b"AUTH" not in said
        assert b"REQUIRETLS" not in said
        assert await client.ask(AUTH) == b"538 5.7.11 Encryption required for authentication, use STARTTLS\r\n"
        assert await client.ask(MAIL) == b"530 5.7.0 Must issue a STARTTLS command first\r\n"
        assert here.log("login") == []
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL)
        assert await client.code(AUTH) == 503


@pytest.mark.parametrize(
    "name", ["j" * 255 + "@example.org", "j\u00f6e@example.org", "\ufeffjoe@example.org", "joe@example.org\n"]
)
async def test_names_of_every_kind_are_a_clear_no(name: str) -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        assert await client.code(plain(name, "secret")) == 535
        assert await client.code(QUIT) == 221


async def test_no_password_in_the_log() -> None:
    async with desk() as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        await client.ask(plain("joe@example.org", "hunter2hunter2"))
        await client.ask(b"AUTH PLAIN " + b"aHVudGVyMmh1bnRlcjI=" + b"\r\n")
        await client.ask(AUTH)
        assert not any("hunter2" in line or "aHVudGVy" in line or "secret" in line for line in here.lines)


@pytest.mark.parametrize("name", ["x\r\nEvil: y", "x\ny", 'a" b=c', "[127.0.0.1]", "\u00e9"])
async def test_nothing_of_a_client_makes_a_line_or_a_field(name: str) -> None:
    async with desk(trace_client=True) as here, here.connected() as client:
        await client.hear()
        said = await client.ask(b"EHLO " + name.encode() + b"\r\n")
        if said[:1] != b"2":
            return
        await client.ask(AUTH)
        for line in (MAIL, RCPT, DATA):
            await client.ask(line)
        assert await client.code(LETTER + END) == 250
        assert b"Evil" not in here.messages[0].content
        assert all("\n" not in line for line in here.lines)


# --- recipients that are refused

NOBODY = b"RCPT TO:<nobody@example.net>\r\n"
SENDER_OK = b"250 2.1.0 Sender ok\r\n"
UNKNOWN = Reply(550, "5.1.1", ("No such user",))
UNKNOWN_SAID = b"550 5.1.1 No such user\r\n"
CLOSING = b"421 4.7.0 Too many refused recipients, closing\r\n"


class Asked:
    """A next hop's policy: it knows nobody but ann, and counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, recipient: Recipient) -> Reply:
        self.count += 1
        return replies.RECIPIENT_OK if recipient.mailbox.local == "ann" else UNKNOWN


@pytest.mark.parametrize("refused", [NOBODY, b"RCPT TO:<a@b@example.net>\r\n"])
async def test_refused_recipients_alone_end_the_connection(refused: bytes) -> None:
    asked = Asked()
    async with desk(relay=Taking(rcpt=asked), refused=5) as here, here.connected() as client:
        await client.ready()
        await client.say(MAIL + refused * 1000)
        answer = UNKNOWN_SAID if refused is NOBODY else b"501 5.1.3 Bad recipient address\r\n"
        assert await client.rest() == SENDER_OK + answer * 5 + CLOSING
        assert asked.count == (5 if refused is NOBODY else 0)


async def test_a_new_transaction_is_no_new_beginning_for_them() -> None:
    asked = Asked()
    async with desk(relay=Taking(rcpt=asked), refused=5) as here, here.connected() as client:
        await client.ready()
        await client.say((MAIL + NOBODY + b"RSET\r\n") * 100)
        one = SENDER_OK + UNKNOWN_SAID + b"250 2.0.0 Ok\r\n"
        assert await client.rest() == one * 5 + SENDER_OK + CLOSING
        assert asked.count == 5


async def test_a_message_with_other_recipients_is_taken_and_then_all_is_well() -> None:
    asked = Asked()
    async with desk(relay=Taking(rcpt=asked), refused=3) as here, here.connected() as client:
        await client.ready()
        for _ in range(2):
            await client.say(MAIL + RCPT + NOBODY * 4 + RCPT)
            said = [await client.hear() for _ in range(7)]
            assert said[2:5] == [UNKNOWN_SAID] * 3
            assert said[5:] == [b"452 4.5.3 Too many recipients were refused, send the others separately\r\n"] * 2
            assert await client.code(DATA) == 354
            assert await client.code(LETTER + END) == 250
        assert [taken.recipients for taken in here.messages] == [["ann@example.net"]] * 2
        assert asked.count == 8


async def test_those_that_are_to_come_separately_have_an_end() -> None:
    async with desk(recipients=1, put_off=5) as here, here.connected() as client:
        await client.ready()
        await client.say(MAIL + RCPT * 1000)
        put_off = b"452 4.5.3 Too many recipients\r\n"
        assert await client.rest() == SENDER_OK + b"250 2.1.5 Recipient ok\r\n" + put_off * 5 + CLOSING
        assert not here.messages
