"""All tricks on all submission sockets of a configuration, one connection for each, and what became of them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..listeners.submission import SubmissionListen
from ..networks import within
from ..servers.sockets import TcpPlace, UnixPlace
from ..settings import Settings
from ..submission.options import Submission
from .talk import Closed, Reply, Talk, Target, Unclear
from .tricks import HELLO, TLS, Step, Trick, tricks

Verdict: TypeAlias = Literal["refused", "relayed", "unknown", "skipped"]

_HARMLESS = re.compile(rb"(?:\A|[\r\n])\s*(?:EHLO|HELO|LHLO|RSET|NOOP)\b", re.IGNORECASE)
"""What may be answered 250 to a stranger."""

_STRANGERS = ("192.0.2.77", "198.51.100.77", "203.0.113.77")
"""Addresses that are nobody's (RFC 5737)."""

MAX_REPLIES = 100


class NotReached(Exception):
    """Nobody can be attacked there; the message says why."""


@dataclass(frozen=True, slots=True)
class Tried:
    """``verdict``: "refused", "relayed" (something of a message was accepted, or a login, or what came before TLS was done
    in it), "unknown" (no clear answer), "skipped" (it would be no trick from here). ``answered`` is what the server said,
    in short.
    """

    listen: int
    place: str
    tls: bool
    trick: str
    answered: str
    verdict: Verdict


@dataclass(slots=True)
class _Heard:
    """The replies of one dialogue. ``spared`` are those of 250 that mean nothing. From ``injected`` on there should be none
    but QUIT's: TLS has begun, and nothing was said in it.
    """

    replies: list[Reply] = field(default_factory=list)
    spared: int = 0
    injected: int | None = None
    ended: str = ""

    @property
    def accepted(self) -> bool:
        """Whether a stranger got something: content is waited for, a login was right, MAIL or RCPT were taken."""
        codes = [reply.code for reply in self.replies]
        if self.injected is not None and set(codes[self.injected :]) - {221}:
            return True
        return 354 in codes or 235 in codes or codes.count(250) + codes.count(251) > self.spared

    def __str__(self) -> str:
        """The codes, and the words of the last one but that of QUIT."""
        said = [reply for reply in self.replies if reply.code != 221] or self.replies
        codes = " ".join(str(reply.code) for reply in said[:-1][-4:])
        return ", ".join(filter(None, (codes, str(said[-1]) if said else "", self.ended)))


def attack(
    settings: Settings, number: int | None = None, told: Callable[[Tried], None] = lambda tried: None
) -> list[Tried]:
    """Every trick on every submission socket, or on ``listen[number]``. ``told`` hears of each at once.

    Raises ``NotReached``.
    """
    tried = []
    for position, listen in _chosen(settings, number):
        assert settings.submission is not None
        for one in _all(position, listen, settings.submission):
            told(one)
            tried.append(one)
    return tried


def _chosen(settings: Settings, number: int | None) -> list[tuple[int, SubmissionListen]]:
    found = [(at, one) for at, one in enumerate(settings.listen) if isinstance(one, SubmissionListen)]
    if number is not None:
        found = [(at, one) for at, one in found if at == number]
        if not found:
            raise NotReached(f"listen[{number}] is no submission socket")
    if not found:
        raise NotReached('there is no [[listen]] with protocol = "submission" or "submissions"')
    return found


def _all(position: int, listen: SubmissionListen, submission: Submission) -> Iterator[Tried]:
    target, source = _target(listen, submission)
    phases = [True] if listen.implicit else [False, True] if submission.tls else [False]
    trusted = within(source, listen.xclients)
    for tls in phases:
        for trick in tricks(submission.hostname.encode()):
            if not _fits(trick, tls, listen.implicit):
                continue
            if trick.xclient and trusted:
                answered, verdict = f"xclient trusts {source}", "skipped"
            else:
                answered, verdict = _try(trick, target, tls and not listen.implicit)
            yield Tried(position, listen.name, tls, trick.name, answered, verdict)  # type: ignore[arg-type]


