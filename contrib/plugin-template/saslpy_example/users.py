"""Users in a JSON file: a store. It hands out stored secrets, and saslpy checks the passwords.

{
    "users": {
        "joe@example.org": {"password": "{SHA512-CRYPT}$6$…", "home": "/srv/mail/joe"},
        "ann@example.org": {"password": "{SHA512-CRYPT}$6$…", "disabled": true}
    },
    "aliases": {"sales@example.org": "joe@example.org"}
}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saslpy import Account, Login, Plugin


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "example"``: a field is a key, its type is checked, its default is the default.

    ``path``: the file; a relative one is taken from the folder of saslpy.toml.
    """

    path: Path


class Users:
    """Plain blocking functions. Several threads may call them at a time, so nothing here is changed by a call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lookup(self, login: Login) -> Account | None:
        """The account, under its own name whatever was typed; None when there is definitely no such user."""
        users, aliases = self._read()
        name = aliases.get(login.name, login.name)
        return _account(name, users[name]) if name in users else None

    def sample(self) -> str | None:
        """Some stored secret: a login of nobody then takes as long as anybody's, from the first one on."""
        users, _ = self._read()
        return next((user["password"] for user in users.values()), None)

    def probe(self) -> str:
        """The line that `saslpy check` shows."""
        users, _ = self._read()
        return f"{self._path}: {len(users)} users"

    def accounts(self) -> list[Account]:
        """Everybody, for `saslpy user list`."""
        users, _ = self._read()
        return [_account(name, user) for name, user in sorted(users.items())]

    def _read(self) -> tuple[dict[str, Any], dict[str, str]]:
        # Nothing is caught: a file that is missing, half written or of another shape raises, and the mail server says
        # "try again later". What looks like an empty store would tell every user that the password is wrong.
        match json.loads(self._path.read_text(encoding="utf-8")):
            case {"users": dict() as users, "aliases": dict() as aliases}:
                return users, aliases
        raise ValueError(f"{self._path}: users and aliases are not both there")


def _account(name: str, user: dict[str, Any]) -> Account:
    return Account(name, (user["password"],), home=user.get("home"), disabled=user.get("disabled", False))


@contextmanager
def open_users(config: Config) -> Iterator[Users]:
    """Nothing is read yet: without the file, logins fail and the daemon starts. What is opened here is closed here."""
    yield Users(config.path)


plugin = Plugin(Config, open_users, local=True)
