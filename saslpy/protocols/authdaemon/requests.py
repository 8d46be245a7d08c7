"""What Courier's clients ask: bytes to requests, and a client's own bytes."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TypeAlias

from .. import ProtocolError

MAX_LINE = 8190
"""Bytes of a line without its LF, as in authdaemond."""

MAX_BODY = 8191
"""Bytes behind AUTH, as in authdaemond."""

MAX_METADATA = 32
"""Lines of metadata. Clients send one."""

_COUNT = re.compile(rb"[ \t]*([+-]?)0*([0-9]*)")
_METADATA = re.compile(rb"[^ =]*=")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_HASHES = {b"cram-md5": "md5", b"cram-sha1": "sha1", b"cram-sha256": "sha256"}


@dataclass(frozen=True, slots=True)
class Find:
    """PRE: the account of a user, whose password is not asked about. ``module`` is "." for all of them."""

    module: bytes
    service: bytes
    user: bytes


@dataclass(frozen=True, slots=True)
class Password:
    """AUTH, type login: is this the password?"""

    service: bytes
    user: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cram:
    """AUTH, type cram-…: is this the right response to a challenge that the client has made itself?

    ``hash_name`` is "md5", "sha1" or "sha256"; ``response`` is ``user SP hexdigest``, which may be malformed.
    """

    service: bytes
    hash_name: str
    challenge: bytes
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request whose answer is no, whatever users there are: it cannot be meant. ``why`` never holds what came."""

    service: bytes
    user: bytes
    why: str


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """PASSWD: a new password in the place of the old one."""

    service: bytes
    user: bytes
    old: bytes = field(repr=False)
    new: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enumerate:
    """ENUMERATE: all users."""


Request: TypeAlias = Find | Password | Cram | Refused | ChangePassword | Enumerate


class RequestReader:
    """Takes bytes in pieces of any size, gives the request when it is complete.

    ``client`` is the mail client's address, as far as one was given before the command.
    """

    __slots__ = ("_body", "_buffer", "_lines", "client")

    def __init__(self) -> None:
        self.client = b""
        self._buffer = b""
        self._lines = 0
        self._body: int | None = None  # bytes that AUTH has announced

    def receive(self, data: bytes) -> Request | None:
        """The request if it is complete now, None when more is needed. Raises ``ProtocolError``."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._body is None:
            line = self._line()
            if line is None:
                return None
            request = self._take(line)
            if request is not None:
                return request
        if len(self._buffer) < self._body:
            return None
        return _auth(self._buffer[: self._body])

    @property
    def started(self) -> bool:
        """Whether any byte has come."""
        return bool(self._buffer) or self._lines > 0

    def _line(self) -> bytes | None:
        line, end, rest = self._buffer.partition(b"\n")
        if len(line) > MAX_LINE:
            raise ProtocolError(f"a line of over {MAX_LINE} bytes")
        if not end:
            return None
        self._buffer = rest
        self._lines += 1
        return line

    def _take(self, line: bytes) -> Request | None:
        """The request of a line, None for those that only prepare one."""
        if _METADATA.match(line):
            self._note(line)
            return None
        word, _, rest = line.partition(b" ")
        rest = rest.lstrip(b" ")
        match word:
            case b"PRE":
                return _pre(rest)
            case b"AUTH":
                self._body = _count(rest)
                return None
            case b"PASSWD":
                return _passwd(rest)
            case b"ENUMERATE":
                return Enumerate()
        raise ProtocolError("an unknown command")

    def _note(self, line: bytes) -> None:
        if self._lines > MAX_METADATA:
            raise ProtocolError(f"over {MAX_METADATA} lines of metadata")
        name, _, value = line.partition(b"=")
        if name == b"TCPREMOTEIP":
            self.client = value


def _pre(rest: bytes) -> Request:
    module, _, rest = rest.partition(b" ")
    service, blank, user = rest.lstrip(b" ").partition(b" ")
    if not blank:
        raise ProtocolError("PRE without a user")
    user = user.lstrip(b" ")
    if _CONTROL.search(service):
        return Refused(b"", user, "a control character in the service")
    return Find(module, service, user)


def _count(text: bytes) -> int:
    """The number of AUTH, read as by atoi(3): what is none is 0."""
    found = _COUNT.match(text)
    assert found is not None
    sign, digits = found.groups()
    # the length is looked at first: Python refuses to read thousands of digits with an error of its own
    if len(digits) > 4 or int(digits or b"0") > MAX_BODY:
        raise ProtocolError(f"AUTH with over {MAX_BODY} bytes")
    if sign == b"-" and digits:
        raise ProtocolError("AUTH with a number of bytes below 0")
    return int(digits or b"0")


def _auth(body: bytes) -> Request:
    service, _, rest = body.partition(b"\n")
    if not rest:
        raise ProtocolError("AUTH without a type")
    if _CONTROL.search(service):
        return Refused(b"", b"", "a control character in the service")
    kind, _, data = rest.partition(b"\n")
    first, _, second = data.partition(b"\n")
    second = second.removesuffix(b"\n")
    if kind in _HASHES:
        return _cram(service, _HASHES[kind], first, second)
    if kind != b"login":
        # whom it is about is not told: in a request that lacks a line, the password may stand there
        return Refused(service, b"", "an unknown type of AUTH")
    # authdaemond takes what stands before the line feed for the whole password, and passes over empty lines
    if b"\n" in second:
        return Refused(service, first, "a line feed in the name or the password")
    return Password(service, first, second)


def _cram(service: bytes, hash_name: str, challenge: bytes, response: bytes) -> Request:
    try:
        return Cram(service, hash_name, _decoded(challenge), _decoded(response))
    except binascii.Error:
        return Refused(service, b"", "a challenge or a response that is not base64")


def _decoded(text: bytes) -> bytes:
    data = base64.b64decode(text, validate=True)
    if not data:
        raise binascii.Error("nothing")
    return data


def _passwd(rest: bytes) -> Request:
    fields = rest.split(b"\t")
    if len(fields) < 4:
        raise ProtocolError("PASSWD with fewer than four fields")
    service, user, old, new = fields[:4]
    if fields[4:] not in ([], [b""]) or any(map(_CONTROL.search, fields)):
        return Refused(b"", user, "a control character in a field of PASSWD")
    return ChangePassword(service, user, old, new)


# --- the client's side


def encode_auth(service: bytes, kind: bytes, data: bytes, client: bytes = b"") -> bytes:
    """The bytes of AUTH with some type's data, as Courier's clients send them."""
    body = b"%b\n%b\n%b" % (service, kind, data)
    return (b"TCPREMOTEIP=%b\n" % client if client else b"") + b"AUTH %d\n%b" % (len(body), body)


def encode_login(service: bytes, user: bytes, password: bytes, client: bytes = b"") -> bytes:
    """The bytes of AUTH with a password in the clear."""
    return encode_auth(service, b"login", b"%b\n%b\n" % (user, password), client)