def _fits(trick: Trick, tls: bool, implicit: bool) -> bool:
    """Whether a trick makes sense before TLS or in it. In TLS by STARTTLS, nobody can come before the greeting."""
    if trick.before == "nothing" and tls and not implicit:
        return False
    return trick.when == "both" or (trick.when == "tls") == tls


def _target(listen: SubmissionListen, submission: Submission) -> tuple[Target, str]:
    """Where to connect to, and which client's address the server sees. Raises ``NotReached``."""
    place = listen.place
    if isinstance(place, UnixPlace):
        where: tuple[str, int] | str = str(place.path)
    elif isinstance(place, TcpPlace):
        where = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host), place.port)  # noqa: S104
    else:
        raise NotReached(f"where {listen.name} listens is known to systemd alone; choose others with --listen")
    source = _source(where)
    header = b""
    if within(source, listen.proxies):
        # among the proxies, we speak for a stranger
        source = next((one for one in _STRANGERS if submission.legacy_of(one) is None), _STRANGERS[0])
        header = b"PROXY TCP4 %b 192.0.2.1 4711 587\r\n" % source.encode()
    return Target(where, listen.implicit, header), source


def _source(where: tuple[str, int] | str) -> str:
    """The address that we come from. Raises ``NotReached`` where nobody listens."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    try:
        with socket.socket(family) as sock:
            sock.settimeout(10)
            sock.connect(where)
            name = sock.getsockname()
            return name[0] if isinstance(name, tuple) else ""
    except OSError as error:
        shown = where if isinstance(where, str) else f"{where[0]} port {where[1]}"
        raise NotReached(
            f"{shown}: {error.strerror or error}; is the daemon running, with this configuration?"
        ) from None


def _try(trick: Trick, target: Target, starttls: bool) -> tuple[str, Verdict]:
    """What was answered to a trick, and what that means."""
    heard = _Heard()
    try:
        with Talk(target) as talk:
            _introduce(talk, starttls, trick.before)
            _say(talk, trick.steps, heard)
    except Closed:
        heard.ended = "closed"
    except (Unclear, OSError) as fault:
        heard.ended = str(fault)
        return str(heard), "relayed" if heard.accepted else "unknown"
    return str(heard), "relayed" if heard.accepted else "refused"


def _introduce(talk: Talk, starttls: bool, before: str) -> None:
    """What precedes a trick, and must be accepted; STARTTLS if wanted, always with its own. Raises ``Unclear``."""
    if before != "nothing" or starttls:
        _expect(talk, 220)
    if starttls:
        _hello(talk)
        talk.send(b"STARTTLS\r\n")
        _expect(talk, 220)
        talk.encrypt()
    if before == "ehlo":
        _hello(talk)


def _hello(talk: Talk) -> None:
    talk.send(HELLO)
    _expect(talk, 250)


def _expect(talk: Talk, code: int) -> None:
    try:
        reply = talk.reply()
    except Closed:
        raise Unclear("closed before the trick") from None
    if reply.code != code:
        raise Unclear(f"before the trick: {reply}")


def _say(talk: Talk, steps: tuple[Step, ...], heard: _Heard) -> None:
    """The steps, until one is accepted, or all are refused and the connection ends. Raises ``Closed`` and ``Unclear``."""
    before = b""
    for step in steps:
        if step == TLS:
            if heard.replies and heard.replies[-1].code == 220:
                talk.encrypt()
                heard.injected = len(heard.replies) if before.count(b"\n") > 1 else None
            continue
        assert isinstance(step, bytes)
        before = step
        heard.spared += len(_HARMLESS.findall(step))
        talk.send(step)
        if step.endswith(b"\r\n"):
            heard.replies.append(talk.reply())
        else:  # half a line to the server perhaps, which waits for more
            talk.send(b"\r\n")
        if heard.accepted:
            return
    talk.send(b"QUIT\r\n")
    while not heard.accepted and len(heard.replies) < MAX_REPLIES:
        heard.replies.append(talk.reply())
