"""Further classes of attacks with their exact bytes, at once and byte by byte: the server does not know the difference.

``test_submission_attacks.py`` has most of them, ``tests/protocols/smtp/test_server_attacks.py`` those of the machine alone.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import ssl
import subprocess
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from saslpy import Account, Login, Reason, Refusal
from saslpy.protocols.proxyprotocol import SIGNATURE
from saslpy.relay.proxy import open_proxy
from saslpy.relay.routes import Route
from saslpy.submission.options import Legacy

from ..fakes import Users, list_log
from ..real import need
from ..real.sink import ScriptedHop
from .submission import (
    ALL,
    AUTH,
    BODY,
    DATA,
    EHLO,
    END,
    HEADER,
    JOE,
    LETTER,
    MAIL,
    QUIT,
    RCPT,
    STORE,
    Client,
    authority,
    client_context,
    desk,
    plain,
    server_context,
)
from .test_submission_attacks import BAD_CONTENT, ENDS, PAYLOAD, SMUGGLED

CUT = pytest.mark.parametrize("cut", [False, True], ids=["at once", "byte by byte"])
HERE = (ipaddress.ip_network("127.0.0.0/8"),)
OUT_OF_STEP = b"554 5.5.0 Commands came before the answer that they must wait for, closing\r\n"


async def say(client: Client, data: bytes, cut: bool) -> None:
    """Whole, or a byte each time the server has nothing else to do. Who has been hung up on says no more."""
    for piece in [data[at : at + 1] for at in range(len(data))] if cut else [data]:
        try:
            await client.say(piece)
        except trio.BrokenResourceError:
            return
        if cut:
            await wait_all_tasks_blocked()


async def hello(client: Client) -> Client:
    await client.hear()
    assert await client.code(EHLO) == 250
    return client


# --- the end of data


@pytest.mark.parametrize("end", ENDS, ids=repr)
async def test_only_crlf_dot_crlf_ends_data_byte_by_byte(end: bytes) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        await say(client, b"a: b\r\n\r\nx" + end + SMUGGLED, cut=True)
        assert await client.rest() == BAD_CONTENT
        assert here.messages == []
        assert len(here.log("message")) == 1


@CUT
async def test_an_empty_message_and_one_that_seems_so(cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT)
        await say(client, b"DATA\r\n.\r\n", cut)
        assert [(await client.hear())[:3] for _ in range(2)] == [b"354", b"250"]
        await client.ask(MAIL)
        await client.ask(RCPT)
        await say(client, b"DATA\r\n.\n" + SMUGGLED, cut)
        assert await client.rest() == b"354 End data with <CR><LF>.<CR><LF>\r\n" + BAD_CONTENT
        assert len(here.messages) == 1


# --- BDAT


@CUT
@pytest.mark.parametrize("before", [(), (MAIL,), (MAIL, RCPT)], ids=["nothing", "MAIL", "RCPT"])
@pytest.mark.parametrize("size", [b"30 LAST x", b"-1", b"99999999999999999999", b"0x10", b"+5"])
async def test_a_size_that_is_none_is_the_end(size: bytes, before: Sequence[bytes], cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(*before)
        await say(client, b"BDAT " + size + b"\r\n" + PAYLOAD + b"\r\nNOOP\r\n", cut)
        assert await client.rest() == b"501 5.5.4 Syntax: BDAT size [LAST], closing\r\n"


@CUT
@pytest.mark.parametrize(
    ("before", "answer"),
    [
        ((), b"503 5.5.1 Send MAIL first\r\n"),
        ((MAIL,), b"554 5.5.1 No valid recipients\r\n"),
        ((MAIL, b"RCPT TO:<v@evil.test@local.test>\r\n"), b"554 5.5.1 No valid recipients\r\n"),
    ],
)
@pytest.mark.parametrize("bdat", [b"BDAT 30\r\n", b"BDAT 30 LAST\r\n"])
async def test_a_chunk_that_is_refused_is_swallowed(
    bdat: bytes, before: Sequence[bytes], answer: bytes, cut: bool
) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        for line in before:
            await client.ask(line)
        await say(client, bdat + PAYLOAD + b"NOOP\r\n", cut)
        assert await client.hear() == answer
        assert await client.hear() == b"250 2.0.0 Ok\r\n"
        assert await client.code(RCPT) == 503


# --- STARTTLS


async def test_a_handshake_that_comes_with_starttls() -> None:
    """It may be the client's own; but who sends it has not seen the answer, and others could have put it there."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client_context().wrap_bio(incoming, outgoing, server_hostname="mail.example.org")
    with pytest.raises(ssl.SSLWantReadError):
        theirs.do_handshake()
    async with desk(context=server_context(), require_tls=True) as here, here.connected() as client:
        await hello(client)
        await client.say(b"STARTTLS\r\n" + outgoing.read())
        assert await client.rest() == OUT_OF_STEP
        assert "Commands came before" in here.log("session-ended")[0]


