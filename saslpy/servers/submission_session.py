"""One client's connection, from its first byte to its last: a task that asks the machine what has happened, and answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from ..model import Account
from ..names import folded
from ..protocols import ProtocolError
from ..protocols.smtp import replies
from ..protocols.smtp.addresses import Mailbox
from ..protocols.smtp.envelope import Envelope
from ..protocols.smtp.events import AuthBegin, Ended, Event, Hello, MailFrom, StartTls, Xclient
from ..protocols.smtp.replies import Reply
from ..protocols.smtp.states import State
from ..submission import received
from ..submission.message import Sender
from .peers import linger
from .submission_auth import authenticate
from .submission_client import MalformedAddress, proxied, told_address, usable
from .submission_deadlines import Pace
from .submission_transaction import Transaction, written
from .submission_who import Who
from .submission_wire import Gone, NoTls, Wire

if TYPE_CHECKING:
    from .submission import SubmissionServer

_RESTING = frozenset((State.GREETED, State.READY))
"""Between two messages: a connection that is to end may end here."""


class Session:
    """``who`` is its client.

    While it waits for its client, and for nobody else, ``overdue`` ends it at a time that is known then.
    """

    __slots__ = (
        "_ended",
        "_farewell",
        "_known",
        "_messages",
        "_name",
        "_pace",
        "_scope",
        "_until",
        "machine",
        "mechanisms",
        "server",
        "who",
        "wire",
    )

    def __init__(self, server: SubmissionServer, wire: Wire, client: str, name: str) -> None:
        self.server = server
        self.wire = wire
        self._name = name
        self._ended: Ended | None = None
        self._known = True  # by his own address
        self._messages = 0
        self._until = math.inf
        self._farewell = replies.TIMED_OUT
        self._scope = trio.CancelScope()
        self._begin(client)

    def _begin(self, client: str) -> None:
        """As who he is now known to be, and with TLS or without. A proxy's address gives no rights."""
        self.who = Who(client, self.server.options.legacy_of(client) if self._known else None)
        self.mechanisms = usable(self.server.offered, self.wire.tls)
        self.machine = self.server.machine(self)
        self._pace = Pace(self.server.options, trio.current_time())

    @property
    def client(self) -> str:
        """The address of who sends."""
        return self.who.client

    # --- the first word and the last one

    async def serve(self) -> None:
        """To its end, and its line in the log where that is an odd one."""
        why = ""
        try:
            with self._scope:
                why = await self._served()
            if self._scope.cancelled_caught:
                why = self._say_last(self._farewell)
        except Gone:
            why = "the client has gone" if self._busy() else ""
        except (NoTls, ProtocolError) as fault:
            why = str(fault)
        except trio.Cancelled:
            self._say_last(replies.CLOSING)
            raise
        if why:
            self._log_end(why)
            await linger(self.wire.socket)

    async def _served(self) -> str:
        """Why it has ended; nothing for QUIT. Raises ``Gone``, ``NoTls``, ``ProtocolError``."""
        server = self.server
        self._until = trio.current_time() + server.options.handshake_timeout
        if server.proxied(self.client):
            told = await proxied(self.wire)
            self._known = bool(told)
            self._begin(told or self.client)
        async with server.present(self.client) as present:
            if not present:
                server.turn_away(self, known=present is not None)
                return ""
            await self._greeted()
            return (await self._converse()).why

    async def _greeted(self) -> None:
        """The first word, in TLS where it begins with that. Raises ``NoTls``, ``Gone``."""
        options = self.server.options
        if options.context is not None and options.implicit:
            await self.wire.handshake(options.context)
            self._begin(self.client)
        self._until = math.inf
        self.machine.receive(self.wire.there())  # he who has spoken before is not talked to
        self.machine.greet()
        self.wire.say(self.machine.data_to_send())

    def _say_last(self, reply: Reply) -> str:
        """End it from our side, if its client can be told anything now; what was told."""
        if self.machine.state not in (State.CONNECTED, State.TLS, State.CLOSED):
            self.machine.close(reply)
            self.wire.say_last(self.machine.data_to_send())
        return reply.text

    def drain(self) -> None:
        """End it as soon as no message is under way."""
        if not self.working and self.machine.state in {*_RESTING, State.CONNECTED, State.TLS}:
            self._farewell = replies.CLOSING
            self._scope.cancel()

    @property
    def working(self) -> bool:
        """Whether it waits for others than its client."""
        return self._until == math.inf and self.machine.state is not State.CLOSED

    def overdue(self, now: float) -> None:
        """End it, if its client has had his time."""
        if self._until < now:
            self._scope.cancel()

    def _busy(self) -> bool:
        return self.machine.state not in {*_RESTING, State.CONNECTED}

    def _log_end(self, why: str) -> None:
        self.server.log.info("session-ended", client=self.client, login=self.who.login, detail=why)

    # --- what happens

    async def event(self) -> Event:
        """What happens next; at the end, ``Ended`` again and again. All that was said is sent before it is waited for.

        Raises ``Gone``.
        """
        if self._ended is not None:
            return self._ended
        while (event := self.machine.next_event()) is None:
            await self._hear()
        if isinstance(event, Ended):
            self._ended = event
        return event

    async def _hear(self) -> None:
        machine, pace, now = self.machine, self._pace, trio.current_time()
        said = machine.data_to_send()
        if said:
            pace.turn(now)
        if self.server.draining and machine.state in _RESTING:
            machine.close(replies.CLOSING)
            await self._send(said)
            return
        known = machine.authenticated or self.who.legacy is not None
        self._until = pace.until(machine, known, now)
        if said:
            await self.wire.send(said)
        data = await self.wire.receive()
        self._until = math.inf
        pace.heard(machine, len(data), trio.current_time() - now)
        machine.receive(data)

    async def send(self) -> None:
        """What was said so far."""
        await self._send(self.machine.data_to_send())

    async def _send(self, data: bytes) -> None:
        if data:
            self._until = trio.current_time() + self.server.options.command_timeout
            await self.wire.send(data)
            self._until = math.inf

    async def _converse(self) -> Ended:
        while True:
            match await self.event():
                case Hello():
                    self.machine.accept()
                case AuthBegin() as begin:
                    self.who.known_as(await authenticate(self, begin))
                case MailFrom() as mail:
                    await self._mail(mail)
                case StartTls():
                    await self._start_tls()
                case Xclient(attributes):
                    self._xclient(attributes)
                case Ended() as ended:
                    self._until = trio.current_time() + self.server.options.command_timeout
                    await self.wire.send_last(self.machine.data_to_send())
                    return ended
                case _:
                    pass  # what is left of a transaction that is over already

    async def _mail(self, mail: MailFrom) -> None:
        who = self.who.sender(self.wire.tls)
        refusal = await self.server.judge.envelope(who, mail.sender) if who is not None else replies.AUTH_REQUIRED
        if who is None or refusal is not None:
            self.refused("mail", mail.sender, refusal or replies.AUTH_REQUIRED, who)
            self.machine.refuse(refusal or replies.AUTH_REQUIRED)
            return
        self.machine.accept()
        envelope = Envelope(mail.sender, mail.parameters, trio.current_time())
        async with self.server.relay.begin(envelope, folded(who.login)) as transfer:
            await Transaction(self, who, mail, transfer).run()
            await self.send()  # he need not wait until the hop's connection is put away

    async def _start_tls(self) -> None:
        context = self.server.options.context
        assert context is not None, "STARTTLS is offered"
        self.machine.accept()
        await self.send()
        if self.machine.state is not State.TLS:
            return
        self.who.known_as(None)
        self._until = trio.current_time() + self.server.options.handshake_timeout
        await self.wire.handshake(context)
        self._until = math.inf
        self.mechanisms = usable(self.server.offered, self.wire.tls)
        self.machine.tls_started(self.mechanisms)

    def _xclient(self, attributes: dict[str, str | None]) -> None:
        try:
            client = told_address(attributes)
        except MalformedAddress:
            self.machine.refuse(replies.BAD_XCLIENT)
            return
        self.who.client = client or self.client
        login = attributes.get("LOGIN")
        self.who.known_as(Account(login) if login else None)
        self.machine.accept_xclient(bool(login))

    # --- messages

    def content_begins(self) -> None:
        """Yes to a message's content."""
        self.machine.accept()
        self._pace.message()

    def new_id(self) -> str:
        """The next message's id."""
        self._messages += 1
        return received.trace_id(self.server.key, self._name, self._messages)

    def refused(self, stage: str, address: Mailbox | None, reply: Reply, who: Sender | None) -> None:
        """An address was refused: its line in the log."""
        self.server.log.info(
            "refused",
            stage=stage,
            login=who.login if who is not None else "",
            client=self.client,
            address=written(address),
            code=reply.code,
            detail=f"{reply.enhanced} {reply.text}",
        )
