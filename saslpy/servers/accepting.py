"""The accept loop of every front end: connections are bounded, a fault in one ends that one alone."""

from __future__ import annotations

import errno
import socket
from typing import Generic, Protocol, TypeVar, runtime_checkable

import trio

from ..observe.log import Log

AT_ONCE = 64
"""Connections accepted before other tasks get their turn."""

FEW, LAG = 4, 0.001
"""Connections accepted at a time from a socket that other processes accept from, too: and so many may be open without any
waiting. From then on, seconds of waiting for each doubling. (Shorter ones are none to epoll(7), which counts milliseconds.)
"""

OURS = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EFAULT)
"""Errors of accept(2) that say that the socket is none: faults of ours. All others pass."""

PAUSE = 0.1
"""Seconds until the next try after an error, such as too many open files."""

C = TypeVar("C")


class Server(Protocol[C]):
    """A front end: ``begin`` runs in the accept loop and never waits; ``serve`` runs in a task of its own.

    The connection is as accept(2) gives it, so a call on it says MSG_DONTWAIT: one call to the kernel less for each.
    """

    def begin(self, connection: socket.socket, /) -> C | None:
        """Read what is there; None when the connection is done with."""

    async def serve(self, begun: C, /) -> None:
        """Everything else."""


@runtime_checkable
class Lasting(Protocol):
    """A server whose connections stay open for hours: a new configuration must count for their next request, too."""

    def adopt(self, server: object, /) -> bool:
        """Go by what this server was made with, from now on and in its place.

        False where it is of another kind, or there is none: then nothing more is answered, and who asks is hung up on.
        """


@runtime_checkable
class Refusing(Protocol):
    """A front end that has a word for a connection over the limit."""

    def refuse(self, connection: socket.socket, /) -> None:
        """Say it; never waits. The connection is closed then."""


class AcceptLoop(Generic[C]):
    """Accepts on one listening socket, at most ``most`` connections at a time.

    ``shared``: other processes accept on it, too. All of them hear of a connection; the one that has least to do is to take
    it, so each waits for longer the more connections it has.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self, name: str, listener: socket.socket, server: Server[C], most: int, log: Log, shared: bool = False
    ) -> None:
        self.name = name
        self._listener = listener
        self._server = server
        self._most = most
        self._log = log
        self._at_once = FEW if shared else AT_ONCE
        self._shared = shared
        self.open = 0
        self.refused = 0
        self.failed = 0

    def change(self, server: Server[C], most: int) -> None:
        """Go by this one. Connections that are open stay with the old one, which is told if it is ``Lasting``."""
        if not (isinstance(self._server, Lasting) and self._server.adopt(server)):
            self._server = server
        self._most = most

    def retire(self) -> None:
        """What is listened on here is none of the configuration's any more."""
        if isinstance(self._server, Lasting):
            self._server.adopt(None)

    async def run(self, nursery: trio.Nursery) -> None:
        """Accept until cancelled; the connections' tasks belong to ``nursery`` and outlive the loop."""
        while True:
            await trio.lowlevel.wait_readable(self._listener)
            if self._shared and self.open >= FEW:
                await trio.sleep((self.open // FEW).bit_length() * LAG)
            try:
                self._accept_some(nursery)
            except OSError as error:
                if error.errno in OURS:
                    raise
                self.failed += 1
                if self.failed & (self.failed - 1) == 0:  # told at 1, 2, 4, 8 …
                    self._log.error("accept-failed", listen=self.name, detail=error.strerror, count=self.failed)
                await trio.sleep(PAUSE)

    def _accept_some(self, nursery: trio.Nursery) -> None:
        for _ in range(self._at_once):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self._take(connection, nursery)

    def _take(self, connection: socket.socket, nursery: trio.Nursery) -> None:
        if self.open >= self._most:
            self._refuse(connection)
            return
        try:
            begun = self._server.begin(connection)
        except Exception as error:
            self._log.fault(error, listen=self.name)
            begun = None
        if begun is None:
            connection.close()
            return
        self.open += 1
        nursery.start_soon(self._serve, self._server, connection, begun, name=self.name)

    async def _serve(self, server: Server[C], connection: socket.socket, begun: C) -> None:
        try:
            await server.serve(begun)
        except Exception as error:  # a fault of ours ends this connection, not the daemon
            self._log.fault(error, listen=self.name)
        finally:
            self.open -= 1
            connection.close()

    def _refuse(self, connection: socket.socket) -> None:
        """Over the limit: closed, as a rule without a reply, which every caller reads as "try again"."""
        if isinstance(self._server, Refusing):
            self._server.refuse(connection)
        connection.close()
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # told at 1, 2, 4, 8 …
            self._log.error("too-many-connections", listen=self.name, limit=self._most, count=self.refused)
