"""A submission server in this process, a client that says bytes, and a next hop that keeps what it is given."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import trio
import trustme

from saslpy import Account
from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.options import Limits
from saslpy.protocols.smtp.replies import RECIPIENT_OK, Reply, message_taken
from saslpy.protocols.smtp.transaction import Recipient
from saslpy.relay.proxy import Relaying
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.submission import TICK, SubmissionOptions, SubmissionServer
from saslpy.servers.submission_session import Session
from saslpy.submission import limits
from saslpy.submission.door import LocalDoor
from saslpy.submission.fixups import Rules

from ..doors import Standing, door_before
from ..fakes import Users

JOE = Account("joe@example.org", ("{PLAIN}secret",), aliases=("sales@example.org",))
STORE: dict[str, str | Account] = {
    "joe@example.org": JOE,
    "ann@example.org": "{PLAIN}sesame",
    "off@example.org": Account("off@example.org", ("{PLAIN}secret",), disabled=True),
}
ALL = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "EXTERNAL")

EHLO, DATA, QUIT = b"EHLO client.example\r\n", b"DATA\r\n", b"QUIT\r\n"
AUTH = b"AUTH PLAIN " + base64.b64encode(b"\0joe@example.org\0secret") + b"\r\n"
MAIL, RCPT = b"MAIL FROM:<joe@example.org>\r\n", b"RCPT TO:<ann@example.net>\r\n"
HEADER = b"From: <joe@example.org>\r\nSubject: x\r\n"
BODY = b"\r\nhello\r\n"
LETTER = HEADER + BODY
END = b".\r\n"

_CODE = re.compile(rb"\d{3} ")


def plain(login: str, password: str, authzid: str = "") -> bytes:
    return b"AUTH PLAIN " + base64.b64encode(f"{authzid}\0{login}\0{password}".encode()) + b"\r\n"


@dataclass
class Taken:
    """A message that the next hop has."""

    sender: str | None
    recipients: list[str]
    content: bytes


@dataclass
class Taking:
    """A next hop that takes what its policies let pass, after ``seconds``. ``begun`` counts who came with content."""

    messages: list[Taken] = field(default_factory=list)
    begun: int = 0
    rcpt: Callable[[Recipient], Reply] = lambda recipient: RECIPIENT_OK
    end: Callable[[Taken], Reply] = lambda taken: message_taken("x")
    most: int = 1 << 40
    seconds: float = 0.0

    @asynccontextmanager
    async def begin(self, envelope: Envelope, login: str) -> AsyncIterator[_Transfer]:
        yield _Transfer(self, envelope)


class _Transfer:
    hop = "taking"
    delivered = 0

    def __init__(self, taking: Taking, envelope: Envelope) -> None:
        self._taking = taking
        sender = None if envelope.sender is None else str(envelope.sender)
        self._taken = Taken(sender, [], b"")

    async def rcpt(self, recipient: Recipient) -> Reply:
        await trio.sleep(self._taking.seconds)
        reply = self._taking.rcpt(recipient)
        if reply.positive:
            self._taken.recipients.append(str(recipient.mailbox))
        return reply

    async def content(self, pieces: AsyncIterable[bytes]) -> Reply:
        self._taking.begun += 1
        async for piece in pieces:
            self._taken.content += piece
            if len(self._taken.content) > self._taking.most:
                return Reply(452, "4.3.1", ("full",))
        await trio.sleep(self._taking.seconds)
        reply = self._taking.end(self._taken)
        if reply.positive:
            self._taking.messages.append(self._taken)
        return reply


class Client:
    """What speaks to the server."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.data = b""

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.stream.send_all(piece)

    async def hear(self) -> bytes:
        """The next reply, all of its lines; what is left, at the end."""
        with trio.fail_after(10):
            while (end := self._end()) < 0:
                if not await self._more():
                    data, self.data = self.data, b""
                    return data
        reply, self.data = self.data[:end], self.data[end:]
        return reply

    async def ask(self, *pieces: bytes) -> bytes:
        """Say something, hear one reply."""
        await self.say(*pieces)
        return await self.hear()

    async def code(self, *pieces: bytes) -> int:
        return int((await self.ask(*pieces) or b"0")[:3])

    async def rest(self) -> bytes:
        """All that still comes, to the end."""
        with trio.fail_after(10):
            while await self._more():
                pass
        data, self.data = self.data, b""
        return data

    async def ready(self, *more: bytes) -> Client:
        """Log in, and what else is to be asked."""
        await self.hear()
        for line in (EHLO, AUTH, *more):
            reply = await self.ask(line)
            assert reply[:1] in b"23", (line, reply)
        return self

    async def start_tls(self, context: ssl.SSLContext, name: str = "mail.example.org") -> None:
        self.stream = trio.SSLStream(self.stream, context, server_hostname=name, https_compatible=True)
        await self.stream.do_handshake()

    async def _more(self) -> bool:
        try:
            data = await self.stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        self.data += data
        return bool(data)

    def _end(self) -> int:
        at = 0
        while (end := self.data.find(b"\r\n", at)) >= 0:
            if _CODE.match(self.data, at):
                return end + 2
            at = end + 2
        return -1


