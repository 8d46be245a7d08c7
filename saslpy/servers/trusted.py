"""Whom a listener trusts among the processes of this machine (SO_PEERCRED and SO_PEERGROUPS, socket(7))."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from ..model import Caller
from .claiming import ListenError
from .sockets import group_id, user_id

EVERYBODY = "*"
"""In the place of a user: whoever may connect."""

_PEERGROUPS = 59  # SO_PEERGROUPS, which Python's socket has no name for
_ROOM = 1024  # bytes: 256 groups, the most that Python's getsockopt() can take


@dataclass(frozen=True, slots=True)
class Trusted:
    """Root, the daemon's own user, and those that the configuration names."""

    uids: frozenset[int]
    gids: frozenset[int] = frozenset()
    everybody: bool = False

    @classmethod
    def named(cls, users: Iterable[str], groups: Iterable[str] = ()) -> Trusted:
        """Those with these names or numbers. A name that nobody has (any more) is nobody's."""
        users = tuple(users)
        uids = {0, os.geteuid()}
        gids = set()
        for name in users:
            with suppress(ListenError):
                uids.add(user_id(name))
        for name in groups:
            with suppress(ListenError):
                gids.add(group_id(name))
        return cls(frozenset(uids), frozenset(gids), EVERYBODY in users)

    def trusts(self, caller: Caller | None, connection: socket.socket) -> bool:
        """Whether a caller is one of them; ``None``, one that the kernel does not name, is only if everybody is."""
        if self.everybody:
            return True
        if caller is None:
            return False
        return caller.uid in self.uids or caller.gid in self.gids or bool(self.gids & groups_of(connection))


def groups_of(connection: socket.socket) -> frozenset[int]:
    """The supplementary groups that a caller had when it connected; none for TCP, and for one with over 256 of them."""
    try:
        return frozenset(array.array("I", connection.getsockopt(socket.SOL_SOCKET, _PEERGROUPS, _ROOM)))
    except OSError:
        return frozenset()
