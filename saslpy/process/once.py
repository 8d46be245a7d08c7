"""A command that asks isolated backends: it runs in a child like the auth process, with the same workers beside it.

So ``saslpy check`` and ``saslpy test`` see what the daemon sees: they give up root's rights, and the workers of PAM and
shadow keep them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import ConfigError
from ..observe.log import Log
from ..privileges import Identity
from .roles import Role
from .supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class _Command:
    """A command as the supervisor sees it."""

    roles: Mapping[str, Role]
    main: Callable[[socket.socket], int]
    drain_seconds: float = 0.0
    once: bool = True
    watched: Sequence[Path] = ()

    def auth(self, channel: socket.socket) -> int:
        return self.main(channel)

    def close(self, role: Role) -> None:
        return

    def stop_listening(self) -> None:
        return

    def reload(self) -> tuple[int, Sequence[int]]:
        raise ConfigError(["a command is not reloaded"])

    def commit(self) -> None:
        return

    def rollback(self) -> None:
        return


def run_once(roles: Mapping[str, Role], who: Identity | None, main: Callable[[socket.socket], int], log: Log) -> int:
    """The status of ``main``, which gets the channel for ``Control``."""
    return Supervisor(_Command(roles, main), who, log).run()
