"""The HTTP socket: nginx's mail proxy (``http_nginx``), and programs that speak JSON (``http_json``).

Who may ask is said by the socket's mode; where a secret is set, each request must have it, too. Browsers are no callers: a
page of somebody else's could ask in the name of whoever looks at it, so what a browser sends is refused.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from ..addresses import is_loopback
from ..observe.log import Log
from ..protocols.http1 import Answer, HttpFault, HttpSide, Request, json_answer
from .garbage import Garbage
from .outgoing import NotRead, Outgoing
from .peers import linger

PROTOCOL = "http"
RECEIVE = 65_536

BROWSER = (b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")
"""Fields that browsers send, and no script in them can leave out (Fetch standard)."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How one socket behaves. ``read_timeout`` (seconds) is for a whole request, ``idle_timeout`` for the next one.

    ``secret`` must stand in the field ``secret_header``; empty for none.
    """

    read_timeout: float = 10.0
    idle_timeout: float = 60.0
    secret: str = field(default="", repr=False)
    secret_header: str = "X-Auth-Key"  # noqa: S105


class HttpConnection:
    """One accepted connection. ``guarded``: the kernel, or a secret that the request had, keeps strangers from it."""

    __slots__ = ("guarded", "out", "side", "socket")

    def __init__(self, connection: socket.socket, check: Callable[[Request, HttpConnection], None]) -> None:
        self.socket = connection
        self.guarded = connection.family == socket.AF_UNIX
        # strangers are sent away before what they say is kept
        self.side = HttpSide(lambda request: check(request, self))
        self.out = Outgoing(connection)

    async def receive(self) -> None:
        """Take what comes next, the end too. Raises ``OSError``."""
        await trio.lowlevel.wait_readable(self.socket)
        try:
            self.side.receive(self.socket.recv(RECEIVE, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return

    async def send(self, data: bytes) -> None:
        """Send it all. Raises ``OSError`` and ``NotRead``."""
        self.out.send(data)
        await self.out.flush()


Handler: TypeAlias = Callable[[Request, HttpConnection], Awaitable[Answer]]


class HttpServer:
    """Answers the connections of one socket, by a table of paths: to each its method and who answers."""

    def __init__(self, paths: Mapping[str, tuple[str, Handler]], options: HttpOptions, log: Log) -> None:
        self._paths = paths
        self._options = options
        self._garbage = Garbage(log, PROTOCOL)
        self._gone = False

    def adopt(self, server: object) -> bool:
        """``accepting.Lasting``."""
        self._gone = not isinstance(server, HttpServer)
        if isinstance(server, HttpServer):
            self._paths, self._options = server._paths, server._options
        return not self._gone

    def begin(self, connection: socket.socket) -> HttpConnection:
        """Nothing can be done at once."""
        return HttpConnection(connection, self._check_caller)

    async def serve(self, connection: HttpConnection) -> None:
        """One connection to its end."""
        try:
            while not connection.side.ended and await self._one(connection):
                # others have their turn, too: requests that are there already, and need no look, wait for nothing
                await trio.lowlevel.checkpoint()
        except NotRead as fault:
            self._garbage.seen(str(fault))
        except OSError:
            return

    async def _one(self, connection: HttpConnection) -> bool:
        """Answer one request; False when no other is to be waited for. Raises ``OSError`` and ``NotRead``."""
        side = connection.side
        try:
            request = await self._next(connection)
            if request is None or self._gone:
                return False
            await connection.send(side.answer(await self._answer(request, connection)))
        except HttpFault as fault:
            self._garbage.seen(fault.text)
            if side.answerable:
                await connection.send(side.answer(_told(fault), last=True))
                await linger(connection.socket)
            return False
        return True

    async def _next(self, connection: HttpConnection) -> Request | None:
        """The next request; None when the caller hangs up, or says nothing for too long. Raises ``HttpFault``."""
        side, options = connection.side, self._options
        with trio.move_on_after(options.read_timeout if side.halfway else options.idle_timeout) as scope:
            while (request := side.next()) is None and not side.ended:
                if waited := side.go_on():
                    await connection.send(waited)
                began = side.halfway
                await connection.receive()
                if side.halfway and not began:
                    scope.deadline = min(scope.deadline, trio.current_time() + options.read_timeout)
            return request
        if side.halfway:
            self._garbage.seen(f"half a request, and no more of it in {options.read_timeout:g} s")
        return None

    async def _answer(self, request: Request, connection: HttpConnection) -> Answer:
        """Raises ``HttpFault``."""
        if request.path not in self._paths:
            raise HttpFault(404, f"there is no such path; there are {', '.join(self._paths)}")
        method, handler = self._paths[request.path]
        if request.method != method:
            raise HttpFault(405, f"this path takes {method} alone")
        return await handler(request, connection)

    def _check_caller(self, request: Request, connection: HttpConnection) -> None:
        """Raises ``HttpFault`` where somebody asks who may not."""
        if not request.names.isdisjoint(BROWSER):
            raise HttpFault(400, "browsers are not answered")
        options = self._options
        connection.guarded = bool(options.secret) or connection.socket.family == socket.AF_UNIX
        if options.secret:
            given = request.one(options.secret_header.lower().encode())
            if not hmac.compare_digest(given, options.secret.encode()):
                raise HttpFault(401, f"the secret in {options.secret_header} is missing or wrong")
        elif not connection.guarded and _local(connection.socket) and not _names_this_machine(request.one(b"host")):
            # a page whose host name was made to mean this machine (DNS rebinding) may say anything else, but not this
            raise HttpFault(421, "the Host is none of this machine; name it by its address")


def _told(fault: HttpFault) -> Answer:
    return json_answer(fault.status, {"error": fault.text})


def _local(connection: socket.socket) -> bool:
    return is_loopback(str(connection.getsockname()[0]))


def _names_this_machine(host: bytes) -> bool:
    """Whether a Host is this machine's, for certain. Without one (HTTP/1.0) no browser has sent it."""
    text = host.decode("ascii", "replace")
    name = text if text.endswith("]") else text.rpartition(":")[0] or text
    return not text or is_loopback(name.strip("[]"))
