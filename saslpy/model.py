"""The words that every layer shares: who logs in, from where, and what the answer is.

All of them are frozen values without behaviour worth the name, and none of them can print a secret: the
fields that hold one are left out of ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias


class Reason(StrEnum):
    """Why a login was not accepted. The values are stable: they stand in audit lines and in filters."""

    # a definite no
    UNKNOWN_USER = "unknown-user"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 (a name for the log, not a password)
    EMPTY_PASSWORD = "empty-password"  # noqa: S105
    MALFORMED = "malformed"  # a name or password that no store may be asked about
    DISABLED = "disabled"
    EXPIRED = "expired"
    SERVICE_DENIED = "service-denied"
    NETWORK_DENIED = "network-denied"
    UNUSABLE_SECRET = "unusable-secret"  # noqa: S105 (locked, unknown or too costly to check)
    WEAK_SCHEME = "weak-scheme"  # stored in a scheme that the configuration forbids
    NO_CERTIFICATE = "no-certificate"  # EXTERNAL without a verified client certificate
    INVALID_TOKEN = "invalid-token"  # noqa: S105
    AUTHZ_DENIED = "authz-denied"  # who he is is proved, but he may not act as the other
    # could not find out
    BACKEND_FAILED = "backend-failed"
    TIMEOUT = "timeout"
    OVERLOAD = "overload"
    HASHING_FAILED = "hashing-failed"  # no memory, or the process that computed the hash ended
    SHUTDOWN = "shutdown"
    INTERNAL = "internal-error"


DOUBTS = frozenset(
    (
        Reason.BACKEND_FAILED,
        Reason.TIMEOUT,
        Reason.OVERLOAD,
        Reason.HASHING_FAILED,
        Reason.SHUTDOWN,
        Reason.INTERNAL,
    )
)
"""The reasons of "could not find out"; all others are a definite no."""


class Caller(NamedTuple):
    """The process at the other end of a unix socket (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a question comes from: known facts only, empty where the protocol does not tell."""

    protocol: str
    service: str = ""
    mechanism: str = "PLAIN"
    client: str = ""  # the mail client's address, "192.0.2.7" or "2001:db8::7"
    caller: Caller | None = None
    secured: bool = False  # the mail client's connection cannot be listened to
    certificate: str = ""  # the name in the client certificate that the mail server has verified


@dataclass(frozen=True, slots=True)
class Login:
    """A login name as the naming policy made it (``saslpy.names``).

    ``name`` is the whole of it, ``local@domain`` or ``local`` alone; ``domain`` is lower case, or empty.
    ``given`` is what the client sent, for the log. ``origin`` is where the question comes from, for the backends that
    care (PAM); two logins are equal whoever asks.
    """

    name: str
    local: str
    domain: str = ""
    given: str = ""
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, name: str) -> Login:
        """The login of a name that needs no policy: ``Login.of("joe@example.org")``."""
        local, at, domain = name.rpartition("@")
        return cls(name, local, domain, name) if at else cls(name, name, "", name)


@dataclass(frozen=True, slots=True)
class Account:
    """What a store knows of one user.

    ``login`` is the canonical name: the store's own spelling, whatever the client typed.
    ``secrets`` are stored passwords, each ``{SCHEME}data`` or a bare crypt(3) string; one that matches is enough.
    ``quota`` is in maildirquota form ("10000000S,1000C"); ``allow_nets`` are CIDR networks, empty for everywhere;
    ``deny_services`` are service names ("smtp", "imap") that this user may not log in to.
    """

    login: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    maildir: str | None = None
    quota: str | None = None
    name: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    disabled: bool = False
    expired: bool = False
    allow_nets: tuple[str, ...] = ()
    deny_services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A definite no: ``Refusal(Reason.WRONG_PASSWORD)``. ``detail`` goes to the log alone.

    ``asked``: whether the users' store was asked. A no that needed no store (a name that no user can have) says nothing
    about whether the store works.
    """

    reason: Reason
    detail: str = ""
    asked: bool = True


NEVER_HERE = Refusal(Reason.UNKNOWN_USER, asked=False)
"""What a backend answers about a login that cannot be one of its users, whatever its store holds."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Yes: the login is right, and this is the account. ``master`` is who logged in, where he acts as another user."""

    account: Account
    backend: str = ""
    master: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """No: asking again will not help."""

    reason: Reason
    backend: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Defer:
    """Could not find out: the user may well be right, ask again later."""

    reason: Reason
    backend: str = ""
    detail: str = ""


Verdict: TypeAlias = Accept | Reject | Defer
