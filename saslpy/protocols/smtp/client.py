"""The client's side of SMTP and LMTP (RFC 5321, RFC 2033), without I/O: commands out, replies in.

``Client`` is one connection. What is to be done on it are generators (``opening`` here, ``sending``), each of which yields
``Step.REPLY`` or ``Step.VERDICT`` and is sent the next reply; or ``Step.HANDSHAKE`` when TLS must be spoken now. Before a
step, and at the end, what ``data_to_send`` has is sent::

    S: 220 …        C: EHLO name            LHLO for LMTP; HELO where EHLO is not known
    C: STARTTLS     S: 220                  nothing may stand behind it; what EHLO has told is forgotten
    C: EHLO name    C: AUTH …               then, any number of times, ``sending``: MAIL, RCPT…, DATA, the content

A peer may be anything. Replies that nobody has asked for, or of a class that makes no sense, what is no reply at all: the
connection is ``Unusable``. A 421 answers whatever is still open, and ends it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ...mechanisms.client import Credentials
from .authenticating import authenticate
from .capabilities import NONE, Capabilities, capabilities
from .content import Unsendable
from .replies import MalformedReply, Reply, ReplyReader, reply
from .steps import Step, Steps, Unusable

MAX_LINE = 12288
"""Octets of a command, with its CRLF (RFC 4954, 4)."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

NOT_SMTP = reply(451, "4.4.0", "The next hop does not speak SMTP")
OUT_OF_STEP = reply(451, "4.4.0", "The next hop answers out of step")
UNUSABLE = reply(451, "4.4.0", "The next hop cannot be used")
NO_TLS = reply(451, "4.4.0", "The next hop does not offer the encryption that is required")
INJECTED = reply(451, "4.4.0", "The next hop sent something unencrypted behind its answer to STARTTLS")


@dataclass(frozen=True, slots=True)
class Terms:
    """How a connection is opened. ``name`` is ours, in EHLO. ``mechanisms``: none but these, where there are some."""

    name: str
    tls: Literal["require", "opportunistic", "none"] = "require"
    credentials: Credentials | None = None
    mechanisms: tuple[str, ...] = ()


