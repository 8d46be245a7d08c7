"""What all Dovecot sockets of a daemon share, its life long: a reload changes none of it."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field

from .handed import Handed

_MOST = 0x7FFF_FFFF
"""Of SPID, which Dovecot keeps as a pid_t."""


def _new_spid() -> int:
    # not the process's id: in a container a new daemon may well have that of the one before
    return secrets.randbelow(_MOST) + 1


@dataclass(frozen=True, slots=True)
class DovecotSite:
    """``spid`` is told on the client sockets and on the master sockets, and is another after each start.

    By that, Dovecot knows of a login that was begun before a restart and cannot be fetched any more.
    """

    handed: Handed = field(default_factory=Handed)
    spid: int = field(default_factory=_new_spid)
    _connections: itertools.count[int] = field(default_factory=itertools.count, repr=False)

    def new_cuid(self) -> int:
        """A number for a connection that no other one has (until 32 bits have gone round)."""
        return next(self._connections) % 0xFFFF_FFFF + 1
