"""The socketmap socket: Postfix looks up addresses in the stores that logins are checked by.

=======  ===============================  ============================================================
map      the key                          the value, where there is one
=======  ===============================  ============================================================
mailbox  an address                       the login whose mailbox it is
alias    an address                       the same, where the login is another address
senders  an address that mail comes from  the logins that may send as it, separated by commas
=======  ===============================  ============================================================

There is no map for the place of a mailbox, its uid or its gid: who wants those is virtual(8), which takes no answer of a
socketmap for them ("map is not allowed for security-sensitive data"). Mail goes on by LMTP.

"Could not find out" is TEMP, and Postfix answers 451: mail waits, and does not bounce.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import trio

from ..authenticator import Authenticator
from ..model import Accept, Account, Defer, Origin, Reason, Reject
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.socketmap import NOTFOUND, Request, RequestReader, TooLong, ok, perm, temp
from ..senders import TAG, same
from .garbage import Garbage
from .outgoing import NotRead, Outgoing
from .peers import caller_of, linger

PROTOCOL = "socketmap"
SERVICE = "smtp"
"""Whom we answer, for routes that go by service."""

RECEIVE = 16_384


@dataclass(frozen=True, slots=True)
class SocketmapOptions:
    """How one socket behaves. ``read_timeout`` (seconds) is for the rest of a request, ``idle_timeout`` for the next one.

    Each character of ``delimiter`` separates a user from what he adds ("joe+lists"), as Postfix's recipient_delimiter.
    ``default_domain`` is that of logins without one.
    """

    read_timeout: float = 10.0
    idle_timeout: float = 100.0
    delimiter: str = ""
    default_domain: str = ""


class SocketmapConnection:
    """One accepted connection."""

    __slots__ = ("origin", "out", "reader", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.reader = RequestReader()
        self.out = Outgoing(connection)
        self.origin = Origin(PROTOCOL, SERVICE, "", "", caller_of(connection))

    async def receive(self) -> bool:
        """Take what comes next; False at the end. Raises ``OSError``."""
        await trio.lowlevel.wait_readable(self.socket)
        try:
            data = self.socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        self.reader.receive(data)
        return bool(data)

    async def send(self, data: bytes) -> None:
        """Send it all. Raises ``OSError`` and ``NotRead``."""
        self.out.send(data)
        await self.out.flush()


Value: TypeAlias = str | Reject | Defer
Lookup: TypeAlias = Callable[[str, Origin], Awaitable[Value]]


class SocketmapServer:
    """Answers the connections of one socket."""

    def __init__(self, door: Authenticator, options: SocketmapOptions, log: Log) -> None:
        self._door = door
        self._options = options
        self._log = log
        self._garbage = Garbage(log, PROTOCOL)
        self._unknown = Garbage(log, PROTOCOL, event="unknown-map")
        self._maps: dict[bytes, Lookup] = {b"mailbox": self._mailbox, b"alias": self._alias, b"senders": self._senders}
        self._gone = False

    def adopt(self, server: object) -> bool:
        """``accepting.Lasting``."""
        self._gone = not isinstance(server, SocketmapServer)
        if isinstance(server, SocketmapServer):
            self._options = server._options
        return not self._gone

    def begin(self, connection: socket.socket) -> SocketmapConnection:
        """Nothing can be done at once."""
        return SocketmapConnection(connection)

    async def serve(self, connection: SocketmapConnection) -> None:
        """One connection to its end."""
        try:
            while (request := await self._next(connection)) is not None and not self._gone:
                await connection.send(await self._answer(request, connection.origin))
                # others have their turn, too: requests that are there already, and need no look, wait for nothing
                await trio.lowlevel.checkpoint()
        except TooLong as fault:
            self._garbage.seen(str(fault))
            await self._tell(connection, perm(str(fault)))
        except (ProtocolError, NotRead) as fault:
            self._garbage.seen(str(fault))
        except OSError:
            return

    async def _tell(self, connection: SocketmapConnection, reply: bytes) -> None:
        """The last reply to a caller that may still be sending."""
        try:
            await connection.send(reply)
            await linger(connection.socket)
        except (OSError, NotRead):
            return

    async def _next(self, connection: SocketmapConnection) -> Request | None:
        """The next request; None at the end. Raises ``ProtocolError``."""
        reader, options = connection.reader, self._options
        with trio.move_on_after(options.read_timeout if reader.halfway else options.idle_timeout) as scope:
            while (request := reader.next()) is None:
                began = reader.halfway
                if not await connection.receive():
                    break
                if reader.halfway and not began:
                    scope.deadline = min(scope.deadline, trio.current_time() + options.read_timeout)
            if request is None and reader.halfway:
                raise ProtocolError("the caller hung up in the middle of a request")
            return request
        if reader.halfway:
            raise ProtocolError(f"half a request, and no more of it in {options.read_timeout:g} s")
        return None

    async def _answer(self, request: Request, origin: Origin) -> bytes:
        key = request.key.decode("utf-8", "surrogateescape")
        lookup = self._maps.get(request.map)
        if lookup is None:
            known = ", ".join(name.decode() for name in self._maps)
            self._unknown.seen(f"there are {known}")
            return perm(f"there is no such map; there are {known}")
        found = await lookup(key, origin)
        if isinstance(found, Defer):
            self._log.warning("lookup-failed", protocol=PROTOCOL, map=request.map.decode(), reason=found.reason.value)
            return temp("the address could not be looked up, try again later")
        return NOTFOUND if isinstance(found, Reject) else ok(found)

    async def _mailbox(self, address: str, origin: Origin) -> Value:
        found = await self._find(address, self._options.delimiter, origin)
        return found.login if isinstance(found, Account) else found

    async def _alias(self, address: str, origin: Origin) -> Value:
        """An address with a delimiter is looked up as it stands: a login in its place would have lost what is behind it."""
        found = await self._find(address, "", origin)
        if isinstance(found, Account):
            return Reject(Reason.UNKNOWN_USER) if same(found.login, address) else found.login
        return found

    async def _senders(self, address: str, origin: Origin) -> Value:
        """The logins that may send as an address: of the user whose address it is, if he may."""
        owner = await self._find(address, TAG, origin)
        if not isinstance(owner, Account):
            return owner
        allowed = await self._door.may_send(owner.login, address, origin)
        return ",".join(self._spellings(owner.login)) if isinstance(allowed, Accept) else allowed

    def _spellings(self, login: str) -> list[str]:
        """A login as Postfix may know it: whoever logs in without a domain is in the default domain."""
        local, _, domain = login.rpartition("@")
        return [login, local] if local and domain.lower() == self._options.default_domain else [login]

    async def _find(self, address: str, delimiter: str, origin: Origin) -> Account | Reject | Defer:
        """Whose address it is, with or without what stands behind the delimiter."""
        if not address or address.startswith("@"):
            return Reject(Reason.MALFORMED)  # of a whole domain's mail: nobody's
        found = await self._door.find(address, "", origin)
        if isinstance(found, Reject) and (shorter := _untagged(address, delimiter)):
            return await self._door.find(shorter, "", origin)
        return found


def _untagged(address: str, delimiter: str) -> str:
    """The address without what is behind the first delimiter in its local part; empty where there is nothing to cut."""
    local, at, domain = address.rpartition("@")
    end = min((place for mark in delimiter if (place := local.find(mark)) >= 0), default=0)
    return local[:end] + at + domain if end and not local.startswith('"') else ""
