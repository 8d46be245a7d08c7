"""The counts of what logins have sent, in a file: they outlive the auth process, a reload and the daemon.

The file is written anew, in one step, when something has changed, and not for every message: what was counted in the last
seconds before the auth process is killed is lost. Where it cannot be read or written, that is said, and no more.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import trio

from ..observe.log import Log
from ..submission import keptcounts
from ..submission.limits import MAX_LOGINS, Counters

FILE = "submission.counts"

EVERY, SHARE = 10.0, 50
"""Seconds between two writings; and, where one takes long, so many times as long as the last one took."""

AT_THE_END = 1.0
"""Seconds for the last writing."""


def steady_clock() -> Callable[[], float]:
    """Seconds since 1970, which another process goes by, too; whatever is done to the clock meanwhile changes nothing."""
    difference = time.time() - time.monotonic()
    return lambda: difference + time.monotonic()


class Counting:
    """``folder`` is where the file stands, and may change. ``read`` first; then ``run`` is the task that writes."""

    def __init__(self, counters: Counters, folder: Path, log: Log, clock: Callable[[], float]) -> None:
        self.folder = folder
        self._counters = counters
        self._log = log
        self._clock = clock
        self._written = counters.changes
        self._failing = False
        self._lock = trio.Lock()

    @property
    def _path(self) -> Path:
        return self.folder / FILE

    async def read(self) -> None:
        """Go on where the last process has stopped."""
        try:
            lines = await trio.to_thread.run_sync(_read, self._path)
            keptcounts.restore(lines, self._counters, self._clock())
        except FileNotFoundError:
            pass
        except (OSError, keptcounts.Malformed) as error:
            self._log.warning("counts-not-read", file=str(self._path), detail=_why(error))
        self._written = self._counters.changes

    async def run(self) -> None:
        """Write what has changed, again and again."""
        took = 0.0
        while True:
            await trio.sleep(max(EVERY, took * SHARE))
            begun = trio.current_time()
            await self.write()
            took = trio.current_time() - begun

    async def finish(self) -> None:
        """Write it for the last time."""
        with trio.move_on_after(AT_THE_END):
            await self.write()

    async def write(self) -> None:
        """Write it, if anything has changed."""
        async with self._lock:
            changes = self._counters.changes
            if changes == self._written:
                return
            pieces = []
            for piece in keptcounts.packed(self._counters, self._clock()):
                pieces.append(piece)
                await trio.lowlevel.checkpoint()
            try:
                await trio.to_thread.run_sync(_write, self._path, pieces, abandon_on_cancel=True)
            except OSError as error:
                if not self._failing:
                    self._log.warning("counts-not-written", file=str(self._path), detail=_why(error))
                self._failing = True
            else:
                self._failing, self._written = False, changes


def _read(path: Path) -> list[bytes]:
    """Its lines. Raises ``OSError``; also where it is no file, which might be waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no file")
        return list(_lines(file.readline))


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    for _ in range(MAX_LOGINS + 2):
        line = readline(keptcounts.MAX_LINE)
        if not line:
            return
        yield line


def _write(path: Path, pieces: list[bytes]) -> None:
    """In one step: a reader finds the old one or the new one, whole. Raises ``OSError``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
