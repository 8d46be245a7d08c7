"""``saslpy init``: a configuration to start from, and an empty user store; with --submission, for a submission server."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .common import Fault, acting_as, daemon_user, load_now, make_folder, remove_folders, say, tell
from .initmail import Mail, check_options, mail
from .template import MUX, NO_SUBMISSION, TEMPLATE

if TYPE_CHECKING:
    from ..privileges import Identity
    from ..settings import BackendSettings, Settings

SYSTEM_CONFIG = Path("/etc/saslpy/saslpy.toml")
SYSTEM_STORE = Path("/var/lib/saslpy/users.db")
SYSTEM_SOCKET = Path("/run/saslauthd/mux")


def run(arguments: argparse.Namespace) -> int:
    """Write both, overwrite nothing, and say what comes next."""
    folder = None if arguments.directory is None else Path(arguments.directory).absolute()
    try:
        check_options(arguments)
        config, submission = _init(folder, arguments)
    except Fault as fault:
        tell(str(fault))
        return fault.status
    option = "" if config == SYSTEM_CONFIG else f" --config {shlex.quote(str(config))}"
    for name in ("saslpy.toml", *(submission.files if submission else ())):
        say(f"wrote {config.parent / name}")
    say("next:")
    say(f"  saslpy user add joe@example.org{option}")
    say(f"  saslpy check{option}")
    say(f"  saslpy serve{option}")
    if submission is not None:
        _say_mail(submission, config.parent)
    return 0


def _say_mail(submission: Mail, folder: Path) -> None:
    say("and in another terminal, a message (swaks asks for joe's password):")
    say(
        f"  swaks --server 127.0.0.1:{submission.port} --tls --auth PLAIN --auth-user joe@example.org "
        "--from joe@example.org --to ann@example.net"
    )
    if submission.captured:
        say(f"all mail is kept in {folder / submission.captured}/new, until [[relay.route]] names a smarthost")


def _init(folder: Path | None, arguments: argparse.Namespace) -> tuple[Path, Mail | None]:
    """Everything that can be wrong is looked at before anything is written, but for what --submission puts beside it."""
    if folder is None:
        config, store, socket, data = SYSTEM_CONFIG, str(SYSTEM_STORE), str(SYSTEM_SOCKET), str(SYSTEM_STORE.parent)
        run_dir, state_dir = '# run_dir = "/run/saslpy"', '# state_dir = "/var/lib/saslpy"'
    else:
        # a folder of their own for the store and the socket: they belong to the daemon's user, the configuration to you
        config, store, socket, data = folder / "saslpy.toml", "data/users.db", "run/mux", "data"
        run_dir, state_dir = 'run_dir = "run"', 'state_dir = "data"'
    user = _user_line(arguments.user)
    if os.path.lexists(config):
        raise Fault(f"{config} is there already; nothing was changed")
    submission = mail(arguments, config.parent, data) if arguments.submission else None
    mux = MUX.format(socket=socket)
    text = TEMPLATE.format(
        store=store,
        user=user,
        run_dir=run_dir,
        state_dir=state_dir,
        mux=mux if submission is None else _commented(mux),
        submission=submission.text if submission else NO_SUBMISSION.format(),
    )
    with ExitStack() as undo:
        _write_beside(config.parent, submission, undo)
        settings = _read(text, config)
        who = daemon_user(arguments.user)
        if who is not None:
            backend = settings.backends["local"]
            load_now([backend])
            _check_reach(who, backend.config.path.parent)
        _write(config, text, settings, who)
        undo.pop_all()
    return config, submission


def _write_beside(folder: Path, submission: Mail | None, undo: ExitStack) -> None:
    """Certificate, key and password: the configuration cannot be read without them. Raises ``Fault``."""
    if submission is None or not submission.files:
        return
    undo.callback(remove_folders, make_folder(folder, 0o755))
    for name, (data, mode) in submission.files.items():
        _write_new(folder / name, data, mode)
        undo.callback((folder / name).unlink)


def _commented(text: str) -> str:
    return "".join(line if line.startswith("#") else f"# {line}" for line in text.splitlines(keepends=True))


def _user_line(user: str | None) -> str:
    if user is None:
        return '# user = "saslpy"'
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f:/\"'-][^\s\x00-\x1f\x7f:/\"']*", user):
        raise Fault(f"--user: {user!r} is no name of a user")
    return f"user = {json.dumps(user, ensure_ascii=False)}"


def _read(text: str, config: Path) -> Settings:
    """The configuration as it will be read: a folder too deep for a socket's path is a fault now and not later."""
    from ..config import ConfigError
    from ..settings import from_table

    try:
        return from_table(tomllib.loads(text), config)
    except ConfigError as error:
        fault = error.faults[0]
        raise Fault(f"{fault}; choose another folder" if fault.startswith("listen") else fault) from None


def _check_reach(who: Identity, folder: Path) -> None:
    """The daemon's user must get to the store, and may write there. Raises ``Fault``."""
    with acting_as(who):
        for place in reversed((folder, *folder.parents)):
            if not os.path.lexists(place):
                return  # will be made, and is that user's then
            wanted = os.X_OK | os.W_OK if place == folder else os.X_OK
            if not os.access(place, wanted, effective_ids=True):
                what = "write to" if os.access(place, os.X_OK, effective_ids=True) else "enter"
                raise Fault(
                    f"the daemon will run as {who.name}, who may not {what} {place}; nothing was changed. Choose another "
                    f"folder, such as /srv/saslpy, or another --user; your own daemon in your own folder needs no root"
                )


def _write(config: Path, text: str, settings: Settings, who: Identity | None) -> None:
    """Folders, configuration and store, all of them or none."""
    backend = settings.backends["local"]
    with ExitStack() as undo:
        undo.callback(remove_folders, make_folder(config.parent, 0o755))
        undo.callback(remove_folders, make_folder(backend.config.path.parent, 0o700, who))
        for listen in settings.listen:
            if listen.path is not None:
                # open to all: who may connect is said by the mode of the socket
                undo.callback(remove_folders, make_folder(listen.path.parent, 0o755, who))
        _write_new(config, text.encode())
        undo.callback(config.unlink)
        _create_store(backend, who, undo)
        undo.pop_all()


def _write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123 (a mode)
            file.write(data)
    except FileExistsError:
        raise Fault(f"{path} is there already; nothing was changed") from None
    except OSError as error:
        raise Fault(f"cannot write {path}: {error.strerror}; nothing was changed") from None


def _create_store(backend: BackendSettings, who: Identity | None, undo: ExitStack) -> None:
    from .stores import with_backend

    store: Path = backend.config.path
    if not store.exists():
        undo.callback(store.unlink, missing_ok=True)
    with acting_as(who):
        with_backend(backend, lambda opened: opened.create())
