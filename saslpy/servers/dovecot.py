"""The client socket of Dovecot's auth service: many exchanges at a time on connections that may idle for ever.

An idle connection is one task that waits for bytes; an exchange has a task for as long as it lasts. What is asked is
always brought to an end, though nobody may want to know any more: a password that was tried stands in the audit log.

Temporary failures: to a client of minor version 0, Postfix and Exim, they are told by closing the connection. What else
is under way on it ends, too, for its client as "could not find out", never as a no; Postfix and Exim have one exchange
at a time, and come again at the next.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

import trio

from ..authenticator import Authenticator
from ..conversation import Conversation
from ..exchange import Bind, Challenge, Done
from ..mechanisms import named
from ..model import Accept, Origin, Reason, Reject
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.dovecot.client import PLUS, ClientSide
from ..protocols.dovecot.events import Begin, Binding, Event, Over, Response
from ..protocols.dovecot.fields import pair
from .dovecot_connection import DovecotConnection, Exchange
from .dovecot_site import DovecotSite
from .garbage import Garbage
from .peers import address_of, caller_of

TemporaryFailure = Literal["auto", "drop", "code"]

VERSION_WAIT = 0.2
"""Seconds to wait for the client's version, where it says which mechanisms are offered."""

MOST = 1024
"""Exchanges of a connection. Over that, the oldest that waits for its client is forgotten."""

MOST_ABANDONED = 128
"""Those that wait for a client of minor version 0: Postfix has one at a time, but never says that its user has given up."""

CODES = {Reason.DISABLED: "user_disabled", Reason.EXPIRED: "pass_expired", Reason.AUTHZ_DENIED: "authz_fail"}
REFUSED, LATER = "login and password not accepted", "temporary failure, try again later"
"""Postfix shows them to the user. Dovecot has words of its own, and would show these as an [ALERT]."""


@dataclass(frozen=True, slots=True)
class DovecotOptions:
    """How one socket behaves. Times in seconds: ``read_timeout`` ends half a line, ``exchange_timeout`` an exchange."""

    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    temporary_failure: TemporaryFailure = "auto"
    read_timeout: float = 10.0
    exchange_timeout: float = 150.0


