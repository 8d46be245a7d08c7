"""The Dovecot client socket, in this process; fakes stand behind the door. ⇥ is a tab."""

from __future__ import annotations

import base64
import hmac
import random
import socket
from typing import Any, Literal

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from saslpy import Account, Login
from saslpy.authenticator import Bounds
from saslpy.listeners.dovecot import DovecotListen
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.dovecot_site import DovecotSite
from saslpy.servers.handed import GRACE, Handed, HandedLogin, Ticket
from saslpy.servers.outgoing import MOST, NotRead, Outgoing
from saslpy.servers.sockets import TcpPlace, listening

from ..fakes import Broken, Slow, Users, list_log
from .dovecot import REFUSED, STORE, Scram, Talk, b64, credentials, front, plain, told

# --- the greeting


async def test_the_greeting_comes_without_a_word_from_the_client() -> None:
    async with front(Users(STORE), mechanisms=("LOGIN", "PLAIN")) as server:
        seen = []
        for _ in range(2):
            async with server.connected(greeted=False) as talk:
                seen.append(await talk.greeted(None))
        for number, lines in enumerate(seen, 1):
            assert lines == [
                "VERSION⇥1⇥2",
                "MECH⇥PLAIN⇥plaintext",
                "MECH⇥LOGIN⇥plaintext",
                f"SPID⇥{server.site.spid}",
                f"CUID⇥{number}",
                lines[5],
                "DONE",
            ]
        cookies = {lines[5].removeprefix("COOKIE⇥") for lines in seen}
        assert len(cookies) == 2
        assert all(len(bytes.fromhex(cookie)) == 16 for cookie in cookies)
        assert 0 < server.site.spid < 2**31 != DovecotSite().spid


async def test_over_tcp_and_through_the_accept_loop() -> None:
    async with front(Users(STORE)) as server, trio.open_nursery() as nursery:
        log, lines = list_log()
        with listening(TcpPlace("127.0.0.1", 0)) as listener:
            loop = AcceptLoop("dovecot", listener, server.server, 10, log)
            nursery.start_soon(loop.run, nursery)
            async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
                talk = Talk(stream)
                await talk.greeted()
                assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"
            nursery.cancel_scope.cancel()
        assert lines == []
        assert "caller=- " in server.lines[-1]


# --- the answers


@pytest.mark.parametrize("minor", [0, 1, 2, 4])
async def test_yes_and_no(minor: int) -> None:
    reason = "" if minor else f"⇥reason={REFUSED}"
    async with front(Users(STORE)) as server, server.connected(minor) as talk:
        assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"
        assert await talk.ask(plain(2, password="wrong")) == f"FAIL⇥2⇥user=joe{reason}"
        assert await talk.ask(plain(3, "nobody")) == f"FAIL⇥3⇥user=nobody{reason}"
        assert await talk.ask(plain(4, "off")) == f"FAIL⇥4⇥user=off⇥code=user_disabled{reason}"
        assert await talk.ask(plain(5, "old")) == f"FAIL⇥5⇥user=old⇥code=pass_expired{reason}"
        assert await talk.ask(plain(6, "off", "wrong")) == f"FAIL⇥6⇥user=off{reason}", "nothing is told to a guesser"
        assert await talk.ask("AUTH⇥7⇥PLAIN⇥service=smtp⇥resp==") == f"FAIL⇥7{reason}"
        assert await talk.ask(plain(8)) == "OK⇥8⇥user=joe"


@pytest.mark.parametrize(
    ("how", "minor", "dropped"),
    [
        ("auto", 0, True),
        ("auto", 1, False),
        ("auto", 4, False),
        ("drop", 2, True),
        ("code", 0, False),
        ("code", 2, False),
    ],
)
async def test_could_not_find_out(how: Literal["auto", "drop", "code"], minor: int, dropped: bool) -> None:
    async with front(Broken(), temporary_failure=how) as server, server.connected(minor) as talk:
        reason = "" if minor else "⇥reason=temporary failure, try again later"
        expected = "" if dropped else f"FAIL⇥1⇥user=joe⇥code=temp_fail{reason}"
        assert await talk.ask(plain(1)) == expected
        assert (await talk.hear() == "") if dropped else (await talk.ask(plain(2))).startswith("FAIL⇥2⇥user=joe⇥code=")


