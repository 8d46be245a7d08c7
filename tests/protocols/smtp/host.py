"""A server around the machine, in memory: it says yes to all but wrong passwords, and keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from saslpy.protocols.smtp import replies
from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.events import (
    AuthBegin,
    AuthResponse,
    ContentBegin,
    ContentEnd,
    ContentPiece,
    Ended,
    Event,
    Hello,
    MailFrom,
    RcptTo,
    Reset,
    StartTls,
    Xclient,
)
from saslpy.protocols.smtp.options import Limits, Options
from saslpy.protocols.smtp.replies import Reply
from saslpy.protocols.smtp.server import Connection

OPTIONS = Options("mail.example.org", ("PLAIN", "LOGIN"))
RIGHT = b"\0joe\0secret"
AUTH = b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n"
GREETING = b"220 mail.example.org ESMTP\r\n"
MAIL, RCPT, DATA = b"MAIL FROM:<joe@example.org>\r\n", b"RCPT TO:<ann@example.net>\r\n", b"DATA\r\n"

Policy = Mapping[type[Any], Callable[[Any], Reply | None]]


def options(**changes: Any) -> Options:
    """The usual ones, with limits and others changed."""
    known = Limits.__slots__
    limits = {name: changes.pop(name) for name in list(changes) if name in known}
    return replace(OPTIONS, limits=replace(OPTIONS.limits, **limits), **changes)


class Host:
    """``policy`` says no, by the type of the event: a reply to refuse it with, or None."""

    def __init__(self, options: Options = OPTIONS, tls: bool = True, policy: Policy | None = None) -> None:
        self.connection = Connection(options, tls)
        self.policy = policy or {}
        self.events: list[Event] = []
        self.messages: list[tuple[Mailbox | None, list[str], bytes]] = []
        self.content = b""
        self.ended = ""

    def send(self, *segments: bytes) -> bytes:
        """What is said to these segments."""
        said = b""
        for segment in segments:
            if not self.closed:
                self.connection.receive(segment)
                said += self.run()
        return said

    def run(self) -> bytes:
        said = b""
        while (event := self.connection.next_event()) is not None:
            self.events.append(event)
            self.handle(event)
            said += self.connection.data_to_send()
            if isinstance(event, StartTls) and not self.closed and self.connection.state.name == "TLS":
                self.connection.tls_started()
        return said + self.connection.data_to_send()

    @property
    def closed(self) -> bool:
        return self.connection.state.name == "CLOSED"

    def handle(self, event: Event) -> None:
        refusal = self.policy.get(type(event), lambda event: None)(event)
        if refusal is not None:
            return self.connection.refuse(refusal)
        match event:
            case AuthBegin(initial=data) | AuthResponse(data):
                self.authenticate(data)
            case ContentBegin():
                self.content = b""
                self.connection.accept()
            case ContentPiece(data):
                self.content += data
            case ContentEnd():
                self.take()
            case Hello() | StartTls() | MailFrom() | RcptTo():
                self.connection.accept()
            case Xclient(attributes):
                self.connection.accept_xclient(attributes.get("LOGIN") is not None)
            case Ended(why):
                self.ended = why
        return None

    def authenticate(self, data: bytes | None) -> None:
        if data is None:
            self.connection.challenge(b"")
        elif data == RIGHT:
            self.connection.accept()
        else:
            self.connection.refuse(replies.AUTH_FAILED)

    def take(self) -> None:
        transaction = self.connection.transaction
        assert transaction is not None
        assert transaction.recipients
        to = [str(recipient.mailbox) for recipient in transaction.recipients]
        self.messages.append((transaction.sender, to, self.content))
        self.connection.accept()

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def resets(self) -> int:
        return len(self.of(Reset))


def greeted(options: Options = OPTIONS, tls: bool = True, policy: Policy | None = None) -> Host:
    host = Host(options, tls, policy)
    host.connection.greet()
    assert host.run() == GREETING
    return host


def ready(options: Options = OPTIONS, policy: Policy | None = None) -> Host:
    """EHLO and AUTH are over."""
    host = greeted(options, True, policy)
    host.send(b"EHLO client.example.org\r\n", AUTH)
    assert host.connection.authenticated
    return host


def at_content(options: Options = OPTIONS, policy: Policy | None = None) -> Host:
    """354 was said."""
    host = ready(options, policy)
    assert codes(host.send(MAIL, RCPT, DATA)) == [250, 250, 354]
    return host


def codes(said: bytes) -> list[int]:
    """The codes of replies, one each."""
    return [int(line[:3]) for line in said.splitlines() if line[3:4] != b"-"]


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data in segments that end at these places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places) if start < end]