@CUT
async def test_starttls_at_the_wrong_time(cut: bool) -> None:
    async with desk(context=server_context()) as here, here.connected() as client:
        await hello(client)
        for before, line, code in (
            (b"NOOP\r\n", b"STARTTLS x\r\n", b"501"),
            (AUTH, b"STARTTLS\r\n", b"503"),
            (MAIL, b"STARTTLS\r\n", b"503"),
            (RCPT, b"STARTTLS\r\n", b"503"),
        ):
            assert (await client.ask(before))[:1] == b"2"
            await say(client, line, cut)
            assert (await client.hear())[:3] == code
        assert await client.code(DATA) == 354  # and the transaction is as it was


async def test_nothing_that_was_said_before_tls_is_known_behind_it() -> None:
    async with desk(context=server_context(), trace_client=True) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            await client.ask(b"EHLO before.example\r\n")
            await client.ask(b"STARTTLS\r\n")
            await client.start_tls(client_context())
            assert [await client.code(line) for line in (MAIL, RCPT, AUTH)] == [530, 530, 503]
            for line in (b"EHLO behind.example\r\n", AUTH, MAIL, RCPT, DATA):
                assert (await client.ask(line))[:1] in b"23"
            assert await client.code(LETTER + END) == 250
        assert b"behind.example" in here.messages[0].content
        assert b"before.example" not in here.messages[0].content


# --- AUTH

FAILED = b"535 5.7.8 Authentication failed\r\n"


def encoded(text: bytes) -> bytes:
    return base64.b64encode(text)


