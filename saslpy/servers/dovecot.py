"""The client socket of Dovecot's auth service: many exchanges at a time on connections that may idle for ever.

An idle connection is one task that waits for bytes; an exchange has a task for as long as it lasts. What is asked is
always brought to an end, though nobody may want to know any more: a password that was tried stands in the audit log.

Temporary failures: to a client of minor version 0, Postfix and Exim, they are told by closing the connection. What else
is under way on it ends, too, for its client as "could not find out", never as a no; Postfix and Exim have one exchange
at a time, and come again at the next.

A reload counts from the next exchange on, on open connections, too; a client was offered what its greeting said, and is
served what is offered now of that.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Literal

import trio

from ..authenticator import Authenticator
from ..conversation import Conversation
from ..exchange import Bind, Challenge, Done
from ..mechanisms import named
from ..model import Accept, Origin, Reason, Reject
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.dovecot.client import UNKNOWN_MECHANISM, ClientSide, tellable
from ..protocols.dovecot.events import Begin, Binding, Event, Hello, Over, Response
from ..protocols.dovecot.fields import pair
from .dovecot_connection import DovecotConnection, Exchange, Exchanges
from .dovecot_site import DovecotSite
from .garbage import Garbage
from .handed import HandedLogin, Ticket
from .peers import address_of, caller_of

TemporaryFailure = Literal["auto", "drop", "code"]

VERSION_WAIT = 0.2
"""Seconds to wait for the client's version, where it says which mechanisms are offered."""

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
        self._exchanges = Exchanges()
        self._garbage = Garbage(log, "dovecot")
        self._gone = False

    def adopt(self, server: object) -> bool:
        """``accepting.Lasting``."""
        self._gone = not isinstance(server, DovecotServer)
        if isinstance(server, DovecotServer):
            self._options, self._mechanisms = server._options, server._mechanisms
        return not self._gone

    def begin(self, connection: socket.socket) -> DovecotConnection:
        """Greet, without having heard a word: many clients wait for that."""
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers come in any number at a time
        side = ClientSide(self._mechanisms)
        begun = DovecotConnection(connection, side, self._site.new_cuid(), self._exchanges)
        begun.write(side.version)
        if not side.waits:
            self._greet(begun)
        return begun

    def _greet(self, connection: DovecotConnection) -> None:
        """Say what is offered, if that is not done."""
        if connection.side.offered is None:
            connection.write(connection.side.greeting(self._site.spid, connection.cuid, connection.cookie))

    async def serve(self, connection: DovecotConnection) -> None:
        """One connection to its end, and the exchanges that were begun on it to theirs."""
        try:
            async with trio.open_nursery() as nursery:
                connection.open(nursery)
                if connection.side.offered is None:
                    nursery.start_soon(self._greet_in_time, connection)
                try:
                    while not connection.ended and await connection.receive(self._take, self._options.read_timeout):
                        pass
                except ProtocolError as fault:
                    connection.drop(str(fault))
                connection.end()
        finally:
            if connection.fault:
                self._garbage.seen(connection.fault)
            if connection.handed:
                self._site.handed.leave(connection.cookie)

    async def _greet_in_time(self, connection: DovecotConnection) -> None:
        """Greet who does not say its version."""
        await trio.sleep(VERSION_WAIT)
        if not connection.ended:
            self._greet(connection)

    def _take(self, connection: DovecotConnection, event: Event) -> None:
        if connection.ended:
            return
        match event:
            case Hello():
                self._greet(connection)
            case Begin():
                self._begin(connection, event)
            case Response() | Binding():
                connection.exchanges[event.id].deliver(event)
            case Over():
                connection.stop(event.id)
                connection.write(event.reply)

    def _begin(self, connection: DovecotConnection, begin: Begin) -> None:
        if self._gone:
            connection.drop()  # nobody is to log in here any more
        elif begin.mechanism not in self._mechanisms:  # it was offered, and is not any more
            connection.write(connection.side.fail(begin.id, reason=UNKNOWN_MECHANISM))
        else:
            connection.start(self._exchange, connection, begin, connection.begin(begin.id))

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
        return self._door.begin(mechanism, origin, connection.side.binds)

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
        account, master = verdict.account, verdict.master
        if not tellable(account.login):
            self._later(connection, begin.id, "")  # without a name, a yes is none for Postfix and Exim
            return
        if begin.login_follows:
            own = not master and begin.mechanism != "ANONYMOUS"  # else the name that was given is another's
            ticket = Ticket(connection.side.cpid, begin.id, connection.cookie)
            kept = replace(account, secrets=())
            login = HandedLogin(kept, begin.mechanism, master, begin.service, user if own else "")
            self._site.handed.remember(ticket, login)
            connection.handed = True
        more = [pair(name, master) for name in (b"original_user", b"auth_user") if master and tellable(master)]
        if begin.mechanism == "ANONYMOUS":
            more.append(b"anonymous")
        connection.write(connection.side.ok(begin.id, account.login, *more, final=final))

    def _later(self, connection: DovecotConnection, key: int, user: str) -> None:
        """Could not find out."""
        how = self._options.temporary_failure
        if how == "drop" or (how == "auto" and connection.side.minor == 0):
            connection.drop()
            return
        reason = "" if connection.side.minor else LATER
        connection.write(connection.side.fail(key, user, "temp_fail", reason))
