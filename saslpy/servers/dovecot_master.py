"""The master and userdb sockets of a Dovecot: its mail processes ask whose mail is where, and who has just logged in.

An idle connection is one task that waits for bytes, for ever; a request has a task for as long as it lasts.

Who asks is known from the kernel (``Trusted``). As in Dovecot, others than the trusted ones may look up only accounts
whose uid is their own, and may neither list users nor look up passwords; nor may they fetch a login here.

A login that is fetched (REQUEST) is the one that the client socket has accepted, with the account of the backend that has
accepted it; but it is looked up once more, by the name that was given, and whoever was deleted or disabled since then is
refused. Where the look finds nothing out, or the backend cannot tell who exists (a password was all it could check), the
account of the login stands: it was right 150 seconds ago at most.

Mail is delivered to disabled and expired users; such a user exists, and only may not log in. No answer holds a secret.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Literal

import trio

from ..authenticator import Authenticator
from ..model import Account, Caller, Defer, Origin, Reason, Reject
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.dovecot.master import (
    COUNTERS,
    CacheStats,
    Fetch,
    FlushCache,
    ListUsers,
    PassLookup,
    Request,
    UserLookup,
    greeting,
)
from ..protocols.dovecot.userdb import Version, passdb
from .dovecot_site import DovecotSite
from .garbage import Garbage
from .handed import HandedLogin, Ticket
from .lined import Load
from .master_connection import MasterConnection
from .master_fields import Fields, of_session
from .master_lists import Lists
from .peers import address_of, caller_of
from .trusted import Trusted

PROTOCOL = "dovecot-master"

FAILED = "the user could not be looked up, try again later"
FORBIDDEN = "not permitted"


@dataclass(frozen=True, slots=True)
class MasterOptions:
    """How one socket behaves. ``read_timeout`` (seconds) ends half a line; ``dovecot`` is the version that asks."""

    trusted: Trusted = field(default_factory=lambda: Trusted.named(()))
    temporary_failure: Literal["drop", "code"] = "code"
    dovecot: Version = "2.3"
    system_groups: bool = False
    read_timeout: float = 10.0


class MasterServer:
    """Answers the connections of one master or userdb socket."""

    def __init__(self, door: Authenticator, options: MasterOptions, site: DovecotSite, log: Log) -> None:
        self._door = door
        self._options = options
        self._site = site
        self._garbage = Garbage(log, PROTOCOL)
        self._forbidden = Garbage(log, PROTOCOL, event="not-permitted")
        self._lists = Lists(door, log, PROTOCOL)
        self._fields = Fields(options.dovecot, options.system_groups)
        self._load = Load()
        self._gone = False

    def adopt(self, server: object) -> bool:
        """``accepting.Lasting``."""
        self._gone = not isinstance(server, MasterServer)
        if isinstance(server, MasterServer):
            self._options, self._fields = server._options, server._fields
        return not self._gone

    def begin(self, connection: socket.socket) -> MasterConnection:
        """Greet."""
        begun = MasterConnection(connection, caller_of(connection), self._load)
        begun.write(greeting(self._site.spid))
        return begun

    async def serve(self, connection: MasterConnection) -> None:
        """One connection to its end."""
        async with trio.open_nursery() as nursery:
            connection.open(nursery)
            try:
                while not connection.ended and await connection.receive(self._take, self._options.read_timeout):
                    pass
            except ProtocolError as fault:
                connection.drop(str(fault))
            if connection.ended:
                nursery.cancel_scope.cancel()  # we have hung up: nobody hears what comes of the rest
        if connection.fault:
            self._garbage.seen(connection.fault)

    def _take(self, connection: MasterConnection, request: Request) -> None:
        if connection.ended:
            return
        if self._gone:
            connection.drop()  # nobody is to ask here any more
            return
        connection.trusted = self._options.trusted.trusts(connection.caller, connection.socket)
        if not connection.trusted and not isinstance(request, UserLookup):
            self._forbid(connection, request)
            return
        if isinstance(request, ListUsers):
            if connection.listing:  # as in Dovecot, one at a time
                connection.write(connection.side.done(request.id, failed=True))
                return
            connection.listing = True
        connection.start(self._answer, connection, request)

    async def _answer(self, connection: MasterConnection, request: Request) -> None:
        match request:
            case UserLookup():
                await self._user(connection, request)
            case PassLookup():
                await self._pass(connection, request)
            case ListUsers():
                await self._list(connection, request)
            case Fetch():
                await self._fetch(connection, request)
            case FlushCache():
                connection.write(connection.side.ok(request.id, 0))  # there is no cache yet
            case CacheStats():
                connection.write(connection.side.ok(request.id, *[0] * COUNTERS))

    # --- lookups by name

    async def _user(self, connection: MasterConnection, request: UserLookup) -> None:
        found = await self._found(connection, request)
        if not isinstance(found, Account):
            self._not_found(connection, request, found)
        elif not connection.may_see(found):
            self._forbid(connection, request)
        else:
            connection.write(connection.side.user(request.id, found.login, *await self._fields.of(found)))

    async def _pass(self, connection: MasterConnection, request: PassLookup) -> None:
        found = await self._found(connection, request)
        if isinstance(found, Account) and (found.disabled or found.expired):
            connection.write(connection.side.not_found(request.id))
        elif isinstance(found, Account):
            connection.write(connection.side.password(request.id, found.login, *passdb(found)))
        else:
            self._not_found(connection, request, found)

    async def _found(self, connection: MasterConnection, request: UserLookup | PassLookup) -> Account | Reject | Defer:
        origin = Origin(PROTOCOL, request.service, "", address_of(request.client), connection.caller)
        return await self._door.find(request.name, "", origin)

    # --- all of them

    async def _list(self, connection: MasterConnection, request: ListUsers) -> None:
        whole = await self._lists.send(connection, request)
        connection.listing = False
        connection.write(connection.side.done(request.id, failed=not whole))

    # --- who has logged in

    async def _fetch(self, connection: MasterConnection, request: Fetch) -> None:
        if not connection.is_process(request.session_pid):
            self._forbid(connection, request)
            return
        handed = self._site.handed.take(Ticket(request.cpid, request.auth_id, request.cookie))
        if handed is None:
            self._garbage.seen("REQUEST for a login that is not there, or not any more")
            connection.write(connection.side.fail(request.id))
            return
        found = await self._fresh(handed, connection.caller)
        if isinstance(found, Reject):
            connection.write(connection.side.not_found(request.id))
            return
        fields = [*await self._fields.of(found), *of_session(handed, request.wants_token)]
        connection.write(connection.side.user(request.id, found.login, *fields))

    async def _fresh(self, handed: HandedLogin, caller: Caller | None) -> Account | Reject:
        """The account of a login, if it may still log in."""
        origin = Origin(PROTOCOL, handed.service, handed.mechanism, "", caller)
        account = handed.account
        found = await self._door.find(handed.given or account.login, "", origin)
        if isinstance(found, Defer):
            return account
        if isinstance(found, Reject):
            return found
        if found.disabled or found.expired:
            return Reject(Reason.DISABLED if found.disabled else Reason.EXPIRED)
        # another backend may know the name, too; an anonymous user's mail is where the store says
        return account if found.login != account.login or _says_where(account) else found

    # --- noes

    def _not_found(self, connection: MasterConnection, request: Request, found: Reject | Defer) -> None:
        if isinstance(found, Defer):
            self._failed(connection, request)
        else:
            connection.write(connection.side.not_found(request.id))

    def _failed(self, connection: MasterConnection, request: Request) -> None:
        """Could not find out."""
        if self._options.temporary_failure == "drop":
            connection.drop()
        elif isinstance(request, ListUsers):
            connection.write(connection.side.done(request.id, failed=True))
        else:
            connection.write(connection.side.fail(request.id, FAILED))

    def _forbid(self, connection: MasterConnection, request: Request) -> None:
        who = "a stranger" if connection.caller is None else f"uid {connection.caller.uid}"
        self._forbidden.seen(f"{type(request).__name__} by {who}")
        if isinstance(request, ListUsers):
            connection.write(connection.side.done(request.id, failed=True))
        else:
            connection.write(connection.side.fail(request.id, FORBIDDEN))


def _says_where(account: Account) -> bool:
    """Whether an account tells anything of its mail."""
    return account.uid is not None or bool(account.home or account.maildir)
