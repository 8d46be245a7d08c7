"""Users in the configuration itself: a handful of devices, a demo, a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from saslpy import passwords
from saslpy.backend import Plugin
from saslpy.config import check_number
from saslpy.model import Account, Login
from saslpy.names import MalformedName, NamePolicy
from saslpy.soundness import MAX_ID
from saslpy.texts import quota

if TYPE_CHECKING:
    from saslpy.settings import BackendOptions


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

    def __post_init__(self) -> None:
        for key in ("uid", "gid"):
            if (number := getattr(self, key)) is not None:
                check_number(key, number, 0, MAX_ID)
        for position, text in enumerate(self.allow_nets):
            try:
                ip_network(text.strip(), strict=False)
            except ValueError:
                raise ValueError(f"allow_nets[{position}]: {text!r} is no network such as '192.0.2.0/24'") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``users``: login to stored password, or to a table with ``password`` and account fields."""

    users: dict[str, str | dict[str, object]] = field(repr=False)

    def __post_init__(self) -> None:
        _read(self)

    def faults(self, options: BackendOptions) -> Iterator[tuple[str, str]]:
        """Users whose stored password no password can match, although it is not locked ("!", "*")."""
        for (name, _), account in zip(self.users.items(), _read(self).values(), strict=True):
            for secret in account.secrets:
                try:
                    passwords.parse(secret, options.default_scheme)
                except passwords.UnusableSecret as error:
                    if error.reason is not passwords.Fault.LOCKED:
                        # the message names a scheme at most, and nothing of what is stored
                        yield f"users.{name!r}", f"no password matches this: {error}; `saslpy hash` prints what does"


def _read(config: Config) -> dict[bytes, Account]:
    accounts: dict[bytes, Account] = {}
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
    except ValueError as error:
        raise ValueError(f"users.{login!r}: {error}") from None
    return Account(
        login,
        (user.password,),
        uid=user.uid,
        gid=user.gid,
        home=user.home,
        maildir=user.maildir,
        quota=quota(user.quota or ""),
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


def _key(login: str) -> bytes:
    # a to z alone: for Unicode, "straße" and "strasse" are one, and they are two people
    return login.encode("utf-8", "surrogatepass").lower()


class StaticStore:
    """A dictionary; A and a are one, the canonical name is the configuration's."""

    def __init__(self, accounts: dict[bytes, Account]) -> None:
        self._accounts = accounts

    async def lookup(self, login: Login) -> Account | None:
        """The account from memory."""
        return self._accounts.get(_key(login.name))

    async def sample(self) -> str | None:
        """The first user's secret."""
        return next((account.secrets[0] for account in self._accounts.values()), None)

    async def probe(self) -> str:
        """How many there are."""
        count = len(self._accounts)
        return f"{count} user{'' if count == 1 else 's'} in the configuration"

    async def accounts(self) -> Iterable[Account]:
        """All of them, by name."""
        return sorted(self._accounts.values(), key=lambda account: account.login)


@contextmanager
def open_store(config: Config) -> Iterator[StaticStore]:
    """The store of a configuration."""
    yield StaticStore(_read(config))


plugin = Plugin(Config, open_store, local=True)