class Desk:
    """The server, and what stands behind it. ``hop`` is there where the relay is a ``Taking``."""

    def __init__(
        self, server: SubmissionServer, relay: Relaying, standing: Standing, counters: limits.Counters
    ) -> None:
        self.server = server
        self.relay = relay
        self.standing = standing
        self.counters = counters
        self.lines = standing.lines

    @property
    def hop(self) -> Taking:
        assert isinstance(self.relay, Taking)
        return self.relay

    @property
    def messages(self) -> list[Taken]:
        return self.hop.messages

    def log(self, event: str) -> list[str]:
        return [line for line in self.lines if f"event={event}" in line]

    @asynccontextmanager
    async def connected(self, *first: bytes) -> AsyncIterator[Client]:
        """A client, without any address; ``first`` is what it says before anybody has greeted it."""
        ours, theirs = socket.socketpair()
        for piece in first:
            ours.sendall(piece)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, theirs)
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
                yield Client(stream)

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            session = self.server.begin(connection)
            if session is not None:
                await self.server.serve(session)

    async def says(self, *first: bytes) -> bytes:
        """All that is said to a client that says this at once, and hangs up."""
        async with self.connected(*first) as client:
            assert isinstance(client.stream, trio.SocketStream)
            await client.stream.send_eof()
            return await client.rest()

    async def listen(self, most: int = 100) -> int:
        """Its port, on 127.0.0.1."""
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        loop: AcceptLoop[Session] = AcceptLoop("submission", sock, self.server, most, self.standing.log)

        async def run() -> None:
            with sock:
                await loop.run(self.standing.nursery)

        self.standing.nursery.start_soon(run)
        port: int = sock.getsockname()[1]
        return port

    @asynccontextmanager
    async def dialled(self, port: int) -> AsyncIterator[Client]:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            yield Client(stream)


def options(**changes: Any) -> SubmissionOptions:
    """The usual ones: no TLS is wanted."""
    known = Limits.__slots__
    of_session = {name: changes.pop(name) for name in list(changes) if name in known}
    usual: dict[str, Any] = {
        "hostname": "mail.example.org",
        "require_tls": False,
        "rules": Rules(("mail.example.org",)),
    }
    return SubmissionOptions(**{**usual, **changes, "limits": Limits(**of_session)})


@asynccontextmanager
async def desk(
    *backends: Any,
    relay: Relaying | None = None,
    sending: limits.Limits | None = None,
    tick: float = TICK,
    **changes: Any,
) -> AsyncIterator[Desk]:
    """``sending``: what a login may send; ``changes`` are options' and limits'."""
    counters = limits.Counters(sending or limits.Limits(0, 0))
    async with door_before(*(backends or (Users(STORE),))) as standing:
        door = LocalDoor(standing.door, counters)
        relay = relay or Taking()
        server = SubmissionServer(door, options(**changes), relay, standing.log)
        standing.nursery.start_soon(server.watch, tick)
        yield Desk(server, relay, standing, counters)


# --- TLS


@cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def server_context(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*(names or ("mail.example.org",)), key_type=trustme.KeyType.ECDSA).configure_cert(context)
    context.num_tickets = 0
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context
