"""One mail transaction: a sender who may, recipients that the next hop takes, content that goes to it; one log line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from ..protocols.smtp import replies
from ..protocols.smtp.addresses import Mailbox
from ..protocols.smtp.events import ContentBegin, Ended, MailFrom, RcptTo, Reset
from ..protocols.smtp.replies import Reply
from ..protocols.smtp.transaction import Recipient
from ..relay.proxy import Transfer
from ..submission import received
from ..submission.headers import HeaderFault
from ..submission.limits import Allowed, Refused
from ..submission.message import Sender, fixed
from ..submission.received import Trace
from .submission_client import cipher_of
from .submission_content import Content, Void

if TYPE_CHECKING:
    from .submission_session import Session

GIVING_BACK = 2.0
"""Seconds for telling the core that a message was not sent, when nobody waits for it any more."""


class Transaction:
    """``who`` sends, ``mail`` has begun it, ``transfer`` takes it."""

    def __init__(self, session: Session, who: Sender, mail: MailFrom, transfer: Transfer) -> None:
        self._session = session
        self._who = who
        self._mail = mail
        self._transfer = transfer
        self._recipients = 0

    async def run(self) -> None:
        """To its end, whatever that is. Raises ``Gone``."""
        session = self._session
        while True:
            match await session.event():
                case RcptTo() as rcpt:
                    await self._rcpt(rcpt)
                case ContentBegin():
                    await self._message()
                    return
                case Reset() | Ended():
                    return

    async def _rcpt(self, rcpt: RcptTo) -> None:
        reply = await self._transfer.rcpt(Recipient(rcpt.mailbox, rcpt.parameters))
        if reply.positive:
            self._recipients += 1
            self._session.machine.accept(reply)
        else:
            self._session.refused("rcpt", rcpt.mailbox, reply, self._who)
            self._session.machine.refuse(reply)

    # --- the message

    async def _message(self) -> None:
        """Count it, take it, or give back what was counted."""
        begun, content = time.perf_counter(), Content(self._session)
        trace = self._trace()
        outcome: Reply | str = "aborted"
        try:
            outcome = await self._counted(content, trace)
        except Void as void:
            outcome = str(void)
        finally:
            self._tell(trace, content, outcome, (time.perf_counter() - begun) * 1000)

    async def _counted(self, content: Content, trace: Trace) -> Reply:
        """The last reply."""
        door, login, count = self._session.server.door, self._who.login, self._recipients
        allowed = await door.take(login, 1, count)
        if not isinstance(allowed, Allowed):
            return self._refuse(allowed.reply() if isinstance(allowed, Refused) else replies.LOCAL_ERROR)
        taken = False
        try:
            reply = await self._taken(content, trace)
            taken = reply.positive
        finally:
            if not taken:
                # those who have it in spite of a refusal count: else whoever adds one full mailbox sends without limits
                reached = self._transfer.delivered
                with trio.move_on_after(GIVING_BACK) as scope:
                    scope.shield = True
                    await door.give_back(login, 0 if reached else 1, count - reached, allowed.at)
        return reply

    async def _taken(self, content: Content, trace: Trace) -> Reply:
        session = self._session
        session.content_begins()
        try:
            header = await content.header()
        except HeaderFault as fault:
            return self._refuse(fault.reply())
        refusal = await session.server.judge.header(self._who, header)
        if refusal is not None:
            return self._refuse(refusal)
        content.head(fixed(header, session.server.options.rules, self._who, trace).header)
        reply = await self._transfer.content(content)
        if not reply.positive:
            return self._refuse(reply)
        session.machine.accept(reply)
        session.server.messages += 1
        return reply

    def _refuse(self, reply: Reply) -> Reply:
        self._session.machine.refuse(reply)
        return reply

    # --- what is told of it

    def _trace(self) -> Trace:
        session, options, who = self._session, self._session.server.options, self._who
        return Trace(
            by=options.hostname,
            protocol=received.protocol(
                session.machine.esmtp,
                session.machine.tls,
                session.machine.authenticated,
                self._mail.parameters.smtputf8,
            ),
            id=session.new_id(),
            date=received.date(time.time()),
            helo=session.machine.hello if options.trace_client else "",
            client=session.client if options.trace_client else "",
            login=who.login if options.trace_login else "",
            cipher=cipher_of(session.wire.tls),
        )

    def _tell(self, trace: Trace, content: Content, outcome: Reply | str, milliseconds: float) -> None:
        reply = outcome if isinstance(outcome, Reply) else None
        self._session.server.log.info(
            "message",
            id=trace.id,
            login=self._who.login,
            client=self._session.client,
            sender=written(self._mail.sender),
            recipients=self._recipients,
            size=content.size,
            hop=self._transfer.hop,
            code=reply.code if reply else "",
            detail=f"{reply.enhanced} {'; '.join(reply.lines)}" if reply else str(outcome),
            ms=milliseconds,
        )


def written(sender: Mailbox | None) -> str:
    """A sender as the log has it."""
    return "<>" if sender is None else str(sender)
