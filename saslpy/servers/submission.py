"""The submission server (RFC 6409, RFC 8314): sessions, how many there are, and what they have in common.

A connection is one task; what waits, waits in it. ``watch`` ends those whose clients are late: to move a deadline of
trio's for every command would be a twentieth of the work.

::

    submission               sessions: begun, counted, ended
    submission_session       one of them: greeting, EHLO, STARTTLS, XCLIENT, MAIL
    submission_auth          AUTH, and the core's exchange
    submission_transaction   RCPT to the last reply, and the log line
    submission_content       the content, pulled by the next hop
    submission_wire          bytes, in the clear or through TLS
    submission_client        what PROXY, XCLIENT and certificates say of him
    submission_who           who he is, as far as is known
    submission_deadlines     how long he may take
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache

import trio

from ..networks import Network, within
from ..observe.log import Log
from ..protocols.smtp import replies
from ..protocols.smtp.options import EXTENSIONS, FutureRelease, Options
from ..protocols.smtp.server import Connection
from ..relay.proxy import Relaying
from ..submission.crowd import site
from ..submission.door import Door
from ..submission.message import Judge
from .submission_client import peer_of
from .submission_options import SubmissionOptions
from .submission_session import Session
from .submission_wire import Wire

__all__ = ["SubmissionOptions", "SubmissionServer"]


TICK = 0.5
"""Seconds between two looks at the clock."""


class SubmissionServer:
    """Serves the connections of one listener; ``watch`` must run as long as it does.

    ``sessions`` are open, ``messages`` were taken so far; ``draining``: no new ones are.

    ``key`` makes the ids of messages; they are in the log, so that nobody needs to know it.
    """

    def __init__(self, door: Door, options: SubmissionOptions, relay: Relaying, log: Log) -> None:
        self.door = door
        self.options = options
        self.relay = relay
        self.log = log
        self.judge = Judge(door, options.sender_binding)
        self.key = os.urandom(16)
        self.messages = 0
        self._count = 0
        self.draining = False
        self.sessions: set[Session] = set()
        self._machine_options = lru_cache(maxsize=64)(self._options_of)

    @property
    def offered(self) -> tuple[str, ...]:
        """The mechanisms that can be served now."""
        return self.door.offered(self.options.mechanisms)

    # --- connections

    def begin(self, connection: socket.socket) -> Session:
        """All that can be done without waiting."""
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._count += 1
        return Session(self, Wire(connection), peer_of(connection), str(self._count))

    async def serve(self, session: Session) -> None:
        """One connection, to its end."""
        self.sessions.add(session)
        try:
            await session.serve()
        finally:
            self.sessions.discard(session)

    async def watch(self, tick: float = TICK) -> None:
        """End those connections whose clients have had their time, for ever."""
        while True:
            await trio.sleep(tick)
            now = trio.current_time()
            for session in self.sessions:
                session.overdue(now)

    def refuse(self, connection: socket.socket) -> None:
        """One connection too many: it is told so, where it can be without TLS."""
        if not self.options.implicit:
            Wire(connection).say(replies.BUSY.encode())

    def drain(self) -> None:
        """End every connection as soon as it has no message under way; those that come are not greeted with more."""
        self.draining = True
        for session in self.sessions:
            session.drain()

    # --- for sessions

    def proxied(self, client: str) -> bool:
        """Whether who has connected must say first for whom."""
        return _among(client, self.options.proxy_protocol)

    def present(self, client: str) -> AbstractAsyncContextManager[bool | None]:
        """Whether a client may have one more, as long as the block runs. Who speaks for others is not counted."""
        if _among(client, self.options.xclient):
            return nullcontext(True)
        return self.door.present(f"{self.options.listen} {site(client)}", self.options.per_client)

    def turn_away(self, session: Session, known: bool) -> None:
        """A client has too many connections; or, where that is not ``known``, nobody could find out."""
        event = "too-many-connections" if known else "connections-not-counted"
        self.log.info(event, client=session.client, limit=self.options.per_client)
        if not self.options.implicit:
            session.wire.say((replies.BUSY if known else replies.NOT_COUNTED).encode())

    def machine(self, session: Session) -> Connection:
        """The protocol's machine for a connection."""
        xclient = _among(session.client, self.options.xclient)
        made = self._machine_options(session.mechanisms, session.who.legacy is not None, xclient)
        return Connection(made, session.wire.tls is not None)

    def _options_of(self, mechanisms: tuple[str, ...], legacy: bool, xclient: bool) -> Options:
        options = self.options
        return Options(
            options.hostname,
            mechanisms,
            require_tls=options.require_tls and not legacy,
            require_auth=not legacy,
            extensions=EXTENSIONS if options.context is not None else EXTENSIONS - {"STARTTLS"},
            xclient=xclient,
            repair_line_ends=options.repair_line_ends,
            future_release=FutureRelease(options.future_release) if options.future_release else None,
            deliver_by=0,
            priorities="",
            limits=options.limits,
        )


def _among(client: str, networks: Sequence[Network]) -> bool:
    """Where there are no networks, as nearly always, no address is looked at."""
    return bool(networks) and within(client, networks)
