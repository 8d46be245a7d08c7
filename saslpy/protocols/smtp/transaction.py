"""One mail transaction (RFC 5321, 3.3). It is dropped whole on any error, and never emptied in part.

(Postfix and Exim have had years of faults where an error took the sender away and left the recipients.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .addresses import Mailbox
from .parameters import MailParameters, RcptParameters


@dataclass(frozen=True, slots=True)
class Recipient:
    """One that was accepted."""

    mailbox: Mailbox
    parameters: RcptParameters


@dataclass(slots=True)
class Transaction:
    """``sender`` is None for the null sender."""

    sender: Mailbox | None
    parameters: MailParameters
    recipients: list[Recipient] = field(default_factory=list)

    @property
    def binary(self) -> bool:
        """Whether CR, LF and NUL may stand anywhere in the content."""
        return self.parameters.body == "BINARYMIME"