async def test_what_else_is_under_way_hears_no_no_when_a_connection_is_dropped() -> None:
    class Half:
        async def lookup(self, login: Login) -> Account | None:
            if login.name == "joe":
                await trio.sleep(0.2)
                return Account("joe", ("{PLAIN}secret",))
            raise OSError("the disk is gone")

    async with front(Half()) as server:
        async with server.connected(0) as talk:
            assert await talk.ask("AUTH⇥1⇥LOGIN⇥service=smtp") == "CONT⇥1⇥VXNlcm5hbWU6"
            assert await talk.ask(plain(2), plain(3, "ann")) == ""
        # what was asked is brought to an end all the same
        assert [line.count("verdict=accept") for line in server.lines if "login=joe" in line] == [1]
        async with server.connected(0) as talk:
            assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"


async def test_the_empty_challenge_and_login() -> None:
    async with front(Users(STORE)) as server, server.connected() as talk:
        assert await talk.ask("AUTH⇥1⇥PLAIN⇥service=smtp⇥nologin") == "CONT⇥1⇥"
        assert await talk.ask(f"CONT⇥1⇥{credentials('joe', 'secret')}") == "OK⇥1⇥user=joe"
        assert await talk.ask("AUTH⇥2⇥LOGIN⇥service=smtp⇥resp=") == "CONT⇥2⇥VXNlcm5hbWU6"
        assert await talk.ask(f"CONT⇥2⇥{b64('joe')}") == "CONT⇥2⇥UGFzc3dvcmQ6"
        assert await talk.ask(f"CONT⇥2⇥{b64('secret')}") == "OK⇥2⇥user=joe"
        assert await talk.ask(f"AUTH⇥3⇥LOGIN⇥service=smtp⇥resp={b64('joe')}") == "CONT⇥3⇥UGFzc3dvcmQ6"
        assert (await talk.ask(f"CONT⇥3⇥{b64('wrong')}")).startswith("FAIL⇥3⇥user=joe⇥")


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
async def test_scram_with_and_without_the_extra_round(hash_name: str) -> None:
    name = "SCRAM-SHA-256" if hash_name == "sha256" else "SCRAM-SHA-1"
    async with front(Users(STORE)) as server, server.connected(2) as talk:
        client = Scram(hash_name, "joe", "secret")
        challenge = told(await talk.ask(f"AUTH⇥1⇥{name}⇥service=smtp⇥resp={client.first}"))
        last = told(await talk.ask(f"CONT⇥1⇥{client.final(challenge)}"))
        assert last == b64(client.signature)
        assert await talk.ask("CONT⇥1⇥") == "OK⇥1⇥user=joe"

        challenge = told(await talk.ask(f"AUTH⇥2⇥{name}⇥service=imap⇥final-resp-ok⇥resp={client.first}"))
        final = client.final(challenge)
        assert await talk.ask(f"CONT⇥2⇥{final}") == f"OK⇥2⇥user=joe⇥resp={b64(client.signature)}"

        wrong = Scram(hash_name, "joe", "wrong")
        challenge = told(await talk.ask(f"AUTH⇥3⇥{name}⇥service=smtp⇥resp={wrong.first}"))
        assert await talk.ask(f"CONT⇥3⇥{wrong.final(challenge)}") == "FAIL⇥3⇥user=joe"


async def test_cram_md5() -> None:
    async with front(Users(STORE)) as server, server.connected() as talk:
        challenge = base64.b64decode(told(await talk.ask("AUTH⇥1⇥CRAM-MD5⇥service=smtp")))
        digest = hmac.new(b"secret", challenge, "md5").hexdigest()
        assert await talk.ask(f"CONT⇥1⇥{b64('joe ' + digest)}") == "OK⇥1⇥user=joe"


