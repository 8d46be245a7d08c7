"""AUTH, the client's side (RFC 4954): the strongest mechanism that both know, and a password in the clear to nobody."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...mechanisms.client import AuthenticationFailed, Credentials, Responses, responses
from .replies import Reply, reply
from .steps import Steps, Unusable

if TYPE_CHECKING:
    from .client import Client

STRONGEST_FIRST = ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "XOAUTH2")
"""Those that are tried without being named. XOAUTH2 is what a hop must mean that offers nothing else."""

READABLE = frozenset(("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"))
"""Who listens on the way has the password, or the token."""

MAX_INITIAL = 512
"""Octets of AUTH's line with its CRLF: a longer initial response waits to be asked for (RFC 4954, 4)."""

CANNOT_LOG_IN = reply(451, "4.4.0", "The next hop does not let us log in")


def choose(offered: Sequence[str], wanted: Sequence[str], secure: bool) -> str | None:
    """The mechanism to use, None where there is none. ``wanted``: one of these, where there are some."""
    may = wanted or STRONGEST_FIRST
    return next((name for name in may if name in offered and (secure or name not in READABLE)), None)


def authenticate(client: Client, who: Credentials, wanted: Sequence[str] = ()) -> Steps[None]:
    """Log in. Raises ``Unusable``: it is our configuration that is wrong, not a message."""
    mechanism = choose(client.capabilities.mechanisms, wanted, client.secure)
    flow = responses(mechanism, who) if mechanism else None
    if mechanism is None or flow is None:
        raise _failed(_why_none(client, wanted))
    try:
        yield from _exchange(client, mechanism, flow)
    except AuthenticationFailed as fault:
        raise _failed(f"AUTH {mechanism}: {fault}") from None


def _exchange(client: Client, mechanism: str, flow: Responses) -> Steps[None]:
    initial = next(flow)
    begin = f"AUTH {mechanism}"
    whole = begin if initial is None else f"{begin} {_base64(initial)}"
    waits = len(whole) + 2 > MAX_INITIAL
    answer = yield from client.ask(begin if waits else whole)
    if waits and answer.code == 334:
        answer = yield from client.ask(_base64(initial or b""))
    while answer.code == 334:
        try:
            response = flow.send(_challenge(answer, mechanism))
        except (StopIteration, AuthenticationFailed) as fault:
            yield from client.ask("*")
            raise _failed(f"AUTH {mechanism}: {_in_words(fault)}") from None
        answer = yield from client.ask(_base64(response or b""))
    if answer.code != 235:
        raise _failed(f"AUTH {mechanism}: {answer}")
    _conclude(flow)


def _conclude(flow: Responses) -> None:
    """A server that must prove itself (SCRAM) has done so before it says yes. Raises ``AuthenticationFailed``."""
    try:
        flow.send(b"")
    except StopIteration:
        return


def _challenge(answer: Reply, mechanism: str) -> bytes:
    text = answer.lines[-1].strip()
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # of these is binascii.Error
        if mechanism in READABLE:
            return b""  # words that nobody reads
        raise AuthenticationFailed("a challenge that is not base64") from None


def _why_none(client: Client, wanted: Sequence[str]) -> str:
    offered = client.capabilities.mechanisms
    if choose(offered, wanted, secure=True):
        return "it takes passwords in the clear alone, and the way there is not protected"
    return f"it offers no mechanism that can be used, but {' '.join(offered) or 'none'}"


def _in_words(fault: StopIteration | AuthenticationFailed) -> str:
    return "it asks on and on" if isinstance(fault, StopIteration) else str(fault)


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _failed(detail: str) -> Unusable:
    return Unusable(CANNOT_LOG_IN, detail)
