"""What several commands share: telling faults, reading passwords, becoming the daemon's user."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from ..privileges import Identity
    from ..settings import BackendSettings, Settings

MAX_PASSWORD_BYTES = 65_536


class Fault(Exception):
    """Something that the person at the keyboard can mend; the message says what and how. ``status`` is for the exit."""

    status = 1


class Usage(Fault):
    """Options that do not go together."""

    status = 2


class Unusable(Fault):
    """What is asked cannot answer now."""

    status = 75  # EX_TEMPFAIL (sysexits.h)


class NotWritten(Exception):
    """The answer could not be written to standard output: told, unless it was only that the reader has gone."""

    def __init__(self, error: OSError) -> None:
        gone = isinstance(error, BrokenPipeError)
        super().__init__(*(() if gone else (error.strerror,)))
        self.status = 128 + 13 if gone else 74  # as the shell tells of SIGPIPE; EX_IOERR (sysexits.h)


def say(text: str) -> None:
    """The answer of a command, on stdout. Raises ``NotWritten``: an answer that nobody got must not look like one."""
    try:
        print(text, flush=True)
    except OSError as error:
        raise NotWritten(error) from None


def tell(*lines: str) -> None:
    """Lines for the person, on stderr."""
    _complain(f"saslpy: {line}" for line in lines)


def _complain(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            print(line, file=sys.stderr, flush=True)
    except OSError:  # where nobody reads, the exit status has to do
        # what is left would be tried once more at the end, and Python would make the status 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def settings_or_exit(arguments: argparse.Namespace, status: int = 1) -> Settings:
    """The configuration; its faults are told and end the program with this status."""
    from ..config import ConfigError
    from ..settings import load

    path = Path(arguments.config)
    try:
        return load(path)
    except ConfigError as error:
        tell_faults(path, error.faults)
        sys.exit(status)


def tell_faults(path: Path, faults: Sequence[str]) -> None:
    """Every fault of a configuration on a line of its own; as JSON where the file asks for JSON logs."""
    lines = [fault if fault.startswith(str(path)) else f"{path}: {fault}" for fault in faults]
    if not wants_json(path):
        tell(*lines)
        return
    _complain(json.dumps({"level": "error", "event": "config-fault", "detail": line}) for line in lines)


def wants_json(path: Path) -> bool:
    """Whether a configuration, perhaps a faulty one, asks for JSON lines."""
    import tomllib

    with suppress(OSError, ValueError, AttributeError, RecursionError):
        return bool(tomllib.loads(path.read_text()).get("daemon", {}).get("log_format") == "json")
    return False


def password_from(arguments: argparse.Namespace, confirm: bool = False) -> str:
    """A password from standard input or a prompt, never from an argument. Raises ``Fault``."""
    password = _from_stdin() if arguments.password_stdin else _from_prompt(confirm)
    if not password:
        raise Fault("the password is empty")
    return password


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 3)
    text = data.decode("utf-8", "surrogateescape")
    if len(data) > MAX_PASSWORD_BYTES + 2:
        raise Fault(f"a password of over {MAX_PASSWORD_BYTES} bytes on standard input")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\r\n") else text.removesuffix("\n")


def _from_prompt(confirm: bool) -> str:
    import getpass

    try:
        password = getpass.getpass("Password: ")
        if confirm and getpass.getpass("Again: ") != password:
            raise Fault("the two passwords differ")
    except EOFError:
        raise Fault("no password was given; for a script there is --password-stdin") from None
    return password


def become_daemon_user(settings: Settings, backends: Iterable[BackendSettings], paths: Iterable[Path] = ()) -> None:
    """As root, go on as the user that the daemon runs as, so that whatever is made belongs to it.

    The modules of ``backends`` are loaded before, and missing folders of the files ``paths`` made and given to that
    user, for it alone. Raises ``Fault``.
    """
    who = daemon_user(settings.daemon.user, settings.daemon.group)
    if who is None:
        return
    load_now(backends)
    for path in paths:
        make_folder(path.parent, 0o700, who)
    from ..privileges import drop

    drop(who)


def as_daemon_user(
    settings: Settings, backends: Sequence[BackendSettings], main: Callable[[socket.socket | None], int]
) -> int:
    """The status of ``main``, run as the user that the daemon runs as. Raises ``Fault``.

    Where a backend wants worker processes, ``main`` gets the channel to ask for them. Whatever is to be told is told by
    ``main`` itself: it may run in a process of its own.
    """
    if not any(backend.plugin.isolated for backend in backends):
        become_daemon_user(settings, backends)
        return main(None)
    who = daemon_user(settings.daemon.user, settings.daemon.group)
    load_now(backends)
    from ..assemble import roles_of
    from ..observe.log import Log
    from ..observe.sink import Sink
    from ..process.once import run_once

    sys.stdout.flush()
    status: int = run_once(roles_of(backends), who, partial(_in_child, main), Log(Sink(2), level="error"))
    return status


def _in_child(main: Callable[[socket.socket | None], int], channel: socket.socket) -> int:
    """The status of a command that ends without Python's own end."""
    try:
        return main(channel)
    except NotWritten as fault:
        if fault.args:
            tell(f"cannot write the answer: {fault}")
        return fault.status
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()


def daemon_user(user: str | None, group: str | None = None) -> Identity | None:
    """Whom the daemon becomes; None when we are not root. Raises ``Fault``."""
    from ..privileges import PrivilegeError, identity

    try:
        return identity(user, group)
    except PrivilegeError as error:
        raise Fault(str(error)) from None


def load_now(backends: Iterable[BackendSettings]) -> None:
    """Load what these backends need, while we may still read it. Raises ``Fault``."""
    from ..plugins import PluginError
    from ..preload import preload

    try:
        preload(backends)
    except PluginError as error:
        raise Fault(str(error)) from None


@contextmanager
def acting_as(who: Identity | None) -> Iterator[None]:
    """For a while, as root: what is made belongs to that user, and only what it may reach is reached."""
    if who is None or who.root:
        yield
        return
    gid, groups, mask = os.getegid(), os.getgroups(), os.umask(0o077)
    try:
        os.initgroups(who.name, who.gid)
        os.setegid(who.gid)
        os.seteuid(who.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)
        os.umask(mask)


def make_folder(folder: Path, mode: int, who: Identity | None = None) -> list[Path]:
    """A folder with this mode and those above it; the ones that were made, which belong to ``who``. Raises ``Fault``.

    What is there already keeps its mode and its owner.
    """
    made: list[Path] = []
    root = os.geteuid() == 0
    mask = os.umask(0o022) if root else 0  # whatever root's own umask is, the daemon's user must get there
    try:
        for place in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
            place.mkdir(mode=mode if place == folder else 0o755)
            made.append(place)
            if who is not None:
                os.chown(place, who.uid, who.gid, follow_symlinks=False)
    except OSError as error:
        remove_folders(made)
        raise Fault(f"cannot make {error.filename or folder}: {error.strerror}") from None
    finally:
        if root:
            os.umask(mask)
    return made


def remove_folders(made: Sequence[Path]) -> None:
    """Undo ``make_folder``; what is not empty stays."""
    for place in reversed(made):
        with suppress(OSError):
            place.rmdir()


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Columns, two blanks apart."""
    lines = [list(head), *map(list, rows)] if head else [list(row) for row in rows]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    say(json.dumps(value, indent=2, default=str))
