"""A Dovecot client socket in this process, fakes behind its door, and whoever talks to it. ⇥ is a tab."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from saslpy import Account
from saslpy.authenticator import Authenticator, Bounds
from saslpy.servers.dovecot import DovecotOptions, DovecotServer
from saslpy.servers.dovecot_site import DovecotSite

from ..doors import door_before

STORE: dict[str, str | Account] = {
    "joe": "{PLAIN}secret",
    "ann": "{PLAIN}sesame",
    "boss": "{PLAIN}master",
    "off": Account("off", ("{PLAIN}secret",), disabled=True),
    "old": Account("old", ("{PLAIN}secret",), expired=True),
}
EVERYTHING = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL", "ANONYMOUS")
REFUSED = "login and password not accepted"


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def credentials(login: str, password: str, authzid: str = "") -> str:
    """PLAIN's one message."""
    return b64("\0".join((authzid, login, password)))


def plain(key: int, login: str = "joe", password: str = "secret", more: str = "⇥nologin") -> str:
    return f"AUTH⇥{key}⇥PLAIN⇥service=smtp{more}⇥resp={credentials(login, password)}"


class Talk:
    """The other end of a connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def say(self, *lines: str) -> None:
        await self.stream.send_all("".join(f"{line}\n" for line in lines).replace("⇥", "\t").encode())

    async def hear(self) -> str:
        """The next line; empty at the end."""
        with trio.fail_after(10):
            while b"\n" not in self._rest:
                try:
                    data = await self.stream.receive_some()
                except trio.BrokenResourceError:  # what we have said was not read to its end
                    data = b""
                if not data:
                    return ""
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().replace("\t", "⇥")

    async def greeted(self, minor: int | None = 0) -> list[str]:
        """The greeting, after our own words."""
        if minor is not None:
            await self.say(f"VERSION⇥1⇥{minor}", "CPID⇥812")
        lines = [await self.hear()]
        while lines[-1] not in ("DONE", ""):
            lines.append(await self.hear())
        return lines

    async def ask(self, *lines: str) -> str:
        """Say something and hear one line."""
        await self.say(*lines)
        return await self.hear()


class Front:
    """A server, and what it has logged."""

    def __init__(self, server: DovecotServer, site: DovecotSite, door: Authenticator, lines: list[str]) -> None:
        self.server, self.site, self.door, self.lines = server, site, door, lines

    @asynccontextmanager
    async def connected(self, minor: int | None = 0, greeted: bool = True) -> AsyncIterator[Talk]:
        ours, theirs = socket.socketpair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, theirs)
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
                talk = Talk(stream)
                if greeted:
                    assert (await talk.greeted(minor))[-1] == "DONE"
                yield talk

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with connection:
            await self.server.serve(self.server.begin(connection))


@asynccontextmanager
async def front(
    *backends: Any,
    bounds: Bounds | None = None,
    masters: Sequence[str] = (),
    anonymous: str = "",
    timeout: float = 3.0,
    **options: Any,
) -> AsyncIterator[Front]:
    acting = frozenset(masters)
    async with door_before(*backends, bounds=bounds, timeout=timeout, masters=acting, anonymous=anonymous) as at:
        site = DovecotSite()
        made = DovecotOptions(**{"mechanisms": EVERYTHING, **options})
        yield Front(DovecotServer(at.door, made, site, at.log), site, at.door, at.lines)


class Scram:
    """A client of SCRAM (RFC 5802), for one exchange."""

    def __init__(self, hash_name: str, login: str, password: str, binding: str = "", data: bytes = b"") -> None:
        self.hash_name, self.password, self.data = hash_name, password, data
        self.header = f"p={binding},," if binding else "n,,"
        self.bare = f"n={login},r=fyko+d2lbbFgONRv9qkxdawL"
        self.first = b64(self.header + self.bare)
        self.signature = b""

    def final(self, challenge: str) -> str:
        server_first = base64.b64decode(challenge).decode()
        nonce, salt, count = (part[2:] for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac(self.hash_name, self.password.encode(), base64.b64decode(salt), int(count))
        without_proof = f"c={b64(self.header.encode() + self.data)},r={nonce}"
        message = ",".join((self.bare, server_first, without_proof)).encode()
        key = hmac.digest(salted, b"Client Key", self.hash_name)
        stored = hashlib.new(self.hash_name, key).digest()
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(stored, message, self.hash_name), strict=True))
        server_key = hmac.digest(salted, b"Server Key", self.hash_name)
        self.signature = b"v=" + base64.b64encode(hmac.digest(server_key, message, self.hash_name))
        return b64(f"{without_proof},p={b64(proof)}")


def told(line: str) -> str:
    """The data of a challenge."""
    command, _id, data = line.split("⇥")
    assert command == "CONT"
    return data