async def test_masters_the_anonymous_and_those_with_a_certificate() -> None:
    async with front(Users(STORE), masters=["boss"], anonymous="guest") as server, server.connected(2) as talk:
        as_joe = credentials("boss", "master", "joe")
        assert await talk.ask(f"AUTH⇥1⇥PLAIN⇥service=imap⇥resp={as_joe}") == (
            "OK⇥1⇥user=joe⇥original_user=boss⇥auth_user=boss"
        )
        denied = credentials("joe", "secret", "boss")
        assert await talk.ask(f"AUTH⇥2⇥PLAIN⇥service=imap⇥resp={denied}") == "FAIL⇥2⇥user=joe⇥code=authz_fail"
        assert await talk.ask("AUTH⇥3⇥ANONYMOUS⇥service=smtp⇥resp=") == "OK⇥3⇥user=guest⇥anonymous"
        external = "AUTH⇥{}⇥EXTERNAL⇥service=smtp{}⇥resp="
        certified = "⇥valid-client-cert⇥cert_username=joe"
        assert await talk.ask(external.format(4, certified)) == "OK⇥4⇥user=joe"
        assert await talk.ask(external.format(5, "⇥valid-client-cert")) == "FAIL⇥5"
        assert await talk.ask(external.format(6, "⇥cert_username=joe")) == "FAIL⇥6"


async def test_where_it_comes_from_is_in_the_audit_line() -> None:
    async with front(Users(STORE)) as server, server.connected() as talk:
        await talk.ask(plain(1, more="⇥secured⇥lip=NULL⇥rip=2001:DB8::7"))
        assert "client=2001:db8::7" in server.lines[-1]
        assert "service=smtp" in server.lines[-1]
        assert "caller=- " not in server.lines[-1]
        for odd in ("NULL", "unknown", "1.2.3", ""):
            await talk.ask(plain(2, more=f"⇥rip={odd}"))
            assert "client=- " in server.lines[-1]
        assert not any("secret" in line for line in server.lines)


# --- several at a time


async def test_a_slow_one_holds_up_nobody() -> None:
    class OneIsSlow:
        async def lookup(self, login: Login) -> Account | None:
            if login.name == "slow":
                await go.wait()
            return Account(login.name, ("{PLAIN}secret",))

    go = trio.Event()
    async with front(OneIsSlow()) as server, server.connected() as talk:
        await talk.say(plain(1, "slow"), *(plain(key, f"user{key}") for key in range(2, 150)))
        heard = [await talk.hear() for _ in range(148)]
        assert sorted(heard) == sorted(f"OK⇥{key}⇥user=user{key}" for key in range(2, 150))
        go.set()
        assert await talk.hear() == "OK⇥1⇥user=slow"


def one_user(key: int, rng: random.Random) -> tuple[list[str], str]:
    """What one client says, and how that must end."""
    login, password = rng.choice([("joe", "secret"), ("ann", "sesame"), ("nobody", "x")])
    password = rng.choice([password, password, "wrong"])
    good = STORE.get(login) == f"{{PLAIN}}{password}"
    end = f"OK⇥{key}⇥user={login}" if good else f"FAIL⇥{key}⇥user={login}⇥reason={REFUSED}"
    response = credentials(login, password)
    lines = rng.choice(
        [
            [f"AUTH⇥{key}⇥PLAIN⇥service=smtp⇥resp={response}"],
            [f"AUTH⇥{key}⇥PLAIN⇥service=smtp", f"CONT⇥{key}⇥{response}"],
            [f"AUTH⇥{key}⇥LOGIN⇥service=smtp", f"CONT⇥{key}⇥{b64(login)}", f"CONT⇥{key}⇥{b64(password)}"],
        ]
    )
    return lines, end


