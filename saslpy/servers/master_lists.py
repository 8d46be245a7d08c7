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
            return await _sent(connection, request, await self._door.accounts())
        except BackendFailed as failure:
            self._log.warning("listing-failed", protocol=self._protocol, detail=failure.detail)
            return False
        finally:
            self._one.release()


async def _sent(connection: MasterConnection, request: ListUsers, accounts: Sequence[Account]) -> bool:
    fits = mask(request.mask).match
    chunk = bytearray()
    for account in accounts:
        if not fits(account.login):
            continue
        chunk += connection.side.listed(request.id, account.login)
        if len(chunk) > CHUNK:
            connection.write(bytes(chunk))
            chunk.clear()
            await connection.written()
            if connection.ended:
                return False
    connection.write(bytes(chunk))
    return True
