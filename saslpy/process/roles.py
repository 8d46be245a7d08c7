"""Which worker processes there may be, as whom, how many, and what each of them runs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from ..servers.sockets import Place

SUBMISSION = "submission"
"""The role of the processes that serve the sockets where mail is submitted."""

Main: TypeAlias = Callable[[socket.socket], int | None]
"""Serves one channel until its other end is closed."""


@dataclass(frozen=True, slots=True)
class Role:
    """``privileged`` workers keep the rights that the daemon was started with. ``most`` may run at a time.

    ``generation`` says of which reading of the configuration it is: for a while after a reload, the old one and the new
    one have workers side by side. ``serves`` are the listening sockets that a worker keeps open. One that ``lingers`` may
    take ``drain_seconds`` after the auth process has ended: it has clients of its own.
    """

    name: str
    main: Main
    most: int
    privileged: bool = False
    generation: int = 0
    serves: Collection[Place] = ()
    lingers: bool = False

    @property
    def key(self) -> str:
        """What the auth process calls it."""
        return key_of(self.name, self.generation)


def key_of(name: str, generation: int) -> str:
    """What the auth process calls the role with this name in a generation of the configuration."""
    return f"{name}#{generation}"
