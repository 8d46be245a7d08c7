"""What several commands share: telling faults, reading passwords, becoming the daemon's user."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..settings import BackendSettings, Settings

MAX_PASSWORD_BYTES = 65_536


class Fault(Exception):
    """Something that the person at the keyboard can mend; the message says what and how."""


def tell(*lines: str) -> None:
    """Lines for the person, on stderr."""
    for line in lines:
        print(f"saslpy: {line}", file=sys.stderr)


def settings_or_exit(arguments: argparse.Namespace) -> Settings:
    """The configuration; its faults are told and end the program with status 1."""
    from ..config import ConfigError
    from ..settings import load

    path = Path(arguments.config)
    try:
        return load(path)
    except ConfigError as error:
        tell_faults(path, error.faults)
        sys.exit(1)


def tell_faults(path: Path, faults: Sequence[str]) -> None:
    """Every fault of a configuration on a line of its own; as JSON where the file asks for JSON logs."""
    lines = [fault if fault.startswith(str(path)) else f"{path}: {fault}" for fault in faults]
    if not wants_json(path):
        tell(*lines)
        return
    for line in lines:
        print(json.dumps({"level": "error", "event": "config-fault", "detail": line}), file=sys.stderr)


def wants_json(path: Path) -> bool:
    """Whether a configuration, perhaps a faulty one, asks for JSON lines."""
    import tomllib

    with suppress(OSError, ValueError, AttributeError):
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

    The modules of ``backends`` are loaded before, and missing folders of ``paths`` made and given to that user.
    Raises ``Fault``.
    """
    from ..privileges import PrivilegeError, drop, identity

    try:
        who = identity(settings.daemon.user, settings.daemon.group)
    except PrivilegeError as error:
        raise Fault(str(error)) from None
    if who is None:
        return
    from ..plugins import PluginError
    from ..preload import preload

    try:
        preload(backends)
    except PluginError as error:
        raise Fault(str(error)) from None
    for path in paths:
        make_folder(path.parent, who.uid, who.gid)
    drop(who)


def make_folder(folder: Path, uid: int = -1, gid: int = -1) -> None:
    """A folder and those above it, the last one for its owner alone. Raises ``Fault``."""
    try:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        for place in reversed(missing):
            place.mkdir(mode=0o700 if place == folder else 0o755)
            if uid != -1:
                os.chown(place, uid, gid)
    except OSError as error:
        raise Fault(f"cannot make {error.filename or folder}: {error.strerror}") from None


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
    print(json.dumps(value, indent=2, default=str))
