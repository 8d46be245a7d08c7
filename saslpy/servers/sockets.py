"""Opening the sockets that we listen on, before any privilege is dropped."""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ..systemd import passed_sockets
from .claiming import ListenError, claimed, remove

BACKLOG = 4096
"""Asked for; the kernel cuts it to net.core.somaxconn. A full backlog is an error at once for Courier's clients."""

MAX_PATH = 107
"""Bytes in the path of a unix socket (unix(7))."""

MAX_ID = 0xFFFF_FFFE
"""The highest number of a user or a group; the one above means "leave it"."""


@dataclass(frozen=True, slots=True)
class UnixPlace:
    """Where a unix socket stands, and who may connect to it. ``owner`` and ``group`` as names or numbers.

    Places are equal when they have one path: who may connect can change while we listen.
    """

    path: Path
    mode: int = field(default=0o660, compare=False)
    owner: str | None = field(default=None, compare=False)
    group: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TcpPlace:
    """Where a TCP socket listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PassedPlace:
    """A socket that the service manager has opened, by its name (FileDescriptorName= in systemd.socket(5))."""

    name: str
    allow_remote: bool = field(default=False, compare=False)


Place: TypeAlias = UnixPlace | TcpPlace | PassedPlace


@contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """A listening, non-blocking socket; a unix socket's file is removed at the end, if it is still ours.

    Raises ``ListenError``, after ``PATIENCE`` where another process listens there.
    """
    with _opened(place) as sock:
        sock.setblocking(False)
        yield sock


def _opened(place: Place) -> AbstractContextManager[socket.socket]:
    match place:
        case UnixPlace():
            return _unix(place)
        case TcpPlace():
            return _open_tcp(place)
        case PassedPlace():
            return _passed(place)


def _passed(place: PassedPlace) -> socket.socket:
    found = passed_sockets().get(place.name, [])
    if len(found) != 1:
        given = ", ".join(sorted(passed_sockets())) or "none"
        count = "no socket" if not found else f"{len(found)} sockets"
        raise ListenError(
            f"systemd has passed {count} with the name {place.name!r} (passed: {given}); "
            "say FileDescriptorName= in the .socket unit, a name for each"
        )
    try:
        sock = socket.socket(fileno=os.dup(found[0]))
    except OSError as error:
        raise ListenError(f"what systemd has passed as {place.name!r} is no socket: {error.strerror}") from None
    try:
        _check_passed(place, sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_passed(place: PassedPlace, sock: socket.socket) -> None:
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ListenError(f"the socket {place.name!r} that systemd has passed does not listen for streams")
    if sock.family != socket.AF_UNIX and not place.allow_remote:
        host = sock.getsockname()[0]
        if not ipaddress.ip_address(host).is_loopback:
            raise ListenError(
                f"the socket {place.name!r} that systemd has passed listens on {host}: passwords would cross the network "
                "in the clear; use a loopback address, or say allow_remote = true"
            )


def give(place: UnixPlace) -> None:
    """Owner, group and mode of a socket's file. Raises ``ListenError``.

    Whoever may write to its folder may put a link there, and root would give him what it points to. So no name is followed:
    what is changed is the very file that was looked at.
    """
    try:
        owners = _owners(place)
        with _socket_file(place.path) as file:
            os.chown(file, *owners)
            Path(file).chmod(place.mode)
    except OSError as error:
        raise _told(place.path, error) from None


@contextmanager
def _socket_file(path: Path) -> Iterator[str]:
    """A name by which nothing but this very socket's file is reached. Raises ``ListenError`` where it is something else."""
    number = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(number)
        # another name of it would be another's: a link to a socket that somebody else listens on
        if not stat.S_ISSOCK(found.st_mode) or found.st_nlink != 1:
            raise ListenError(f"{path}: something else stands there now; who may write to {path.parent}?")
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def try_out(place: UnixPlace) -> None:
    """Raise ``ListenError`` where a socket could not be made, or not be given away. Nothing stays behind."""
    folder = place.path.parent
    try:
        folder = next(folder for folder in place.path.parents if folder.exists())  # those that lack are made
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                os.fchown(file.fileno(), *_owners(place))
            except PermissionError:
                raise ListenError(f"only root may give {place.path} to this owner or group") from None
    except OSError as error:
        if isinstance(error, ListenError):
            raise
        raise ListenError(f"no socket can be made in {folder}: {error.strerror or error}") from None


def _open_tcp(place: TcpPlace) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        return socket.create_server((place.host, place.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {place.host}:{place.port}: {error.strerror or error}") from None


@contextmanager
def _unix(place: UnixPlace) -> Iterator[socket.socket]:
    with ExitStack() as stack:
        try:
            _check_length(place.path)
            place.path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(claimed(place.path))
            sock = stack.enter_context(_bind(place))
            mine = place.path.lstat()
        except OSError as error:
            raise _told(place.path, error) from None
        stack.callback(remove, place.path, mine)
        yield sock


def _told(path: Path, error: OSError) -> ListenError:
    if isinstance(error, ListenError):
        return error
    where = "" if error.filename is None or str(error.filename) == str(path) else f"{error.filename}: "
    return ListenError(f"cannot listen on {path}: {where}{error.strerror or error}")


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > MAX_PATH:
        raise ListenError(f"{path}: {length} bytes; a unix socket's path has {MAX_PATH} at most")


def _bind(place: UnixPlace) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # nobody may connect before owner and mode are set: without listen() every connect is refused
        sock.bind(os.fspath(place.path))
        try:
            give(place)
            sock.listen(BACKLOG)
        except BaseException:
            place.path.unlink()
            raise
    except BaseException:
        sock.close()
        raise
    return sock


def _owners(place: UnixPlace) -> tuple[int, int]:
    """The numbers of owner and group, -1 for "leave it"."""
    return (
        -1 if place.owner is None else user_id(place.owner),
        -1 if place.group is None else group_id(place.group),
    )


# --- users and groups


def user_id(name: str) -> int:
    """The number of a user. Raises ``ListenError``."""
    return _id("user", name, lambda: pwd.getpwnam(name).pw_uid)


def group_id(name: str) -> int:
    """The number of a group. Raises ``ListenError``."""
    return _id("group", name, lambda: grp.getgrnam(name).gr_gid)


def _id(kind: str, name: str, known: Callable[[], int]) -> int:
    try:
        number = int(name) if name.isascii() and name.isdigit() else known()
    except (KeyError, ValueError):  # ValueError: thousands of digits, or a NUL
        number = -1
    if not 0 <= number <= MAX_ID:
        raise ListenError(f"there is no {kind} {name[:64]!r}")
    return number
