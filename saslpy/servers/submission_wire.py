"""The bytes of one SMTP connection: read and written by one task, in the clear or through TLS.

trio's own streams are made for several tasks on one connection and for whatever lies beneath; here it is a socket and one
task, and half of the work for it goes.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import trio

RECEIVE = 65_536
RECEIVE_TLS = 16_384 + 1024
"""Octets that are read at a time; with TLS about a record, since OpenSSL keeps what it has once needed."""

RECORD = 16_384


class Gone(Exception):
    """The client has closed the connection, or it has broken."""


class NoTls(Exception):
    """The handshake came to nothing. The text says why."""


class Wire:
    """``begun`` are bytes that have been read already. Whoever uses it sees to deadlines."""

    __slots__ = ("_incoming", "_outgoing", "begun", "socket", "tls")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.begun = b""
        self.tls: ssl.SSLObject | None = None
        self._incoming: ssl.MemoryBIO | None = None
        self._outgoing: ssl.MemoryBIO | None = None

    async def receive(self) -> bytes:
        """Some bytes. Raises ``Gone`` at the end."""
        if self.begun:
            data, self.begun = self.begun, b""
            return data
        if self.tls is None:
            return await self._read(RECEIVE)
        while not (data := self._decrypted()):
            await self._take_in()
        return data

    def there(self) -> bytes:
        """What is there now, without waiting for it; nothing where the end is."""
        data, self.begun = self.begun, b""
        if not data and self.tls is not None:
            with suppress(Gone):
                return self._decrypted()
        if not data and self.tls is None:
            with suppress(OSError):
                return self.socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        return data

    async def send(self, data: bytes) -> None:
        """All of it. Raises ``Gone``."""
        await self._write(data if self.tls is None else self._encrypted(data))

    def say(self, data: bytes) -> None:
        """As much of it as the socket takes at once: nobody waits for it."""
        with suppress(OSError, Gone):
            self.socket.send(data if self.tls is None else self._encrypted(data), socket.MSG_DONTWAIT)

    async def send_last(self, data: bytes) -> None:
        """All of it, and that no more comes. Raises ``Gone``."""
        await self._write(self._last(data))

    def say_last(self, data: bytes) -> None:
        """The same, as far as the socket takes it at once."""
        with suppress(OSError, Gone):
            self.socket.send(self._last(data), socket.MSG_DONTWAIT)

    async def handshake(self, context: ssl.SSLContext) -> None:
        """From here on all is TLS. Raises ``NoTls`` and ``Gone``."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(self.begun)
        self.begun = b""
        while not _shaken(tls, outgoing, self):
            await self._write(outgoing.read())
            incoming.write(await self._read(RECEIVE_TLS))
        await self._write(outgoing.read())
        self.tls, self._incoming, self._outgoing = tls, incoming, outgoing

    # --- TLS

    def _decrypted(self) -> bytes:
        """What can be read now; nothing where more must come first. Raises ``Gone``."""
        assert self.tls is not None
        try:
            data = self.tls.read(RECORD)
        except ssl.SSLWantReadError:
            return b""
        except (ssl.SSLError, OSError):
            raise Gone from None
        if not data:
            raise Gone
        return data

    async def _take_in(self) -> None:
        assert self._incoming is not None
        assert self._outgoing is not None
        if self._outgoing.pending:  # a key update, an alert
            await self._write(self._outgoing.read())
        self._incoming.write(await self._read(RECEIVE_TLS))

    def _encrypted(self, data: bytes) -> bytes:
        assert self.tls is not None
        assert self._outgoing is not None
        try:
            view = memoryview(data)
            while view:
                view = view[self.tls.write(view) :]
        except (ssl.SSLError, OSError):
            raise Gone from None
        return self._outgoing.read()

    def _last(self, data: bytes) -> bytes:
        """With TLS, its end behind it (RFC 8446, 6.1)."""
        if self.tls is None:
            return data
        assert self._outgoing is not None
        encrypted = self._encrypted(data) if data else b""
        with suppress(ssl.SSLError, OSError):  # it wants the client's end, which nobody waits for
            self.tls.unwrap()
        return encrypted + self._outgoing.read()

    # --- the socket

    async def _read(self, most: int) -> bytes:
        # waited for first, and not only where nothing is there: so each connection gives the others their turn
        try:
            while True:
                await trio.lowlevel.wait_readable(self.socket)
                with suppress(BlockingIOError):
                    data = self.socket.recv(most, socket.MSG_DONTWAIT)
                    break
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        return data

    async def _write(self, data: bytes) -> None:
        try:
            sent = self._sent(data)
            while sent < len(data):
                await trio.lowlevel.wait_writable(self.socket)
                sent += self._sent(memoryview(data)[sent:])
        except OSError:
            raise Gone from None

    def _sent(self, data: bytes | memoryview) -> int:
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT) if data else 0
        except BlockingIOError:
            return 0


def _shaken(tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, wire: Wire) -> bool:
    """Whether the handshake is over. Raises ``NoTls``; the client has the alert then."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    except (ssl.SSLError, OSError, ValueError) as error:
        wire.say(outgoing.read())
        reason = error.reason if isinstance(error, ssl.SSLError) else None
        raise NoTls(f"no TLS: {reason or type(error).__name__}") from None
    return True