@CUT
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"auth plain " + encoded(b"\0joe@example.org\0secret"), b"235 2.7.0 "),
        (b"AUTH PLAIN =", b"501 5.5.2 "),
        (AUTH[:-2] + b" x", b"501 5.5.4 "),
        (AUTH[:-3], b"501 5.5.2 Malformed base64"),
        (b"AUTH PLAIN AGpvZ QBzZWNyZXQ=", b"501 5.5.4 "),
        (b"AUTH PLAIN AGpv\tZQBzZWNyZXQ=", b"501 5.5.2 Malformed base64"),
        (b"AUTH PLAIN " + encoded(b"root\0joe@example.org\0secret"), FAILED),
        (b"AUTH PLAIN " + encoded(b"ann@example.org\0joe@example.org\0secret"), FAILED),
        (b"AUTH PLAIN " + encoded(b"joe@example.org\0joe@example.org\0secret"), b"235 2.7.0 "),
        (b"AUTH PLAIN " + encoded(b"\0joe@example.org\0secret\0"), b"501 5.5.2 "),
        (b"AUTH PLAIN " + encoded(b"\0\0joe@example.org\0secret"), b"501 5.5.2 "),
        (b"AUTH PLAIN " + encoded(b"\0j\xff@example.org\0secret"), b"5"),
        (b"AUTH PLAIN " + encoded(b"\0j\x01@example.org\0secret"), b"5"),
    ],
)
async def test_auth(line: bytes, answer: bytes, cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await hello(client)
        await say(client, line + b"\r\n", cut)
        assert (await client.hear()).startswith(answer)
        assert await client.code(MAIL) == (250 if answer.startswith(b"235") else 530)


@CUT
@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (b"*", b"501 5.7.0 Authentication cancelled\r\n"),
        (encoded(b"\0joe@example.org\0secret")[:-1], b"501 5.5.2 Malformed base64\r\n"),
        (b"AGpv ZQBzZWNyZXQ=", b"501 5.5.2 Malformed base64\r\n"),
        (b"A" * 12_289, b"500 5.5.6 Authentication exchange line is too long, closing\r\n"),
    ],
    ids=["cancelled", "no padding", "a blank", "too long"],
)
async def test_responses(response: bytes, answer: bytes, cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await hello(client)
        await client.ask(b"AUTH PLAIN\r\n")
        await say(client, response + b"\r\n", cut and len(response) < 100)
        assert await client.hear() == answer
        assert await client.code(b"NOOP\r\n") == (0 if answer.startswith(b"500") else 250)


async def test_what_is_malformed_counts_as_a_failure() -> None:
    async with desk() as here, here.connected() as client:
        await hello(client)
        for line in (b"AUTH PLAIN !\r\n", b"AUTH PLAIN =\r\n"):
            assert await client.code(line) == 501
        await client.ask(b"AUTH PLAIN\r\n")
        assert await client.code(b"*\r\n") == 501
        assert await client.rest() == b"421 4.7.0 Too many failed authentications, closing\r\n"


async def test_a_login_of_255_octets() -> None:
    """RFC 4616, 2: at least so many are possible."""
    login = "j" * (255 - len("@example.org")) + "@example.org"
    async with desk(Users({login: "{PLAIN}secret"})) as here, here.connected() as client:
        await hello(client)
        assert await client.code(plain(login, "secret")) == 235


async def test_scram_tells_nobody_who_exists() -> None:
    """An unknown user has a salt as well, the same one each time, and the same last word."""
    seen = []
    async with desk(mechanisms=ALL) as here:
        for login in (b"joe", b"off", b"nobody", b"nobody"):
            async with here.connected() as client:
                await hello(client)
                first = b"n,,n=" + login + b"@example.org,r=abc"
                said = base64.b64decode((await client.ask(b"AUTH SCRAM-SHA-256 " + encoded(first) + b"\r\n"))[4:])
                fields = dict(part.split(b"=", 1) for part in said.split(b","))
                final = b"c=biws,r=" + fields[b"r"] + b",p=" + encoded(b"x" * 32)
                assert await client.ask(encoded(final) + b"\r\n") == FAILED
                seen.append((list(fields), fields[b"s"], fields[b"i"]))
    assert len({(tuple(names), len(salt), rounds) for names, salt, rounds in seen}) == 1
    assert seen[2] == seen[3]


async def test_scram_refuses_who_has_not_seen_plus() -> None:
    """``y``: "you do not offer PLUS, I could do it". We do; so somebody has taken it out on the way (RFC 5802, 6)."""
    async with desk(mechanisms=ALL, context=server_context()) as here, here.connected() as client:
        await hello(client)
        await client.ask(b"STARTTLS\r\n")
        await client.start_tls(client_context())
        assert b"SCRAM-SHA-256-PLUS" in await client.ask(EHLO)
        said = await client.ask(b"AUTH SCRAM-SHA-256 " + encoded(b"y,,n=joe@example.org,r=abc") + b"\r\n")
        assert said[:1] == b"5"


class Tokens:
    """Knows one."""

    async def verify_token(self, login: Login, token: str) -> Account | Refusal:
        return JOE if token == "right" else Refusal(Reason.INVALID_TOKEN)


def bearer(mechanism: str, token: bytes) -> bytes:
    """The initial response (RFC 7628, 3.1; Google's XOAUTH2)."""
    begin = b"n,a=joe@example.org," if mechanism == "OAUTHBEARER" else b"user=joe@example.org"
    return encoded(begin + b"\x01auth=Bearer " + token + b"\x01\x01")


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
async def test_tokens(mechanism: str) -> None:
    """A wrong one is told why by a challenge, and how the client answers it changes nothing: it has failed."""
    async with desk(Users(STORE), Tokens(), mechanisms=("PLAIN", "OAUTHBEARER", "XOAUTH2")) as here:
        async with here.connected() as client:
            await hello(client)
            line = b"AUTH " + mechanism.encode() + b" "
            for answer, last in ((b"AQ==", b"535"), (b"", b"535"), (b"*", b"501")):
                said = await client.ask(line + bearer(mechanism, b"wrong") + b"\r\n")
                assert b'"status"' in base64.b64decode(said.removeprefix(b"334 "))
                assert (await client.ask(answer + b"\r\n"))[:3] == last
            assert (await client.rest()).startswith(b"421 4.7.0 ")
        assert len(here.log("login")) == 3
        async with here.connected() as client:
            await hello(client)
            assert await client.code(line + bearer(mechanism, b"right") + b"\r\n") == 235
            assert await client.code(MAIL) == 250
            assert "login=joe@example.org" in here.log("login")[-1]
        assert not any("wrong" in line or "right" in line for line in here.lines)


async def test_cram_md5_is_no_good_twice() -> None:
    async with desk(mechanisms=("CRAM-MD5",)) as here, here.connected() as client:
        await hello(client)
        first = base64.b64decode((await client.ask(b"AUTH CRAM-MD5\r\n"))[4:])
        digest = hmac.digest(b"secret", first, "md5").hex()
        right = encoded(f"joe@example.org {digest}".encode()) + b"\r\n"
        await client.ask(b"*\r\n")
        second = base64.b64decode((await client.ask(b"AUTH CRAM-MD5\r\n"))[4:])
        assert first != second
        assert await client.ask(right) == FAILED
        digest = hmac.digest(b"secret", base64.b64decode((await client.ask(b"AUTH CRAM-MD5\r\n"))[4:]), "md5").hex()
        assert await client.code(encoded(f"joe@example.org {digest}".encode()) + b"\r\n") == 235


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"=", b"235"),
        (encoded(b"joe@example.org"), b"235"),
        (encoded(b"ann@example.org"), b"535"),
        (encoded(b"joe@example.org\0ann@example.org"), b"5"),
        (encoded(b"joe@example.org\r\n"), b"5"),
    ],
)
async def test_a_certificate_is_for_its_owner(asked: bytes, answer: bytes) -> None:
    ours, theirs = server_context(), client_context()
    ours.verify_mode = ssl.CERT_OPTIONAL
    authority().configure_trust(ours)
    authority().issue_cert("joe@example.org").configure_cert(theirs)
    async with desk(context=ours, mechanisms=("EXTERNAL",)) as here, here.connected() as client:
        await hello(client)
        await client.ask(b"STARTTLS\r\n")
        await client.start_tls(theirs)
        await client.ask(EHLO)
        assert (await client.ask(b"AUTH EXTERNAL " + asked + b"\r\n")).startswith(answer)
        assert await client.code(b"MAIL FROM:<ann@example.org>\r\n") in (530, 550)


