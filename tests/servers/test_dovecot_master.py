"""The master and userdb server over real unix sockets, in this process; a fake stands behind the door."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from saslpy.authenticator import Authenticator
from saslpy.guard import BackendFailed
from saslpy.model import Account, Defer, Origin, Reason, Reject
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.dovecot_master import MasterOptions, MasterServer
from saslpy.servers.dovecot_site import DovecotSite
from saslpy.servers.handed import HandedLogin, Ticket
from saslpy.servers.lined import AT_WORK
from saslpy.servers.peers import caller_of
from saslpy.servers.sockets import UnixPlace, listening
from saslpy.servers.trusted import Trusted, groups_of

from ..fakes import list_log
from ..real.system import need_root

COOKIE = "4cd8e1a0c7a5f2f4f1b9f40f0c0e7b21"
TICKET = Ticket(812, 5, COOKIE)
GREETING = "VERSION⇥1⇥1\nSPID⇥7\n"
ME = Trusted(frozenset((os.getuid(),)))
NOBODY = Trusted(frozenset())
JOE = Account("joe", ("{PLAIN}geheim",), 1000, 1000, "/srv/joe", options={"userdb_x": "y", "passdb_proxy": "y"})
UNKNOWN = Reject(Reason.UNKNOWN_USER)
AWAY = Defer(Reason.BACKEND_FAILED)


class Door:
    """Answers from a table. ``asked`` are the questions; with ``gate`` they wait until it is set."""

    def __init__(self, users: Mapping[str, Account | Reject | Defer]) -> None:
        self.users = dict(users)
        self.asked: list[tuple[str, Origin]] = []
        self.gates: dict[str, trio.Event] = {}
        self.broken = False

    async def find(self, given: str, realm: str, origin: Origin) -> Account | Reject | Defer:
        self.asked.append((given, origin))
        await trio.lowlevel.checkpoint()
        if given in self.gates:
            await self.gates[given].wait()
        return self.users.get(given, UNKNOWN)

    async def accounts(self) -> Sequence[Account]:
        if "*" in self.gates:
            await self.gates["*"].wait()
        if self.broken:
            raise BackendFailed(Reason.BACKEND_FAILED, "the disk is gone")
        return [user for user in self.users.values() if isinstance(user, Account)]


class Client:
    """Speaks to a server in transcripts: ⇥ is a tab, a line is a line."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def say(self, *lines: str) -> None:
        await self.stream.send_all("".join(f"{line}\n" for line in lines).replace("⇥", "\t").encode())

    async def hear(self, lines: int = 1) -> str:
        """So many lines; fewer when the server hangs up."""
        with trio.fail_after(5):
            while self._rest.count(b"\n") < lines:
                try:
                    more = await self.stream.receive_some()
                except trio.BrokenResourceError:  # it hung up with something unread
                    break
                if not more:
                    break
                self._rest += more
        *told, self._rest = self._rest.split(b"\n", lines) if self._rest.count(b"\n") >= lines else (self._rest, b"")
        return "\n".join(line.decode() for line in told).replace("\t", "⇥")

    async def ask(self, *lines: str) -> str:
        """Say some lines, hear as many."""
        await self.say(*lines)
        return await self.hear(len(lines))


class Server:
    """A server at work. ``lines`` is its log."""

    def __init__(self, path: Path, door: Door, options: MasterOptions) -> None:
        log, self.lines = list_log()
        self.path = path
        self.site = DovecotSite(spid=7)
        self.streams: list[trio.SocketStream] = []
        self.door = door
        self.server = MasterServer(cast(Authenticator, door), options, self.site, log)
        self.log = log
        self.loop: AcceptLoop[Any]

    async def logged(self, *words: str) -> None:
        """Wait for a line with all of these in it."""
        with trio.fail_after(5):
            while not any(all(word in line for word in words) for line in self.lines):
                await trio.sleep(0.01)

    async def greeted(self) -> Client:
        self.streams.append(await trio.open_unix_socket(str(self.path)))
        client = Client(self.streams[-1])
        assert await client.hear(2) + "\n" == GREETING
        return client

    async def connect(self) -> Client:
        client = await self.greeted()
        await client.say("VERSION⇥1⇥1")
        return client


