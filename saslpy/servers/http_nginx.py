"""``GET /nginx`` of the HTTP socket: nginx's mail proxy asks who may log in, and which server is his.

A question with a fault is answered with a status and no Auth-Status: to nginx that is an internal error, which its clients
hear as "try again".

Who asks is told the password for the servers behind nginx, and is believed what certificate a client has: where there is
one of these, strangers are not answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..authenticator import Authenticator
from ..exchange import Done, Mechanism
from ..mechanisms import named
from ..mechanisms.cram import hmac_mechanism
from ..model import Accept, Origin, Reject, Verdict
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.auth_http import (
    DEFERRED,
    LOGIN_FIRST,
    REJECTED,
    UNSERVED,
    AuthRequest,
    Fields,
    Told,
    accepted,
    read,
    refused,
)
from ..protocols.http1 import Answer, HttpFault, Request
from .http import PROTOCOL, HttpConnection
from .peers import address_of, caller_of

Server: TypeAlias = tuple[str, int]
"""An IP address and a port."""


@dataclass(frozen=True, slots=True)
class NginxOptions:
    """``upstreams`` by service; that of "mail" takes mail from those who do not log in. ``wait`` is in seconds,
    ``attempts`` are those of one connection.

    ``offers`` are the mechanisms of this socket. ``password`` opens the servers behind nginx for every user, in the place
    of his own; empty for none.
    """

    upstreams: Mapping[str, Server]
    offers: tuple[str, ...] = ("PLAIN", "LOGIN")
    wait: int = 3
    attempts: int = 10
    password: str = field(default="", repr=False)


class NginxMail:
    """Answers nginx."""

    def __init__(self, door: Authenticator, options: NginxOptions, log: Log) -> None:
        self._door = door
        self._options = options
        self._log = log

    async def auth(self, request: Request, connection: HttpConnection) -> Answer:
        """May this user log in? Raises ``HttpFault``."""
        try:
            asked = read(request.one)
        except ProtocolError as fault:
            raise HttpFault(400, str(fault)) from None
        if not connection.guarded and (self._options.password or "EXTERNAL" in self._options.offers):
            raise HttpFault(401, "over TCP nginx must have a secret (secret_file) to ask this socket")
        return Answer(200, tuple(await self._fields(asked, connection)))

    async def _fields(self, asked: AuthRequest, connection: HttpConnection) -> Fields:
        options = self._options
        if asked.method == "none":
            found = options.upstreams.get("mail")
            return accepted(*found) if found and asked.service == "smtp" else self._refused(asked, LOGIN_FIRST)
        server = options.upstreams.get(asked.service)
        if server is None:
            self._log.error("no-upstream", service=asked.service)
            return self._refused(asked, DEFERRED)
        verdict = await self._verdict(asked, connection)
        if isinstance(verdict, Accept):
            return self._accepted(asked, server, verdict)
        told = UNSERVED if verdict is None else REJECTED if isinstance(verdict, Reject) else DEFERRED
        return self._refused(asked, told)

    def _refused(self, asked: AuthRequest, told: Told) -> Fields:
        return refused(asked, told, self._options.wait, self._options.attempts)

    def _accepted(self, asked: AuthRequest, server: Server, verdict: Accept) -> Fields:
        password = "" if asked.service == "smtp" else self._options.password
        try:
            return accepted(*server, verdict.account.login, password)
        except ProtocolError as fault:
            self._log.error("cannot-tell-nginx", detail=str(fault))
            return self._refused(asked, DEFERRED)

    async def _verdict(self, asked: AuthRequest, connection: HttpConnection) -> Verdict | None:
        """The verdict; None for what is not served."""
        origin = Origin(
            PROTOCOL,
            asked.service,
            "PLAIN",
            address_of(asked.client),
            caller_of(connection.socket),
            asked.secured,
            asked.certificate,
        )
        if asked.method == "plain":
            if not {"PLAIN", "LOGIN"} & set(self._options.offers):
                return None
            return await self._door.verify(_text(asked.user), "", _text(asked.password), origin)
        mechanism = self._mechanism(asked)
        return None if mechanism is None else await self._exchange(mechanism, asked, origin)

    def _mechanism(self, asked: AuthRequest) -> Mechanism | None:
        """The mechanism of a method that sends no password; None where it is not served.

        nginx logs in to IMAP and POP3 servers with the user's password, which it does not have then: it needs another.
        """
        name = {"cram-md5": "CRAM-MD5", "external": "EXTERNAL"}.get(asked.method, "")
        if name not in self._door.offered(self._options.offers) or not (
            self._options.password or asked.service == "smtp"
        ):
            return None
        return named(name) if asked.method == "external" else hmac_mechanism(name, "md5", asked.salt)

    async def _exchange(self, mechanism: Mechanism, asked: AuthRequest, origin: Origin) -> Verdict:
        """The whole of an exchange that nginx has led with its client."""
        conversation = self._door.begin(mechanism, origin)
        if asked.method == "external":
            step = await conversation.start(asked.user)
        else:
            await conversation.start()
            step = await conversation.respond(asked.user + b" " + asked.password)
        assert isinstance(step, Done), "these mechanisms have one step"
        return step.verdict


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
