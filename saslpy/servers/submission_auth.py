"""AUTH (RFC 4954): a SASL exchange between the client and the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exchange import Bind, Challenge, Done
from ..model import Accept, Account, Reason, Reject, Verdict
from ..protocols.smtp import replies
from ..protocols.smtp.events import AuthBegin, AuthResponse
from ..submission.door import Exchange
from .submission_client import PLUS, binding

if TYPE_CHECKING:
    from .submission_session import Session


async def authenticate(session: Session, begin: AuthBegin) -> Account | None:
    """Who has logged in; None where nobody has, and the client has heard it."""
    plus_offered = any(name.endswith(PLUS) for name in session.mechanisms)
    exchange = session.server.door.begin(
        begin.mechanism, session.who.origin(session.wire.tls, begin.mechanism), plus_offered
    )
    if exchange is None:
        session.machine.refuse(replies.AUTH_LATER)
        return None
    try:
        done = await _exchanged(session, exchange, begin)
    except BaseException:
        exchange.cancel()
        raise
    if done is None:
        exchange.cancel()
        return None
    return _told(session, done)


async def _exchanged(session: Session, exchange: Exchange, begin: AuthBegin) -> Done | None:
    """How the exchange has ended; None where the client has given up."""
    step = await exchange.start(begin.initial)
    while not isinstance(step, Done):
        if isinstance(step, Bind):
            step = await exchange.bind(binding(step.kind, session.wire.tls))
            continue
        response = await _asked(session, step)
        if response is None:
            return None
        step = await exchange.respond(response)
    if step.final is None:
        return step
    # 235 has no room for it (RFC 4954, 4): one more challenge, whose response is empty
    response = await _asked(session, Challenge(step.final))
    if response is None:
        return None
    return step if not response else Done(Reject(Reason.MALFORMED), malformed=True)


async def _asked(session: Session, challenge: Challenge) -> bytes | None:
    """The client's response; None where it has none, or the connection is over."""
    session.machine.challenge(challenge.data)
    event = await session.event()
    return event.data if isinstance(event, AuthResponse) else None


def _told(session: Session, done: Done) -> Account | None:
    machine = session.machine
    if isinstance(done.verdict, Accept):
        machine.accept()
        # what came behind it, before it was answered, has ended the connection
        return done.verdict.account if machine.authenticated else None
    machine.refuse(_reply(done.verdict, done))
    return None


def _reply(verdict: Verdict, done: Done) -> replies.Reply:
    if not isinstance(verdict, Reject):
        return replies.AUTH_LATER
    return replies.AUTH_MALFORMED if done.malformed else replies.AUTH_FAILED
