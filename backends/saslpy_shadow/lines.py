"""A file of lines that begin with a name and a colon, found by name.

Kept in memory is where each name's line begins, never a line: no password stays here. A line is read when it is wanted,
and where the file has changed the places are looked up anew.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

Clock: TypeAlias = Callable[[], int]

MAX_LINE = 65536
"""Bytes of a line that are worth a look."""

UNSETTLED_NS = 2_000_000_000
"""A file younger than this may change once more without its time telling so; and may be half written."""

TRIES = 3

_log = logging.getLogger("saslpy.shadow")


class UnreadableFile(OSError):
    """The file is there, but what it says cannot be relied on."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What changes when a file does: another inode when it is replaced, size or time when it is written to."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def file(self) -> tuple[int, int]:
        """Which file it is, whatever it holds."""
        return self.device, self.inode

    @classmethod
    def of(cls, file: BinaryIO) -> Signature:
        """That of an open file."""
        found = os.fstat(file.fileno())
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Index:
    """Where each name's line begins. ``settled``: it may be used again as long as the signature is the same."""

    signature: Signature
    places: dict[bytes, int] = field(repr=False)
    malformed: int
    settled: bool
    cut: bool  # the last line has no end


class NamedLines:
    """The lines of a file of ``fields`` fields each. Several threads may ask at a time."""

    def __init__(self, path: Path, fields: int, clock: Clock = time.time_ns) -> None:
        self._path = path
        self._colons = fields - 1
        self._clock = clock
        self._index: Index | None = None
        self._before: Index | None = None  # the last one that was settled

    def line(self, name: bytes) -> bytes | None:
        """The line of a name without its end, None when there definitely is none. Raises OSError."""
        for _ in range(TRIES):
            with self._open() as file:
                index = self._current(file)
                place = index.places.get(name)
                if place is None:
                    self._refuse_half(index, name)
                    return None
                file.seek(place)
                line = file.readline(MAX_LINE)
                if line.startswith(name + b":"):
                    return line.removesuffix(b"\n")
            self._index = None  # it was written to just now
        raise UnreadableFile(f"{self._path}: changes while it is read")

    def lines(self) -> dict[bytes, bytes]:
        """All lines by their names, without ends, as soon as nobody has written to the file for 2 s. Raises OSError."""
        seen: Signature | None = None
        for _ in range(TRIES):
            with self._open() as file:
                index = self._current(file)
                if index.settled or index.signature == seen:
                    return self._all(file, index)
            seen = index.signature
            age = self._clock() - seen.mtime_ns
            time.sleep(max(0, UNSETTLED_NS - max(0, age)) / 1e9)  # not for ever where a clock is wrong
        raise UnreadableFile(f"{self._path}: is written to all the time")

    def index(self) -> Index:
        """The names, and how many lines are none. Raises OSError."""
        with self._open() as file:
            return self._current(file)

    def backwards(self) -> Iterator[bytes]:
        """All lines, the newest first. Raises OSError."""
        with self._open() as file:
            return reversed([line for _, line in _lines(file)])

    def _all(self, file: BinaryIO, index: Index) -> dict[bytes, bytes]:
        file.seek(0)
        found = dict(_lines(file))
        if Signature.of(file) != index.signature:
            raise UnreadableFile(f"{self._path}: changes while it is read")
        return {name: found[place].removesuffix(b"\n") for name, place in index.places.items()}

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        # not to wait for a FIFO's writer, nor to give the file to a module's helper
        number = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise UnreadableFile(f"{self._path}: is not a file")
        with os.fdopen(number, "rb") as file:
            yield file

    def _current(self, file: BinaryIO) -> Index:
        signature = Signature.of(file)
        known = self._index
        if known is None or known.signature != signature or not known.settled:
            if known is not None and known.settled:
                self._before = known
            self._index = index = self._indexed(file, signature)
            if index.settled:
                self._before = None
            if index.malformed and (known is None or known.signature != signature):
                _log.warning("%s: %d malformed lines", self._path, index.malformed)
            return index
        return known

    def _indexed(self, file: BinaryIO, signature: Signature) -> Index:
        places: dict[bytes, int] = {}
        malformed, last = 0, b"\n"
        for place, line in _lines(file):
            last = line
            name, colon, _ = line.partition(b":")
            if name[:1] in (b"+", b"-", b"#") or not line.strip():
                continue  # NIS (nsswitch.conf: compat) and what people leave there
            malformed += not name or line.count(b":") != self._colons
            if colon and name:
                places.setdefault(name, place)  # the first of two counts, as for getspnam(3)
        if not places:
            raise UnreadableFile(f"{self._path}: holds no users")
        settled = self._clock() - signature.mtime_ns > UNSETTLED_NS
        return Index(signature, places, malformed, settled, cut=not last.endswith(b"\n"))

    def _refuse_half(self, index: Index, name: bytes) -> None:
        """A file that is just being written holds only some of its users: the others are not unknown.

        It shows by a line without an end, or by a user of before who is missing from the same file (the tools of shadow
        make a new one, and rename it).
        """
        before = self._before
        same_file = before is not None and before.signature.file == index.signature.file
        missing = before is not None and same_file and name in before.places
        if not index.settled and (index.cut or missing):
            raise UnreadableFile(f"{self._path}: seems to be half written")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line with the place where it begins."""
    place = 0
    for line in file:
        yield place, line
        place += len(line)
