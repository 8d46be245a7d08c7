"""What the supervisor goes by: the daemon's configuration, or a command that runs once."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from .roles import Role

BUSY = "the daemon is starting, stopping or reloading; try again"
"""The answer to a question for a reload that cannot be begun now. Nothing was read."""


class Plan(Protocol):
    """What is to be run: ``daemon.Site``, or a command (``once``)."""

    @property
    def roles(self) -> Mapping[str, Role]:
        """The workers that may be asked for, by ``Role.key``: those of a configuration that is being tried, too."""

    @property
    def drain_seconds(self) -> float:
        """How long requests under way may take at the end."""

    @property
    def once(self) -> bool:
        """Whether the auth process is a command, which ends by itself with a status of its own."""

    def auth(self, channel: socket.socket) -> int:
        """The auth process, from its start to its end."""

    def close(self, role: Role) -> None:
        """In a worker: close the listening sockets that are not its own, and forget the stores' secrets."""

    def stop_listening(self) -> None:
        """At the end: close all listening sockets, so that who comes now is refused, and not left waiting."""

    @property
    def watched(self) -> Sequence[Path]:
        """Files whose change is a reason for a reload."""

    def reload(self) -> tuple[int, Sequence[int]]:
        """Read the configuration anew: a file with it for the auth process, and the sockets that it has not got yet.

        ``commit`` follows when the auth process goes by it, ``rollback`` when it cannot.

        Raises ``ConfigError``, and changes nothing then. With any other error, ``rollback`` follows.
        """

    def commit(self) -> None:
        """Go by the configuration that was read."""

    def rollback(self) -> None:
        """Forget it."""
