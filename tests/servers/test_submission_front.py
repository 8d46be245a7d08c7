"""Who is at the other end of a submission connection (PROXY, XCLIENT, TLS), how long he may take, and how it ends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from saslpy.protocols.proxyprotocol import SIGNATURE
from saslpy.submission.options import Legacy
from saslpy.submission.tls import ServerContext

from .submission import (
    ALL,
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
    Client,
    authority,
    client_context,
    desk,
    server_context,
)

HERE = (ipaddress.ip_network("127.0.0.0/8"),)
PROXIED = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 587\r\n"
V2 = SIGNATURE + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, bytes([192, 0, 2, 7]), bytes(4), 1, 587)


# --- the PROXY protocol


@pytest.mark.parametrize("header", [PROXIED, V2])
async def test_the_client_behind_a_proxy(header: bytes) -> None:
    async with desk(proxy_protocol=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            for at in range(len(header)):
                await client.say(header[at : at + 1])
            await client.ready(MAIL, RCPT, DATA)
            assert await client.code(LETTER + END) == 250
        assert "client=192.0.2.7 " in here.log("login")[0]
        assert "client=192.0.2.7 " in here.log("message")[0]


@pytest.mark.parametrize(
    "header", [EHLO, b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b"x" * 200, b"\x16\x03\x01" + b"\0" * 99]
)
async def test_without_a_header_there_is_not_a_word(header: bytes) -> None:
    async with desk(proxy_protocol=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.say(header)
            assert await client.rest() == b""
        assert "PROXY header" in here.log("session-ended")[0]


async def test_behind_the_header_nobody_speaks_first() -> None:
    async with desk(proxy_protocol=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.say(PROXIED + EHLO)
            assert (await client.rest()).startswith(b"554 5.5.0")


async def test_a_header_from_a_stranger() -> None:
    async with desk(proxy_protocol=(ipaddress.ip_network("10.0.0.0/8"),)) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            assert await client.code(PROXIED) == 500


async def test_a_proxy_s_own_connection() -> None:
    async with desk(proxy_protocol=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.say(b"PROXY UNKNOWN\r\n")
            await client.ready()
        assert "client=127.0.0.1 " in here.log("login")[0]


# --- XCLIENT


async def test_xclient() -> None:
    async with desk(xclient=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            assert b"XCLIENT" in await client.ask(EHLO)
            assert (
                await client.ask(b"XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]\r\n")
                == b"220 mail.example.org ESMTP\r\n"
            )
            assert await client.code(MAIL) == 530
            await client.ask(EHLO)
            assert await client.code(AUTH) == 235
        assert "client=2001:db8::7 " in here.log("login")[0]


async def test_xclient_with_a_login() -> None:
    async with desk(xclient=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            await client.ask(EHLO)
            assert await client.code(b"XCLIENT ADDR=192.0.2.7 LOGIN=joe@example.org\r\n") == 220
            await client.ask(EHLO)
            assert await client.code(b"MAIL FROM:<ann@example.org>\r\n") == 550
            for line in (MAIL, RCPT, DATA):
                await client.ask(line)
            assert await client.code(LETTER + END) == 250
            assert await client.code(b"XCLIENT ADDR=192.0.2.8\r\n") == 220
            await client.ask(EHLO)
            assert await client.code(MAIL) == 530
        assert "login=joe@example.org client=192.0.2.7 " in here.log("message")[0]


@pytest.mark.parametrize(
    "said", [b"ADDR=x", b"ADDR=IPV6:1.2.3", b"FOO=bar", b"ADDR=1.2.3.4 ADDR=1.2.3.4", b"", b"LOGIN=+0"]
)
async def test_xclient_that_makes_no_sense(said: bytes) -> None:
    async with desk(xclient=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            await client.ask(EHLO)
            assert await client.code(b"XCLIENT " + said + b"\r\n") == 501


# --- networks that need no login

PRINTER = Legacy(networks=("127.0.0.0/8",), sender="printer@example.org")


def legacy(client: str) -> Legacy | None:
    return PRINTER if client.startswith("127.") else None


async def test_a_printer() -> None:
    letter = b"From: printer@example.org\r\n" + BODY
    async with desk(legacy=legacy, require_tls=True, context=server_context()) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            await client.ask(EHLO)
            for sender in (b"", b"joe@example.org", b"printer+x@example.org"):
                assert await client.code(b"MAIL FROM:<" + sender + b">\r\n") == 550
            for line in (b"MAIL FROM:<Printer@example.org>\r\n", RCPT, DATA):
                assert (await client.ask(line))[:1] in b"23"
            assert await client.code(letter + END) == 250
            for line in (b"MAIL FROM:<printer@example.org>\r\n", RCPT, DATA):
                await client.ask(line)
            assert await client.code(LETTER + END) == 550
        assert "login=legacy:printer@example.org" in here.log("message")[0]
        assert here.messages[0].content.startswith(b"Received: by mail.example.org with ESMTP id ")


async def test_who_speaks_for_others_needs_a_login_whatever_his_network() -> None:
    async with desk(legacy=legacy, xclient=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.hear()
            await client.ask(EHLO)
            assert await client.code(b"MAIL FROM:<printer@example.org>\r\n") == 530
            await client.ask(b"XCLIENT ADDR=203.0.113.9\r\n")
            await client.ask(EHLO)
            assert await client.code(b"MAIL FROM:<printer@example.org>\r\n") == 530
    async with desk(legacy=legacy, proxy_protocol=HERE) as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.say(PROXIED)
            await client.hear()
            await client.ask(EHLO)
            assert await client.code(b"MAIL FROM:<printer@example.org>\r\n") == 530


# --- TLS


@pytest.fixture
def ours() -> Iterator[ssl.SSLContext]:
    yield server_context()


async def test_starttls_forgets_everything(ours: ssl.SSLContext) -> None:
    async with desk(context=ours, require_tls=True, mechanisms=ALL) as here, here.connected() as client:
        await client.hear()
        assert b"\r\n250-STARTTLS\r\n" in await client.ask(EHLO)
        assert await client.ask(b"STARTTLS\r\n") == b"220 2.0.0 Ready to start TLS\r\n"
        await client.start_tls(client_context())
        assert await client.code(MAIL) == 530
        said = await client.ask(EHLO)
        assert b"STARTTLS" not in said
        assert b"250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN\r\n" in said
        assert await client.code(b"STARTTLS\r\n") == 503
        for line in (AUTH, MAIL, RCPT, DATA):
            assert (await client.ask(line))[:1] in b"23"
        assert await client.code(LETTER + END) == 250
        assert await client.code(QUIT) == 221
        assert here.messages[0].content.startswith(b"Received: by mail.example.org with ESMTPSA id ")
        assert b"TLS_AES" in here.messages[0].content


async def test_implicit_tls(ours: ssl.SSLContext) -> None:
    letter = HEADER + b"\r\n" + b"x" * 70 + b"\r\n" + b"y" * 500_000 + b"\r\n"
    async with desk(context=ours, require_tls=True, implicit=True) as here, here.connected() as client:
        await client.start_tls(client_context())
        await client.ready(MAIL, RCPT, DATA)
        assert await client.code(letter[:100], letter[100:-1], letter[-1:] + END) == 250
        assert here.messages[0].content.endswith(letter.partition(b"\r\n\r\n")[2])
        await client.say(b"NOOP\r\n" * 5 + QUIT)
        assert await client.rest() == b"250 2.0.0 Ok\r\n" * 5 + b"221 2.0.0 Goodbye\r\n"


async def test_the_end_of_data_in_two_records(ours: ssl.SSLContext) -> None:
    async with desk(context=ours, implicit=True) as here, here.connected() as client:
        await client.start_tls(client_context())
        await client.ready()
        whole = LETTER + END
        for at in range(len(LETTER) - 3, len(whole)):
            for line in (MAIL, RCPT, DATA):
                await client.ask(line)
            assert await client.code(whole[:at], whole[at:]) == 250


@pytest.mark.parametrize(
    "said", [EHLO, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02" + b"x" * 44]
)
async def test_what_is_no_tls(ours: ssl.SSLContext, said: bytes) -> None:
    async with desk(context=ours, implicit=True) as here, here.connected() as client:
        await client.say(said)
        assert b"220" not in await client.rest()
    assert 'detail="no TLS: ' in here.log("session-ended")[0]


async def test_garbage_instead_of_the_handshake(ours: ssl.SSLContext) -> None:
    async with desk(context=ours) as here, here.connected() as client:
        await client.hear()
        await client.ask(EHLO)
        await client.ask(b"STARTTLS\r\n")
        await client.say(b"MAIL FROM:<a@b>\r\n")
        assert b"50" not in await client.rest()
        assert "TLS" in here.log("session-ended")[0]


async def test_external_by_certificate(ours: ssl.SSLContext) -> None:
    ours.verify_mode = ssl.CERT_OPTIONAL
    authority().configure_trust(ours)
    theirs = client_context()
    authority().issue_cert("joe@example.org").configure_cert(theirs)
    async with desk(context=ours, require_tls=True, mechanisms=("PLAIN", "EXTERNAL")) as here:
        async with here.connected() as client:
            await _encrypted(client, theirs)
            assert b"AUTH PLAIN EXTERNAL\r\n" in await client.ask(EHLO)
            assert await client.code(b"AUTH EXTERNAL =\r\n") == 235
        async with here.connected() as client:
            await _encrypted(client, client_context())
            assert b"AUTH PLAIN\r\n" in await client.ask(EHLO)
            assert await client.code(b"AUTH EXTERNAL =\r\n") == 504


async def _encrypted(client: Client, context: ssl.SSLContext) -> None:
    await client.hear()
    await client.ask(EHLO)
    await client.ask(b"STARTTLS\r\n")
    await client.start_tls(context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["tls-server-end-point", "tls-unique", "tls-exporter"])
async def test_scram_plus(version: ssl.TLSVersion, kind: str) -> None:
    ours = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("mail.example.org").configure_cert(ours)
    ours.end_point = b"e" * 32
    theirs = client_context()
    theirs.maximum_version = version
    async with desk(context=ours, mechanisms=ALL) as here, here.connected() as client:
        await _encrypted(client, theirs)
        await client.ask(EHLO)
        assert isinstance(client.stream, trio.SSLStream)
        data = {"tls-server-end-point": b"e" * 32, "tls-unique": b"", "tls-exporter": b""}[kind]
        if kind == "tls-unique" and version is ssl.TLSVersion.TLSv1_2:
            data = client.stream.get_channel_binding("tls-unique")
        said = await scram_plus(client, kind, data)
        assert said[:3] == (b"235" if data else b"535"), said


async def scram_plus(client: Client, kind: str, data: bytes) -> bytes:
    """RFC 5802 by hand."""
    gs2, bare = f"p={kind},,", "n=joe@example.org,r=abc"
    first = base64.b64encode((gs2 + bare).encode())
    said = await client.ask(b"AUTH SCRAM-SHA-256-PLUS " + first + b"\r\n")
    if said[:3] != b"334":
        return said
    server = base64.b64decode(said[4:]).decode()
    fields = dict(part.split("=", 1) for part in server.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c={base64.b64encode(gs2.encode() + data).decode()},r={fields['r']}"
    signature = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{server},{without}".encode(), "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    said = await client.ask(base64.b64encode(f"{without},p={proof}".encode()) + b"\r\n")
    return await client.ask(b"\r\n") if said[:3] == b"334" else said


# --- deadlines


@pytest.fixture
def clock() -> MockClock:
    """Stands still until a test says ``go``: passwords are looked at in threads, whose time is not this one."""
    return MockClock()


def go(clock: MockClock) -> None:
    """From now on it jumps to the next deadline where nobody has anything to do."""
    clock.autojump_threshold = 0.01


async def test_a_silent_client_is_told_so(clock: MockClock) -> None:
    async with desk(tick=30.0) as here, here.connected() as client:
        await client.hear()
        go(clock)
        start = trio.current_time()
        assert await _all(client) == b"421 4.4.2 Timed out, closing\r\n"
        assert 300 <= trio.current_time() - start <= 330.1


async def test_a_byte_now_and_then_is_no_command(clock: MockClock) -> None:
    async with desk(tick=30.0) as here, here.connected() as client:
        await client.ready()
        go(clock)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drip, client, b"x", 100.0)
            assert await _all(client) == b"421 4.4.2 Timed out, closing\r\n"
            assert 300 <= trio.current_time() - start <= 330.1
            nursery.cancel_scope.cancel()


async def test_who_does_not_log_in_has_no_more_time_for_all_he_says(clock: MockClock) -> None:
    async with desk(tick=30.0) as here, here.connected() as client:
        await client.hear()
        go(clock)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drip, client, b"NOOP\r\n", 50.0)
            assert (await _all(client)).endswith(b"421 4.4.2 Timed out, closing\r\n")
            assert 300 <= trio.current_time() - start <= 330.1
            nursery.cancel_scope.cancel()


async def test_content_must_come_at_some_speed(clock: MockClock) -> None:
    async with desk(tick=30.0) as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        go(clock)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drip, client, b"x", 10.0)
            assert await _all(client) == b"421 4.4.2 Timed out, closing\r\n"
            assert 180 <= trio.current_time() - start <= 210.1
            nursery.cancel_scope.cancel()
        assert here.messages == []


async def test_so_must_content_in_chunks(clock: MockClock) -> None:
    """A chunk of one octet, now and then, would hold a message and the hop's connection for ever."""
    async with desk(tick=30.0) as here, here.connected() as client:
        await client.ready(MAIL, RCPT)
        go(clock)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drip, client, b"BDAT 1\r\nx", 50.0)
            with trio.fail_after(3600):
                assert (await _all(client)).endswith(b"421 4.4.2 Timed out, closing\r\n")
            assert 180 <= trio.current_time() - start <= 260.1
            nursery.cancel_scope.cancel()


