"""PAM stacks of our own, made for a test and gone after it; and what asks them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saslpy.model import Account, Login, Origin, Reason, Refusal
from saslpy_pam import Config, open_verifier
from saslpy_pam.verifier import PamVerifier

from . import need
from .system import PREFIX, need_root

YES = "account required pam_permit.so"


def verifier(folder: Path, service: str = "smtp", **changes: Any) -> PamVerifier:
    """What asks the stacks in a folder."""
    with open_verifier(Config(service=service, confdir=folder, **changes)) as opened:
        return opened


def from_(name: str, client: str = "", service: str = "smtp") -> Login:
    """A login that came from an address, for a service."""
    return Login(name, name, origin=Origin("test", service, client=client))


def reason(answer: Account | Refusal) -> Reason:
    """Why not; it must be a no."""
    assert isinstance(answer, Refusal), answer
    return answer.reason


def stack(folder: Path, name: str, *lines: str) -> Path:
    """A service file in a folder of the test's own."""
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@contextmanager
def system_stack(*lines: str) -> Iterator[str]:
    """A service in /etc/pam.d for as long as the block runs; its name. Needs root."""
    need_root()
    folder = Path("/etc/pam.d")
    for path in folder.glob(f"{PREFIX}*"):
        if not Path("/proc", path.name.removeprefix(PREFIX)).exists():
            path.unlink(missing_ok=True)
    name = f"{PREFIX}{os.getpid()}"
    path = stack(folder, name, *lines)
    try:
        yield name
    finally:
        path.unlink()


def userdb_stack(folder: Path, users: dict[str, str], service: str = "smtp") -> None:
    """A service over a database ``users.db`` for pam_userdb, with passwords in the clear."""
    path = folder / "users"
    text = "".join(f"{name}\n{password}\n" for name, password in users.items())
    subprocess.run(
        [need("db_load", package="db-util"), "-T", "-t", "hash", f"{path}.db"],
        input=text.encode(),
        check=True,
        timeout=30,
    )
    module = f"pam_userdb.so crypt=none db={path}"
    stack(folder, service, f"auth required {module}", f"account required {module}")