# --- lines and pipelining


@CUT
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"NOOP\n", b"500 5.5.2 "),
        (b"NOOP\rQUIT\r\n", b"500 5.5.2 "),
        (b"NO\0OP\r\n", b"500 5.5.2 "),
        (b"MAIL FROM:<joe\0@example.org>\r\n", b"500 5.5.2 "),
        (b"NOOP " + b"x" * 593 + b"\r\n", b"500 5.5.2 "),
        (b"GET / HTTP/1.1\r\nMAIL FROM:<joe@example.org>\r\n", b"421 4.7.0 "),
    ],
)
async def test_lines_that_end_it(line: bytes, answer: bytes, cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        await say(client, line + b"NOOP\r\n", cut)
        said = await client.rest()
        assert said.startswith(answer)
        assert said.count(b"\r\n") == 1


@CUT
async def test_a_message_in_one_segment(cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        await say(client, MAIL + RCPT + DATA + LETTER + END + QUIT, cut)
        said = (await client.rest()).splitlines()
        assert [line[:3] for line in said] == [b"250", b"250", b"354", b"250", b"221"]
        assert len(here.messages) == 1


async def test_a_message_in_one_segment_whose_recipients_are_refused() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        await client.say(MAIL + b"RCPT TO:<v@evil.test@local.test>\r\n" + DATA + SMUGGLED)
        said = (await client.rest()).splitlines()
        assert [line[:3] for line in said] == [b"250", b"501", b"554"]
        assert here.messages == []


# --- bounds


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (b"a: b\r\n" * 1500, b"550 5.6.0 the message's header is malformed: more than 1000 fields"),
        (b"a: b\r\n" + b" continued\r\n" * 120_000, b"552 5.3.4 "),
        (b"a: b\r\n" + b"\t\r\n" * 9, b"550 5.6.0 "),
        (b"a: " + b"x" * 1_100_000 + b"\r\n", b"552 5.3.4 "),
    ],
    ids=["fields", "continuation lines", "lines that look blank", "one line"],
)
async def test_headers_without_bounds(header: bytes, answer: bytes) -> None:
    """Exim's CVE-2020-28020 for one: continuation lines count."""
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        said = await client.ask(HEADER + header + BODY + END)
        assert said.startswith(answer), said
        assert here.hop.begun == 0
        assert await client.code(b"NOOP\r\n") == 250