async def test_slow_content_is_taken(clock: MockClock) -> None:
    async with desk(tick=30.0) as here, here.connected() as client:
        await client.ready(MAIL, RCPT, DATA)
        go(clock)
        for _ in range(50):
            await client.say(b"x: " + b"y" * 900 + b"\r\n")
            await trio.sleep(8)
        assert await client.code(BODY + END) == 250


async def test_a_handshake_has_a_deadline(clock: MockClock) -> None:
    async with desk(context=server_context(), implicit=True, tick=30.0) as here, here.connected() as client:
        go(clock)
        start = trio.current_time()
        assert await _all(client) == b""
        assert 30 <= trio.current_time() - start <= 60.1
        assert "Timed out" in here.log("session-ended")[0]


async def test_the_hop_s_time_is_not_the_client_s(clock: MockClock) -> None:
    async with desk(tick=30.0) as here, here.connected() as client:
        here.hop.seconds = 400.0
        await client.ready(MAIL)
        go(clock)
        for line in (RCPT, DATA, LETTER + END):
            await client.say(line)
            while not client.data:
                client.data += await client.stream.receive_some(65536)
            assert (await client.hear())[:1] in b"23"
        assert len(here.messages) == 1


async def _drip(client: Client, data: bytes, every: float) -> None:
    while True:
        await trio.sleep(every)
        try:
            await client.say(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


async def _all(client: Client) -> bytes:
    said = b""
    while data := await client.stream.receive_some(65536):
        said += data
    return said


# --- how many, and the end


async def test_so_many_connections_of_one_client() -> None:
    async with desk(per_client=2) as here:
        port = await here.listen()
        async with here.dialled(port) as one, here.dialled(port) as two:
            assert (await one.hear())[:3] == (await two.hear())[:3] == b"220"
            async with here.dialled(port) as three:
                assert await three.rest() == b"421 4.3.2 Too many connections, try again later\r\n"
        await wait_all_tasks_blocked(0.01)
        async with here.dialled(port) as four:
            assert (await four.hear())[:3] == b"220"
        assert "client=127.0.0.1 limit=2" in here.log("too-many-connections")[0]


@pytest.mark.parametrize(("said", "log"), [(None, "connections-not-counted"), (False, "too-many-connections")])
async def test_who_could_not_be_counted_is_told_so(said: bool | None, log: str) -> None:
    async with desk(per_client=2) as here:

        @asynccontextmanager
        async def present(client: str, most: int) -> AsyncIterator[bool | None]:
            assert (client, most) == (" 2001:db8::/64", 2)
            yield said

        here.server.door.present = present  # type: ignore[method-assign]
        here.server.options = replace(here.server.options, proxy_protocol=HERE)
        port = await here.listen()
        async with here.dialled(port) as one:
            await one.say(b"PROXY TCP6 2001:db8::1:2:3:4 ::1 1 2\r\n")
            cannot = b"421 4.3.0 Cannot tell how many connections you have, try again later\r\n"
            assert await one.rest() == (
                cannot if said is None else b"421 4.3.2 Too many connections, try again later\r\n"
            )
        assert "client=2001:db8::1:2:3:4 limit=2" in here.log(log)[0]


async def test_a_full_server_says_so() -> None:
    async with desk() as here:
        port = await here.listen(most=1)
        async with here.dialled(port) as one:
            assert (await one.hear())[:3] == b"220"
            async with here.dialled(port) as two:
                assert await two.rest() == b"421 4.3.2 Too many connections, try again later\r\n"


CLOSING = b"421 4.3.2 Service is shutting down, try again later\r\n"


async def test_a_drain_ends_who_rests_and_waits_for_a_message() -> None:
    async with desk() as here, here.connected() as idle, here.connected() as busy:
        await idle.ready()
        await busy.ready(MAIL, RCPT, DATA)
        here.server.drain()
        assert await idle.rest() == CLOSING
        await busy.say(LETTER + END)
        assert (await busy.rest()).endswith(b"250 2.0.0 Message accepted as x\r\n" + CLOSING)
        assert len(here.messages) == 1
        async with here.connected() as late:
            assert (await late.rest()).endswith(CLOSING)


async def test_who_is_cut_off_hears_why() -> None:
    async with desk() as here:
        port = await here.listen()
        async with here.dialled(port) as client:
            await client.ready(MAIL, RCPT)
            here.standing.nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await client.rest() == CLOSING


async def test_who_hangs_up_in_the_middle_is_told_of() -> None:
    async with desk() as here:
        async with here.connected() as client:
            await client.ready(MAIL, RCPT, DATA)
            await client.say(b"Subject: x\r\n")
        assert 'detail="the client has gone"' in here.log("session-ended")[0]
        assert "code=- detail=aborted" in here.log("message")[0]
        async with here.connected() as client:
            await client.ready()
        assert len(here.log("session-ended")) == 1
