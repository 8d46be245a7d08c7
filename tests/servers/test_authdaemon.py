"""Courier's authdaemon server over real unix sockets, in this process; fakes stand behind the door."""

from __future__ import annotations

import base64
import hmac
import os
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from saslpy import Account, Login
from saslpy.authenticator import Bounds
from saslpy.protocols.authdaemon import decode_reply, encode_auth, encode_login
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.authdaemon import AuthdaemonOptions, AuthdaemonServer
from saslpy.servers.sockets import TcpPlace, UnixPlace, listening

from ..doors import door_before
from ..fakes import Broken, Slow, Users
from ..real.saslpy import folder
from . import fronts
from .fronts import read_all

FAIL, HANG_UP = b"FAIL\n", b""
BODY = b"UID=1000\nGID=1001\nHOME=/srv/joe\nADDRESS=joe\nMAILDIR=/srv/joe/Maildir\n"
JOE = BODY + b".\n"
OFF = b"OPTIONS=disableimap=1,disablepop3=1,disablewebmail=1\n"


def account(login: str, **fields: Any) -> Account:
    known = {"uid": 1000, "gid": 1001, "home": f"/srv/{login}", "maildir": f"/srv/{login}/Maildir"}
    return Account(login, ("{PLAIN}secret",), **{**known, **fields})


STORE = {
    "joe": account("joe"),
    "ann": account("ann", quota="1000S", name="Ann Doe", options={"disableimap": "1"}, deny_services=("pop3",)),
    "off": account("off", disabled=True),
    "old": account("old", expired=True),
    "far": account("far", allow_nets=("192.0.2.0/24",)),
    "bare": Account("bare", ("{PLAIN}secret",), uid=1000),
    "long": account("long", home="/" + "h" * 8190),
}


class Listed(Users):
    """A store that can list its users, and be written to."""

    def __init__(self, users: Mapping[str, str | Account]) -> None:
        super().__init__(users)
        self.kept = dict(users)

    def accounts(self) -> Iterable[Account]:
        return [one for one in self.users.values() if isinstance(one, Account)]

    async def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        self.users = {**self.users, login.name: account(login.name, home="/changed")}
        return True


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        yield path / "socket"


class Front(fronts.Front):
    """A running server."""

    def __init__(self, path: Path, loop: AcceptLoop[Any], lines: list[str]) -> None:
        super().__init__(path, lines)
        self.loop = loop

    ask = fronts.Front.say

    async def login(self, user: str, password: str, service: str = "imap", client: str = "") -> bytes:
        return await self.ask(encode_login(service.encode(), user.encode(), password.encode(), client.encode()))


@asynccontextmanager
async def front(
    path: Path,
    *backends: Any,
    bounds: Bounds | None = None,
    most: int = 100,
    timeout: float = 3.0,
    tcp: bool = False,
    **options: Any,
) -> AsyncIterator[Front]:
    async with door_before(*backends, bounds=bounds, timeout=timeout) as at:
        with listening(TcpPlace("127.0.0.1", 0) if tcp else UnixPlace(path)) as sock:
            server = AuthdaemonServer(at.door, AuthdaemonOptions(**options), at.log)
            loop = AcceptLoop("authdaemon", sock, server, most, at.log)
            at.nursery.start_soon(loop.run, at.nursery)
            yield Front(path, loop, at.lines)


# --- one user


