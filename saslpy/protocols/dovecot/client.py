"""The client socket of Dovecot's auth service, the server's side of it, without I/O: is this login right?

Both sides speak at once, and the server does not wait, since Exim and others read to DONE before they say a word::

    S: VERSION 1 2            C: VERSION 1 minor
    S: MECH name flag…        C: CPID number
    S: SPID number
    S: CUID number
    S: COOKIE 32 hex digits
    S: DONE

Then there are any number of exchanges at a time, told apart by their ids::

    C: AUTH id mechanism service=name parameter… [resp=base64]      resp= is the last one
    S: CONT id base64                                               a challenge; the tab is there without data, too
    C: CONT id base64                                               the response
    S: CONT id # channel_binding=type                               minor 3 and later: what binds the TLS connection?
    C: CONT id # channel_binding=base64
    C: CANCEL id                                                    minor 4 and later are told CANCELLED id
    S: OK id user=name parameter… [resp=base64]
    S: FAIL id [user=name] [code=word] [reason=text]

Who says VERSION 1 0 (Postfix, Exim) takes every FAIL for a wrong password, whatever its code; to them "could not find
out" is a connection that is closed. Dovecot's login processes know code=temp_fail.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from enum import Enum, auto

from .. import ProtocolError
from .events import Begin, Binding, Event, Hello, Over, Response
from .fields import data_of, line, minor_version, pair, parameters, request_id, split, text_of
from .lines import LineReader

MINOR = 2
MINOR_PLUS = 4
"""Our minor version: the second one where channel binding may be had."""

BINDS, TELLS_CANCELLED, EMPTY_IS_EMPTY = 3, 4, 2
"""The client's minor version from which on it knows: channel binding; CANCELLED; that ``resp=`` is an empty response."""

PLUS = "-PLUS"

MAX_USER = 1024
"""Bytes of a name that is told. A client may send one as long as its line, and Exim reads no line of over 8 KiB."""

UNKNOWN_MECHANISM = "unknown mechanism"

FLAGS: dict[str, tuple[bytes, ...]] = {
    "PLAIN": (b"plaintext",),
    "LOGIN": (b"plaintext",),
    "XOAUTH2": (b"plaintext",),
    "OAUTHBEARER": (b"plaintext",),
    "CRAM-MD5": (b"dictionary", b"active"),
    "ANONYMOUS": (b"anonymous",),
}
"""What a client goes by that hides some mechanisms (Postfix's smtpd_sasl_security_options). SCRAM's: ``flags``."""


class _Awaited(Enum):
    """What an exchange waits for."""

    US = auto()
    RESPONSE = auto()
    BINDING = auto()