class Client:
    """One connection. ``local``: it does not leave this machine. ``tls`` and ``verified``: how it is, from the start."""

    __slots__ = (
        "_awaited",
        "_out",
        "_reader",
        "capabilities",
        "dirty",
        "farewell",
        "lmtp",
        "local",
        "tls",
        "verified",
    )

    def __init__(self, lmtp: bool = False, local: bool = False, tls: bool = False, verified: bool = False) -> None:
        self.lmtp = lmtp
        self.local = local
        self.tls = tls
        self.verified = tls and verified
        self.capabilities: Capabilities = NONE
        self.dirty = False
        """Whether there may be something over there of a message that has not gone on."""
        self.farewell: Reply | None = None
        """The 421 that has ended it."""
        self._reader = ReplyReader()
        self._awaited = 1  # the greeting
        self._out = bytearray()

    # --- bytes and replies

    def say(self, *lines: str) -> None:
        """Commands; each will be answered. Raises ``Unsendable`` before any of it is there to be sent, ``Unusable``."""
        encoded = b"".join([_encoded(line) for line in lines])
        self.write(encoded, len(lines))

    def write(self, data: bytes, awaited: int = 0) -> None:
        """Bytes that are commands or content already; so many replies answer them. Raises ``Unusable``."""
        if self.farewell is not None:
            raise Unusable(self.farewell, f"it has said {self.farewell}")
        if not self._awaited and self._reader.pending:
            raise Unusable(OUT_OF_STEP, "it has answered what was not asked")
        self._out += data
        self._awaited += awaited

    def data_to_send(self) -> bytes:
        """What is to be sent now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Bytes that have come, in pieces of any size."""
        self._reader.receive(data)

    def next_reply(self) -> Reply | None:
        """The next reply, None where it is not complete. Raises ``Unusable``."""
        if self.farewell is not None:
            return self.farewell
        try:
            found = self._reader.next_reply()
        except MalformedReply as fault:
            raise Unusable(NOT_SMTP, f"no SMTP: {fault}") from None
        if found is None:
            return None
        if found.closing:
            self.farewell = found
        self._awaited -= 1
        return found

    def unasked(self) -> Reply | None:
        """A reply that has come although none is awaited."""
        try:
            return self._reader.next_reply()
        except MalformedReply:
            return None

    @property
    def to_send(self) -> int:
        """Octets that wait to be sent."""
        return len(self._out)

    @property
    def idle(self) -> bool:
        """Whether nothing is open: neither a question of ours, nor something of the peer's that nobody has asked for."""
        return not (self._awaited or self._reader.pending or self.farewell)

    @property
    def pipelining(self) -> bool:
        """Whether commands may be said without waiting (RFC 2920)."""
        return "PIPELINING" in self.capabilities

    @property
    def secure(self) -> bool:
        """Whether a password may be said in the clear: nobody listens."""
        return self.local or self.verified

    @property
    def confidential(self) -> bool:
        """Whether REQUIRETLS can be honoured (RFC 8689, 4.2.1). To the store on this machine the mail is not relayed."""
        return (self.verified and "REQUIRETLS" in self.capabilities) or (self.lmtp and self.local)

    # --- what is said before any message

    def ask(self, line: str) -> Steps[Reply]:
        """The answer to one command."""
        self.say(line)
        return (yield Step.REPLY)

    def opening(self, terms: Terms) -> Steps[None]:
        """From the greeting to where messages may be sent. Raises ``Unusable``."""
        greeting = yield Step.REPLY
        _expect(greeting, 220, "its greeting")
        yield from self._hello(terms)
        if terms.tls != "none" and not self.tls:
            yield from self._start_tls(terms)
        if terms.credentials is not None:
            yield from authenticate(self, terms.credentials, terms.mechanisms)

    def tls_started(self, verified: bool) -> None:
        """The handshake is over. What was told before may have been told by anybody (RFC 3207, 4.2)."""
        self.capabilities = NONE
        self.tls, self.verified = True, verified

    def _hello(self, terms: Terms) -> Steps[None]:
        answer = yield from self.ask(f"{'LHLO' if self.lmtp else 'EHLO'} {terms.name}")
        if answer.code == 250:
            self.capabilities = capabilities(answer)
        elif answer.permanent and not self.lmtp:
            answer = yield from self.ask(f"HELO {terms.name}")
        _expect(answer, 250, "EHLO")

    def _start_tls(self, terms: Terms) -> Steps[None]:
        if "STARTTLS" not in self.capabilities:
            if terms.tls == "require":
                raise Unusable(NO_TLS, "it does not offer STARTTLS")
            return
        answer = yield from self.ask("STARTTLS")
        _expect(answer, 220, "STARTTLS")
        if self._reader.pending:
            raise Unusable(INJECTED, "something stands behind its answer to STARTTLS")
        yield Step.HANDSHAKE
        yield from self._hello(terms)


def expect_verdict(answer: Reply) -> Reply:
    """An answer that must be a yes or a no. Raises ``Unusable`` for a 3xx."""
    if 300 <= answer.code < 400:
        raise Unusable(OUT_OF_STEP, f"neither yes nor no: {answer}")
    return answer


def _expect(answer: Reply, code: int, what: str) -> None:
    if answer.code != code:
        raise Unusable(UNUSABLE, f"{what}: {answer}")


def _encoded(line: str) -> bytes:
    if _FORBIDDEN.search(line):
        raise Unsendable("a control character in a command")
    encoded = line.encode()
    if len(encoded) + 2 > MAX_LINE:
        raise Unsendable(f"a command of over {MAX_LINE} octets")
    return encoded + b"\r\n"
