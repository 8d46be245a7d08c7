"""Users in the configuration itself: a handful of devices, a demo, a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import msgspec

from saslpy.backend import Plugin
from saslpy.model import Account, Login
from saslpy.names import MalformedName, NamePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user, where more is to be said than the password."""

    password: str = field(repr=False)
    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    maildir: str | None = None
    quota: str | None = None
    name: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    disabled: bool = False
    allow_nets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``users``: login to stored password, or to a table with ``password`` and account fields."""

    users: dict[str, str | dict[str, object]] = field(repr=False)

    def __post_init__(self) -> None:
        _read(self)


def _read(config: Config) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    for name, value in config.users.items():
        try:
            login = NamePolicy().login(name).name
        except MalformedName as fault:
            raise ValueError(f"users.{name!r}: {fault}") from None
        if _key(login) in accounts:
            raise ValueError(f"users.{name!r}: stands there twice (upper and lower case are one)")
        accounts[_key(login)] = _account(login, value)
    return accounts


def _account(login: str, value: str | dict[str, object]) -> Account:
    try:
        user = User(password=value) if isinstance(value, str) else _user(value)
    except msgspec.ValidationError as error:
        raise ValueError(f"users.{login!r}: {error}") from None
    return Account(
        login,
        (user.password,),
        uid=user.uid,
        gid=user.gid,
        home=user.home,
        maildir=user.maildir,
        quota=user.quota,
        name=user.name,
        options=user.options,
        disabled=user.disabled,
        allow_nets=user.allow_nets,
    )


def _user(table: dict[str, object]) -> User:
    known = {entry.name for entry in fields(User)}
    if unknown := sorted(set(table) - known):
        raise msgspec.ValidationError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return msgspec.convert(table, User)


def _key(login: str) -> str:
    return login.casefold()


class StaticStore:
    """A dictionary; upper and lower case are one, the canonical name is the configuration's."""

    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts

    async def lookup(self, login: Login) -> Account | None:
        """The account from memory."""
        return self._accounts.get(_key(login.name))

    async def sample(self) -> str | None:
        """The first user's secret."""
        return next((account.secrets[0] for account in self._accounts.values()), None)

    async def probe(self) -> str:
        """How many there are."""
        return f"{len(self._accounts)} users in the configuration"

    async def accounts(self) -> Iterable[Account]:
        """All of them, by name."""
        return sorted(self._accounts.values(), key=lambda account: account.login)


@contextmanager
def open_store(config: Config) -> Iterator[StaticStore]:
    """The store of a configuration."""
    yield StaticStore(_read(config))


plugin = Plugin(Config, open_store, local=True)