class DovecotServer:
    """Answers the connections of one client socket."""

    def __init__(self, door: Authenticator, options: DovecotOptions, site: DovecotSite, log: Log) -> None:
        self._door = door
        self._options = options
        self._site = site
        self._mechanisms = door.offered(options.mechanisms)
        self._garbage = Garbage(log, "dovecot")

    def begin(self, connection: socket.socket) -> DovecotConnection:
        """Greet, without having heard a word: many clients wait for that."""
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers come in any number at a time
        begun = DovecotConnection(connection, ClientSide(self._mechanisms), self._site.new_cuid())
        begun.write(begun.side.version)
        if not begun.side.waits:
            self._greet(begun)
        return begun

    def _greet(self, connection: DovecotConnection) -> None:
        connection.write(connection.side.greeting(self._site.spid, connection.cuid, connection.cookie))

    async def serve(self, connection: DovecotConnection) -> None:
        """One connection to its end, and the exchanges that were begun on it to theirs."""
        try:
            async with trio.open_nursery() as nursery:
                connection.open(nursery)
                try:
                    await self._listen(connection)
                except ProtocolError as fault:
                    connection.drop(str(fault))
                connection.end()
        finally:
            if connection.fault:
                self._garbage.seen(connection.fault)
            if connection.handed:
                self._site.handed.leave(connection.cookie)

    async def _listen(self, connection: DovecotConnection) -> None:
        """Take what comes until there is no more. Raises ``ProtocolError``."""
        if connection.side.waits:
            with trio.move_on_after(VERSION_WAIT):
                while connection.side.minor is None and await connection.receive(
                    self._take, self._options.read_timeout
                ):
                    pass
            self._greet(connection)
        while not connection.ended and await connection.receive(self._take, self._options.read_timeout):
            pass

    def _take(self, connection: DovecotConnection, event: Event) -> None:
        if connection.ended:
            return
        match event:
            case Begin():
                self._begin(connection, event)
            case Response() | Binding():
                connection.exchanges[event.id].deliver(event)
            case Over():
                connection.stop(event.id)
                connection.write(event.reply)

    def _begin(self, connection: DovecotConnection, begin: Begin) -> None:
        if not connection.make_room(MOST, MOST if connection.side.minor else MOST_ABANDONED):
            self._later(connection, begin.id, "")
            return
        assert connection.nursery is not None
        connection.nursery.start_soon(self._exchange, connection, begin, connection.begin(begin.id))

    async def _exchange(self, connection: DovecotConnection, begin: Begin, exchange: Exchange) -> None:
        try:
            await self._converse(connection, begin, exchange)
        finally:
            connection.forget(begin.id, exchange)

    async def _converse(self, connection: DovecotConnection, begin: Begin, exchange: Exchange) -> None:
        conversation = self._open(connection, begin)
        step = await conversation.start(begin.initial)
        while not isinstance(step, Done):
            match await self._ask(connection, begin.id, exchange, step):
                case Response(data=data):
                    step = await conversation.respond(data)
                case Binding(data=bound):
                    step = await conversation.bind(bound)
                case None:
                    conversation.cancel()
                    return
        if step.final is not None and not begin.takes_final:
            # for those who cannot take it with OK it is one more challenge, answered with nothing
            if await self._ask(connection, begin.id, exchange, Challenge(step.final)) is None:
                return
            step = Done(step.verdict)
        if not exchange.over:
            self._tell(connection, begin, step, conversation.given)

    def _open(self, connection: DovecotConnection, begin: Begin) -> Conversation:
        mechanism = named(begin.mechanism)
        assert mechanism is not None, "it was offered"
        caller, client = caller_of(connection.socket), address_of(begin.client)
        secured, certificate = begin.secured, begin.certificate
        origin = Origin("dovecot", begin.service, begin.mechanism, client, caller, secured, certificate)
        return self._door.begin(mechanism, origin, any(name.endswith(PLUS) for name in connection.side.offered))

    async def _ask(
        self, connection: DovecotConnection, key: int, exchange: Exchange, step: Challenge | Bind
    ) -> Response | Binding | None:
        """The client's answer, None when the exchange is over."""
        if exchange.over or connection.ended:
            return None
        side = connection.side
        connection.write(side.challenge(key, step.data) if isinstance(step, Challenge) else side.bind(key, step.kind))
        return await exchange.answer(self._options.exchange_timeout)

    def _tell(self, connection: DovecotConnection, begin: Begin, done: Done, user: str) -> None:
        side, verdict = connection.side, done.verdict
        if isinstance(verdict, Accept):
            self._accept(connection, begin, verdict, done.final, user)
        elif isinstance(verdict, Reject):
            reason = "" if side.minor else REFUSED
            connection.write(side.fail(begin.id, user, CODES.get(verdict.reason, ""), reason))
        else:
            self._later(connection, begin.id, user)

    def _accept(
        self, connection: DovecotConnection, begin: Begin, verdict: Accept, final: bytes | None, user: str
    ) -> None:
        side, account, master = connection.side, verdict.account, verdict.master
        if begin.login_follows:
            connection.handed = True
            own = not master and begin.mechanism != "ANONYMOUS"  # else the name that was given is another's
            self._site.handed.remember(
                side.cpid,
                begin.id,
                connection.cookie,
                account,
                begin.mechanism,
                master,
                begin.service,
                user if own else "",
            )
        more = [pair(b"original_user", master), pair(b"auth_user", master)] if master else []
        if begin.mechanism == "ANONYMOUS":
            more.append(b"anonymous")
        connection.write(side.ok(begin.id, account.login, *more, final=final))

    def _later(self, connection: DovecotConnection, key: int, user: str) -> None:
        """Could not find out."""
        how = self._options.temporary_failure
        if how == "drop" or (how == "auto" and connection.side.minor == 0):
            connection.drop()
            return
        reason = "" if connection.side.minor else LATER
        connection.write(connection.side.fail(key, user, "temp_fail", reason))
