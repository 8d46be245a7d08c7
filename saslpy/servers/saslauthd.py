"""The saslauthd mux socket: one request, one reply, one connection.

The accept loop reads a request that is already in the socket's buffer (``begin``), so that what can be answered at once
needs no task; everything else goes on in one (``serve``).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..authenticator import Authenticator
from ..model import Accept, Origin, Reject, Verdict
from ..observe.log import Log
from ..protocols import ProtocolError
from ..protocols.saslauthd import (
    MAX_FIELD,
    NO,
    OK,
    FieldTooLong,
    Request,
    RequestReader,
    encode_reply,
)
from .garbage import Garbage
from .peers import address_of, caller_of, linger
from .requesting import RequestConnection

TemporaryFailure = Literal["drop", "code"]
DEFERRED = encode_reply("TEMPFAIL try again later")
"""For ``temporary_failure = "code"``: neither OK nor NO, which Exim reads as "defer" (libsasl2 takes it for a no)."""


@dataclass(frozen=True, slots=True)
class MuxOptions:
    """How one mux socket behaves. ``read_timeout`` in seconds, ``max_field`` in bytes."""

    read_timeout: float = 10.0
    max_field: int = MAX_FIELD
    temporary_failure: TemporaryFailure = "drop"


MuxConnection: TypeAlias = RequestConnection[Request]


class MuxServer:
    """Answers the connections of one mux socket."""

    def __init__(self, door: Authenticator, options: MuxOptions, log: Log) -> None:
        self._door = door
        self._options = options
        self._garbage = Garbage(log, "saslauthd")

    def begin(self, connection: socket.socket) -> MuxConnection | None:
        """Read what is there; what is left to do is done by ``serve``. None when nothing is left."""
        mux: MuxConnection = RequestConnection(connection, RequestReader(self._options.max_field))
        try:
            alive = mux.receive()
        except OSError:
            return None
        return mux if alive or mux.fault else None

    async def serve(self, mux: MuxConnection) -> None:
        """One connection, from its request to its end."""
        try:
            request = mux.request or await mux.read(self._options.read_timeout)
            if request is not None:
                _send(mux.socket, self._reply(await self._ask(request, mux.socket)))
        except FieldTooLong as fault:
            self._garbage.seen(str(fault))
            # told, since a hang-up would be "try again", and it will not get shorter
            _send(mux.socket, encode_reply(f"NO {fault}"))
            await linger(mux.socket)
        except ProtocolError as fault:
            self._garbage.seen(str(fault))
        except OSError:
            return  # reset by the caller, in the middle of something

    async def _ask(self, request: Request, connection: socket.socket) -> Verdict:
        caller = caller_of(connection)
        origin = Origin("saslauthd", _text(request.service), "PLAIN", address_of(_text(request.client)), caller)
        return await self._door.verify(_text(request.login), _text(request.realm), _text(request.password), origin)

    def _reply(self, verdict: Verdict) -> bytes:
        if isinstance(verdict, Accept):
            return OK
        if isinstance(verdict, Reject):
            return NO
        return DEFERRED if self._options.temporary_failure == "code" else b""


def _send(connection: socket.socket, reply: bytes) -> None:
    """A reply of a few bytes always fits into a fresh socket's buffer; a caller that has gone does not matter."""
    if reply:
        try:
            connection.send(reply, socket.MSG_DONTWAIT)
        except OSError:
            return


def _text(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")
