"""Whose a unix socket's path is.

Beside a unix socket stands a lock, ``PATH.lock``, for as long as we listen: of two daemons that start together, one finds
the other's socket bound and not yet listening, and would take it for one that a dead process has left. The lock is the
supervisor's alone; its children close it, so that it is free as soon as the supervisor is gone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds to wait for another to be gone: the processes of a supervisor that was killed end a moment after it."""


class ListenError(OSError):
    """A socket cannot be opened; the message says why and what to do."""


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The path is ours as long as the block runs, and nobody listens there at its beginning."""
    end = monotonic() + PATIENCE
    other = ListenError(f"{path}: another process listens there; stop it first, or choose another path")
    file = path.with_name(f"{path.name}.lock")
    lock = _awaited(lambda: _lock(file), end)
    if lock is None:
        raise other
    try:
        if not _awaited(lambda: _remove_stale(path), end):
            raise other
        yield
    finally:
        _unlock(lock, file)


def _awaited(attempt: Callable[[], T | None], end: float) -> T | None:
    """What an attempt gives at last, None where it has given nothing until ``end``."""
    while not (found := attempt()) and monotonic() < end:
        sleep(0.02)
    return found


_locks: set[FileIO] = set()
"""Those that this process holds."""


def _lock(path: Path) -> FileIO | None:
    """The lock, None while another has it. Raises ``OSError``."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    lock = FileIO(os.open(path, flags, 0o600), "r+")
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # whoever had it before may have removed the file in the meantime, and a third may have made another
        if os.path.samestat(os.fstat(lock.fileno()), path.lstat()):
            _locks.add(lock)
            return lock
    lock.close()
    return None


def _unlock(lock: FileIO, path: Path) -> None:
    if lock in _locks:
        _locks.discard(lock)
        with lock:
            remove(path, os.fstat(lock.fileno()))


def _leave_locks() -> None:
    """In a child: closed, and not unlocked, since the lock would be gone for the parent too."""
    while _locks:
        _locks.pop().close()


os.register_at_fork(after_in_child=_leave_locks)


def _remove_stale(path: Path) -> bool:
    """Remove the socket of a daemon that is gone; False for one that lives. Raises ``ListenError`` for what is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{path} is there already and is no socket; move it away, or choose another path")
    if _answers(path):
        return False
    path.unlink()
    return True


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            # a full backlog (EAGAIN) is a sign of life too; only a refusal says that nobody is there
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def remove(path: Path, mine: os.stat_result) -> None:
    """Remove a file, if it is still ours."""
    with suppress(OSError):
        if os.path.samestat(path.lstat(), mine):
            path.unlink()
