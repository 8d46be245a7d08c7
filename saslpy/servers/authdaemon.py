"""Courier's authdaemon socket: one request, one reply, one connection, closed right after.

``begin`` (in the accept loop) reads what is there, ``serve`` (a task) does the rest. "Could not find out" is a close
without a byte. The one thing that a login has beside a verdict is the account; where Courier could not make use of it, it
is not told, since a UID without a GID makes courier-imap and maildrop run with the group 0, and an account without a UID is
"Login failed" to the user.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from ..authenticator import Authenticator
from ..chain import in_networks
from ..exchange import Challenge, Done
from ..guard import BackendFailed
from ..mechanisms.cram import hmac_mechanism
from ..model import Accept, Account, Defer, Login, Origin, Reason, Reject, Verdict
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.authdaemon import (
    FAIL,
    OK,
    ChangePassword,
    Cram,
    Enumerate,
    Find,
    Password,
    Refused,
    Request,
    Unsayable,
    account_reply,
    listing_end,
    listing_line,
    listing_start,
    missing,
)
from .authdaemon_connection import AuthdaemonConnection
from .garbage import Garbage
from .peers import address_of, caller_of, linger

PROTOCOL = "authdaemon"

LISTS = 4
"""Lists of all users at a time; for one more it could not be found out."""

CHUNK = 16_384
"""Bytes of a list that are sent at a time."""

NO_CLEAR = "neither PLAIN nor LOGIN is allowed here"

SERVICES = ("imap", "pop3", "webmail")
"""Of Courier's, those that a user may be barred from by an option of his account."""


@dataclass(frozen=True, slots=True)
class AuthdaemonOptions:
    """How one socket behaves. ``mechanisms`` are those that may be used; the times are seconds."""

    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    default_options: Mapping[str, str] = field(default_factory=dict)
    password_only: tuple[str, ...] = ("smtp",)
    secrets: bool = False
    read_timeout: float = 10.0
    write_timeout: float = 30.0


