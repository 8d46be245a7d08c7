"""As whom a message is sent, judged at its envelope and at its header; and the header that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .. import senders
from ..model import Accept, Account, Defer, Origin, Reject
from ..protocols.smtp.addresses import Mailbox
from ..protocols.smtp.replies import Reply, reply
from . import fixups, identity, received, shown
from .door import Door
from .fixups import Fixed, Missing, Rules
from .headers import Header
from .identity import Binding, Claims
from .received import Trace

MAX_QUESTIONS = 50
"""Addresses of one message that the core is asked about: more authors than a message has."""

TOO_MANY_AUTHORS = reply(550, "5.7.1", "From: more addresses than anybody is asked about")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends. ``login`` is what limits and log lines go by, ``forced`` the one address of who has no login.

    ``own`` is the address that a message without From gets, if there is one.
    """

    account: Account
    origin: Origin
    login: str
    forced: str = ""
    own: str | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", self.forced or identity.own_address(self.account))


class Judge:
    """Holds a message to its sender."""

    def __init__(self, door: Door, binding: Binding) -> None:
        self._door = door
        self._binding: Binding = binding

    async def envelope(self, who: Sender, sender: Mailbox | None) -> Reply | None:
        """Why he may not say this MAIL FROM; None is the null sender, which anybody with a login may say."""
        if who.forced and sender is None:
            return _foreign("MAIL FROM", "", who)
        return await self._judged(who, identity.of_envelope(self._of(who), sender))

    async def header(self, who: Sender, header: Header) -> Reply | None:
        """Why he may not send a message with this header, or nobody may."""
        circles = received.circling(header)
        if circles is not None:
            return circles
        claims = identity.of_header(self._of(who), header, who.own)
        return claims if isinstance(claims, Reply) else await self._judged(who, claims)

    def _of(self, who: Sender) -> Binding:
        return "strict" if who.forced else self._binding

    async def _judged(self, who: Sender, claims: Claims) -> Reply | None:
        if who.forced:
            return next(
                (_foreign(c.where, c.address, who) for c in claims if not senders.same(c.address, who.forced)), None
            )
        questions = identity.questions(claims, who.account)
        if len(questions) > MAX_QUESTIONS:
            return TOO_MANY_AUTHORS
        return identity.judge(claims, who.account, await self._answers(who, questions))

    async def _answers(self, who: Sender, questions: Sequence[str]) -> dict[str, Accept | Reject | Defer]:
        answers: dict[str, Accept | Reject | Defer] = {}
        for address in questions:
            answers[address] = await self._door.may_send(who.account, address, who.origin)
            if isinstance(answers[address], Reject):
                break  # one no is enough
        return answers


def _foreign(where: str, address: str, who: Sender) -> Reply:
    return reply(
        550, "5.7.1", f"{where}: {shown(address) or '<>'} is not {shown(who.forced)}, as whom all is sent from here"
    )


def fixed(header: Header, rules: Rules, who: Sender, trace: Trace) -> Fixed:
    """The header that goes on. ``trace`` has the id and the time of the message."""
    missing = Missing(
        date=trace.date,
        message_id=received.message_id(trace.id, trace.by),
        author=who.own or "",
        sender=(who.own or "") if identity.wants_sender(header) else "",
    )
    return fixups.fix(header, rules, missing, received.field(trace))
