"""The master and userdb sockets of Dovecot's auth service, the server's side of them, without I/O: who is this user?

The server greets at once, the client says its version before anything else::

    S: VERSION 1 1            C: VERSION 1 minor
    S: SPID number            the same number as on the client sockets

Then there are any number of requests at a time, told apart by their ids::

    C: USER id name service=word parameter…         S: USER id name field… | NOTFOUND id | FAIL id [reason=text]
    C: PASS id name service=word parameter…         S: PASS id user=name field… | NOTFOUND id | FAIL id [reason=text]
    C: LIST id [user=mask] parameter…               S: LIST id name, for each user, then DONE id [fail]
    C: REQUEST id cpid auth-id cookie parameter…    S: USER … | NOTFOUND id | FAIL id [reason=text]
    C: CACHE-FLUSH id [mask…]                       S: OK id count
    C: CACHE-STATS id                               S: OK id number…         eight of them, Dovecot 2.4

USER asks about a user by name (lmtp, lda, doveadm), PASS where a user's mail is to be proxied to. REQUEST fetches the user
of an exchange on a client socket, which that connection's CPID, the exchange's id and the connection's cookie name
together. Neither a fault of the client nor an unknown command has an answer: the connection ends.

Source: Dovecot's src/auth/auth-master-connection.c, src/lib-auth/auth-master.c, src/lib-master/master-login-auth.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from .. import ProtocolError
from .fields import escape, line, minor_version, number, pair, parameters, request_id, split, text_of
from .fields import unescape as meant
from .lines import LineReader

MINOR = 1
"""Of our version. A client's makes no difference."""

MAX_REPLY = 8192
"""Bytes of a line, its LF included, that Dovecot's processes can read; a longer one ends the connection."""

COUNTERS = 8
"""Numbers of CACHE-STATS: hits, misses, right and wrong entries, the sizes of both, the most and the used bytes."""