@asynccontextmanager
async def serving(
    place: Path, users: Mapping[str, Account | Reject | Defer] | None = None, **options: Any
) -> AsyncIterator[Server]:
    door = Door({"joe": JOE, "away": AWAY} if users is None else users)
    server = Server(place / "m", door, MasterOptions(**{"trusted": ME, **options}))
    with listening(UnixPlace(server.path)) as sock:
        async with trio.open_nursery() as nursery:
            server.loop = AcceptLoop("master", sock, server.server, 100, server.log)
            nursery.start_soon(server.loop.run, nursery)
            try:
                yield server
            finally:
                for stream in server.streams:
                    stream.socket.close()
                nursery.cancel_scope.cancel()


# --- USER and PASS


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("USER⇥1⇥joe⇥service=lmtp", "USER⇥1⇥joe⇥uid=1000⇥gid=1000⇥home=/srv/joe⇥x=y"),
        ("USER⇥2⇥nobody⇥service=lmtp", "NOTFOUND⇥2"),
        ("USER⇥3⇥away⇥service=lmtp", "FAIL⇥3⇥reason=the user could not be looked up, try again later"),
        ("PASS⇥4⇥joe⇥service=lmtp", "PASS⇥4⇥user=joe⇥proxy=y"),
        ("PASS⇥5⇥nobody⇥service=lmtp", "NOTFOUND⇥5"),
        ("PASS⇥6⇥away⇥service=lmtp", "FAIL⇥6⇥reason=the user could not be looked up, try again later"),
        ("CACHE-FLUSH⇥7", "OK⇥7⇥0"),
        ("CACHE-FLUSH⇥7⇥joe", "OK⇥7⇥0"),
        ("CACHE-STATS⇥8", "OK⇥8" + "⇥0" * 8),
    ],
)
async def test_questions(place: Path, question: str, answer: str) -> None:
    async with serving(place) as server:
        client = await server.connect()
        assert await client.ask(question) == answer
        # and the connection lives
        assert (await client.ask("USER⇥99⇥joe⇥service=lmtp")).startswith("USER⇥99⇥joe")


async def test_the_canonical_name_is_told_and_the_origin_asked_with(place: Path) -> None:
    async with serving(place, {"JOE": JOE}) as server:
        client = await server.connect()
        assert (await client.ask("USER⇥1⇥JOE⇥service=imap⇥rip=192.0.2.7")).startswith("USER⇥1⇥joe⇥")
        [(given, origin)] = server.door.asked
        assert (given, origin.protocol, origin.service, origin.client) == ("JOE", "dovecot-master", "imap", "192.0.2.7")
        assert origin.caller is not None
        assert origin.caller.pid == os.getpid()


async def test_mail_comes_to_who_may_not_log_in_but_no_proxy_lets_him_in(place: Path) -> None:
    users = {"off": replace(JOE, login="off", disabled=True), "old": replace(JOE, login="old", expired=True)}
    async with serving(place, users) as server:
        client = await server.connect()
        for name in users:
            assert (await client.ask(f"USER⇥1⇥{name}⇥service=lmtp")).startswith(f"USER⇥1⇥{name}⇥")
            assert await client.ask(f"PASS⇥1⇥{name}⇥service=lmtp") == "NOTFOUND⇥1"


async def test_an_outage_may_be_told_by_hanging_up(place: Path) -> None:
    async with serving(place, temporary_failure="drop") as server:
        client = await server.connect()
        assert await client.ask("USER⇥1⇥away⇥service=lmtp") == ""
        client = await server.connect()
        assert await client.ask("USER⇥1⇥nobody⇥service=lmtp") == "NOTFOUND⇥1"


