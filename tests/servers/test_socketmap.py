"""The socketmap socket, in this process; fakes stand behind the door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy import Account
from saslpy.listeners.socketmap import SocketmapListen
from saslpy.names import NamePolicy
from saslpy.protocols.netstrings import netstring
from saslpy.protocols.socketmap import encode_request
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.socketmap import SocketmapOptions, SocketmapServer
from saslpy.servers.sockets import UnixPlace, listening

from ..doors import door_before
from ..fakes import Broken, Slow, Users
from . import fronts

JOE = Account("joe@example.org", maildir="/var/vmail/joe/", aliases=("sales@example.org",))
STORE: dict[str, str | Account] = {
    "joe@example.org": JOE,
    "JOE@example.org": JOE,
    "sales@example.org": JOE,
    "hidden@example.org": JOE,
    "ann@example.net": Account("ann@example.net", disabled=True),
    "a+b@example.org": Account("a+b@example.org"),
}
NOTFOUND = "NOTFOUND "
LATER = "TEMP the address could not be looked up, try again later"


class Front(fronts.Front):
    """A running socketmap server."""

    async def ask(self, name: str, key: str) -> str:
        """One question in a connection of its own; the reply without its length."""
        async with await self.connect() as stream:
            await stream.send_all(encode_request(name, key))
            return await reply(stream)


async def reply(stream: trio.SocketStream) -> str:
    data = b""
    with trio.fail_after(10):
        while not data.endswith(b","):
            more = await stream.receive_some()
            assert more, "it hung up"
            data += more
    text = data.partition(b":")[2][:-1]
    assert data == netstring(text)
    return text.decode()


@asynccontextmanager
async def front(path: Path, *backends: Any, timeout: float = 3.0, **options: Any) -> AsyncIterator[Front]:
    names = NamePolicy(options.get("default_domain", ""))
    async with door_before(*backends, names=names, timeout=timeout) as at:
        server = SocketmapServer(at.door, SocketmapOptions(**options), at.log)
        with listening(UnixPlace(path / "map")) as sock:
            at.nursery.start_soon(AcceptLoop("map", sock, server, 100, at.log).run, at.nursery)
            yield Front(path / "map", at.lines)


@pytest.mark.parametrize(
    ("name", "key", "told"),
    [
        ("mailbox", "joe@example.org", "OK joe@example.org"),
        ("mailbox", "JOE@example.org", "OK joe@example.org"),
        ("mailbox", "sales@example.org", "OK joe@example.org"),
        ("mailbox", "ann@example.net", "OK ann@example.net"),  # mail comes to those who may not log in, too
        ("mailbox", "nobody@example.org", NOTFOUND),
        ("mailbox", "joe+x@example.org", NOTFOUND),
        ("mailbox", "example.org", NOTFOUND),
        ("mailbox", "@example.org", NOTFOUND),
        ("mailbox", "", NOTFOUND),
        ("mailbox", "joe@example.org\0", NOTFOUND),
        ("mailbox", "j\noe@example.org", NOTFOUND),
        ("mailbox", " joe@example.org", NOTFOUND),
        ("alias", "sales@example.org", "OK joe@example.org"),
        ("alias", "joe@example.org", NOTFOUND),
        ("alias", "JOE@example.org", NOTFOUND),
        ("alias", "nobody@example.org", NOTFOUND),
        ("alias", "sales+x@example.org", NOTFOUND),
        ("senders", "joe@example.org", "OK joe@example.org"),
        ("senders", "joe+x@example.org", "OK joe@example.org"),
        ("senders", "sales@example.org", "OK joe@example.org"),
        ("senders", "a+b@example.org", "OK a+b@example.org"),
        ("senders", "hidden@example.org", NOTFOUND),  # mail to it is joe's, but it is none of his addresses
        ("senders", "nobody@example.org", NOTFOUND),
        ("senders", "@example.org", NOTFOUND),
        ("senders", "", NOTFOUND),
        ("domain", "example.org", "PERM there is no such map; there are mailbox, alias, senders"),
        ("", "joe@example.org", "PERM there is no such map; there are mailbox, alias, senders"),
    ],
)
async def test_maps(place: Path, name: str, key: str, told: str) -> None:
    async with front(place, Users(STORE)) as asked:
        assert await asked.ask(name, key) == told


async def test_a_delimiter(place: Path) -> None:
    async with front(place, Users(STORE), delimiter="+-") as asked:
        for key, told in (
            ("joe+x@example.org", "OK joe@example.org"),
            ("joe-x+y@example.org", "OK joe@example.org"),
            ("sales+x@example.org", "OK joe@example.org"),
            ("a+b@example.org", "OK a+b@example.org"),  # as it stands, before it is cut
            ("a@example.org", NOTFOUND),
            ("+joe@example.org", NOTFOUND),
            ('"joe+x"@example.org', NOTFOUND),
        ):
            assert await asked.ask("mailbox", key) == told, key


async def test_logins_of_the_default_domain(place: Path) -> None:
    """Whoever has logged in as joe is known to Postfix by that name."""
    async with front(place, Users(STORE), default_domain="example.org") as asked:
        assert await asked.ask("senders", "sales@example.org") == "OK joe@example.org,joe"
        assert await asked.ask("senders", "ann@example.net") == "OK ann@example.net"
        assert await asked.ask("mailbox", "joe") == "OK joe@example.org"


@pytest.mark.parametrize("name", ["mailbox", "alias", "senders"])
async def test_could_not_find_out(place: Path, name: str) -> None:
    async with front(place, Broken()) as asked:
        assert await asked.ask(name, "joe@example.org") == LATER
    async with front(place, Slow(), timeout=0.05) as asked:
        assert await asked.ask(name, "joe@example.org") == LATER
        assert "event=lookup-failed protocol=socketmap" in asked.lines[-1]
    async with front(place, Broken(), Users(STORE)) as asked:
        assert await asked.ask(name, "nobody@example.org") == LATER, "the store that failed may know him"
        assert (await asked.ask("mailbox", "joe@example.org")).startswith("OK ")


async def test_requests_in_one_connection(place: Path) -> None:
    data = b"".join(encode_request("mailbox", key) for key in ("joe@example.org", "nobody", "joe@example.org"))
    replies = b"18:OK joe@example.org,9:NOTFOUND ,18:OK joe@example.org,"
    async with front(place, Users(STORE)) as asked:
        assert await asked.say(data, end=True) == replies
        assert await asked.say(*[data[i : i + 1] for i in range(len(data))], end=True) == replies
        async with await asked.connect() as stream:
            for _ in range(3):
                await stream.send_all(encode_request("mailbox", "joe@example.org"))
                assert await reply(stream) == "OK joe@example.org"


async def test_garbage_ends_its_connection_and_nothing_else(place: Path) -> None:
    async with front(place, Users(STORE)) as asked:
        assert await asked.say(b"GET / HTTP/1.0\r\n\r\n") == b""
        assert await asked.say(b"10001:" + b"x" * 500_000) == netstring(b"PERM a netstring of over 10000 bytes")
        assert await asked.say(netstring(b"mailbox")) == b""
        assert await asked.say(encode_request("mailbox", "joe@example.org")[:-1], end=True) == b""
        assert await asked.say(end=True) == b""
        assert await asked.ask("mailbox", "joe@example.org") == "OK joe@example.org"
    assert sum("event=protocol-error" in line for line in asked.lines) == 1, "told at most once a second"


async def test_silence(place: Path) -> None:
    async with front(place, Users(STORE), read_timeout=0.1, idle_timeout=0.2) as asked:
        start = trio.current_time()
        assert await asked.say() == b""
        assert trio.current_time() - start >= 0.2
        assert await asked.say(b"23:mail") == b""
    assert "half a request, and no more of it in 0.1 s" in "".join(asked.lines)


async def test_a_caller_that_does_not_read(place: Path) -> None:
    """Its requests are answered one by one, so that no more waits than the socket holds."""
    many = encode_request("mailbox", "joe@example.org") * 500
    async with front(place, Users(STORE)) as asked, await asked.connect() as stream:
        with trio.move_on_after(0.3):
            for _ in range(100):
                await stream.send_all(many)
        assert await asked.ask("mailbox", "joe@example.org") == "OK joe@example.org"


@pytest.mark.parametrize("delimiter", ["a", "@", "+.", " ", "\u00a7", "\n"])
def test_faults_in_the_configuration(delimiter: str) -> None:
    with pytest.raises(ValueError, match="recipient_delimiter: signs"):
        SocketmapListen(protocol="socketmap", path=Path("/x"), recipient_delimiter=delimiter)
    assert SocketmapListen(protocol="socketmap", path=Path("/x")).offers(("PLAIN",)) == ()


@pytest.mark.parametrize("request_", ["nomap x", "mailbox ", "mailbox nobody@example.org"])
async def test_a_flood_of_requests_leaves_others_their_turn(place: Path, request_: str) -> None:
    """Answers that need no look do not hold the loop until all that was sent is done."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with front(place, Users(STORE)) as postfix, await postfix.connect() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await trio.sleep(0.01)
        before = turns
        await stream.send_all(netstring(request_.encode()) * 500)
        said = b""
        with trio.fail_after(10):
            while said.count(b":") < 500:
                said += await stream.receive_some()
        nursery.cancel_scope.cancel()
        assert turns - before > 400
        assert sum("event=unknown-map" in line for line in postfix.lines) == (request_ == "nomap x"), (
            "told once a second"
        )