_COOKIE = re.compile(rb"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class UserLookup:
    """USER. ``client`` is what was said to be the mail client's address."""

    id: int
    name: str
    service: str
    client: str = ""


@dataclass(frozen=True, slots=True)
class PassLookup:
    """PASS. Its fields are those of USER."""

    id: int
    name: str
    service: str
    client: str = ""


@dataclass(frozen=True, slots=True)
class ListUsers:
    """LIST. The mask has ``*`` and ``?``."""

    id: int
    mask: str = "*"
    service: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """REQUEST. ``session_pid`` is the process that asks, as it says itself; None where it does not.

    ``wants_token``: the session would like a token, to log in with at another service of Dovecot.
    """

    id: int
    cpid: int
    auth_id: int
    cookie: str = field(repr=False)
    session_pid: int | None = None
    wants_token: bool = False


@dataclass(frozen=True, slots=True)
class FlushCache:
    """CACHE-FLUSH; no masks for everything."""

    id: int
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheStats:
    """CACHE-STATS."""

    id: int


Request: TypeAlias = UserLookup | PassLookup | ListUsers | Fetch | FlushCache | CacheStats


class MasterSide:
    """One connection: bytes in, requests out; and the bytes of what we answer. Every answer but ``listed`` frees its id."""

    __slots__ = ("_lines", "_pending", "_version_seen")

    def __init__(self) -> None:
        self._lines = LineReader()
        self._pending: set[int] = set()
        self._version_seen = False

    def receive(self, data: bytes) -> Iterator[Request]:
        """What is asked. To be run to its end. Raises ``ProtocolError`` where the connection must end."""
        for text in self._lines.receive(data):
            command, *fields = split(text)
            if self._version_seen:
                yield self._request(command, fields)
            elif command == b"VERSION":
                minor_version(fields)
                self._version_seen = True
            else:
                raise ProtocolError("no VERSION at the beginning")

    @property
    def halfway(self) -> bool:
        """Whether there is the beginning of a line."""
        return self._lines.started

    @property
    def pending(self) -> int:
        """Requests without an answer."""
        return len(self._pending)

    def _request(self, command: bytes, fields: list[bytes]) -> Request:
        if command == b"CPID":
            raise ProtocolError("a client that wants to check logins has come to a master socket")
        if (read := _REQUESTS.get(command)) is None:
            raise ProtocolError("an unknown command")
        if not fields:
            raise ProtocolError("a command without an id")
        key = request_id(fields[0])
        if key in self._pending:
            raise ProtocolError("the id of a request that is under way")
        request = read(key, fields[1:])
        self._pending.add(key)
        return request

    # --- answers

    def user(self, key: int, name: str, *more: bytes) -> bytes:
        """The user is there; ``more`` are fields. One that no client could read is a failure."""
        return self._readable(key, line(b"USER", _id(key), _name(name), *more))

    def password(self, key: int, name: str, *more: bytes) -> bytes:
        """The answer to PASS."""
        return self._readable(key, line(b"PASS", _id(key), pair(b"user", name), *more))

    def not_found(self, key: int) -> bytes:
        """There is definitely no such user: mail to him is returned."""
        return self._over(key, line(b"NOTFOUND", _id(key)))

    def fail(self, key: int, reason: str = "") -> bytes:
        """Could not find out, or may not say. ``reason`` is for Dovecot's log, and may reach the user."""
        return self._over(key, line(b"FAIL", _id(key), *([pair(b"reason", reason)] if reason else [])))

    def listed(self, key: int, name: str) -> bytes:
        """One user of a list."""
        return line(b"LIST", _id(key), _name(name))

    def done(self, key: int, failed: bool = False) -> bytes:
        """The end of a list; ``failed`` says that it is not whole."""
        return self._over(key, line(b"DONE", _id(key), *([b"fail"] if failed else [])))

    def ok(self, key: int, *numbers: int) -> bytes:
        """The answer to what concerns the cache."""
        return self._over(key, line(b"OK", _id(key), *map(_id, numbers)))

    def _readable(self, key: int, reply: bytes) -> bytes:
        if len(reply) > MAX_REPLY:
            return self.fail(key, "the account has more fields than fit into a line")
        return self._over(key, reply)

    def _over(self, key: int, reply: bytes) -> bytes:
        self._pending.discard(key)
        return reply


def greeting(spid: int) -> bytes:
    """What the server says first. No MECH, by which Postfix knows that it has come to the wrong socket."""
    return line(b"VERSION", b"1", _id(MINOR)) + line(b"SPID", _id(spid))


# --- requests


def _user(key: int, fields: list[bytes]) -> UserLookup:
    return UserLookup(key, *_asked(fields))


def _pass(key: int, fields: list[bytes]) -> PassLookup:
    return PassLookup(key, *_asked(fields))


def _asked(fields: list[bytes]) -> tuple[str, str, str]:
    """Name, service and client. Raises ``ProtocolError``."""
    if not fields:
        raise ProtocolError("a lookup without a name")
    given = parameters(fields[1:])
    service = given.get(b"service", given.get(b"protocol"))
    if service is None:
        raise ProtocolError("a lookup without a service")
    return text_of(meant(fields[0])), text_of(service), text_of(given.get(b"rip", b""))


def _list(key: int, fields: list[bytes]) -> ListUsers:
    given = parameters(fields)
    service = given.get(b"service", given.get(b"protocol", b""))
    return ListUsers(key, text_of(given.get(b"user", b"*")), text_of(service))


def _fetch(key: int, fields: list[bytes]) -> Fetch:
    if len(fields) < 3 or not _COOKIE.fullmatch(fields[2]):
        raise ProtocolError("REQUEST wants a process, an id and a cookie of 32 hex digits")
    cpid, auth_id, cookie = number(fields[0]), number(fields[1]), text_of(fields[2].lower())
    given = parameters(fields[3:])
    session = given.get(b"session_pid")
    return Fetch(
        key, cpid, auth_id, cookie, None if session is None else number(session), b"request_auth_token" in given
    )


def _flush(key: int, fields: list[bytes]) -> FlushCache:
    return FlushCache(key, tuple(text_of(meant(mask)) for mask in fields))


def _stats(key: int, _fields: list[bytes]) -> CacheStats:
    return CacheStats(key)


_REQUESTS: dict[bytes, Callable[[int, list[bytes]], Request]] = {
    b"USER": _user,
    b"PASS": _pass,
    b"LIST": _list,
    b"REQUEST": _fetch,
    b"CACHE-FLUSH": _flush,
    b"CACHE-STATS": _stats,
    b"CACHE-STATUS": _stats,  # as doveadm's command is called
}


def _id(key: int) -> bytes:
    return b"%d" % key


def _name(name: str) -> bytes:
    return escape(name.encode("utf-8", "surrogateescape"))
