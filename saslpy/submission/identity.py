"""As whom a message is sent, and whether its sender may (RFC 6409, 6.1; design "sender binding").

strict    MAIL FROM, every mailbox of From, and Sender belong to the login
envelope  MAIL FROM does; the header is not looked at
off       nothing is looked at

What belongs to whom is not known here. ``of_envelope`` and ``of_header`` say which addresses are claimed, ``questions``
which of them must be asked about, ``judge`` says what the answers mean. The null sender claims nothing: read receipts need
it. Resent- fields and Reply-To are not held to anything: no reader shows them as the author.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .. import senders
from ..model import Accept, Account, Reject, Verdict
from ..protocols.smtp.addresses import Mailbox, MalformedAddress, mailbox
from ..protocols.smtp.replies import Reply, reply
from . import shown
from .headers import Header
from .mailboxes import AddressFault, mailboxes

Binding: TypeAlias = Literal["strict", "envelope", "off"]


@dataclass(frozen=True, slots=True)
class Claim:
    """That a message comes from an address, in its one spelling; ``where`` is MAIL FROM or a field's name."""

    where: str
    address: str


Claims: TypeAlias = tuple[Claim, ...]


def of_envelope(binding: Binding, sender: Mailbox | None) -> Claims:
    """What MAIL FROM claims; None is the null sender."""
    return () if binding == "off" or sender is None else (Claim("MAIL FROM", str(sender)),)


def of_header(binding: Binding, header: Header, own: str | None) -> Claims | Reply:
    """What the header claims, or why that cannot be told.

    ``own`` is the login's address (``own_address``), which a message without From gets, where he has one.
    """
    if binding != "strict":
        return ()
    try:
        authors = _mailboxes(header, "From")
        sender = _mailboxes(header, "Sender")
    except AddressFault as fault:
        return reply(550, "5.7.1", str(fault))
    if authors is None and own is None:
        return reply(
            550, "5.7.1", "the message has no From field, and its sender is no address that could be put there"
        )
    if sender is not None and len(sender) != 1:
        return reply(550, "5.7.1", "Sender: not one address")
    return _claims("From", authors or ()) + _claims("Sender", sender or ())


def _mailboxes(header: Header, name: str) -> tuple[Mailbox, ...] | None:
    """The mailboxes of the one field of a name, at least one; None when there is no such field."""
    fields = header.named(name.lower().encode())
    if not fields:
        return None
    if len(fields) > 1:
        raise AddressFault(f"more than one {name} field")
    try:
        found = mailboxes(fields[0].value)
    except AddressFault as fault:
        raise AddressFault(f"{name}: no address, or not a clear one: {fault}") from None
    if not found:
        raise AddressFault(f"{name}: no address")
    return found


def _claims(where: str, found: Iterable[Mailbox]) -> Claims:
    return tuple(Claim(where, str(one)) for one in found)


def questions(claims: Claims, account: Account) -> tuple[str, ...]:
    """The addresses that must be asked about, each once: those that are not the account's own already by what is known."""
    return tuple(dict.fromkeys(claim.address for claim in claims if not senders.may_send(account, claim.address)))


def judge(claims: Claims, account: Account, answers: Mapping[str, Verdict]) -> Reply | None:
    """Why the message is not taken, or None: every claim is the account's own, or was accepted.

    One no is enough for a refusal for good; else a doubt, and an answer that is missing is one, asks for another try.
    """
    open_ = [claim for claim in claims if not senders.may_send(account, claim.address)]
    for claim in open_:
        if isinstance(answers.get(claim.address), Reject):
            return reply(550, "5.7.1", f"{claim.where}: {shown(claim.address)} is no address of {shown(account.login)}")
    for claim in open_:
        if not isinstance(answers.get(claim.address), Accept):
            text = f"{claim.where}: could not find out whether {shown(claim.address)} is yours; try again later"
            return reply(451, "4.3.0", text)
    return None


def own_address(account: Account) -> str | None:
    """The address that a message without From gets: the login, or the first alias where the login is no address."""
    for name in (account.login, *account.aliases):
        try:
            return str(mailbox(name))
        except MalformedAddress:
            continue
    return None


def wants_sender(header: Header) -> bool:
    """Whether there are several authors and nobody is named who sends for them all (RFC 5322, 3.6.2)."""
    authors = header.named(b"from")
    if b"sender" in header or not any(b"," in field.raw for field in authors):  # most have one author
        return False
    try:
        return sum(len(mailboxes(field.value)) for field in authors) > 1
    except AddressFault:
        return False
