"""``[submission]``: what a submission server demands, bears and changes."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..config import check_number
from ..networks import Network, address, check_narrow, networks
from ..protocols.smtp import addresses, domains
from ..protocols.smtp import options as session
from . import fixups, limits

MIB = 1024 * 1024

_FIELD_NAME = re.compile(r"[!-9;-~]+")
_KEPT = ("from", "sender", "date", "message-id", "received")
"""Fields that a message must have, or that we put there ourselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sni:
    """``[[submission.tls.sni]]``: another certificate, for clients that ask for one of the names in it.

    ``certificate`` is a PEM file with those of its authorities behind it, ``key`` that of its private key; without it,
    the key is in the same file.
    """

    certificate: Path
    key: Path | None = None
    certificate_pem: bytes = field(default=b"", init=False, repr=False)
    key_pem: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        _read_pair(self, self.certificate, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """``[submission.tls]``: certificates, read anew when their files change.

    ``certificate`` is a PEM file with those of its authorities behind it, ``key`` that of its private key; without it,
    the key is in the same file. ``client_ca``: a PEM file with the authorities of client certificates, which the mechanism
    EXTERNAL goes by.
    """

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    sni: tuple[Sni, ...] = ()
    certificate_pem: bytes = field(default=b"", init=False, repr=False)
    key_pem: bytes = field(default=b"", init=False, repr=False)
    client_ca_pem: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        if self.certificate is None:
            if self.key is not None or self.client_ca is not None or self.sni:
                raise ValueError("certificate: is required with the other keys")
            return
        _read_pair(self, self.certificate, self.key)
        if self.client_ca is not None:
            from . import tls  # noqa: PLC0415 (ssl is for those who want it)

            object.__setattr__(self, "client_ca_pem", tls.read_authorities(self.client_ca))

    def __bool__(self) -> bool:
        """Whether there is a certificate, and so TLS."""
        return self.certificate is not None

    @property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """(key below ``submission.tls``, file) of all that is read; who watches them knows when to read again."""
        found = [(key, path) for prefix, one in self._pairs for key, path in _files(prefix, one)]
        return tuple(found) if self.client_ca is None else (*found, ("client_ca", self.client_ca))

    @property
    def private(self) -> tuple[tuple[str, Path], ...]:
        """Those of ``files`` that hold a private key."""
        return tuple(_files(prefix, one)[-1] for prefix, one in self._pairs if one.certificate is not None)

    @property
    def _pairs(self) -> tuple[tuple[str, Tls | Sni], ...]:
        return (("", self), *((f"sni[{number}].", one) for number, one in enumerate(self.sni)))


def _files(prefix: str, one: Tls | Sni) -> list[tuple[str, Path]]:
    """The certificate's file and the key's, as far as there are any; the one with the key is the last."""
    pairs = (("certificate", one.certificate), ("key", one.key))
    return [(prefix + key, path) for key, path in pairs if path is not None]


def _read_pair(into: Sni | Tls, certificate: Path, key: Path | None) -> None:
    """Read now: later, the daemon has given up the rights to. Raises ``ValueError``, which begins with the key."""
    from . import tls  # noqa: PLC0415 (ssl is for those who want it)

    certificate_pem, key_pem = tls.read_pair(certificate, key)
    object.__setattr__(into, "certificate_pem", certificate_pem)
    object.__setattr__(into, "key_pem", key_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionLimits:
    """``[submission.limits]``: how much a user, a message and a connection may have; 0 switches one off.

    ``messages_per_hour`` and ``recipients_per_day`` are a login's, ``recipients_per_message``, ``message_size``,
    ``header_size`` and ``line_length`` (octets, without the line's end) a message's. ``messages_per_connection``,
    ``errors``, ``idle_commands`` (NOOP and the like, MAIL) and ``refused_recipients``, all since the last message that was
    taken, and ``auth_failures`` end a connection; a message that has recipients may still come.
    """

    messages_per_hour: int = 500
    recipients_per_day: int = 2000
    recipients_per_message: int = 1000
    message_size: int = 50 * MIB
    header_size: int = MIB
    line_length: int = 0
    messages_per_connection: int = 0
    errors: int = 20
    idle_commands: int = 100
    refused_recipients: int = 100
    auth_failures: int = 3

    def __post_init__(self) -> None:
        for key in ("messages_per_hour", "recipients_per_day", "recipients_per_message", "messages_per_connection"):
            check_number(key, getattr(self, key), 0, 1_000_000_000)
        check_number("message_size", self.message_size, 0, 1 << 40)
        check_number("header_size", self.header_size, 1024, 64 * MIB)
        check_number("line_length", self.line_length, 0, 1 << 40)
        if 0 < self.line_length < 998:
            raise ValueError("line_length: a line may have 998 octets (RFC 5322, 2.1.1)")
        for key in ("errors", "idle_commands", "refused_recipients", "auth_failures"):
            check_number(key, getattr(self, key), 1, 1_000_000)

    @property
    def of_session(self) -> session.Limits:
        """What the protocol's machine counts."""
        return session.Limits(
            size=self.message_size,
            header=self.header_size,
            line=self.line_length,
            recipients=self.recipients_per_message,
            messages=self.messages_per_connection,
            errors=self.errors,
            idle_commands=self.idle_commands,
            refused=self.refused_recipients,
            auth_failures=self.auth_failures,
        )

    @property
    def of_login(self) -> limits.Limits:
        """What is counted for each login, by all workers together."""
        return limits.Limits(self.messages_per_hour, self.recipients_per_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Legacy:
    """``[[submission.legacy]]``: networks whose machines send without a login and without TLS, all as one address.

    ``sender`` is that address: MAIL FROM and From must be it. Its limits are its own.
    """

    networks: tuple[str, ...]
    sender: str
    messages_per_hour: int = 500
    recipients_per_day: int = 2000
    nets: tuple[Network, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.networks:
            raise ValueError("networks: names none")
        nets = networks("networks", self.networks)
        check_narrow("networks", nets, "whoever is in it could send without a login: an open relay")
        try:
            sender = str(addresses.mailbox(self.sender))
        except addresses.MalformedAddress as fault:
            raise ValueError(f"sender: {self.sender!r} is no address: {fault}") from None
        for key in ("messages_per_hour", "recipients_per_day"):
            check_number(key, getattr(self, key), 0, 1_000_000_000)
        object.__setattr__(self, "nets", nets)
        object.__setattr__(self, "sender", sender)

    @property
    def login(self) -> str:
        """Under which its limits are counted and its messages logged; no user's, whose name holds no colon before the @."""
        return f"legacy:{self.sender}"

    @property
    def of_login(self) -> limits.Limits:
        """What is counted for it."""
        return limits.Limits(self.messages_per_hour, self.recipients_per_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """``[submission]``: what every submission socket demands, bears and changes.

    ``hostname`` is the name in the greeting and in Received; without it, the machine's own. ``workers`` processes serve.
    ``require_tls``: no login and no mail before TLS. ``sender_binding``: "strict" holds MAIL FROM and every address in From
    and Sender to the login, "envelope" MAIL FROM alone, "off" none.

    ``trace_client`` and ``trace_login`` put the client's address and the login into Received, for every recipient to read.
    ``repair_line_ends`` makes CRLF of an LF or a CR alone, never next to a dot; else such a message is refused.
    ``remove_headers`` are field names beyond those that are always removed, where ``*`` stands for anything.
    ``authserv_ids``: other names than ``hostname`` in whose name nobody may send Authentication-Results.

    ``future_release``: seconds for which a client may ask that a message be held (RFC 4865); 0 does not offer it. It is the
    next hop that holds it: recipients of one that cannot are refused.

    ``command_timeout``, ``data_timeout`` (between two packets of a message) and ``handshake_timeout`` are seconds.
    """

    hostname: str = ""
    workers: int = 1
    require_tls: bool = True
    sender_binding: Literal["strict", "envelope", "off"] = "strict"
    trace_client: bool = False
    trace_login: bool = False
    repair_line_ends: bool = False
    remove_headers: tuple[str, ...] = ()
    authserv_ids: tuple[str, ...] = ()
    future_release: int = 0
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    handshake_timeout: float = 30.0
    tls: Tls = field(default_factory=Tls)
    limits: SubmissionLimits = field(default_factory=SubmissionLimits)
    legacy: tuple[Legacy, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "hostname", _hostname(self.hostname))
        check_number("workers", self.workers, 1, 64)
        check_number("future_release", self.future_release, 0, 999_999_999)
        for key in ("command_timeout", "data_timeout", "handshake_timeout"):
            check_number(key, getattr(self, key), 0.1, 3600)
        for number, name in enumerate(self.remove_headers):
            _check_removed(f"remove_headers[{number}]", name)
        for number, name in enumerate(self.authserv_ids):
            _canonical(f"authserv_ids[{number}]", name)
        _check_disjoint(self.legacy)

    @property
    def rules(self) -> fixups.Rules:
        """What no header is let through with."""
        return fixups.Rules((self.hostname, *self.authserv_ids), (*fixups.DROPPED, *self.remove_headers))

    def legacy_of(self, client: str) -> Legacy | None:
        """Whose networks a client's address is in: of several, the smallest one's."""
        found = address(client)
        if found is None:
            return None
        fitting = [
            (net.prefixlen, number) for number, one in enumerate(self.legacy) for net in one.nets if found in net
        ]
        return self.legacy[max(fitting)[1]] if fitting else None


def _hostname(text: str) -> str:
    if text:
        return _canonical("hostname", text)
    try:
        return domains.canonical(socket.getfqdn())
    except (domains.MalformedDomain, UnicodeError):
        raise ValueError("hostname: is required: this machine's own name is no domain") from None


def _canonical(key: str, text: str) -> str:
    try:
        if text.startswith("["):
            raise domains.MalformedDomain("an address literal")
        return domains.canonical(text)
    except domains.MalformedDomain as fault:
        raise ValueError(f"{key}: {text!r} is no domain: {fault}") from None


def _check_removed(key: str, name: str) -> None:
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"{key}: {name!r} is no field's name")
    unwanted = fixups.Rules((), (name,), ()).unwanted
    for kept in _KEPT:
        if unwanted.fullmatch(kept.encode()):
            raise ValueError(f"{key}: {name!r} would take {kept.title()} out of every message")


def _check_disjoint(legacy: tuple[Legacy, ...]) -> None:
    seen: dict[Network, int] = {}
    for number, one in enumerate(legacy):
        for position, net in enumerate(one.nets):
            if seen.setdefault(net, number) != number:
                raise ValueError(f"legacy[{number}].networks[{position}]: legacy[{seen[net]}] has {net} already")
