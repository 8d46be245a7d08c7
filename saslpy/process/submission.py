"""A submission worker: it serves the sockets where mail is submitted, and hands the mail on.

It belongs to the daemon's user, holds no user's data and asks the auth process all that it must know (``remotedoor``). All
workers accept from the same sockets, so that one that ends takes no connection with it that it has not accepted.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import trio

from ..listeners.submission import SubmissionListen
from ..observe.log import Log
from ..relay.dial import Bounds
from ..relay.proxy import Relaying, open_proxy
from ..servers.accepting import AcceptLoop
from ..servers.sockets import Place
from ..servers.submission import SubmissionServer
from ..servers.submission_options import SubmissionOptions
from ..servers.submission_session import Session
from ..settings import Settings
from ..submission import tls
from ..texts import describe
from . import doorwire, wire
from .remotedoor import RemoteDoor
from .soon import Soon

SLOWER = 7.0
"""Seconds that an answer may take beyond the time that a login has ([auth] deadline)."""

RETIRED = 600.0
"""Seconds for the connections of a worker that was replaced; those that are left are told to come again."""

KEPT_FILES = 64
"""Open files that connections leave for the rest. Each of them needs two: its own, and one to the next hop."""

FLUSH_EVERY = 0.5
"""Seconds between two tries to write lines that a stalled reader of the log has not taken."""

Sockets = Mapping[Place, socket.socket]


def serve(settings: Settings, sockets: Sockets, log: Log, channel: socket.socket) -> None:
    """The process, from its start to its end: when all its connections have ended, after it was told to."""
    try:
        trio.run(_serve, settings, sockets, log, channel)
    finally:
        log.sink.later = None
        log.sink.flush()


async def _serve(settings: Settings, sockets: Sockets, log: Log, channel: socket.socket) -> None:
    async with trio.open_nursery() as nursery:
        soon = Soon()
        nursery.start_soon(soon.run)
        log.sink.later = soon
        nursery.start_soon(_flush_regularly, log)
        worker = Worker(settings, log)
        patience = settings.auth.deadline + settings.auth.min_seconds + SLOWER
        async with RemoteDoor.over(channel, patience, worker.counts, worker.among) as door:
            try:
                worker.open(sockets, door, nursery)
            except Exception as error:
                with suppress(OSError):
                    channel.send(wire.encode(doorwire.Cannot(wire.text(describe(error)))))
                raise
            door.greet()
            await worker.run(door, nursery)
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Front:
    """A listening socket at work."""

    server: SubmissionServer
    loop: AcceptLoop[Session]
    socket: socket.socket


class Worker:
    """The servers of one process."""

    def __init__(self, settings: Settings, log: Log) -> None:
        assert settings.submission is not None
        assert settings.relay is not None
        self._settings = settings
        self._submission = settings.submission
        self._routes = settings.relay
        self._log = log
        self._fronts: list[_Front] = []
        self._accepting = trio.CancelScope()

    @property
    def among(self) -> int:
        """How many workers there are, with this one."""
        return self._submission.workers

    def counts(self) -> doorwire.Pong:
        """What it is at."""
        listeners = [doorwire.Open(front.loop.name, front.loop.open, front.loop.refused) for front in self._fronts]
        return doorwire.Pong(sum(front.server.messages for front in self._fronts), tuple(listeners))

    def open(self, sockets: Sockets, door: RemoteDoor, nursery: trio.Nursery) -> None:
        """All that is needed before a connection comes. Raises ``ssl.SSLError`` and ``OSError``."""
        folder = self._settings.path.absolute().parent
        relay = open_proxy(
            nursery,
            self._routes.route,
            self._submission.hostname,
            self._log,
            bounds=Bounds(self._routes.timeout_seconds, self._routes.final_timeout_seconds),
            folder=folder,
        )
        for listen in self._settings.listen:
            sock = sockets.get(listen.place)
            if isinstance(listen, SubmissionListen) and sock is not None and sock.fileno() >= 0:
                front = self._front(listen, sock, door, relay)
                self._fronts.append(front)
                nursery.start_soon(front.server.watch)

    def _front(self, listen: SubmissionListen, sock: socket.socket, door: RemoteDoor, relay: Relaying) -> _Front:
        context = tls.contexts(self._submission.tls, listen.implicit) if self._submission.tls else None
        options = SubmissionOptions.of(
            self._submission,
            listen=listen.name,
            mechanisms=listen.offers(self._settings.auth.mechanisms),
            context=context,
            implicit=listen.implicit,
            proxy_protocol=listen.proxies,
            xclient=listen.xclients,
            per_client=listen.max_connections_per_client,
        )
        server = SubmissionServer(door, options, relay, self._log)
        shared = self.among > 1
        return _Front(server, AcceptLoop(listen.name, sock, server, self._most(listen), self._log, shared), sock)

    def _most(self, listen: SubmissionListen) -> int:
        """Connections at a time: its share of what the listener may have, and no more than there are files for."""
        share = -(-listen.max_connections // self._submission.workers)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(files - KEPT_FILES, 2) // 2
        if files == resource.RLIM_INFINITY or share <= most:
            return share
        self._log.warning("few-files", listen=listen.name, max_files=files, max_connections=most)
        return most

    async def run(self, door: RemoteDoor, nursery: trio.Nursery) -> None:
        """Accept when told to, until told not to; then until the last connection has ended."""
        orders = door.orders
        async with trio.open_nursery() as waiting:
            for order in (orders.retire, orders.drain, orders.lost):
                waiting.start_soon(self._stop_at, order)
            with self._accepting:
                await orders.go.wait()
                async with trio.open_nursery() as accepting:
                    for front in self._fronts:
                        accepting.start_soon(front.loop.run, nursery)
            waiting.cancel_scope.cancel()
        for front in self._fronts:
            front.socket.close()  # where nobody listens any more, nobody is to wait
        if not (orders.drain.is_set() or orders.lost.is_set()):
            await self._retired(door)
        await self._drain(orders.seconds if orders.drain.is_set() else self._settings.daemon.drain_seconds)

    async def _stop_at(self, order: trio.Event) -> None:
        await order.wait()
        self._accepting.cancel()

    async def _retired(self, door: RemoteDoor) -> None:
        """Until all have gone, or must."""
        with trio.move_on_after(RETIRED):
            while self._open and not (door.orders.drain.is_set() or door.orders.lost.is_set()):  # noqa: ASYNC110
                await trio.sleep(0.1)

    async def _drain(self, seconds: float) -> None:
        """Messages under way have this time."""
        for front in self._fronts:
            front.server.drain()
        with trio.move_on_after(seconds) as scope:
            while self._open:  # noqa: ASYNC110 (once in a process's life)
                await trio.sleep(0.01)
        if scope.cancelled_caught:
            self._log.warning("drain-cut-short", open=self._open)

    @property
    def _open(self) -> int:
        return sum(front.loop.open for front in self._fronts)


async def _flush_regularly(log: Log) -> None:
    while True:
        await trio.sleep(FLUSH_EVERY)
        log.sink.flush()
