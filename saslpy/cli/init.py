"""``saslpy init``: a configuration to start from, and an empty user store."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .common import Fault, become_daemon_user, make_folder, settings_or_exit, tell
from .template import TEMPLATE

SYSTEM_CONFIG = Path("/etc/saslpy/saslpy.toml")
SYSTEM_STORE = Path("/var/lib/saslpy/users.db")
SYSTEM_SOCKET = Path("/run/saslauthd/mux")


def run(arguments: argparse.Namespace) -> int:
    """Write both, overwrite nothing, and say what comes next."""
    try:
        config = _init(None if arguments.directory is None else Path(arguments.directory).absolute(), arguments.user)
    except Fault as fault:
        tell(str(fault))
        return 1
    option = "" if config == SYSTEM_CONFIG else f" --config {config}"
    print(f"wrote {config}")
    print("next:")
    print(f"  saslpy user add joe@example.org{option}")
    print(f"  saslpy check{option}")
    print(f"  saslpy serve{option}")
    return 0


def _init(folder: Path | None, user: str | None) -> Path:
    if folder is None:
        config, store, socket = SYSTEM_CONFIG, str(SYSTEM_STORE), str(SYSTEM_SOCKET)
    else:
        # a folder of their own for the store and the socket: they belong to the daemon's user, the configuration to you
        config, store, socket = folder / "saslpy.toml", "data/users.db", "run/mux"
    _check_user(user)
    make_folder(config.parent)
    if os.geteuid() == 0:
        config.parent.chmod(0o755)
    line = '# user = "saslpy"' if user is None else f'user = "{user}"'
    _write_new(config, TEMPLATE.format(store=store, socket=socket, user=line))
    _create_store(config)
    return config


def _check_user(user: str | None) -> None:
    """Before anything is written: whom would the store belong to?"""
    from ..privileges import PrivilegeError, identity

    try:
        identity(user, None)
    except PrivilegeError as error:
        raise Fault(str(error)) from None


def _write_new(path: Path, text: str) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:  # noqa: PTH123 (a mode)
            file.write(text)
    except FileExistsError:
        raise Fault(f"{path} is there already; nothing was changed") from None
    except OSError as error:
        raise Fault(f"cannot write {path}: {error.strerror}") from None


def _create_store(config: Path) -> None:
    from .stores import with_backend  # now: once root's rights are gone, we may not be able to read it any more

    settings = settings_or_exit(argparse.Namespace(config=str(config)))
    backend = settings.backends["local"]
    places = [backend.config.path, *(listen.path for listen in settings.listen if listen.path is not None)]
    become_daemon_user(settings, [backend], places)
    with_backend(backend, lambda store: store.create())
