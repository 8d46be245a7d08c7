"""A connection of a Dovecot's master or userdb socket: who is at its other end, and what is on its way there."""

from __future__ import annotations

import socket

import trio

from ..model import Account, Caller
from ..protocols.dovecot.master import MasterSide
from .lined import LinedConnection, Load


class MasterConnection(LinedConnection[MasterSide]):
    """One accepted connection. ``listing``: a list of users is on its way. ``trusted``: as of its last request."""

    __slots__ = ("_sent", "caller", "listing", "trusted")

    def __init__(self, connection: socket.socket, caller: Caller | None, load: Load) -> None:
        super().__init__(connection, MasterSide(), load)
        self.caller = caller
        self.trusted = False
        self.listing = False
        self._sent: trio.Event | None = None

    def may_see(self, account: Account) -> bool:
        """Whether its client may know this account."""
        return self.trusted or (self.caller is not None and self.caller.uid == account.uid)

    def is_process(self, pid: int | None) -> bool:
        """Whether its client can be the process that it says to be; where the kernel does not tell, it is."""
        return pid is None or self.caller is None or self.caller.pid == pid

    async def written(self) -> None:
        """Return when nothing waits any more: all is sent, or never will be."""
        if self.out.rest and not self.ended:
            self._sent = self._sent or trio.Event()
            await self._sent.wait()

    def gone(self) -> None:
        """The client has gone: nobody hears what comes of the rest."""
        self.drop()

    def flushed(self) -> None:
        """Who waits for it may go on."""
        self._tell()

    def dropped(self) -> None:
        """Who waits for it waits no more."""
        self._tell()

    def _tell(self) -> None:
        if self._sent is not None:
            self._sent.set()
            self._sent = None