async def test_the_groups_of_the_systems_user(place: Path) -> None:
    users = {"root": Account("root", uid=0, gid=0), "odd": Account("odd", uid=3_999_999_999), "none": Account("none")}
    async with serving(place, users, system_groups=True) as server:
        client = await server.connect()
        assert await client.ask("USER⇥1⇥root⇥service=lda") == "USER⇥1⇥root⇥uid=0⇥gid=0⇥system_groups_user=root"
        assert await client.ask("USER⇥1⇥odd⇥service=lda") == "USER⇥1⇥odd⇥uid=3999999999"
        assert await client.ask("USER⇥1⇥none⇥service=lda") == "USER⇥1⇥none"


async def test_the_fields_of_2_4(place: Path) -> None:
    async with serving(place, {"joe": Account("joe", maildir="/m")}, dovecot="2.4") as server:
        client = await server.connect()
        assert await client.ask("USER⇥1⇥joe⇥protocol=lmtp") == "USER⇥1⇥joe⇥mail_driver=maildir⇥mail_path=/m"


# --- LIST


async def test_lists(place: Path) -> None:
    users = {name: Account(name) for name in ("ann", "joe", "jim")}
    async with serving(place, users) as server:
        client = await server.connect()
        await client.say("LIST⇥1⇥user=*⇥service=doveadm")
        assert await client.hear(4) == "LIST⇥1⇥ann\nLIST⇥1⇥joe\nLIST⇥1⇥jim\nDONE⇥1"
        await client.say("LIST⇥2⇥user=J?M")
        assert await client.hear(2) == "LIST⇥2⇥jim\nDONE⇥2"
        assert await client.ask("LIST⇥3⇥user=x") == "DONE⇥3"
        server.door.broken = True
        assert await client.ask("LIST⇥4") == "DONE⇥4⇥fail"
        await server.logged("event=listing-failed", "the disk is gone")


async def test_a_second_list_fails_and_other_requests_go_on_meanwhile(place: Path) -> None:
    async with serving(place) as server:
        server.door.gates["*"] = trio.Event()
        client = await server.connect()
        await client.say("LIST⇥1")
        assert await client.ask("LIST⇥2") == "DONE⇥2⇥fail"
        assert await client.ask("USER⇥3⇥nobody⇥service=lmtp") == "NOTFOUND⇥3"
        server.door.gates["*"].set()
        assert await client.hear(2) == "LIST⇥1⇥joe\nDONE⇥1"


