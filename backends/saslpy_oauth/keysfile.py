"""A file of keys that somebody changes: it is looked at while tokens come in, and read anew when it is another one.

What cannot be read or makes no sense does not take the place of what was read before: it is told in the log, once, and
looked at again. The first reading is the configuration's, with the rights of whoever started the daemon; later ones are
made with the daemon's own.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .keys import BadKeys, Keys

LOOK_EVERY = 1.0
"""Seconds between two looks at the file."""

MAX_BYTES = 1024 * 1024

UNSETTLED_NS = 2_000_000_000
"""A file younger than this may change once more without its time telling so; and may be half written."""

_log = logging.getLogger("saslpy.oauth")


class Stamp(NamedTuple):
    """What changes when a file does: another inode when it is replaced, size or times when it is written to."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


NEVER = Stamp(0, 0, 0, 0, 0)


class Content(NamedTuple):
    """What a file held. ``stamp`` is ``NEVER`` where it may hold something else soon, and nothing would tell."""

    data: bytes
    stamp: Stamp

    def __repr__(self) -> str:
        return f"Content({len(self.data)} bytes)"


def content(path: Path) -> Content:
    """What the file holds now. Raises ``OSError``, and ``BadKeys`` when it is too long."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadKeys(f"is longer than {MAX_BYTES} bytes")
    settled = time.time_ns() - found.st_mtime_ns > UNSETTLED_NS
    return Content(data, Stamp.of(found) if settled else NEVER)


class KeysFile:
    """The keys of a file. For several threads; none waits for another one's look."""

    def __init__(
        self, path: Path, first: Content, read: Callable[[bytes], Keys], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.keys = read(first.data)
        self._path = path
        self._last = first
        self._read = read
        self._clock = clock
        self._looked = clock()
        self._looking = threading.Lock()
        self._told = ""

    def current(self) -> Keys:
        """The keys, as they were within the last second."""
        if self._clock() - self._looked >= LOOK_EVERY and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looked = self._clock()
                self._looking.release()
        return self.keys

    def _look(self) -> None:
        try:
            if Stamp.of(self._path.stat()) == self._last.stamp:
                return
            found = content(self._path)
            if found.data != self._last.data:
                self.keys = self._read(found.data)
            self._last = found
            self._told = ""
        except OSError as error:
            self._tell(error.strerror or type(error).__name__)
        except BadKeys as error:
            self._tell(str(error))

    def _tell(self, why: str) -> None:
        if why != self._told:
            self._told = why
            _log.warning("keys_file: %s: %s; the keys that were read before stay in force", self._path, why)