async def test_the_three_answers(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        assert await courier.login("joe", "secret") == JOE
        assert await courier.login("joe", "wrong") == FAIL
        assert await courier.login("nobody", "secret") == FAIL
        assert await courier.login("off", "secret") == FAIL
        assert await courier.login("old", "secret") == FAIL
    async with front(place, Broken()) as courier:
        assert await courier.login("joe", "secret") == HANG_UP
        assert await courier.ask(b"PRE . login joe\n") == HANG_UP
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tnew\n") == HANG_UP


async def test_a_slow_store_is_a_hang_up_in_time(place: Path) -> None:
    async with front(place, Slow(), timeout=0.05) as courier:
        with trio.fail_after(2):
            assert await courier.login("joe", "secret") == HANG_UP
        assert "reason=timeout" in courier.lines[-1]


async def test_the_close_follows_the_reply_at_once(place: Path) -> None:
    """libsasl2 reads to the end of the stream, and sends a byte that it does not count; it comes late here."""
    async with front(place, Users(STORE)) as courier, await courier.connect() as stream:
        with trio.fail_after(0.9):
            await stream.send_all(b"AUTH 22\nsmtp\nlogin\njoe\nsecret\n")
            assert await stream.receive_some() == JOE
            await stream.send_all(b"\n")
            assert await stream.receive_some() == b""


async def test_accounts_without_a_password(place: Path) -> None:
    async with front(place, Users(STORE), default_options={"wbnodsn": "1"}) as courier:
        told = await courier.ask(b"PRE . imap ann\n")
        assert told.endswith(b"NAME=Ann Doe\nMAILDIR=/srv/ann/Maildir\nQUOTA=1000S\n" + told[told.index(b"OPTIONS") :])
        assert b"\nOPTIONS=wbnodsn=1,disableimap=1,disablepop3=1\n.\n" in told
        assert await courier.ask(b"PRE . login nobody\n") == FAIL
        assert await courier.ask(b"PRE authmysql login joe\n") == FAIL
        assert await courier.ask(b"PRE . login joe\r\n") == FAIL
        assert await courier.ask(b"PRE . login joe\0\n") == FAIL
        assert await courier.ask(b"PRE . login \n") == FAIL
    assert not any("event=login" in line for line in courier.lines)


async def test_mail_is_delivered_to_those_who_may_not_log_in(place: Path) -> None:
    """They exist; what lets users in without a password (with a certificate, say) hears of it by their options."""
    async with front(place, Users(STORE)) as courier:
        for name in (b"off", b"old"):
            assert (await courier.ask(b"PRE . login %b\n" % name)).endswith(b"Maildir\n" + OFF + b".\n")
        assert OFF not in await courier.ask(b"PRE . login far\n")
        assert OFF not in await courier.ask(b"TCPREMOTEIP=192.0.2.7\nPRE . imap far\n")
        assert OFF in await courier.ask(b"TCPREMOTEIP=198.51.100.7\nPRE . imap far\n")


async def test_where_a_login_comes_from(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        assert (await courier.login("far", "secret", "pop3", "192.0.2.7")).startswith(b"UID=")
        assert "service=pop3 mechanism=PLAIN client=192.0.2.7 " in courier.lines[-1]
        assert f"caller={os.getpid()}:{os.getuid()} " in courier.lines[-1]
        assert await courier.login("far", "secret", "pop3", "::1") == FAIL
        assert "reason=network-denied" in courier.lines[-1]
        assert await courier.login("far", "secret", "pop3", "nonsense") == FAIL
        assert "client=- " in courier.lines[-1]


async def test_over_tcp_nobody_knows_the_caller(place: Path) -> None:
    async with front(place, Users(STORE), tcp=True) as courier:
        async with await trio.open_tcp_stream(*courier.loop._listener.getsockname()) as stream:
            await stream.send_all(encode_login(b"imap", b"joe", b"secret"))
            assert await read_all(stream) == JOE
        assert "caller=- " in courier.lines[-1]


async def test_over_tcp_nobody_is_told_of_users_without_their_password(place: Path) -> None:
    """Nor that there is no such user: mail would bounce."""
    async with front(place, Listed(STORE), tcp=True) as courier:
        for question in (b"PRE . login joe\n", b"PRE . login nobody\n", b"ENUMERATE\n"):
            async with await trio.open_tcp_stream(*courier.loop._listener.getsockname()) as stream:
                await stream.send_all(question)
                assert await read_all(stream) == HANG_UP
        assert "PRE or ENUMERATE over TCP: users are looked up over a unix socket alone" in courier.lines[0]


@pytest.mark.parametrize("hash_name", ["md5", "sha1", "sha256"])
async def test_cram(place: Path, hash_name: str) -> None:
    def response(user: str, password: str, sep: str = " ") -> bytes:
        proof = hmac.new(password.encode(), b"<1@x>", hash_name).hexdigest()
        return encode_auth(
            b"imap", b"cram-" + hash_name.encode(), b"PDFAeD4=\n%b\n" % base64.b64encode(f"{user}{sep}{proof}".encode())
        )

    async with front(place, Users(STORE), mechanisms=("CRAM-MD5",)) as courier:
        assert await courier.ask(response("joe", "secret")) == JOE
        assert f"mechanism=CRAM-{hash_name.upper()}" in courier.lines[-1]
        assert await courier.ask(response("joe", "wrong")) == FAIL
        assert await courier.ask(response("nobody", "secret")) == FAIL
        assert await courier.ask(response("off", "secret")) == FAIL
        assert "reason=disabled" in courier.lines[-1]
        assert await courier.ask(response("joe", "secret", "")) == FAIL
        assert "reason=malformed" in courier.lines[-1]
        assert await courier.login("joe", "secret") == FAIL
        assert "reason=service-denied" in courier.lines[-1]
    async with front(place, Users(STORE), mechanisms=("LOGIN",)) as courier:
        assert await courier.ask(response("joe", "secret")) == FAIL
        assert "reason=service-denied" in courier.lines[-1]
        assert await courier.login("joe", "secret") == JOE
        assert "mechanism=LOGIN" in courier.lines[-1]
    async with front(place, Broken(), mechanisms=("CRAM-MD5",)) as courier:
        assert await courier.ask(response("joe", "secret")) == HANG_UP


async def test_what_is_never_asked(place: Path) -> None:
    users = Users(STORE)
    async with front(place, users) as courier:
        for user, password in (
            ("", "secret"),
            ("joe", ""),
            ("joe\0zz", "secret"),
            ("joe", "secret\0zz"),
            ("joe", "secret\n"),
            ("joe\n", "secret"),
            ("joe", "sec\nret"),
            ("joe\r", "secret\r"),
            ("joe ", "secret"),
        ):
            assert await courier.login(user, password) == FAIL
        assert await courier.ask(encode_auth(b"imap", b"pam", b"joe\nsecret\n")) == FAIL
    assert users.asked == []
    assert sum("verdict=reject" in line for line in courier.lines) == 10, "each of them is in the audit log"
    assert not any("secret" in line for line in courier.lines)


async def test_a_service_that_is_no_text(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        assert await courier.ask(encode_login(b"\xff", b"joe", b"secret")) == JOE
        assert await courier.ask(encode_login(b"s" * 4000, b"bare", b"secret")) == HANG_UP
        assert await courier.ask(b"PRE . \xff bare\n") == HANG_UP
    assert not any("internal-error" in line for line in courier.lines)
    assert all(line.isascii() and len(line) < 5000 for line in courier.lines)


async def test_an_account_without_a_mailbox(place: Path) -> None:
    """Courier's programs say "wrong password" to some of these, and run as group 0 for others: they are not told."""
    async with front(place, Users(STORE)) as courier:
        assert await courier.login("bare", "secret", "imap") == HANG_UP
        assert "event=account-untold" in courier.lines[-1]
        assert "bare has no gid, home for the service imap" in courier.lines[-1]
        assert "backend.NAME.account" in courier.lines[-1]
        assert await courier.ask(b"PRE . login bare\n") == HANG_UP
        assert await courier.login("bare", "wrong", "imap") == FAIL
        assert await courier.login("bare", "secret", "smtp") == b"ADDRESS=bare\n.\n"
    async with front(place, Users(STORE), password_only=("imap", "sieve")) as courier:
        assert await courier.login("bare", "secret", "imap") == b"ADDRESS=bare\n.\n"
        assert await courier.login("bare", "secret", "smtp") == HANG_UP


async def test_an_account_that_cannot_be_told(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        assert await courier.login("long", "secret") == HANG_UP
        assert "long: a reply of " in courier.lines[-1]


async def test_secrets_are_told_where_the_listener_says_so_alone(place: Path) -> None:
    async with front(place, Users(STORE), secrets=True) as courier:
        assert await courier.login("joe", "secret") == BODY + b"PASSWD2=secret\n.\n"
        assert await courier.ask(b"PRE . imap joe\n") == BODY + b"PASSWD2=secret\n.\n"


async def test_a_new_password(place: Path) -> None:
    store = Listed(STORE)
    async with front(place, store) as courier:
        assert await courier.ask(b"PASSWD login\tjoe\twrong\tnew\n") == FAIL
        assert await courier.ask(b"PASSWD login\tnobody\tsecret\tnew\n") == FAIL
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tn\x01w\n") == FAIL
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\t\n") == FAIL
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\n") == HANG_UP
        assert store.users == store.kept
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tnew\t\n") == b"OK\n"
        assert b"HOME=/changed" in await courier.ask(b"PRE . login joe\n")
        assert "verdict=reject reason=wrong-password login=joe service=login" in courier.lines[0]
        assert not any("new\n" in line or "secret" in line for line in courier.lines)
    async with front(place, Users(STORE)) as courier:
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tnew\n") == FAIL, "a store that cannot be written to"


async def test_a_new_password_comes_in_the_clear_too(place: Path) -> None:
    """It would tell whether an old one is right: who has the same one twice changes nothing."""
    store = Listed(STORE)
    async with front(place, store, mechanisms=("CRAM-MD5",)) as courier:
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tsecret\n") == FAIL
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tnew\n") == FAIL
        assert store.users == store.kept
        assert store.asked == []
        assert all("verdict=reject reason=service-denied login=joe" in line for line in courier.lines)
    async with front(place, store, mechanisms=("LOGIN",)) as courier:
        assert await courier.ask(b"PASSWD login\tjoe\tsecret\tnew\n") == b"OK\n"
        assert "mechanism=LOGIN" in courier.lines[0]


# --- all users


async def test_a_list_of_all_users(place: Path) -> None:
    users = {**STORE, "none": Account("none"), "root": account("root", uid=0, gid=0)}
    async with front(place, Listed(users), default_options={"a": "1"}) as courier:
        told = (await courier.ask(b"ENUMERATE\n")).decode()
    assert told.startswith("# saslpy\n\nann\t1000\t1001\t/srv/ann\t/srv/ann/Maildir\ta=1,disableimap=1,disablepop3=1\n")
    assert told.endswith("\nroot\t0\t0\t/srv/root\t/srv/root/Maildir\ta=1\n.\n")
    assert "\nnone\t\t\t\t\ta=1\n" in told
    assert "\noff\t1000\t1001\t/srv/off\t/srv/off/Maildir\ta=1,disableimap=1,disablepop3=1,disablewebmail=1\n" in told
    assert "secret" not in told
    assert [line.partition("\t")[0] for line in told.splitlines()[2:-1]] == sorted(users)


async def test_a_list_that_is_not_whole_has_no_end(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        assert await courier.ask(b"ENUMERATE\n") == HANG_UP
        assert "event=listing-failed" in courier.lines[-1]
    async with front(place, Listed({"jo#e": account("jo#e")})) as courier:
        assert decode_reply(await courier.ask(b"ENUMERATE\n")) is None
        assert "jo#e: a number sign" in courier.lines[-1]


MANY = {f"user{number:05}": account(f"user{number:05}") for number in range(6000)}


async def test_a_long_list_is_sent_as_fast_as_it_is_read(place: Path) -> None:
    async with front(place, Listed({**MANY, **STORE})) as courier, await courier.connect() as stream:
        await stream.send_all(b"ENUMERATE\n")
        await trio.sleep(0.1)
        assert (await courier.login("joe", "secret")).startswith(b"UID="), "others are answered meanwhile"
        told = await read_all(stream)
    assert told.count(b"\n") == len(MANY) + len(STORE) + 3
    assert len(told) > 300_000
    assert told.endswith(b"\n.\n")


async def test_who_does_not_read_his_list_is_hung_up(place: Path) -> None:
    async with front(place, Listed(MANY), write_timeout=0.2) as courier, await courier.connect() as stream:
        await stream.send_all(b"ENUMERATE\n")
        with trio.fail_after(10):
            while not any("the reply was not read in 0.2 s" in line for line in courier.lines):
                await trio.sleep(0.02)
        assert not (await read_all(stream)).endswith(b"\n.\n")


async def test_many_lists_at_a_time_are_too_many(place: Path) -> None:
    async with front(place, Listed(MANY)) as courier:
        streams = [await courier.connect() for _ in range(4)]
        for stream in streams:
            await stream.send_all(b"ENUMERATE\n")
            assert await stream.receive_some(1) == b"#"
        with trio.fail_after(2):
            assert await courier.ask(b"ENUMERATE\n") == HANG_UP
        assert "ENUMERATE while 4 lists are on their way" in courier.lines[-1]
        for stream in streams:
            assert (await read_all(stream)).endswith(b"\n.\n")
            await stream.aclose()
        assert (await courier.ask(b"ENUMERATE\n")).endswith(b"\n.\n")


# --- connections


async def test_byte_by_byte(place: Path) -> None:
    data = encode_login(b"imap", b"joe", b"secret", b"192.0.2.7")
    async with front(place, Users(STORE)) as courier:
        assert await courier.ask(*[data[i : i + 1] for i in range(len(data))]) == JOE
        assert "client=192.0.2.7" in courier.lines[-1]


async def test_garbage_ends_its_connection_and_nothing_else(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"AUTH 9000\n", b"AUTH 5\nimap\n", b"\n", b"PRE . login\n"):
            assert await courier.ask(data) == HANG_UP
        for data in (b"", b"AUT", b"AUTH 22\nimap\nlogin\njoe\nsec", b"X=1\n"):
            assert await courier.ask(data, end=True) == HANG_UP
        assert await courier.login("joe", "secret") == JOE
    assert sum("event=protocol-error" in line for line in courier.lines) == 1, "told at most once a second"
    assert not any("HTTP" in line for line in courier.lines)


async def test_a_hang_up_in_the_middle_is_told(place: Path) -> None:
    async with front(place, Users(STORE)) as courier:
        assert await courier.ask(b"", end=True) == HANG_UP
        assert courier.lines == []
        assert await courier.ask(b"X=1\n", end=True) == HANG_UP
        assert "hung up in the middle of its request" in courier.lines[0]


async def test_a_flood_without_a_line_end_is_not_read_to_its_end(place: Path) -> None:
    async with front(place, Users(STORE)) as courier, await courier.connect() as stream:
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(10):
            while True:
                await stream.send_all(b"x" * 65_536)
        assert "a line of over 8190 bytes" in courier.lines[-1]


async def test_a_silent_caller_is_hung_up(place: Path) -> None:
    async with front(place, Users(STORE), read_timeout=0.05) as courier:
        async with await courier.connect() as stream:
            assert await read_all(stream) == HANG_UP
        assert courier.lines == []
        assert await courier.ask(b"AUTH 22\nimap\n") == HANG_UP
        assert "half a request" in courier.lines[0]


async def test_a_deadline_is_for_the_whole_request(place: Path) -> None:
    """A line now and then does not keep a connection open."""
    async with front(place, Users(STORE), read_timeout=0.2) as courier, await courier.connect() as stream:
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(2):
            while True:
                await stream.send_all(b"X")
                await trio.sleep(0.02)


async def test_idle_connections_and_logins_do_not_disturb_each_other(place: Path) -> None:
    async with front(place, Users(STORE), most=1000) as courier:
        idle = [await courier.connect() for _ in range(300)]
        answers: list[bytes] = []

        async def one() -> None:
            answers.append(await courier.login("joe", "secret"))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(64):
                    nursery.start_soon(one)
        assert answers == [JOE] * 64
        for stream in idle[:10]:
            await stream.send_all(b"PRE . login joe\n")
            assert await read_all(stream) == JOE
        for stream in idle:
            await stream.aclose()


async def test_a_backlog_that_no_caller_finds_full(place: Path) -> None:
    """libcourierauth takes a full backlog for an outage: it connects without waiting."""
    async with front(place, Users(STORE), most=1000) as courier:
        callers = []
        for _ in range(500):  # while the accept loop does not run
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            caller.connect(str(courier.path))
            caller.send(b"PRE . login joe\n")
            callers.append(caller)
        for caller in callers:
            async with trio.SocketStream(trio.socket.from_stdlib_socket(caller)) as stream:
                assert await read_all(stream) == JOE


async def test_too_many_requests_are_deferred_at_once(place: Path) -> None:
    bounds = Bounds(min_seconds=0.0, pending=2)
    async with front(place, Slow(), bounds=bounds) as courier, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(courier.login, "joe", "secret")
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(1):
            assert await courier.login("joe", "secret") == HANG_UP
        assert "reason=overload" in courier.lines[-1]
        nursery.cancel_scope.cancel()


async def test_a_refusal_takes_its_time(place: Path) -> None:
    async with front(place, Users(STORE), bounds=Bounds(min_seconds=0.2)) as courier:
        for user, least in (("nobody", 0.2), ("", 0.2), ("joe", 0.0)):
            start = trio.current_time()
            await courier.login(user, "secret")
            assert trio.current_time() - start >= least


async def test_callers_that_are_gone_harm_nobody(place: Path) -> None:
    async with front(place, Listed(MANY)) as courier:
        for data in (b"ENUMERATE\n", b"PRE . login user00001\n", encode_login(b"imap", b"user00001", b"secret")):
            stream = await courier.connect()
            await stream.send_all(data)
            await stream.aclose()
        assert (await courier.login("user00001", "secret")).startswith(b"UID=")
    assert not any("internal-error" in line for line in courier.lines)
