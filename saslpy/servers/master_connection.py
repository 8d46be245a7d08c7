"""A connection of a Dovecot's master or userdb socket: who is at its other end, and what is on its way there."""

from __future__ import annotations

import socket

import trio

from ..model import Account, Caller
from ..protocols.dovecot.master import MasterSide
from .outgoing import NotRead, Outgoing


class MasterConnection:
    """One accepted connection. ``ended``: nothing more is read or said. ``fault``: what its client has done wrong.

    ``nursery`` is there as long as it is served. ``listing``: a list of users is on its way.
    """

    __slots__ = ("_out", "_sent", "caller", "ended", "fault", "listing", "nursery", "side", "socket", "trusted")

    def __init__(self, connection: socket.socket, caller: Caller | None, trusted: bool) -> None:
        self.socket = connection
        self.caller = caller
        self.trusted = trusted
        self.side = MasterSide()
        self.nursery: trio.Nursery | None = None
        self.ended = False
        self.fault = ""
        self.listing = False
        self._out = Outgoing(connection)
        self._sent: trio.Event | None = None

    def open(self, nursery: trio.Nursery) -> None:
        """From now on it is served by tasks of this nursery."""
        self.nursery = nursery
        if self._out.rest:
            nursery.start_soon(self._flush)

    def may_see(self, account: Account) -> bool:
        """Whether its client may know this account."""
        return self.trusted or (self.caller is not None and self.caller.uid == account.uid)

    def is_process(self, pid: int | None) -> bool:
        """Whether its client can be the process that it says to be; where the kernel does not tell, it is."""
        return pid is None or self.caller is None or self.caller.pid == pid

    def write(self, data: bytes) -> None:
        """Send it, now or later; a client that does not read is hung up on."""
        flushed = not self._out.rest
        try:
            self._out.send(data)
        except NotRead as fault:
            self.drop(str(fault))
        except OSError:
            self.drop()
        if flushed and self._out.rest and self.nursery is not None:
            self.nursery.start_soon(self._flush)

    async def written(self) -> None:
        """Return when nothing waits any more: all is sent, or never will be."""
        if self._out.rest and not self.ended:
            self._sent = self._sent or trio.Event()
            await self._sent.wait()

    async def _flush(self) -> None:
        """The one writer of what could not be sent at once."""
        try:
            await self._out.flush()
        except NotRead as fault:
            self.drop(str(fault))
        except OSError:
            self.drop()
        self._tell()

    def drop(self, fault: str = "") -> None:
        """Hang up, if that is not done; what was sent may still be read."""
        self.ended = True
        self.fault = self.fault or fault
        self._tell()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _tell(self) -> None:
        if self._sent is not None:
            self._sent.set()
            self._sent = None
