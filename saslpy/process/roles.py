"""Which worker processes there may be, as whom, how many, and what each of them runs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Main: TypeAlias = Callable[[socket.socket], int | None]
"""Serves one channel until its other end is closed."""


@dataclass(frozen=True, slots=True)
class Role:
    """``privileged`` workers keep the rights that the daemon was started with. ``most`` may run at a time."""

    name: str
    main: Main
    most: int
    privileged: bool = False