async def test_chunks_and_rset_without_end() -> None:
    async with desk() as here, here.connected() as client:
        await client.ready()
        await client.say((MAIL + RCPT + b"BDAT 5\r\na: b\rRSET\r\n") * 200)
        assert (await client.rest()).endswith(b"421 4.7.0 Too many commands without a message, closing\r\n")


# --- recipients of who has logged in

ADDRESSES: dict[bytes, str] = {
    b"v%evil.test@local.test": "v%evil.test@local.test",
    b'"v@evil.test"@local.test': '"v@evil.test"@local.test',
    b'"v%evil.test"@local.test': "v%evil.test@local.test",
    b"evil.test!v@local.test": "evil.test!v@local.test",
    b'"a\\"@evil.test>x"@local.test': '"a\\"@evil.test>x"@local.test',
    b"@local.test:v@evil.test": "v@evil.test",
    b"@a,@local.test:v@evil.test": "v@evil.test",
    b"v@[127.0.0.1]": "v@[127.0.0.1]",
    b"|/bin/sh@local.test": "|/bin/sh@local.test",
    b"/etc/passwd@local.test": "/etc/passwd@local.test",
    b"-oQ/tmp@local.test": "-oQ/tmp@local.test",
    b"${run{/bin/sh}}@local.test": "${run{/bin/sh}}@local.test",
    b"v@evil.test@local.test": "",
    b"v@local.test@evil.test": "",
    b'"v@evil.test"': "",
    b"v%evil.test": "",
    b"evil.test!v": "",
    b"v@evil.test (@local.test)": "",
    b"v@local.test,w@evil.test": "",
    b"": "",
    b"v@local.test.": "",
    b"a" * 65 + b"@local.test": "",
    b"a" * 300 + b"@local.test": "",
}
"""To its spelling towards the next hop; none is 501."""


@CUT
async def test_addresses_are_read_in_one_way(cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL)
        for address, spelling in ADDRESSES.items():
            await say(client, b"RCPT TO:<" + address + b">\r\n", cut)
            assert (await client.hear())[:3] == (b"250" if spelling else b"501"), address
        await client.ask(DATA)
        assert await client.code(LETTER + END) == 250
        assert here.messages[0].recipients == [spelling for spelling in ADDRESSES.values() if spelling]