class AuthdaemonServer:
    """Answers the connections of one authdaemon socket."""

    def __init__(self, door: Authenticator, options: AuthdaemonOptions, log: Log) -> None:
        self._door = door
        self._options = options
        self._log = log
        self._garbage = Garbage(log, PROTOCOL)
        self._untold = Garbage(log, PROTOCOL, event="account-untold")
        self._lists = 0

    def begin(self, connection: socket.socket) -> AuthdaemonConnection | None:
        """Read what is there; what is left to do is done by ``serve``. None when nothing is left."""
        begun = AuthdaemonConnection(connection)
        try:
            alive = begun.receive()
        except OSError:
            return None
        return begun if alive else None

    async def serve(self, begun: AuthdaemonConnection) -> None:
        """One connection, from its request to its end."""
        try:
            request = begun.request or await begun.read(self._options.read_timeout)
            if request is None:
                return
            if isinstance(request, Find | Enumerate) and begun.socket.family != socket.AF_UNIX:
                # no mode of a file says who may ask; a hang-up, since "no such user" would be a lie
                raise ProtocolError("PRE or ENUMERATE over TCP: users are looked up over a unix socket alone")
            if isinstance(request, Enumerate):
                await self._list(begun)
            else:
                await begun.send(await self._answer(request, begun), self._options.write_timeout)
            # libsasl2 sends a byte more than it counts: unread, it would turn our close into a reset
            await linger(begun.socket)
        except ProtocolError as fault:
            self._garbage.seen(str(fault))
        except OSError:
            return  # reset by the caller, in the middle of something

    # --- one user

    async def _answer(self, request: Request, begun: AuthdaemonConnection) -> bytes:
        """The reply; empty where it could not be found out."""
        match request:
            case Find():
                return await self._find(request, self._origin(request.service, "", begun))
            case Password():
                return await self._password(request, begun)
            case Cram():
                return await self._cram(request, begun)
            case ChangePassword():
                return await self._change(request, begun)
            case Refused():
                self._refuse(request, self._origin(request.service, "", begun), Reason.MALFORMED, request.why)
        return FAIL

    def _origin(self, service: bytes, mechanism: str, begun: AuthdaemonConnection) -> Origin:
        client = address_of(_text(begun.reader.client))
        return Origin(PROTOCOL, _text(service), mechanism, client, caller_of(begun.socket))

    def _clear(self, service: bytes, begun: AuthdaemonConnection) -> Origin:
        """Of a password in the clear: by LOGIN where that alone is allowed."""
        only_login = "LOGIN" in self._options.mechanisms and "PLAIN" not in self._options.mechanisms
        return self._origin(service, "LOGIN" if only_login else "PLAIN", begun)

    async def _find(self, request: Find, origin: Origin) -> bytes:
        if request.module != b".":
            return FAIL  # a module of authdaemond: it has no users here
        found = await self._door.find(_text(request.user), "", origin)
        if isinstance(found, Account):
            return self._account(found, origin)
        return FAIL if isinstance(found, Reject) else b""

    async def _password(self, request: Password, begun: AuthdaemonConnection) -> bytes:
        origin = self._clear(request.service, begun)
        if origin.mechanism not in self._options.mechanisms:
            return self._refuse(request, origin, Reason.SERVICE_DENIED, NO_CLEAR)
        return self._reply(await self._door.verify(_text(request.user), "", _text(request.password), origin), origin)

    async def _cram(self, request: Cram, begun: AuthdaemonConnection) -> bytes:
        name = f"CRAM-{request.hash_name.upper()}"
        origin = self._origin(request.service, name, begun)
        if "CRAM-MD5" not in self._options.mechanisms:
            return self._refuse(request, origin, Reason.SERVICE_DENIED, "CRAM-MD5 is not allowed here")
        conversation = self._door.begin(hmac_mechanism(name, request.hash_name, request.challenge), origin)
        step = await conversation.start(None)
        if isinstance(step, Challenge):  # the one that the client has made, and answered already
            step = await conversation.respond(request.response)
        assert isinstance(step, Done)
        return self._reply(step.verdict, origin)

    async def _change(self, request: ChangePassword, begun: AuthdaemonConnection) -> bytes:
        origin = self._clear(request.service, begun)
        if origin.mechanism not in self._options.mechanisms:  # it tells whether the old one is right
            return self._refuse(request, origin, Reason.SERVICE_DENIED, NO_CLEAR)
        verdict = await self._door.change_password(_text(request.user), _text(request.old), _text(request.new), origin)
        if isinstance(verdict, Defer):
            return b""
        return OK if isinstance(verdict, Accept) else FAIL

    def _refuse(self, request: Request, origin: Origin, reason: Reason, detail: str) -> bytes:
        """A no without a question to anybody, which stands in the audit log all the same."""
        user = _text(getattr(request, "user", b""))
        self._door.told(Login(user, user, "", user, origin), origin, Reject(reason, detail=detail), 0.0)
        return FAIL

    # --- accounts as they are told

    def _reply(self, verdict: Verdict, origin: Origin) -> bytes:
        if isinstance(verdict, Accept):
            return self._account(verdict.account, origin)
        return FAIL if isinstance(verdict, Reject) else b""

    def _account(self, account: Account, origin: Origin) -> bytes:
        """The account, or nothing where it cannot be told: to a user, that is no wrong password."""
        options = self._options
        if (lacking := missing(account)) and origin.service not in options.password_only:
            self._untold.seen(
                f"{account.login} has no {', '.join(lacking)} for the service {origin.service}, so Courier's programs "
                "cannot serve him; [backend.NAME.account] has values for those whose store has none"
            )
            return b""
        try:
            return account_reply(account, options.default_options, barred(account, origin.client), options.secrets)
        except Unsayable as fault:
            self._untold.seen(f"{account.login}: {fault}")
            return b""

    # --- all users

    async def _list(self, begun: AuthdaemonConnection) -> None:
        """All users, as fast as they are read. Without its end, the list is not whole."""
        if self._lists >= LISTS:
            self._garbage.seen(f"ENUMERATE while {LISTS} lists are on their way")
            return
        self._lists += 1
        try:
            await self._send_list(begun, await self._door.accounts())
        except BackendFailed as failure:
            self._log.warning("listing-failed", protocol=PROTOCOL, detail=failure.detail)
        finally:
            self._lists -= 1

    async def _send_list(self, begun: AuthdaemonConnection, accounts: Sequence[Account]) -> None:
        chunk = bytearray(listing_start())
        for account in accounts:
            try:
                chunk += listing_line(account, self._options.default_options, barred(account, ""))
            except Unsayable as fault:
                # who is missing in a list may be taken for gone, and his mailbox for nobody's
                self._log.warning("listing-failed", protocol=PROTOCOL, detail=f"{account.login}: {fault}")
                return
            if len(chunk) > CHUNK:
                await begun.send(bytes(chunk), self._options.write_timeout)
                await trio.lowlevel.checkpoint()
                chunk.clear()
        await begun.send(bytes(chunk) + listing_end(), self._options.write_timeout)


def barred(account: Account, client: str) -> tuple[str, ...]:
    """The services that Courier must not let the user in to, though it is told of the account: without a password it
    delivers mail, but also lets in who has a certificate."""
    nets = account.allow_nets
    if account.disabled or account.expired or (nets and client and not in_networks(client, nets)):
        return SERVICES
    return tuple(service for service in SERVICES if service in account.deny_services)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