async def test_a_list_does_not_wait_for_another_for_ever(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saslpy.servers.master_lists.LIST_WAIT", 0.05)
    async with serving(place) as server:
        server.door.gates["*"] = trio.Event()
        first, second = await server.connect(), await server.connect()
        await first.say("LIST⇥1")
        assert await first.ask("USER⇥2⇥nobody⇥service=x") == "NOTFOUND⇥2"
        assert await second.ask("LIST⇥1") == "DONE⇥1⇥fail"
        server.door.gates["*"].set()
        assert await first.hear(2) == "LIST⇥1⇥joe\nDONE⇥1"
        assert await second.ask("LIST⇥2⇥user=x") == "DONE⇥2"


async def test_a_long_list_is_sent_as_it_is_read(place: Path) -> None:
    many = {f"user{number:06}@example.org": Account(f"user{number:06}@example.org") for number in range(20_000)}
    async with serving(place, many) as server:
        client = await server.connect()
        await client.say("LIST⇥1")
        await trio.sleep(0.05)  # it cannot go on, since nobody reads
        told = (await client.hear(20_001)).split("\n")
        assert told[:-1] == [f"LIST⇥1⇥{name}" for name in many]
        assert told[-1] == "DONE⇥1"


async def test_a_list_that_is_read_too_slowly_holds_up_the_next_for_so_long_and_no_longer(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saslpy.servers.master_lists.SEND_WAIT", 0.3)
    many = {str(number): Account(f"{number:0300}") for number in range(5_000)}
    async with serving(place, many) as server:
        slow, other = await server.connect(), await server.connect()
        await slow.say("LIST⇥1")
        await slow.hear(1)  # some of it is read, and then no more
        await other.say("LIST⇥1⇥user=x")
        assert await other.hear() == "DONE⇥1"
        await server.logged("a list was not read in 0.3 s")


async def test_other_tasks_have_their_turn_while_a_long_list_is_looked_through(place: Path) -> None:
    many = {str(number): Account(f"{number}") for number in range(50_000)}
    async with serving(place, many) as server:
        client, turns = await server.connect(), 0
        await client.say("LIST⇥1⇥user=x")

        async def count() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            assert await client.hear() == "DONE⇥1"
            nursery.cancel_scope.cancel()
        assert turns >= 50


async def test_who_goes_away_in_the_middle_of_a_list_harms_nobody(place: Path) -> None:
    many = {str(number): Account(str(number) * 20) for number in range(20_000)}
    async with serving(place, many) as server:
        client = await server.connect()
        await client.say("LIST⇥1")
        await client.hear(3)
        await client.stream.aclose()
        other = await server.connect()
        assert await other.ask("USER⇥1⇥nobody⇥service=x") == "NOTFOUND⇥1"
        assert not [line for line in server.lines if "internal-error" in line]


# --- REQUEST


def handed(server: Server, account: Account = JOE, mechanism: str = "PLAIN", master: str = "") -> None:
    server.site.handed.remember(TICKET, HandedLogin(account, mechanism, master, "imap"))


FETCH = f"REQUEST⇥1⇥812⇥5⇥{COOKIE}⇥session_pid={os.getpid()}"


async def test_a_login_is_fetched_once(place: Path) -> None:
    async with serving(place) as server:
        handed(server)
        client = await server.connect()
        assert await client.ask(FETCH) == "USER⇥1⇥joe⇥uid=1000⇥gid=1000⇥home=/srv/joe⇥x=y⇥auth_mech=PLAIN"
        assert await client.ask(FETCH) == "FAIL⇥1"
        [(given, origin)] = server.door.asked
        assert (given, origin.service, origin.mechanism) == ("joe", "imap", "PLAIN")
        assert not [line for line in server.lines if COOKIE in line]


async def test_a_token_a_master_and_an_anonymous_one(place: Path) -> None:
    async with serving(place, {"joe": Account("joe")}) as server:
        client = await server.connect()
        handed(server, Account("joe"), master="boss")
        told = await client.ask(FETCH + "⇥request_auth_token")
        assert told[:-40] == "USER⇥1⇥joe⇥auth_mech=PLAIN⇥master_user=boss⇥auth_user=boss⇥auth_token="
        assert int(told[-40:], 16)
        handed(server, Account("joe"), mechanism="ANONYMOUS")
        assert await client.ask(FETCH) == "USER⇥1⇥joe⇥auth_mech=ANONYMOUS⇥anonymous"


@pytest.mark.parametrize(
    "question",
    [
        f"REQUEST⇥1⇥813⇥5⇥{COOKIE}",
        f"REQUEST⇥1⇥812⇥6⇥{COOKIE}",
        f"REQUEST⇥1⇥812⇥5⇥{'0' * 32}",
        f"REQUEST⇥1⇥812⇥5⇥{COOKIE}⇥session_pid=1",
    ],
)
async def test_another_process_exchange_or_cookie_fetches_nothing(place: Path, question: str) -> None:
    async with serving(place) as server:
        handed(server)
        client = await server.connect()
        assert (await client.ask(question)).startswith("FAIL⇥1")
        assert (await client.ask(FETCH)).startswith("USER⇥1⇥joe")  # it is still there for the right one


@pytest.mark.parametrize(
    ("now", "answer"),
    [
        (UNKNOWN, "NOTFOUND⇥1"),
        (replace(JOE, disabled=True), "NOTFOUND⇥1"),
        (replace(JOE, expired=True), "NOTFOUND⇥1"),
        # another backend has one of this name: the mailbox is that of the backend whose password was right
        (replace(JOE, home="/another"), "USER⇥1⇥joe⇥uid=1000⇥gid=1000⇥home=/srv/joe⇥x=y⇥auth_mech=PLAIN"),
        (replace(JOE, login="jim"), "USER⇥1⇥joe⇥uid=1000⇥gid=1000⇥home=/srv/joe⇥x=y⇥auth_mech=PLAIN"),
        (AWAY, "USER⇥1⇥joe⇥uid=1000⇥gid=1000⇥home=/srv/joe⇥x=y⇥auth_mech=PLAIN"),
    ],
)
async def test_what_has_happened_to_the_account_since_the_login(
    place: Path, now: Account | Reject | Defer, answer: str
) -> None:
    async with serving(place, {"joe": now}) as server:
        handed(server)
        client = await server.connect()
        assert await client.ask(FETCH) == answer


async def test_the_second_look_is_by_the_name_that_was_given(place: Path) -> None:
    async with serving(place, {"joe@example.org": JOE, "anon": Account("anon", home="/srv/anon")}) as server:
        client = await server.connect()
        server.site.handed.remember(TICKET, HandedLogin(JOE, "PLAIN", "", "imap", "joe@example.org"))
        assert (await client.ask(FETCH)).startswith("USER⇥1⇥joe⇥uid=1000")
        server.site.handed.remember(TICKET, HandedLogin(Account("anon"), "ANONYMOUS", "", "imap"))
        assert await client.ask(FETCH) == "USER⇥1⇥anon⇥home=/srv/anon⇥auth_mech=ANONYMOUS⇥anonymous"


# --- who may ask


async def test_strangers_see_themselves_alone(place: Path) -> None:
    users = {"me": Account("me", uid=os.getuid()), "joe": replace(JOE, uid=os.getuid() + 1), "none": Account("none")}
    async with serving(place, users, trusted=NOBODY) as server:
        client = await server.connect()
        assert await client.ask("USER⇥1⇥me⇥service=lda") == f"USER⇥1⇥me⇥uid={os.getuid()}"
        assert await client.ask("USER⇥1⇥joe⇥service=lda") == "FAIL⇥1⇥reason=not permitted"
        assert await client.ask("USER⇥1⇥none⇥service=lda") == "FAIL⇥1⇥reason=not permitted"
        assert await client.ask("USER⇥1⇥nobody⇥service=lda") == "NOTFOUND⇥1"
        assert await client.ask("PASS⇥1⇥me⇥service=lda") == "FAIL⇥1⇥reason=not permitted"
        assert await client.ask("CACHE-FLUSH⇥1") == "FAIL⇥1⇥reason=not permitted"
        assert await client.ask("LIST⇥1") == "DONE⇥1⇥fail"
        handed(server)
        assert await client.ask(FETCH) == "FAIL⇥1⇥reason=not permitted"
        assert server.site.handed.take(TICKET) is not None
        assert any("not-permitted" in line and f"UserLookup by uid {os.getuid()}" in line for line in server.lines)


async def test_whom_a_reload_trusts_no_more_asks_in_vain_on_an_open_connection(place: Path) -> None:
    async with serving(place, {"joe": replace(JOE, uid=os.getuid() + 1)}) as server:

        def again(trusted: Trusted) -> MasterServer:
            door = cast(Authenticator, server.door)
            return MasterServer(door, MasterOptions(trusted, dovecot="2.4"), server.site, server.log)

        client = await server.connect()
        assert (await client.ask("USER⇥1⇥joe⇥service=lda")).startswith("USER⇥1⇥joe")
        server.loop.change(again(NOBODY), 100)
        handed(server)
        assert await client.ask("USER⇥2⇥joe⇥service=lda") == "FAIL⇥2⇥reason=not permitted"
        assert await client.ask("LIST⇥3") == "DONE⇥3⇥fail"
        assert await client.ask(FETCH) == "FAIL⇥1⇥reason=not permitted"
        server.loop.change(again(ME), 100)
        assert (await client.ask("USER⇥4⇥joe⇥service=lda")).startswith("USER⇥4⇥joe")
        server.loop.retire()
        assert await client.ask("USER⇥5⇥joe⇥service=lda") == "", "nobody is to ask here any more"


async def test_everybody_may_be_trusted(place: Path) -> None:
    async with serving(place, trusted=Trusted.named(("*",))) as server:
        client = await server.connect()
        assert (await client.ask("PASS⇥1⇥joe⇥service=x")).startswith("PASS⇥1")


def test_who_is_trusted() -> None:
    trusted = Trusted.named(("nobody-has-this-name", "12345"), ("23456",))
    assert trusted.uids == {0, os.geteuid(), 12345}
    assert trusted.gids == {23456}
    assert not trusted.everybody
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not Trusted.named(()).trusts(None, ours)
        assert Trusted.named(("*",)).trusts(None, ours)


STRANGER = (
    "import os, socket, sys; os.setgroups([23456, 34567]); os.setgid(65534); os.setuid(65534); "
    "connection = socket.socket(socket.AF_UNIX); connection.connect(sys.argv[1]); connection.recv(1)"
)


def test_supplementary_groups_count(place: Path) -> None:
    need_root()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(10)
        listener.bind(str(place / "s"))
        (place / "s").chmod(0o666)
        listener.listen()
        with subprocess.Popen([sys.executable, "-c", STRANGER, place / "s"]) as child:
            connection, _ = listener.accept()
            with connection:
                caller = caller_of(connection)
                assert (caller.uid, caller.gid) == (65534, 65534) if caller else False
                assert groups_of(connection) == {23456, 34567}
                assert Trusted.named((), ("34567",)).trusts(caller, connection)
                assert not Trusted.named((), ("45678",)).trusts(caller, connection)
            assert child.wait(10) == 0
    with socket.socket() as tcp:
        assert groups_of(tcp) == frozenset()


# --- connections


@pytest.mark.parametrize(
    "lines",
    [("USER⇥1⇥joe",), ("NONSENSE⇥1",), ("CPID⇥1",), ("USER⇥0⇥joe⇥service=x",), ("LIST⇥x",), ("x" * 20_000,)],
)
async def test_what_is_none_of_the_protocol_ends_the_connection_and_is_told(
    place: Path, lines: tuple[str, ...]
) -> None:
    async with serving(place) as server:
        client, other = await server.connect(), await server.connect()
        assert await client.ask(*lines) == ""
        assert await other.ask("USER⇥1⇥nobody⇥service=x") == "NOTFOUND⇥1"
        await server.logged("protocol-error")


async def test_without_a_version_there_is_no_answer(place: Path) -> None:
    async with serving(place) as server:
        client = await server.greeted()
        assert await client.ask("USER⇥1⇥joe⇥service=lmtp") == ""


async def test_half_a_line_is_not_waited_for_and_silence_is(place: Path) -> None:
    async with serving(place, read_timeout=0.05) as server:
        client = await server.connect()
        await trio.sleep(0.15)
        assert await client.ask("USER⇥1⇥nobody⇥service=x") == "NOTFOUND⇥1"
        await client.stream.send_all(b"USER\t1")
        assert await client.hear() == ""
        await server.logged("half a line")


async def test_many_requests_at_a_time_are_answered_as_their_answers_come(place: Path) -> None:
    names = [f"u{number}" for number in range(20)]
    async with serving(place, {name: Account(name) for name in names}) as server:
        server.door.gates = {name: trio.Event() for name in names}
        client = await server.connect()
        await client.say(*(f"USER⇥{number + 1}⇥{name}⇥service=x" for number, name in enumerate(names)))
        for number in reversed(range(20)):
            server.door.gates[names[number]].set()
            assert await client.hear() == f"USER⇥{number + 1}⇥u{number}"


async def test_what_is_asked_beyond_the_bound_waits_for_its_turn_unread(place: Path) -> None:
    async with serving(place) as server:
        server.door.gates["joe"] = trio.Event()
        client, other = await server.connect(), await server.connect()
        await client.say(*(f"USER⇥{number}⇥joe⇥service=x" for number in range(1, 2 * AT_WORK + 1)))
        for _ in range(5):
            assert await other.ask("USER⇥1⇥nobody⇥service=x") == "NOTFOUND⇥1"
            assert len([name for name, _ in server.door.asked if name == "joe"]) <= AT_WORK
        server.door.gates["joe"].set()
        assert (await client.hear(2 * AT_WORK)).count("USER⇥") == 2 * AT_WORK


async def test_byte_by_byte_is_no_way_to_hold_a_connection(place: Path) -> None:
    async with serving(place, read_timeout=0.2) as server:
        client = await server.connect()
        with trio.fail_after(5):
            while not server.lines:
                try:
                    await client.stream.send_all(b"U")
                except trio.BrokenResourceError:
                    break
                await trio.sleep(0.03)
        await server.logged("half a line")


async def test_ten_thousand_requests_at_once_are_answered(place: Path) -> None:
    async with serving(place, {}) as server:
        client = await server.connect()
        async with trio.open_nursery() as nursery:
            lines = [f"USER⇥{number}⇥nobody⇥service=x" for number in range(1, 10_001)]
            nursery.start_soon(lambda: client.say(*lines))
            heard = (await client.hear(10_000)).split("\n")
        assert set(heard) == {f"NOTFOUND⇥{number}" for number in range(1, 10_001)}


async def test_who_has_said_all_still_hears_the_answers(place: Path) -> None:
    async with serving(place) as server:
        client = await server.connect()
        await client.say("USER⇥1⇥joe⇥service=x", "USER⇥2⇥nobody⇥service=x")
        await client.stream.send_eof()
        assert sorted((await client.hear(2)).split("\n"))[0] == "NOTFOUND⇥2"
        assert await client.hear() == ""


async def test_who_reads_nothing_is_hung_up_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saslpy.servers.outgoing.PATIENCE", 0.05)
    many = {str(number): Account(f"{number:0300}") for number in range(5_000)}
    async with serving(place, many) as server:
        client = await server.connect()
        await client.say("LIST⇥1")
        await server.logged("was not read in 0.05 s")
        other = await server.connect()
        assert await other.ask("USER⇥1⇥nobody⇥service=x") == "NOTFOUND⇥1"


def test_two_clients_interleaved_at_random_get_their_own_answers(place: Path) -> None:
    @given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["joe", "ann", "nobody"])), min_size=1, max_size=12))
    @settings(max_examples=20)
    def play(turns: list[tuple[int, str]]) -> None:
        async def run() -> None:
            async with serving(place, {"joe": Account("joe"), "ann": Account("ann")}) as server:
                clients = [await server.connect(), await server.connect()]
                expected: list[set[str]] = [set(), set()]
                for key, (who, name) in enumerate(turns, 1):
                    await clients[who].say(f"USER⇥{key}⇥{name}⇥service=x")
                    expected[who].add(f"NOTFOUND⇥{key}" if name == "nobody" else f"USER⇥{key}⇥{name}")
                for client, answers in zip(clients, expected, strict=True):
                    if answers:
                        assert set((await client.hear(len(answers))).split("\n")) == answers

        trio.run(run)

    play()
