"""A connection to an endpoint: its name looked up, TLS spoken, its certificate verified."""

from __future__ import annotations

import os
import socket
import ssl

import trio

from .endpoint import Endpoint, Fault
from .http import Connection

RESOLVING = 2
"""Threads at most that look a name up: a resolver that hangs keeps them for as long as it likes."""


class Dialler:
    """Makes connections to one endpoint. ``ca_pem``: the authorities to trust; the system's where it is empty."""

    def __init__(self, endpoint: Endpoint, ca_pem: str = "") -> None:
        self._endpoint = endpoint
        self._context = ssl.create_default_context(cadata=ca_pem or None) if endpoint.tls else None
        self._resolving = trio.CapacityLimiter(RESOLVING)

    async def connect(self) -> Connection:
        """A new connection. Raises ``Fault``. The caller has the deadline."""
        stream = await self._first(await self._addresses())
        if self._context is None:
            return Connection(stream, stream.socket, "")
        try:
            return await self._encrypted(stream, self._context)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _addresses(self) -> list[str]:
        try:
            found = await trio.to_thread.run_sync(
                lambda: socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM),
                abandon_on_cancel=True,
                limiter=self._resolving,
            )
        except (OSError, UnicodeError) as error:
            raise Fault(f"its name is not found: {error}") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _first(self, addresses: list[str]) -> trio.SocketStream:
        """The first address that takes a connection; each has its share of the time until the deadline."""
        failures: list[str] = []
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = min((trio.current_effective_deadline() - trio.current_time()) / left, 10.0)
            with trio.move_on_after(share):
                try:
                    return await trio.open_tcp_stream(address, self._endpoint.port)
                except OSError as error:
                    failures.append(_cause(error))
                    continue
            failures.append("no answer")
        raise Fault(f"cannot be reached: {'; '.join(dict.fromkeys(failures)) or 'it has no address'}")

    async def _encrypted(self, stream: trio.SocketStream, context: ssl.SSLContext) -> Connection:
        encrypted = trio.SSLStream(stream, context, server_hostname=self._endpoint.host, https_compatible=True)
        try:
            await encrypted.do_handshake()
        except trio.BrokenResourceError as error:
            raise Fault(f"TLS: {_cause(error)}") from None
        return Connection(encrypted, stream.socket, encrypted.version() or "")


def _cause(error: BaseException) -> str:
    """What the system or OpenSSL has said, beneath what trio has made of it."""
    while (
        inner := error.__cause__ or (isinstance(error, BaseExceptionGroup) and error.exceptions[0]) or None
    ) is not None:
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else type(error).__name__
    return type(error).__name__
