"""What a SASL mechanism is made of (RFC 4422): the steps that it may ask for, and how it may end.

A mechanism is a generator. It yields a step and is resumed with the step's result; what it returns is a ``Done``. It
never touches a socket or a store, so the same code serves every protocol, a test and a fuzzer.

``Challenge`` and ``Bind`` go to the client, all others are performed by the core (``performing``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .model import Account, Defer, Reject, Verdict
from .names import MAX_BYTES
from .passwords.scram import ScramKeys
from .passwords.secret import StoredSecret

if TYPE_CHECKING:
    from .chain import Link

MAX_RESPONSE = 65_536
"""Bytes of one response of a client; tokens are the longest that come."""


class MalformedResponse(ValueError):
    """A response that the mechanism's grammar does not allow. The message says why, and never what was sent."""


# --- to the client


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this and wait for the response; resumed with it (bytes).

    ``verdict``: it tells a refusal, which counts now: a client may well never answer.
    """

    data: bytes
    verdict: Reject | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """Channel-binding data of this type is wanted (RFC 5056); resumed with it, or with None where there is none.

    ``kind`` is "tls-exporter" (RFC 9266), "tls-server-end-point" or "tls-unique" (RFC 5929).
    """

    kind: str


# --- to the core


@dataclass(frozen=True, slots=True)
class Verify:
    """Is this the password? Resumed with a ``Verdict``. ``authzid`` is whom to act as; empty for oneself."""

    name: str
    password: str = field(repr=False)
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """Is this token good, for this name? Resumed with a ``Verdict``. An empty name: whoever the token is for."""

    name: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Who may this be? Resumed with ``Candidates``."""

    name: str


@dataclass(frozen=True, slots=True)
class LookupScram:
    """The keys of a user for a SCRAM mechanism ("SCRAM-SHA-256"). Resumed with ``ScramCandidate`` or ``Defer``."""

    name: str
    mechanism: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """This account's password was proved. Resumed with a ``Verdict``: it may be disabled, or not act as ``authzid``."""

    candidate: Candidate
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class Trust:
    """The client is known from outside as ``name``; may it act as ``authzid``? Resumed with a ``Verdict``."""

    name: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class Enter:
    """An anonymous client, with the trace that it leaves. Resumed with a ``Verdict``."""

    trace: str


# --- what comes back


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that a store has, whose password is still to be proved, and its usable secrets.

    ``link`` is the store's, which mechanisms have no use for.
    """

    account: Account
    link: Link = field(repr=False)
    secrets: tuple[StoredSecret, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The accounts to try in turn, and the answer when none of them is it: a no, or a doubt that outweighs it."""

    found: tuple[Candidate, ...]
    otherwise: Reject | Defer


@dataclass(frozen=True, slots=True)
class ScramCandidate:
    """The keys to prove a password by. ``candidate`` is None where they are made up, since there is no such user.

    ``telling``: the time that it took to find them may tell who exists.
    """

    keys: ScramKeys
    candidate: Candidate | None
    otherwise: Reject | Defer
    telling: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The end. ``final`` is what the mechanism has to say with its success (SCRAM's ``v=``), None for nothing.

    ``attempt``: whether somebody has tried to log in; a client that only asks what there is has not. ``malformed``: it is
    the response that was refused, and nobody's login.
    """

    verdict: Verdict
    final: bytes | None = None
    attempt: bool = True
    malformed: bool = False


Effect: TypeAlias = Verify | VerifyToken | Lookup | LookupScram | Conclude | Trust | Enter
Flow: TypeAlias = Generator[Challenge | Bind | Effect, Any, Done]
Step: TypeAlias = Challenge | Bind | Done

Needs = Literal["password", "secret", "token", "certificate", "nothing"]
"""What a mechanism needs of a backend: to check a password in the clear, to give a stored secret, to check a token."""


@dataclass(slots=True, eq=False)
class Client:
    """What a mechanism may know of its client: the initial response (None: it sent none), and who it is by TLS.

    The initial response is forgotten when it is taken (``first``): a client may let us wait, and it may be long.
    """

    initial: bytes | None = field(default=None, repr=False)
    certificate: str = ""
    plus_offered: bool = False  # whether a mechanism with channel binding was offered, too


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A SASL mechanism, the server's side. ``run`` gives a fresh exchange."""

    name: str
    needs: Needs
    run: Callable[[Client], Flow] = field(repr=False)


def challenge(data: bytes) -> Generator[Challenge, bytes, bytes]:
    """Ask the client; its response."""
    return (yield Challenge(data))


def first(client: Client, data: bytes = b"") -> Generator[Challenge, bytes, bytes]:
    """The initial response, asked for with ``data`` where the client sent none (RFC 4422, 3.3)."""
    initial, client.initial = client.initial, None
    return (yield Challenge(data)) if initial is None else initial


def text(data: bytes) -> str:
    """Bytes of a client as text. What is not UTF-8 comes as surrogates, and the naming policy refuses it."""
    return data.decode("utf-8", "surrogateescape")


def name_in(data: bytes) -> str:
    """A name that is kept while the client is waited for. Raises ``MalformedResponse`` where it is too long for one."""
    if len(data) > MAX_BYTES:
        raise MalformedResponse(f"a name of over {MAX_BYTES} bytes")
    return text(data)