@CUT
@pytest.mark.parametrize(
    ("address", "spelling"),
    [
        ("v@l\u00f3cal.test", "v@xn--lcal-qqa.test"),
        ("v@lo\u0301cal.test", "v@xn--lcal-qqa.test"),
        ("v@xn--lcal-qqa.test", "v@xn--lcal-qqa.test"),
        ("v@local\u3002test", "v@local.test"),
        ("v@\u212aelvin.test", "v@kelvin.test"),
        ("v@stra\u00dfe.test", "v@xn--strae-oqa.test"),
        ("jo\u0308rg@local.test", "j\u00f6rg@local.test"),
        ("v\uff20evil.test@local.test", ""),
        ("v@local\uff0etest", "v@local.test"),
        ("v@l\u0301\u202eocal.test", ""),
    ],
)
async def test_domains_beyond_ascii(address: str, spelling: str, cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL[:-2] + b" SMTPUTF8\r\n")
        await say(client, f"RCPT TO:<{address}>\r\n".encode(), cut)
        said = await client.hear()
        if not spelling:
            assert said[:3] == b"501"
            return
        assert said[:3] == b"250"
        await client.ask(DATA)
        assert await client.code(LETTER + END) == 250
        assert here.messages[0].recipients == [spelling]


# --- From


@CUT
@pytest.mark.parametrize(
    "header",
    [
        b"From: joe@example.org (ann@example.org)\r\n",
        b"From: (ann@example.org) joe@example.org\r\n",
        b"From: =?utf-8?q?ann=40example.org?= <joe@example.org>\r\n",
        b"From: =?utf-8?q?x=00=3Cann=40example.org=3E?= <joe@example.org>\r\n",
        b"From: =?utf-8?b?YW5uQGV4YW1wbGUub3Jn?= <joe@example.org>\r\n",
        b'From: "ann@example.org" <ann@example.org>\r\n',
        b"From: joe@example.org, friends: ann@example.org;\r\n",
        b"From: joe@example.org\r\nfrOM: joe@example.org\r\n",
        b"From: joe@example.org\r\n\tann@example.org\r\n",
        b"From: <@example.org:joe@example.org>\r\n",
        b"From: joe@example.org;ann@example.org\r\n",
        b"From: joe@example.org\x0b,ann@example.org\r\n",
        b"From: joe@example.org\xc2\x85,ann@example.org\r\n",
        b"From: joe@example.org\xe2\x80\xa8\r\n",
        b"From: <joe@example.org>, \r\n",
        b"From: <>\r\n",
        b"From\t: joe@example.org\r\n",
        b" From: joe@example.org\r\n",
        b">From: x\r\n>From joe@example.org Mon\r\nFrom: joe@example.org\r\n",
        b"From: joe@ex\xc3\xa4mple.org\r\n",
        b"From: joe@\xef\xbd\x85xample.org.evil.test\r\n",
        b"From: joe@example.org\r\nSender: joe@example.org, joe@example.org\r\n",
        b"\xef\xbb\xbfFrom: ann@example.org\r\nFrom: joe@example.org\r\n",
        b"Fro\xd0\xbc: ann@example.org\r\nFrom: joe@example.org\r\n",
    ],
)
async def test_a_from_that_may_be_read_in_another_way(header: bytes, cut: bool) -> None:
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        await say(client, header + BODY + END, cut)
        assert (await client.hear()).startswith(b"550 5.")
        assert here.hop.begun == 0
        assert await client.code(b"NOOP\r\n") == 250


