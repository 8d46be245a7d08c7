"""What can be said of a configuration without asking any server: faults, and things that deserve a second look."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .servers.claiming import ListenError
from .servers.sockets import UnixPlace, group_id, try_out, user_id
from .settings import Settings

Told = tuple[str, str]


def faults(settings: Settings) -> Iterator[Told]:
    """(path, what is wrong): the daemon would not start, or would not do what is written.

    Whom it becomes is not looked at: whoever tries the backends has to become that user, and hears of it then.
    """
    for number, listen in enumerate(settings.listen):
        place = listen.place
        if isinstance(place, UnixPlace):
            yield from _place_faults(f"listen[{number}]", place)
    if _submits(settings):
        from .submission import checkup  # noqa: PLC0415 (for those who want it)

        yield from checkup.faults(settings)


def _submits(settings: Settings) -> bool:
    return settings.submission is not None or settings.relay is not None


def _place_faults(path: str, place: UnixPlace) -> Iterator[Told]:
    known = True
    for key, name, number_of in (("owner", place.owner, user_id), ("group", place.group, group_id)):
        if name is not None:
            try:
                number_of(name)
            except ListenError as error:
                known = False
                yield f"{path}.{key}", str(error)
    if not known:
        return
    try:
        try_out(place)
        if not stat.S_ISSOCK(place.path.lstat().st_mode):
            yield f"{path}.path", f"{place.path} is there already and is no socket"
    except ListenError as error:
        yield f"{path}.path", str(error)
    except OSError:
        return  # it is still to be made


def warnings(settings: Settings) -> Iterator[Told]:
    """(path, what deserves a look)."""
    for backend in settings.backends.values():
        if backend not in settings.used_backends:
            yield f"backend.{backend.name}", "no chain asks it"
    yield from _open_to_others(settings)
    for number, listen in enumerate(settings.listen):
        if isinstance(listen.place, UnixPlace):
            yield from _shared_folder(f"listen[{number}].path", listen.place.path.parent)
    if _submits(settings):
        from .submission import checkup  # noqa: PLC0415 (for those who want it)

        yield from checkup.warnings(settings)


def _shared_folder(what: str, folder: Path) -> Iterator[Told]:
    """A socket's folder in which a stranger may put a socket of his own, and be told the passwords."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return  # it is still to be made
    if mode & stat.S_IWOTH:
        yield (
            what,
            f"everybody may make a socket in {folder}, and hear passwords while saslpy is down; take another folder",
        )


def _open_to_others(settings: Settings) -> Iterator[Told]:
    """Files that hold secrets and that everybody may read."""
    files = [("configuration", settings.path)] if _holds_secrets(settings) else []
    for backend in settings.backends.values():
        for key in ("password_file", "bind_password_file"):
            file = getattr(backend.config, key, None)
            if isinstance(file, Path):
                files.append((f"backend.{backend.name}.{key}", file))
    for number, listen in enumerate(settings.listen):
        for key in ("secret_file", "upstream_password_file"):
            file = getattr(listen, key, None)
            if isinstance(file, Path):
                files.append((f"listen[{number}].{key}", file))
    for what, file in [*files, *_of_submission(settings)]:
        try:
            mode = file.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IROTH:
            yield what, f"{file} holds secrets and everybody may read it; chmod o-r {os.fspath(file)}"


def _of_submission(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Private keys, and passwords of next hops."""
    if settings.submission is not None:
        for key, file in settings.submission.tls.private:
            yield f"submission.tls.{key}", file
    for number, route in enumerate(settings.relay.route if settings.relay is not None else ()):
        if route.password_file is not None:
            yield f"relay.route[{number}].password_file", route.password_file


def _holds_secrets(settings: Settings) -> bool:
    return any(_shown(backend.config) for backend in settings.backends.values())


def _shown(config: object) -> bool:
    """Whether the configuration file itself has a secret: a field that is not printed, and was not read from a file."""
    fields = dataclasses.fields(config) if dataclasses.is_dataclass(config) else ()
    return any(
        getattr(config, field.name, None) and not getattr(config, f"{field.name}_file", None)
        for field in fields
        if field.init and not field.repr
    )
