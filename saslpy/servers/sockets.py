"""Opening the sockets that we listen on, before any privilege is dropped."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

BACKLOG = 4096
"""Asked for; the kernel cuts it to net.core.somaxconn. A full backlog is an error at once for Courier's clients."""

MAX_PATH = 107
"""Bytes in the path of a unix socket (unix(7))."""


class ListenError(OSError):
    """A socket cannot be opened; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class UnixPlace:
    """Where a unix socket stands, and who may connect to it. ``owner`` and ``group`` as names or numbers."""

    path: Path
    mode: int = 0o660
    owner: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class TcpPlace:
    """Where a TCP socket listens."""

    host: str
    port: int


Place: TypeAlias = UnixPlace | TcpPlace


@contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """A listening, non-blocking socket; a unix socket's file is removed at the end, if it is still ours."""
    sock = _open_unix(place) if isinstance(place, UnixPlace) else _open_tcp(place)
    with sock:
        sock.setblocking(False)
        if not isinstance(place, UnixPlace):
            yield sock
            return
        mine = _identity(place.path)
        try:
            yield sock
        finally:
            with suppress(OSError):
                if _identity(place.path) == mine:
                    place.path.unlink()


def _open_tcp(place: TcpPlace) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        return socket.create_server((place.host, place.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {place.host}:{place.port}: {error.strerror or error}") from None


def _open_unix(place: UnixPlace) -> socket.socket:
    _check_length(place.path)
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(place.path)
        return _bind(place)
    except ListenError:
        raise
    except OSError as error:
        raise ListenError(f"cannot listen on {place.path}: {error.strerror or error}") from None


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > MAX_PATH:
        raise ListenError(f"{path}: {length} bytes; a unix socket's path has {MAX_PATH} at most")


def _bind(place: UnixPlace) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # nobody may connect before owner and mode are set: without listen() every connect is refused
        sock.bind(os.fspath(place.path))
        _give(place)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _give(place: UnixPlace) -> None:
    uid = -1 if place.owner is None else user_id(place.owner)
    gid = -1 if place.group is None else group_id(place.group)
    if (uid, gid) != (-1, -1):
        os.chown(place.path, uid, gid)
    place.path.chmod(place.mode)


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a daemon that is gone; respect one that lives, and whatever is no socket."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{path} is there already and is no socket; move it away, or choose another path")
    if _answers(path):
        raise ListenError(f"{path}: another process listens there; stop it first, or choose another path")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            # a full backlog (EAGAIN) is a sign of life too; only a refusal says that nobody is there
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def user_id(name: str) -> int:
    """The number of a user. Raises ``ListenError``."""
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ListenError(f"there is no user {name!r}") from None


def group_id(name: str) -> int:
    """The number of a group. Raises ``ListenError``."""
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ListenError(f"there is no group {name!r}") from None