@CUT
async def test_fields_that_others_would_believe(cut: bool) -> None:
    forged = (
        b"X-Mailcow-Auth-User: root\r\nX-AuthUser: root\r\nX-Authenticated-Sender: root\r\nresent-bcc: v@x.test\r\n"
        b"BCC:\r\n v@x.test\r\nReturn-Path: <a@b.test>\r\nContent-Length: 4\r\n"
        b"Authentication-Results:\r\n (x) mail.example.org; spf=pass\r\n"
    )
    spoofed = b"Received: from x by mail.example.org with ESMTPSA id 1; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    async with desk() as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        await say(client, spoofed + forged + HEADER + BODY + END, cut)
        assert (await client.hear())[:3] == b"250"
        text = here.messages[0].content.lower()
        for word in (b"auth-user", b"authuser", b"root", b"bcc", b"return-path", b"content-length", b"spf=pass"):
            assert word not in text
        assert text.count(b"\r\nreceived:") + text.startswith(b"received:") == 1
        assert b"\r\nx-received: from x by mail.example.org" in text


# --- who is at the other end


@pytest.fixture
def clock() -> MockClock:
    return MockClock()


@pytest.mark.parametrize("header", [b"", b"PROXY TCP4 192.0.2.7 198.51.100.1 1 5"])
async def test_a_proxy_header_has_a_deadline(clock: MockClock, header: bytes) -> None:
    async with desk(proxy_protocol=HERE, tick=5.0) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.say(header)
            await wait_all_tasks_blocked(0.01)
            clock.autojump_threshold = 0.01
            with trio.fail_after(36):
                assert await client.stream.receive_some(100) == b""