@given(st.integers(0, 2**32))
@settings(max_examples=25)
def test_clients_interleaved_at_random_get_their_own_answers(seed: int) -> None:
    """Several exchanges on each of two connections, in any order; nobody gets another one's answer."""

    async def client(talk: Talk, rng: random.Random) -> None:
        waiting, ends, heard = dict[int, list[str]](), dict[int, str](), dict[int, str]()
        for key in rng.sample(range(1, 1000), 4):
            waiting[key], ends[key] = one_user(key, rng)
        for key in rng.sample(list(waiting), len(waiting)):
            await talk.say(waiting[key].pop(0))
        while len(heard) < len(ends):
            line = await talk.hear()
            key = int(line.split("⇥")[1])
            if line.startswith("CONT"):
                await talk.say(waiting[key].pop(0))
            else:
                heard[key] = line
        assert heard == ends

    async def main() -> None:
        async with (
            front(Users(STORE)) as server,
            server.connected() as one,
            server.connected() as two,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(client, one, random.Random(seed))
            nursery.start_soon(client, two, random.Random(seed + 1))

    trio.run(main)


async def test_other_requests_are_not_harmed_by_a_bad_one() -> None:
    async with front(Users(STORE), mechanisms=("PLAIN", "LOGIN")) as server, server.connected() as talk:
        assert await talk.ask("AUTH⇥1⇥LOGIN⇥service=smtp") == "CONT⇥1⇥VXNlcm5hbWU6"
        for bad, answer in (
            ("AUTH⇥2⇥GSSAPI⇥service=smtp⇥resp=x", "FAIL⇥2⇥reason=unknown mechanism"),
            ("AUTH⇥2⇥EXTERNAL⇥service=smtp⇥resp=", "FAIL⇥2⇥reason=unknown mechanism"),
            ("AUTH⇥2⇥PLAIN⇥service=smtp⇥resp=%", "FAIL⇥2⇥code=invalid_base64⇥reason=invalid base64 data"),
            ("CONT⇥2⇥AAAA", "FAIL⇥2⇥code=temp_fail⇥reason=the exchange has timed out"),
        ):
            assert await talk.ask(bad) == answer
        assert await talk.ask(f"CONT⇥1⇥{b64('joe')}") == "CONT⇥1⇥UGFzc3dvcmQ6"
        assert await talk.ask("AUTH⇥3⇥LOGIN⇥service=smtp") == "CONT⇥3⇥VXNlcm5hbWU6"
        assert (await talk.ask("CONT⇥3⇥%")).startswith("FAIL⇥3⇥code=invalid_base64")
        assert await talk.ask(f"CONT⇥1⇥{b64('secret')}") == "OK⇥1⇥user=joe"


async def test_a_response_before_its_challenge_fails_and_frees_its_id() -> None:
    async with front(Slow(0.1)) as server, server.connected() as talk:
        await talk.say(plain(1), "CONT⇥1⇥AAAA")
        assert await talk.hear() == "FAIL⇥1⇥reason=this was not asked for"
        await talk.say("AUTH⇥1⇥LOGIN⇥service=smtp")
        assert await talk.hear() == "CONT⇥1⇥VXNlcm5hbWU6", "and the answer of the first one is not told"
        with trio.move_on_after(0.2) as scope:
            await talk.hear()
        assert scope.cancelled_caught


async def test_cancelling() -> None:
    for minor in (0, 4):
        async with front(Users(STORE)) as server, server.connected(minor) as talk:
            assert await talk.ask("AUTH⇥1⇥LOGIN⇥service=smtp") == "CONT⇥1⇥VXNlcm5hbWU6"
            await talk.say("CANCEL⇥1", "CANCEL⇥9")
            if minor == 4:
                assert await talk.hear() == "CANCELLED⇥1"
            assert await talk.ask(f"CONT⇥1⇥{b64('joe')}") == "FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out"
            assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"
            assert len(server.lines) == 1, "nobody has tried to log in but joe at the end"


async def test_a_pending_exchange_expires() -> None:
    async with front(Users(STORE), exchange_timeout=0.05) as server, server.connected() as talk:
        assert await talk.ask("AUTH⇥1⇥LOGIN⇥service=smtp") == "CONT⇥1⇥VXNlcm5hbWU6"
        await trio.sleep(0.1)
        assert await talk.ask(f"CONT⇥1⇥{b64('joe')}") == "FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out"
        client = Scram("sha1", "joe", "secret")
        challenge = told(await talk.ask(f"AUTH⇥1⇥SCRAM-SHA-1⇥service=smtp⇥resp={client.first}"))
        await talk.ask(f"CONT⇥1⇥{client.final(challenge)}")
        await trio.sleep(0.1)
        assert await talk.ask("CONT⇥1⇥") == "FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out", (
            "no OK for nobody"
        )


async def test_exchanges_are_bounded_and_the_oldest_that_waits_goes() -> None:
    async with front(Users(STORE)) as server:
        for minor, most in ((0, 128), (1, 1024)):
            async with server.connected(minor) as talk:
                for key in range(1, most + 2):
                    assert await talk.ask(f"AUTH⇥{key}⇥LOGIN⇥service=smtp") == f"CONT⇥{key}⇥VXNlcm5hbWU6"
                assert await talk.ask("CONT⇥1⇥eA==") == "FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out"
                assert await talk.ask("CONT⇥2⇥eA==") == "CONT⇥2⇥UGFzc3dvcmQ6"


async def test_more_requests_than_the_door_takes_are_told_so() -> None:
    async with front(Slow(), timeout=0.5, bounds=Bounds(min_seconds=0.0, pending=20)) as server:
        async with server.connected(2) as talk:
            await talk.say(*(plain(key) for key in range(1, 26)))
            for _ in range(5):
                assert (await talk.hear()).endswith("⇥code=temp_fail")
            assert "reason=overload" in server.lines[-1]
        async with server.connected(0) as talk:
            await talk.say(*(plain(key) for key in range(1, 26)))
            assert await talk.hear() == ""


# --- what ends a connection


@pytest.mark.parametrize(
    "lines",
    [
        ["AUTH⇥0⇥PLAIN⇥service=smtp"],
        ["AUTH⇥4294967296⇥PLAIN⇥service=smtp"],
        ["AUTH⇥1⇥PLAIN"],
        ["AUTH⇥1⇥PLAIN⇥service=smtp⇥resp=⇥nologin"],
        ["AUTH⇥1⇥LOGIN⇥service=smtp", "AUTH⇥1⇥LOGIN⇥service=smtp"],
        ["HELLO"],
        ["x" * 16_384],
    ],
)
async def test_what_is_not_this_protocol_ends_its_connection_alone(lines: list[str]) -> None:
    async with front(Users(STORE)) as server, server.connected(2) as other:
        async with server.connected(2) as talk:
            assert await talk.ask(*lines) in ("", "CONT⇥1⇥VXNlcm5hbWU6")
            assert await talk.hear() == ""
        assert await other.ask(plain(1)) == "OK⇥1⇥user=joe"
        assert [line for line in server.lines if "event=protocol-error" in line], server.lines
        assert not any("HELLO" in line for line in server.lines)


@pytest.mark.parametrize(
    "lines", [["AUTH⇥1⇥PLAIN⇥service=smtp"], ["CPID⇥1"], ["VERSION⇥2⇥0"], ["VERSION⇥1⇥0", "CPID⇥0"]]
)
async def test_no_handshake_no_answer(lines: list[str]) -> None:
    async with front(Users(STORE)) as server, server.connected(greeted=False) as talk:
        await talk.greeted(None)
        assert await talk.ask(*lines) == ""


async def test_half_a_line_ends_the_connection_and_silence_does_not() -> None:
    async with front(Users(STORE), read_timeout=0.05) as server:
        async with server.connected() as talk:
            await trio.sleep(0.2)
            assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"
            await talk.stream.send_all(b"AUTH\t2\tPL")
            assert await talk.hear() == ""
        assert "half a line" in server.lines[-1]


async def test_a_client_that_has_no_more_to_say_hears_its_answer() -> None:
    async with front(Users(STORE)) as server, server.connected() as talk:
        await talk.say("AUTH⇥1⇥LOGIN⇥service=smtp", plain(2))
        await talk.stream.send_eof()
        heard = [await talk.hear() for _ in range(3)]
        assert sorted(heard) == sorted(["", "CONT⇥1⇥VXNlcm5hbWU6", "OK⇥2⇥user=joe"]) or heard == [
            "OK⇥2⇥user=joe",
            "",
            "",
        ]


async def test_a_client_that_does_not_read_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saslpy.servers.outgoing.PATIENCE", 0.1)
    async with front(Users(STORE)) as server, server.connected(2) as talk:
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(10):
            while True:
                await talk.say(*("CONT⇥1⇥AAAA",) * 200)
    assert "was not read in 0.1 s" in server.lines[-1]


def stuck() -> tuple[socket.socket, socket.socket, Outgoing]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    out = Outgoing(ours)
    while not out.rest:
        out.send(b"x" * 4096)
    return ours, theirs, out


async def test_what_waits_to_be_read_has_a_deadline(autojump_clock: MockClock) -> None:
    ours, theirs, out = stuck()
    with ours, theirs:
        start = trio.current_time()
        with pytest.raises(NotRead, match="in 10 s"):
            await out.flush()
        assert trio.current_time() - start == pytest.approx(10)


async def test_what_waits_is_bounded_and_keeps_its_order() -> None:
    ours, theirs, out = stuck()
    with ours, theirs:
        out.send(b"1")
        out.send(b"2")
        with pytest.raises(NotRead, match="wait to be read"):
            out.send(b"y" * MOST)
        theirs.setblocking(False)
        read = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(out.flush)
            while not read.endswith(b"12"):
                await trio.lowlevel.wait_readable(theirs)
                read += theirs.recv(65_536)
        assert read.lstrip(b"x") == b"12"
        assert out.rest == b""


# --- channel binding

PLUS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")


async def test_plus_is_for_clients_that_can_do_it() -> None:
    async with front(Users(STORE), mechanisms=PLUS) as server:
        for minor, offered in ((0, False), (2, False), (3, True), (4, True)):
            async with server.connected(greeted=False) as talk:
                assert await talk.hear() == "VERSION⇥1⇥4", "at once"
                lines = await talk.greeted(minor)
                assert ("MECH⇥SCRAM-SHA-256-PLUS⇥mutual-auth⇥channel-binding" in lines) is offered
                assert "MECH⇥SCRAM-SHA-256⇥mutual-auth" in lines
                assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"


async def test_a_client_that_waits_for_us_is_greeted_in_time() -> None:
    async with front(Users(STORE), mechanisms=PLUS) as server, server.connected(greeted=False) as talk:
        start = trio.current_time()
        lines = await talk.greeted(None)
        assert 0.19 < trio.current_time() - start < 2
        assert not any("PLUS" in line for line in lines)
        await talk.say("VERSION⇥1⇥4", "CPID⇥1")
        assert await talk.ask(plain(1)) == "OK⇥1⇥user=joe"


async def test_the_channel_is_bound() -> None:
    data = bytes(range(32))
    begin = "AUTH⇥1⇥SCRAM-SHA-256-PLUS⇥protocol=imap⇥secured=tls⇥final-resp-ok⇥resp="
    async with front(Users(STORE), mechanisms=PLUS) as server, server.connected(4) as talk:
        for bound, told_data in ((data, data), (data, b"another channel"), (data, None)):
            client = Scram("sha256", "joe", "secret", "tls-exporter", bound)
            challenge = told(await talk.ask(begin + client.first))
            final = client.final(challenge)
            assert await talk.ask(f"CONT⇥1⇥{final}") == "CONT⇥1⇥#⇥channel_binding=tls-exporter"
            value = "" if told_data is None else f"channel_binding={b64(told_data)}"
            good = f"OK⇥1⇥user=joe⇥resp={b64(client.signature)}"
            assert await talk.ask(f"CONT⇥1⇥#⇥{value}") == (good if told_data == data else "FAIL⇥1⇥user=joe")
        # "I think that you cannot bind": somebody has taken it out of our offer
        client = Scram("sha256", "joe", "secret")
        downgraded = b64("y,," + client.bare)
        assert (await talk.ask(f"AUTH⇥2⇥SCRAM-SHA-256⇥service=imap⇥resp={downgraded}")).startswith("FAIL⇥2")
        assert (await talk.ask(f"AUTH⇥3⇥SCRAM-SHA-256⇥service=imap⇥resp={client.first}")).startswith("CONT⇥3⇥")


# --- what the master side takes


async def test_logins_that_follow_are_handed_over() -> None:
    async with front(Users(STORE), masters=["boss"]) as server:
        async with server.connected(2, greeted=False) as talk:
            cookie = (await talk.greeted(2))[-2].removeprefix("COOKIE⇥")
            handed = server.site.handed
            assert await talk.ask(plain(5, more="")) == "OK⇥5⇥user=joe"
            await talk.ask(plain(6), plain(7, password="wrong", more=""))
            await talk.hear()
            assert len(handed) == 1
            assert handed.take(Ticket(812, 6, cookie)) is None
            assert handed.take(Ticket(813, 5, cookie)) is None
            assert handed.take(Ticket(812, 5, "0" * 32)) is None
            found = handed.take(Ticket(812, 5, cookie))
            assert found is not None
            assert (found.account.login, found.mechanism, found.master) == ("joe", "PLAIN", "")
            assert found.account.secrets == ()
            assert handed.take(Ticket(812, 5, cookie)) is None, "once"
            await talk.ask(f"AUTH⇥8⇥PLAIN⇥service=imap⇥resp={credentials('boss', 'master', 'joe')}")
        found = handed.take(Ticket(812, 8, cookie))
        assert found is not None, "the login process may have gone already"
        assert (found.account.login, found.master) == ("joe", "boss")


def test_what_is_kept_is_bounded_in_number_and_time() -> None:
    now = 0.0
    handed = Handed(most=3, ttl=150, clock=lambda: now)
    joe = HandedLogin(Account("joe"), "PLAIN")
    for key in range(1, 5):
        now += 1
        handed.remember(Ticket(1, key, "c"), joe)
    assert len(handed) == 3
    assert handed.take(Ticket(1, 1, "c")) is None
    now += 148.5  # 2 was kept at second 2, 3 at 3, 4 at 4
    assert handed.take(Ticket(1, 2, "c")) is None
    assert handed.take(Ticket(1, 3, "c")) is not None
    handed.remember(Ticket(1, 5, "other"), joe)
    handed.leave("other")
    handed.leave("nobody")
    now += GRACE + 0.1
    assert handed.take(Ticket(1, 5, "other")) is None
    now += 200
    handed.remember(Ticket(1, 6, "c"), joe)
    assert len(handed) == 1


# --- the configuration


def test_what_a_socket_offers() -> None:
    auth = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "EXTERNAL")

    def listen(**options: Any) -> DovecotListen:
        return DovecotListen(protocol="dovecot", address="127.0.0.1:12345", **options)

    assert listen().offers(auth) == ("SCRAM-SHA-256", "PLAIN")
    assert listen(mechanisms=("EXTERNAL", "PLAIN")).offers(auth) == ("EXTERNAL", "PLAIN")
    with pytest.raises(ValueError, match=r"mechanisms\[0\]: 'PLIAN' is no mechanism; did you mean 'PLAIN'"):
        listen(mechanisms=("PLIAN",))
    with pytest.raises(ValueError, match="exchange_timeout"):
        listen(exchange_timeout=0)
