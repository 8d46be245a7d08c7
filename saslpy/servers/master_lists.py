"""LIST on a Dovecot's master or userdb socket: all users, sent as fast as they are read."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..authenticator import Authenticator
from ..guard import BackendFailed
from ..model import Account
from ..observe.log import Log
from ..protocols.dovecot.master import ListUsers
from ..protocols.dovecot.userdb import mask
from .master_connection import MasterConnection

CHUNK = 16_384
"""Bytes that are sent at a time; the next ones when they have gone."""

LIST_WAIT = 60.0
"""Seconds that a list waits for another one on the same socket."""

SEND_WAIT = 60.0
"""Seconds in which a list must be read: Dovecot's processes read all of it before they do anything else."""

TURN = 1000
"""Users that are looked through before other tasks get their turn."""


class Lists:
    """The lists of one socket. They may be large, so that one at a time is held."""

    def __init__(self, door: Authenticator, log: Log, protocol: str) -> None:
        self._door = door
        self._log = log
        self._protocol = protocol
        self._one = trio.Semaphore(1)

    async def send(self, connection: MasterConnection, request: ListUsers) -> bool:
        """Send those who are asked for; whether they are all that there are."""
        with trio.move_on_after(LIST_WAIT) as waiting:
            await self._one.acquire()
        if waiting.cancelled_caught:
            return False
        try:
            return await self._sent(connection, request)
        except BackendFailed as failure:
            self._log.warning("listing-failed", protocol=self._protocol, detail=failure.detail)
            return False
        finally:
            self._one.release()

    async def _sent(self, connection: MasterConnection, request: ListUsers) -> bool:
        accounts = await self._door.accounts()
        with trio.move_on_after(SEND_WAIT) as scope:
            await _send(connection, request, accounts)
        if scope.cancelled_caught:
            connection.drop(f"a list was not read in {SEND_WAIT:g} s")
        return not connection.ended


async def _send(connection: MasterConnection, request: ListUsers, accounts: Sequence[Account]) -> None:
    fits = mask(request.mask).match
    for start in range(0, len(accounts), TURN):
        names = [account.login for account in accounts[start : start + TURN] if fits(account.login)]
        chunk = b"".join([connection.side.listed(request.id, name) for name in names])
        for sent in range(0, len(chunk), CHUNK):
            connection.write(chunk[sent : sent + CHUNK])
            await connection.written()
            if connection.ended:
                return
        await trio.lowlevel.checkpoint()
