"""New connections to a next hop's host: its name looked up, TLS spoken, its certificate verified, us logged in."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

import trio

from ..mechanisms.client import Credentials
from ..protocols.smtp.client import Client, Terms
from ..protocols.smtp.steps import Unusable
from .connection import Connection, Stream, cause
from .outcome import UNREACHABLE, UNTRUSTED
from .places import Server
from .routes import Route

CONNECTING = 30.0
"""Seconds at most until a host, all of its addresses together, has taken a connection."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds. ``timeout``: for every reply, but ``final`` for those to the whole content, which has been delivered when
    they are lost (RFC 5321, 4.5.3.2.6 wants ten minutes). ``connecting``: until a host has taken a connection.
    """

    timeout: float = 60.0
    final: float = 600.0
    connecting: float = CONNECTING


class Dialler:
    """Makes connections for one route. ``name`` is ours, in EHLO."""

    def __init__(self, route: Route, name: str, bounds: Bounds) -> None:
        self._route = route
        self._name = name
        self._bounds = bounds
        self._credentials = Credentials(route.login, route.password) if route.login else None
        self._contexts: dict[bool, ssl.SSLContext] = {}

    async def connect(self, server: Server) -> Connection:
        """A connection on which messages may be sent. Raises ``Unusable``."""
        protection = self._route.protection(server)
        stream = await self._reached(server)
        client = Client(server.protocol == "lmtp", server.local)
        connection = Connection(server, stream, client, self._bounds.timeout, self._bounds.final)
        verified = protection == "require"

        async def encrypt(stream: Stream) -> Stream:
            return await self._encrypted(stream, server, client, verified)

        try:
            if server.tls:
                await connection.encrypt(encrypt)
            terms = Terms(self._name, protection, self._credentials, self._route.mechanisms)
            await connection.open(client.opening(terms), encrypt)
        except BaseException:
            await connection.kill()
            raise
        return connection

    async def _reached(self, server: Server) -> trio.SocketStream:
        try:
            with trio.fail_after(min(self._bounds.connecting, self._bounds.timeout)):
                if server.path is not None:
                    return await trio.open_unix_socket(str(server.path))
                return await _first(server, await _addresses(server))
        except trio.TooSlowError:
            raise Unusable(UNREACHABLE, "does not take connections") from None
        except (OSError, UnicodeError) as error:
            raise Unusable(UNREACHABLE, f"cannot be reached: {cause(error)}") from None

    async def _encrypted(self, stream: Stream, server: Server, client: Client, verified: bool) -> Stream:
        assert isinstance(stream, trio.SocketStream)
        encrypted = trio.SSLStream(stream, self._context(verified), server_hostname=server.host, https_compatible=True)
        try:
            await encrypted.do_handshake()
        except trio.BrokenResourceError as error:
            raise Unusable(UNTRUSTED, f"TLS: {cause(error)}") from None
        client.tls_started(verified)
        return encrypted

    def _context(self, verified: bool) -> ssl.SSLContext:
        """Made when it is needed first: the system's authorities take a while to read."""
        if verified not in self._contexts:
            self._contexts[verified] = _verifying(self._route.ca_pem) if verified else _trusting()
        return self._contexts[verified]


def _verifying(ca_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # the certificates of one's own making lack what Python 3.13 insists on
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _trusting() -> ssl.SSLContext:
    """For "opportunistic": who can change what passes by could have left out the offer of STARTTLS, too (RFC 7435)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _addresses(server: Server) -> list[str]:
    found = await trio.socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _first(server: Server, addresses: list[str]) -> trio.SocketStream:
    """The first address that takes a connection; each has its share of the time until the deadline."""
    failures: list[str] = []
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        share = max(0.0, trio.current_effective_deadline() - trio.current_time()) / left
        with trio.move_on_after(share):
            try:
                return await trio.open_tcp_stream(address, server.port)
            except OSError as error:
                failures.append(cause(error))
                continue
        failures.append("no answer")
    raise Unusable(UNREACHABLE, f"cannot be reached: {'; '.join(dict.fromkeys(failures)) or 'it has no address'}")
