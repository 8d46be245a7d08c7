"""Files whose change is a reason for a reload: certificates, which others renew."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TypeAlias

EVERY = 10.0
"""Seconds between two looks."""

SETTLED = 1.0
"""Seconds until a look again at what has changed: a certificate and its key are two files, and written one by one."""

Seen: TypeAlias = Mapping[Path, tuple[int, ...]]


class Watch:
    """Says once of a change that there is one, when it is complete. Without files, it never wants to look."""

    def __init__(self) -> None:
        self._known: Seen = {}
        self._changing: Seen | None = None
        self._next = inf

    def reading(self, files: Sequence[Path]) -> None:
        """They are read now, for whatever reason."""
        self._known = _seen(files)

    def begin(self, files: Sequence[Path], now: float) -> None:
        """These are to be watched from now on; what has changed since they were read is a change."""
        seen = _seen(files)
        self._known = {path: self._known.get(path, found) for path, found in seen.items()}
        self._changing = None
        self._next = now + EVERY if files else inf

    def wait(self, now: float) -> float:
        """Seconds until the next look; 0 when it is due."""
        return max(0.0, self._next - now)

    def changed(self, files: Sequence[Path], now: float) -> bool:
        """Whether there is a change that nobody was told of, and nothing of it was different at the look before."""
        seen = _seen(files)
        if seen == self._known:
            self._changing, self._next = None, now + EVERY
            return False
        if seen != self._changing:
            self._changing, self._next = seen, now + SETTLED
            return False
        self._known, self._changing, self._next = seen, None, now + EVERY
        return True


def _seen(files: Sequence[Path]) -> Seen:
    """What tells one version of a file from another; nothing for one that is not there. Links are followed."""
    return {path: _version(path) for path in files}


def _version(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
