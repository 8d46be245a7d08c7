"""One message on a client's connection: its sender, its recipients, its content; and what is answered, for each recipient.

Where the hop offers PIPELINING (RFC 2920), MAIL and all RCPT that are there go out together, DATA with them when it is
wanted; else one by one. BDAT is said only where binary content needs it (RFC 3030). SMTP answers the content once, LMTP
once for each recipient that was accepted (RFC 2033, 4.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .client import OUT_OF_STEP, Client, expect_verdict
from .content import Stuffer
from .envelope import NEEDS_UTF8, Envelope, fault, mail_line, rcpt_line, recipient_fault, told
from .replies import Reply
from .steps import Step, Steps, Unusable
from .transaction import Recipient

MAX_GROUP = 50
"""Commands that go out together: as many as fit, with their answers, into what sockets hold, or both sides would wait."""


class Sending:
    """The generators ``recipients`` (any number of times), ``begin``, ``piece`` (likewise), ``end``, in this order.

    ``accepted`` are the recipients that the hop takes content for; ``answers`` what it has said to that, in their order:
    fewer than ``accepted`` when the connection became ``Unusable`` in between.
    """

    __slots__ = (
        "_data",
        "_fault",
        "_header",
        "_mail",
        "_stuffer",
        "accepted",
        "answers",
        "client",
        "complete",
        "envelope",
    )

    def __init__(self, client: Client, envelope: Envelope) -> None:
        self.client = client
        self.envelope = envelope
        self.accepted: list[Recipient] = []
        self.answers: list[Reply] = []
        self.complete = False
        """Whether the end of the content has been said: it may be the hop's now, whatever is answered."""
        self._fault = fault(envelope, client.capabilities, client.confidential, final=client.lmtp)
        self._mail: Reply | None = None
        self._data: Reply | None = None
        self._stuffer = Stuffer()
        declared = envelope.parameters.smtputf8 and "SMTPUTF8" not in client.capabilities
        self._header = _AsciiHeader() if declared else None

    # --- recipients

    def recipients(self, recipients: Sequence[Recipient], data: bool = False) -> Steps[list[Reply]]:
        """An answer for each. ``data``: there are no more, DATA may go out, too. Raises ``Unusable``, ``Unsendable``."""
        refused = {
            number: reason for number, one in enumerate(recipients) if (reason := self._fault or self._unfit(one))
        }
        fit = [one for number, one in enumerate(recipients) if number not in refused]
        answers = iter((yield from self._ask(fit, data)) if fit else [])
        return [refused[number] if number in refused else next(answers) for number in range(len(recipients))]

    def _unfit(self, recipient: Recipient) -> Reply | None:
        return recipient_fault(recipient, self.envelope, self.client.capabilities)

    def _ask(self, recipients: Sequence[Recipient], data: bool) -> Steps[list[Reply]]:
        opening = self._opening()
        lines = [rcpt_line(recipient, self.client.capabilities) for recipient in recipients]
        if not self.client.pipelining:
            return (yield from self._one_by_one(opening, recipients, lines))
        closing = ["DATA"] if data and not self.envelope.binary and self._mail_may_follow() else []
        found: list[Reply] = []
        for group in _groups([*opening, *lines, *closing]):
            self.client.say(*group)
            for _ in group:
                found.append((yield Step.REPLY))
        self._take_opening(found[: len(opening)])
        answers = [self._judged(one, found[len(opening) + n]) for n, one in enumerate(recipients)]
        if closing:
            self._data = found[-1]
            yield from self._leave_empty()
        return answers

    def _one_by_one(
        self, opening: Sequence[str], recipients: Sequence[Recipient], lines: Sequence[str]
    ) -> Steps[list[Reply]]:
        replies: list[Reply] = []
        for line in opening:
            replies.append((yield from self.client.ask(line)))
        self._take_opening(replies)
        answers: list[Reply] = []
        for recipient, line in zip(recipients, lines, strict=True):
            if self._mail_may_follow():
                answer = yield from self.client.ask(line)
            else:
                assert self._mail is not None
                answer = self._mail
            answers.append(self._judged(recipient, answer))
        return answers

    def _mail_may_follow(self) -> bool:
        """Whether MAIL has not been refused."""
        return self._mail is None or self._mail.positive

    def _opening(self) -> list[str]:
        if self._mail is not None:
            return []
        return [*(["RSET"] if self.client.dirty else []), mail_line(self.envelope, self.client.capabilities)]

    def _take_opening(self, replies: Sequence[Reply]) -> None:
        """The answers to RSET and MAIL. Raises ``Unusable`` where another connection may do better."""
        if not replies:
            return
        for reply in replies:
            if reply.closing:
                raise Unusable(reply, f"it has said {reply}")
        if not replies[0].positive and len(replies) > 1:
            raise Unusable(OUT_OF_STEP, f"RSET: {replies[0]}")
        self._mail = expect_verdict(replies[-1])
        self.client.dirty = self._mail.positive

    def _judged(self, recipient: Recipient, answer: Reply) -> Reply:
        if self._mail is not None and not self._mail.positive:
            return self._mail
        if expect_verdict(answer).positive:
            self.accepted.append(recipient)
        return answer

    def _leave_empty(self) -> Steps[None]:
        """A hop may take the content of a message without recipients (RFC 2920, 3.1): it is empty then."""
        if self._data is not None and self._data.code == 354 and not self.accepted:
            self._data = None
            self.client.write(self._stuffer.end(), 1)
            yield Step.REPLY
            self.client.dirty = False

    # --- content

    def begin(self) -> Steps[bool]:
        """DATA. Whether content may follow; else ``answers`` says why not. Raises ``Unusable``."""
        assert self.accepted
        if self.envelope.binary:
            return True
        answer = self._data = self._data or (yield from self.client.ask("DATA"))
        if answer.positive and answer.code != 354:
            raise Unusable(OUT_OF_STEP, f"an answer to DATA that makes no sense: {answer}")
        if not answer.positive:
            self.refuse(answer)
        return answer.positive

    def piece(self, data: bytes) -> Steps[bool]:
        """The next piece of the content. Whether more may follow. Raises ``Unsendable``, ``Unusable``: close, at once."""
        if self._header is not None and not self._header.look(data):
            self.refuse(NEEDS_UTF8)
            return False
        if not self.envelope.binary:
            self.client.write(self._stuffer.encode(data))
            return True
        self.client.write(b"BDAT %d\r\n" % len(data) + data, 1)
        answer = expect_verdict((yield Step.REPLY))
        if not answer.positive:
            self.refuse(answer)
        return answer.positive

    def end(self) -> Steps[None]:
        """The end of the content: ``answers`` is complete behind it. Raises ``Unsendable``, ``Unusable``."""
        count = len(self.accepted) if self.client.lmtp else 1
        if self.envelope.binary:
            self.client.write(b"BDAT 0 LAST\r\n", count)
        else:
            self.client.write(self._stuffer.end(), count)
        self.complete = True
        for _ in range(count):
            answer = told(expect_verdict((yield Step.VERDICT)), self.envelope, self.client.capabilities)
            self.answers.extend([answer] * (1 if self.client.lmtp else len(self.accepted)))
        self._data, self.client.dirty = None, False

    @property
    def open(self) -> bool:
        """Whether the hop waits for content, or more of it. Where none comes, the connection must end, without its end."""
        return self._data is not None and self._data.code == 354

    def refuse(self, reply: Reply) -> None:
        """Nobody gets it, and that is why."""
        self.answers = [reply] * len(self.accepted)


class _AsciiHeader:
    """Looks for what is beyond ASCII in a header, which a hop without SMTPUTF8 cannot take (RFC 6532)."""

    __slots__ = ("_last", "_over")

    def __init__(self) -> None:
        self._last = b"\r\n"  # an empty header ends at once
        self._over = False

    def look(self, piece: bytes) -> bool:
        """The next piece of the message. Whether all is well."""
        if self._over:
            return True
        text = self._last + piece
        end = text.find(b"\r\n\r\n")
        self._over = end >= 0
        self._last = text[-3:]
        return (text[:end] if self._over else text).isascii()


def _groups(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(lines), MAX_GROUP):
        yield lines[start : start + MAX_GROUP]