class ClientSide:
    """One connection: bytes in, events out; and the bytes of what we say.

    ``mechanisms`` are offered, those with channel binding only to who can do it; ``offered`` are those that the greeting
    has named, None before it. ``minor`` is the client's version, None until it has said it. What ends an exchange (``ok``,
    ``fail``, ``forget``) frees its id.
    """

    __slots__ = ("_lines", "_mechanisms", "_requests", "cpid", "minor", "offered")

    def __init__(self, mechanisms: Sequence[str]) -> None:
        self._lines = LineReader()
        self._mechanisms = mechanisms
        self._requests: dict[int, _Awaited] = {}
        self.offered: Sequence[str] | None = None
        self.minor: int | None = None
        self.cpid = 0

    def receive(self, data: bytes) -> Iterator[Event]:
        """What has happened. To be run to its end. Raises ``ProtocolError`` where the connection must end."""
        for text in self._lines.receive(data):
            command, *fields = split(text)
            if self.cpid:
                yield self._request(command, fields)
            elif command == b"VERSION" and self.minor is None:
                self.minor = minor_version(fields)
                yield Hello()
            elif command == b"CPID" and self.minor is not None and fields:
                self.cpid = request_id(fields[0])
            else:
                raise ProtocolError("neither VERSION nor CPID in the handshake")

    @property
    def halfway(self) -> bool:
        """Whether there is the beginning of a line."""
        return self._lines.started

    def _request(self, command: bytes, fields: list[bytes]) -> Event:
        if command not in (b"AUTH", b"CONT", b"CANCEL"):
            raise ProtocolError("an unknown command")
        if not fields:
            raise ProtocolError("a command without an id")
        key, rest = request_id(fields[0]), fields[1:]
        if command == b"AUTH":
            return self._begin(key, rest)
        return self._continue(key, rest) if command == b"CONT" else self._cancel(key)

    def _begin(self, key: int, fields: list[bytes]) -> Event:
        if key in self._requests:
            raise ProtocolError("the id of an exchange that is under way")
        given = _without_response(fields[1:])
        names = parameters(given)
        service = names.get(b"service") or names.get(b"protocol")
        if not service:
            raise ProtocolError("AUTH without a service")
        mechanism = text_of(fields[0].upper())
        if mechanism not in (self.offered or ()):
            return Over(key, self.fail(key, reason=UNKNOWN_MECHANISM))
        try:
            initial = self._initial(fields[-1]) if len(given) < len(fields) - 1 else None
        except binascii.Error:
            return Over(key, self._bad_base64(key))
        self._requests[key] = _Awaited.US
        return Begin(
            key,
            mechanism,
            initial,
            text_of(service),
            client=text_of(names.get(b"rip", b"")),
            secured=b"secured" in names,
            certificate=text_of(names.get(b"cert_username", b"")) if b"valid-client-cert" in names else "",
            takes_final=b"final-resp-ok" in names,
            login_follows=b"nologin" not in names,
        )

    def _initial(self, field: bytes) -> bytes | None:
        """The initial response of ``resp=…``. Postfix hands on SMTP's sign for an empty one, as ``resp==``."""
        encoded = field.removeprefix(_RESPONSE)
        if encoded in (b"", b"="):
            return b"" if encoded or (self.minor or 0) >= EMPTY_IS_EMPTY else None
        return _decoded(encoded)

    def _continue(self, key: int, fields: list[bytes]) -> Event:
        awaited = self._requests.get(key)
        data = fields[0] if fields else b""
        if awaited is None:
            # no wrong password: a client that can tell the difference shall
            return Over(key, self.fail(key, code="temp_fail", reason="the exchange has timed out"))
        if awaited is _Awaited.US or (awaited is _Awaited.BINDING) != (data == b"#"):
            return Over(key, self.fail(key, reason="this was not asked for"))
        try:
            event = Response(key, _decoded(data)) if awaited is _Awaited.RESPONSE else _binding(key, fields[1:])
        except binascii.Error:
            return Over(key, self._bad_base64(key))
        self._requests[key] = _Awaited.US
        return event

    def _cancel(self, key: int) -> Over:
        known = key in self._requests
        self.forget(key)
        # an exchange that has ended is not known any more: our last word and the client's have crossed
        return Over(key, line(b"CANCELLED", _id(key)) if known and (self.minor or 0) >= TELLS_CANCELLED else b"")

    @property
    def version(self) -> bytes:
        """Our first line. Where ``waits``, the client's version should be known before what follows is sent."""
        return line(b"VERSION", b"1", _id(MINOR_PLUS if self.waits else MINOR))

    @property
    def waits(self) -> bool:
        """Whether the client's version makes a difference for what is offered."""
        return any(name.endswith(PLUS) for name in self._mechanisms)

    @property
    def binds(self) -> bool:
        """Whether the client was offered a mechanism with channel binding."""
        return any(name.endswith(PLUS) for name in self.offered or ())

    def greeting(self, spid: int, cuid: int, cookie: str) -> bytes:
        """All that follows ``version``: once. Whose version has not come by now is offered no channel binding."""
        binds = not self.waits or (self.minor or 0) >= BINDS
        self.offered = self._mechanisms if binds else [name for name in self._mechanisms if not name.endswith(PLUS)]
        mechanisms = [line(b"MECH", name.encode(), *flags(name)) for name in self.offered]
        numbers = [line(b"SPID", _id(spid)), line(b"CUID", _id(cuid)), line(b"COOKIE", cookie.encode())]
        # Postfix takes a server that says SPID before MECH for a master socket
        return b"".join((*mechanisms, *numbers, line(b"DONE")))

    def challenge(self, key: int, data: bytes) -> bytes:
        """A challenge; what follows is ``Response``."""
        self._requests[key] = _Awaited.RESPONSE
        return line(b"CONT", _id(key), _encoded(data))

    def bind(self, key: int, kind: str) -> bytes:
        """The question for the data of ``tls-exporter`` or ``tls-server-end-point``; what follows is ``Binding``."""
        self._requests[key] = _Awaited.BINDING
        return line(b"CONT", _id(key), b"#", pair(b"channel_binding", kind))

    def ok(self, key: int, user: str, *more: bytes, final: bytes | None = None) -> bytes:
        """Yes. ``more`` are parameters, ``final`` is for clients that take it here."""
        self.forget(key)
        last = [] if final is None else [_RESPONSE + _encoded(final)]
        return line(b"OK", _id(key), pair(b"user", user), *more, *last)

    def fail(self, key: int, user: str = "", code: str = "", reason: str = "") -> bytes:
        """No. ``reason`` reaches the user: Postfix says it after its 535, Dovecot as an [ALERT]."""
        self.forget(key)
        named = ((b"user", user if tellable(user) else ""), (b"code", code), (b"reason", reason))
        return line(b"FAIL", _id(key), *(pair(name, value) for name, value in named if value))

    def forget(self, key: int) -> None:
        """The exchange is over."""
        self._requests.pop(key, None)
        if not self._requests:
            self._requests.clear()  # gives back what many at a time have needed

    def _bad_base64(self, key: int) -> bytes:
        return self.fail(key, code="invalid_base64", reason="invalid base64 data")


_RESPONSE = b"resp="


def tellable(user: str) -> bool:
    """Whether a name is short enough to be told, in a line that all clients can read."""
    return len(data_of(user)) <= MAX_USER


def flags(mechanism: str) -> tuple[bytes, ...]:
    """What MECH says of a mechanism."""
    if mechanism.startswith("SCRAM-"):
        return (b"mutual-auth", b"channel-binding") if mechanism.endswith(PLUS) else (b"mutual-auth",)
    return FLAGS.get(mechanism, ())


def _without_response(fields: list[bytes]) -> list[bytes]:
    """The parameters before ``resp=``. Raises ``ProtocolError`` when it is not the last one."""
    *before, last = fields or [b""]
    if any(field.startswith(_RESPONSE) for field in before):
        raise ProtocolError("something follows resp=")
    return before if last.startswith(_RESPONSE) else fields


def _binding(key: int, fields: list[bytes]) -> Binding:
    encoded = parameters(fields).get(b"channel_binding")
    return Binding(key, _decoded(encoded) if encoded else None)


def _decoded(data: bytes) -> bytes:
    if len(data) % 4:  # Python alone would take "AAAA="
        raise binascii.Error("its length is no multiple of 4")
    return binascii.a2b_base64(data, strict_mode=True)


def _encoded(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _id(key: int) -> bytes:
    return b"%d" % key
