"""One message on its way to a next hop: which connection it takes, and what the hop says, recipient by recipient."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

import trio

from ..protocols.smtp.content import Unsendable
from ..protocols.smtp.envelope import TOO_LATE, Envelope
from ..protocols.smtp.replies import BAD_CONTENT, Reply
from ..protocols.smtp.sending import Sending
from ..protocols.smtp.steps import Unusable
from ..protocols.smtp.transaction import Recipient
from .connection import SEND, Connection
from .hosts import Hosts
from .outcome import GAVE_WAY, LOST, SILENT, UNREACHABLE, UNTOLD, Answer, Deferred, Outcome, answer, outcome, refusal


class Delivery:
    """See ``hop.Delivering``. ``finish`` must be awaited in the end."""

    def __init__(self, hosts: Hosts, envelope: Envelope, login: str = "") -> None:
        self._hosts = hosts
        self._envelope = envelope
        self._login = login
        self._entered = False
        self._connection: Connection | None = None
        self._sending: Sending | None = None
        self._fault: Unusable | None = None

    async def rcpt(self, *recipients: Recipient, data: bool = False) -> list[Answer]:
        """An answer for each."""
        if self._fault is not None:
            return [Deferred(self._fault.reply)] * len(recipients)
        self._hosts.shares.works(self)
        try:
            replies = await self._replies(recipients, data)
        except Unusable as fault:
            await self._give_up(fault)
            return [Deferred(fault.reply)] * len(recipients)
        self._hosts.shares.rests(self)
        return [answer(reply) for reply in replies]

    async def content(self, pieces: AsyncIterable[bytes]) -> list[Outcome]:
        """An outcome for each recipient that was accepted."""
        sending, refused = self._sending, None
        if sending is None or not sending.accepted:
            raise ValueError("content for nobody")
        connection = self._connection
        self._hosts.shares.works(self)
        if connection is not None:
            try:
                await self._send(connection, sending, pieces)
            except Unsendable:
                refused = BAD_CONTENT
            except Unusable as fault:
                refused = await self._reason(connection, sending)
                await self._give_up(fault)
        return self._outcomes(sending, refused)

    async def finish(self) -> None:
        """There is no more: the connection is kept, if it can be."""
        self._hosts.shares.works(self)
        connection, self._connection = self._connection, None
        try:
            if connection is not None and (self._sending is None or self._sending.open):
                await connection.kill()
            elif connection is not None:
                await self._hosts.pool.give(connection)
        finally:
            self._leave()

    async def give_way(self) -> None:
        """See ``shares.Holder``. Recipients that were accepted hear of it at the end of the content."""
        self._fault = Unusable(GAVE_WAY, "its client was silent")
        self._hosts.gave_way(self._login)
        await self._drop()
        self._leave()

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            self._hosts.shares.leave(self, self._login)

    # --- recipients

    async def _replies(self, recipients: Sequence[Recipient], data: bool) -> list[Reply]:
        if self._connection is None or self._sending is None:
            return await self._first(recipients, data)
        return await self._connection.run(self._sending.recipients(recipients, data))

    async def _first(self, recipients: Sequence[Recipient], data: bool) -> list[Reply]:
        """The first answers, over a kept connection or the first host that gives any. Raises ``Unusable``."""
        await self._hosts.enter(self, self._login)
        self._entered = True
        self._connection = await self._hosts.pool.take()
        if self._connection is not None:
            try:
                return await self._over(self._connection, recipients, data)
            except Unusable:
                # it has ended while nobody looked, which is nobody's fault
                await self._drop()
                await self._hosts.pool.forget()
        last = Unusable(UNREACHABLE)
        for server in self._hosts.in_order():
            try:
                self._connection = await self._hosts.connect(server)
            except Unusable as fault:
                last = fault
                continue
            try:
                replies = await self._over(self._connection, recipients, data)
            except Unusable as fault:
                last = fault
                self._hosts.failed(server, fault)
                await self._drop()
            else:
                self._hosts.worked(server)
                return replies
        raise last

    async def _over(self, connection: Connection, recipients: Sequence[Recipient], data: bool) -> list[Reply]:
        connection.messages += 1
        sending = Sending(connection.client, self._envelope.later(trio.current_time()))
        replies = await connection.run(sending.recipients(recipients, data))
        self._sending = sending
        return replies

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.kill()

    async def _give_up(self, fault: Unusable) -> None:
        """Nothing more goes over this connection, and what has no answer gets none."""
        self._fault = fault
        if self._connection is not None:
            self._hosts.broke(self._connection.server, fault)
        await self._drop()
        self._leave()

    # --- content

    async def _send(self, connection: Connection, sending: Sending, pieces: AsyncIterable[bytes]) -> None:
        if not await connection.run(sending.begin()):
            return None
        size = 0
        async for piece in pieces:
            size += len(piece)
            if not await connection.run(sending.piece(piece)):
                return None
        # whatever it says before the end has come is no answer to it, and it may say it while it takes nothing in
        if size >= SEND:
            await connection.flush()
        await connection.catch_up()
        if self._envelope.later(trio.current_time()).expired:
            return sending.refuse(TOO_LATE)
        return await connection.run(sending.end())

    async def _reason(self, connection: Connection, sending: Sending) -> Reply | None:
        """Why a hop has ended the connection in the middle of the content, if it has said."""
        return await connection.last_words() if sending.open and not sending.complete else None

    def _lost(self, sending: Sending) -> Reply:
        """What is told where there is no answer."""
        reply = self._fault.reply if self._fault is not None else UNREACHABLE
        return UNTOLD if sending.complete and reply in (SILENT, LOST) else reply

    def _outcomes(self, sending: Sending, refused: Reply | None) -> list[Outcome]:
        """What was answered counts, whatever came then; where nothing was, ``refused`` or the fault."""
        found = [outcome(reply) for reply in sending.answers]
        if len(found) < len(sending.accepted):
            reply = refused or self._lost(sending)
            found += [refusal(reply)] * (len(sending.accepted) - len(found))
        return found
