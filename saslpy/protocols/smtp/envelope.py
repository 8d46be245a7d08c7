"""MAIL and RCPT as they are said to a next hop: with what it offers of what our client has asked for.

What it does not offer is left out where the message may go without it (SIZE, BODY=8BITMIME, DSN, BY with N; MT-PRIORITY,
which its sender is told), and a permanent fault where it may not: addresses beyond ASCII, binary content, a time of
release, BY with R, and what must be encrypted on its whole way.

A final delivery (``final``: LMTP, a folder) is at once, and needs no DELIVERBY to be in time. Times that count from now
(BY, HOLDFOR) have run since our client has said them: ``Envelope.at``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from . import xtext
from .addresses import Mailbox
from .capabilities import Capabilities
from .parameters import MailParameters, RcptParameters
from .replies import TOO_LARGE, Reply, reply
from .transaction import Recipient

NEEDS_UTF8 = reply(553, "5.6.7", "The next hop cannot take addresses or headers beyond ASCII")
NEEDS_BINARY = reply(554, "5.6.3", "The next hop cannot take binary content")
NEEDS_TLS = reply(550, "5.7.30", "The next hop does not support REQUIRETLS")
NEEDS_RELEASE = reply(554, "5.3.3", "The next hop cannot release the message later")
NEEDS_DELIVERY = reply(554, "5.3.3", "The next hop does not promise delivery in time")
TOO_LATE = reply(554, "5.4.7", "The time for delivery has expired")
TOO_SOON = reply(554, "5.4.7", "The next hop does not promise delivery in so short a time")
PRIORITY_CHANGED = "0 is the new priority assigned to the message, since the next hop knows no priorities"


@dataclass(frozen=True, slots=True)
class Envelope:
    """``sender`` is None for the null sender. ``parameters`` are what our client has asked for at a time, in seconds."""

    sender: Mailbox | None
    parameters: MailParameters = field(default_factory=MailParameters)
    at: float = 0.0

    @property
    def binary(self) -> bool:
        """Whether CR, LF and NUL may stand anywhere in the content."""
        return self.parameters.body == "BINARYMIME"

    @property
    def expired(self) -> bool:
        """Whether it should come back now, since it is late (RFC 2852)."""
        by = self.parameters.deliver_by
        return by is not None and by.returned and by.seconds <= 0

    def later(self, now: float) -> Envelope:
        """With what is left of its times now (RFC 2852, RFC 4865)."""
        given, passed = self.parameters, int(now - self.at)
        if not passed or (given.deliver_by is None and given.hold_for is None):
            return self
        by = given.deliver_by.later(passed) if given.deliver_by is not None else None
        hold = max(given.hold_for - passed, 1) if given.hold_for else given.hold_for
        return Envelope(self.sender, replace(given, deliver_by=by, hold_for=hold), now)


def fault(envelope: Envelope, offers: Capabilities, confidential: bool, final: bool = False) -> Reply | None:
    """Why a hop cannot take any message of the envelope. ``confidential``: REQUIRETLS can be honoured (RFC 8689)."""
    given = envelope.parameters
    reasons = {
        NEEDS_TLS: given.requiretls and not confidential,
        NEEDS_UTF8: envelope.sender is not None and envelope.sender.utf8 and not _utf8(given, offers),
        NEEDS_BINARY: envelope.binary and not {"BINARYMIME", "CHUNKING"} <= offers.keywords.keys(),
        NEEDS_RELEASE: _held(given) and "FUTURERELEASE" not in offers,
        TOO_LARGE: 0 < offers.size < (given.size or 0),
    }
    return next((reason for reason, applies in reasons.items() if applies), None) or _late(envelope, offers, final)


def _late(envelope: Envelope, offers: Capabilities, final: bool) -> Reply | None:
    """Why a message that comes back if it is late would be (RFC 2852)."""
    by = envelope.parameters.deliver_by
    if by is None or not by.returned:
        return None
    if envelope.expired:
        return TOO_LATE
    if "DELIVERBY" not in offers:
        return None if final else NEEDS_DELIVERY
    return TOO_SOON if by.seconds < offers.min_by_time else None


def told(answer: Reply, envelope: Envelope, offers: Capabilities) -> Reply:
    """A hop's answer to a whole message, with what became of its priority (RFC 6710: X.3.6 and the new one)."""
    if not (answer.positive and envelope.parameters.priority) or "MT-PRIORITY" in offers:
        return answer
    return replace(answer, enhanced="2.3.6", lines=(PRIORITY_CHANGED, *answer.lines))


def recipient_fault(recipient: Recipient, envelope: Envelope, offers: Capabilities) -> Reply | None:
    """Why a hop cannot take this recipient."""
    return NEEDS_UTF8 if recipient.mailbox.utf8 and not _utf8(envelope.parameters, offers) else None


def mail_line(envelope: Envelope, offers: Capabilities) -> str:
    """MAIL, for an envelope without ``fault``. Raises ``MalformedXtext`` for an ENVID that no client can have sent."""
    sender = "" if envelope.sender is None else str(envelope.sender)
    return " ".join((f"MAIL FROM:<{sender}>", *_mail_parameters(envelope.parameters, offers)))


def rcpt_line(recipient: Recipient, offers: Capabilities) -> str:
    """RCPT. Raises ``MalformedXtext`` likewise."""
    return " ".join((f"RCPT TO:<{recipient.mailbox}>", *_rcpt_parameters(recipient.parameters, offers)))


def _held(given: MailParameters) -> bool:
    return given.hold_for is not None or given.hold_until is not None


def _utf8(given: MailParameters, offers: Capabilities) -> bool:
    return given.smtputf8 and "SMTPUTF8" in offers


def _mail_parameters(given: MailParameters, offers: Capabilities) -> Iterator[str]:
    if given.size is not None and "SIZE" in offers:
        yield f"SIZE={given.size}"
    if (given.body != "7BIT" and "8BITMIME" in offers) or given.body == "BINARYMIME":
        yield f"BODY={given.body}"
    if _utf8(given, offers):
        yield "SMTPUTF8"
    if given.requiretls and "REQUIRETLS" in offers:
        yield "REQUIRETLS"
    if "DSN" in offers:
        yield from _dsn(given)
    if given.hold_for is not None:
        yield f"HOLDFOR={given.hold_for}"
    if given.hold_until is not None:
        yield f"HOLDUNTIL={given.hold_until.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
    if given.deliver_by is not None and "DELIVERBY" in offers:
        yield f"BY={given.deliver_by}"
    if given.priority is not None and "MT-PRIORITY" in offers:
        yield f"MT-PRIORITY={given.priority}"


def _dsn(given: MailParameters) -> Iterator[str]:
    if given.ret is not None:
        yield f"RET={given.ret}"
    if given.envid is not None:
        yield f"ENVID={xtext.encode(given.envid)}"


def _rcpt_parameters(given: RcptParameters, offers: Capabilities) -> Iterator[str]:
    if "DSN" not in offers:
        return
    if given.notify is not None:
        yield f"NOTIFY={','.join(given.notify)}"
    if given.orcpt is not None:
        yield f"ORCPT={given.orcpt}"