@CUT
async def test_a_proxy_header_before_tls(cut: bool) -> None:
    """A proxy sends it with the client's first bytes, which are the handshake's."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client_context().wrap_bio(incoming, outgoing, server_hostname="mail.example.org")
    async with desk(proxy_protocol=HERE, context=server_context(), implicit=True, require_tls=True) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            header, said = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 465\r\n", b""
            while not said:
                try:
                    said = theirs.read()
                except ssl.SSLWantReadError:
                    await say(client, header + outgoing.read(), cut)
                    header = b""
                    with trio.fail_after(5):
                        incoming.write(await client.stream.receive_some(65536))
            assert said == b"220 mail.example.org ESMTP\r\n"
            theirs.write(b"QUIT now\r\nQUIT\r\n")
            await say(client, outgoing.read(), cut)
            await client.rest()
        assert here.log("session-ended") == []


@pytest.mark.parametrize(
    "header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\x31\0\xd8" + b"x" * 216]
)
async def test_whom_a_proxy_does_not_name_needs_a_login(header: bytes) -> None:
    """The network is the proxy's, and not that of who is behind it."""
    printer = Legacy(networks=("127.0.0.0/8",), sender="printer@example.org")
    sender = b"MAIL FROM:<printer@example.org>\r\n"
    async with desk(legacy=lambda client: printer if client.startswith("127.") else None, proxy_protocol=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.say(header)
            await hello(client)
            assert await client.code(sender) == 530
            assert await client.code(AUTH) == 235
        async with here.dialled(port) as client:
            await client.say(b"PROXY TCP4 127.0.0.9 127.0.0.1 1 587\r\n")
            await hello(client)
            assert await client.code(sender) == 250


async def test_nobody_negotiates_anew() -> None:
    """TLS 1.3 has no renegotiation; what OpenSSL's client asks for with R is TLS 1.2's."""
    openssl = need("openssl", package="openssl")
    async with desk(context=server_context(), implicit=True) as here:
        port = await here.listen()
        command = [openssl, "s_client", "-tls1_2", "-connect", f"127.0.0.1:{port}"]
        with trio.fail_after(15):
            process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            assert process.stdin is not None
            assert process.stdout is not None
            said = b""
            while b"220 mail" not in said:  # which is no record that a handshake may be in the middle of
                said += await process.stdout.receive_some(65536)
            await process.stdin.send_all(b"R\n")
            async for piece in process.stdout:
                said += piece
            assert await process.wait() == 1
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said


# --- the next hop


@pytest.mark.parametrize("lmtp", [False, True], ids=["SMTP", "LMTP"])
async def test_what_is_no_end_in_chunks_is_none_for_the_hop(lmtp: bool) -> None:
    """A chunk may hold what ends the hop's DATA; byte by byte nobody sees it as a whole."""
    body = b"\r\nx\r\n.\r\nMAIL FROM:<a@b>\r\n..\r\n."
    scripted = ScriptedHop(lmtp=lmtp)
    async with trio.open_nursery() as nursery:
        await nursery.start(scripted.serve)
        log, _ = list_log()
        via = f"{'lmtp:' if lmtp else 'smtp://'}127.0.0.1:{scripted.port}"
        relay = open_proxy(nursery, [Route(domains=("*",), via=via)], "me.test", log)
        async with desk(relay=relay) as here, here.connected() as client:
            for chunks in (1, len(HEADER + body)):
                await client.ready(MAIL, RCPT) if chunks == 1 else [await client.ask(line) for line in (MAIL, RCPT)]
                letter, size = HEADER + body, -(-len(HEADER + body) // chunks)
                for at in range(0, len(letter), size):
                    piece = letter[at : at + size]
                    assert await client.code(b"BDAT %d\r\n" % len(piece) + piece) == 250
                assert await client.code(b"BDAT 0 LAST\r\n") == 250
        nursery.cancel_scope.cancel()
    stuffed = b"\r\n\r\nx\r\n..\r\nMAIL FROM:<a@b>\r\n...\r\n..\r\n"
    assert [one.content[-len(stuffed) :] for one in scripted.messages] == [stuffed, stuffed]
    assert not any("a@b" in command for command in scripted.commands)


async def test_what_a_next_hop_cannot_do() -> None:
    """It is told at once, and the hop hears of nothing; what can be left out without a loss is."""
    scripted = ScriptedHop(extensions=("PIPELINING", "SIZE 1000"))
    binary = HEADER + b"\r\na\0\n"
    cases: list[tuple[bytes, bytes, bytes, bytes]] = [
        (b" SMTPUTF8", b"RCPT TO:<\xc3\xa9@x.test>\r\n", b"553 5.6.7 ", b""),
        (b" SMTPUTF8", RCPT, b"553 5.6.7 ", HEADER + b"X: \xc3\xa9\r\n" + BODY),
        (b" BODY=BINARYMIME", RCPT, b"554 5.6.3 ", binary),
        (b" REQUIRETLS", RCPT, b"550 5.7.30 ", LETTER),
        (b" SIZE=1001", RCPT, b"552 5.3.4 ", LETTER),
        (b" SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=x", RCPT[:-2] + b" NOTIFY=NEVER\r\n", b"250 2.0.0 ", LETTER),
    ]
    async with trio.open_nursery() as nursery:
        await nursery.start(scripted.serve)
        log, _ = list_log()
        relay = open_proxy(nursery, [Route(domains=("*",), via=f"smtp://127.0.0.1:{scripted.port}")], "me.test", log)
        async with desk(relay=relay, context=server_context()) as here, here.connected() as client:
            await hello(client)
            await client.ask(b"STARTTLS\r\n")
            await client.start_tls(client_context())
            assert [await client.code(line) for line in (EHLO, AUTH)] == [250, 235]
            for parameters, rcpt, answer, letter in cases:
                assert await client.code(MAIL[:-2] + parameters + b"\r\n") == 250
                said = await client.ask(rcpt)
                if said.startswith(b"250"):
                    assert await client.code(DATA) == 354
                    said = await client.ask(letter + END)
                assert said.startswith(answer), (parameters, said)
                await client.ask(b"RSET\r\n")
        nursery.cancel_scope.cancel()
    assert [(one.mail, one.rcpts) for one in scripted.messages] == [
        ("MAIL FROM:<joe@example.org>", ["RCPT TO:<ann@example.net>"])
    ]
    assert not any(word in bytes(wire) for wire in scripted.wire for word in (b"\xc3", b"BINARYMIME", b"REQUIRETLS"))


def test_a_disabled_account_is_what_it_says() -> None:
    """``off`` above is one: else the test of SCRAM shows nothing."""
    off = STORE["off@example.org"]
    assert isinstance(off, Account)
    assert off.disabled
