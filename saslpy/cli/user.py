"""``saslpy user``: add, passwd, delete, list, show."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from .. import passwords
from ..backend import Finder, Found, Listing, NoSuchUser, Store, UserExists, WritableStore
from ..model import Account, Login
from ..names import MalformedName, NamePolicy, RealmJoin
from ..passwords.prepare import to_store
from ..settings import BackendSettings, Settings
from .common import Fault, become_daemon_user, password_from, print_json, say, settings_or_exit, table, tell
from .stores import choose, with_backend, with_workers


def run(arguments: argparse.Namespace) -> int:
    """One action on a store's users."""
    settings = settings_or_exit(arguments)
    try:
        return ACTIONS[arguments.action](arguments, settings)
    except Fault as fault:
        tell(str(fault))
        return fault.status
    except (ValueError, LookupError) as error:
        tell(_told(error, arguments))
        return 1


def _told(error: Exception, arguments: argparse.Namespace) -> str:
    if isinstance(error, UserExists):
        return f"there is a user {arguments.login!r} already; `saslpy user passwd` sets a new password"
    if isinstance(error, NoSuchUser):
        return f"there is no user {arguments.login!r}"
    return str(error)


def _add(arguments: argparse.Namespace, settings: Settings) -> int:
    login = _login(arguments, settings)
    _refuse_unreachable(login, arguments.login, settings.auth.realm_join)
    return _set(arguments, settings, lambda store, login, secrets: store.add(login, secrets), "added")


def _passwd(arguments: argparse.Namespace, settings: Settings) -> int:
    return _set(arguments, settings, lambda store, login, secrets: store.set_secrets(login, secrets), "changed")


def _set(
    arguments: argparse.Namespace,
    settings: Settings,
    change: Callable[[WritableStore, str, list[str]], object],
    done: str,
) -> int:
    login = _login(arguments, settings)
    secret = passwords.make(arguments.scheme, to_store(password_from(arguments, confirm=True)), login.name)
    backend = _writable(arguments, settings)
    with_backend(backend, lambda store: change(store, login.name, [secret]))
    say(f"{done} {login.name} in {backend.name}")
    return 0


def _delete(arguments: argparse.Namespace, settings: Settings) -> int:
    login = _login(arguments, settings)
    backend = _writable(arguments, settings)
    with_backend(backend, lambda store: store.delete(login.name))
    say(f"deleted {login.name} from {backend.name}")
    return 0


def _list(arguments: argparse.Namespace, settings: Settings) -> int:
    backend = choose(settings, arguments.backend, Listing, "cannot list its users")
    if backend.plugin.isolated:
        return with_workers(
            settings, backend, lambda guard: guard.accounts(), lambda found: _tell_all(arguments, found)
        )
    become_daemon_user(settings, [backend])
    return _tell_all(arguments, with_backend(backend, _listed))


def _listed(store: Any) -> list[Account] | Awaitable[list[Account]]:
    """All accounts, read while the store is open."""
    answer = store.accounts()
    return _awaited(answer) if isinstance(answer, Awaitable) else list(answer)


async def _awaited(answer: Awaitable[Iterable[Account]]) -> list[Account]:
    return list(await answer)


def _tell_all(arguments: argparse.Namespace, found: Iterable[Account]) -> int:
    accounts = sorted(found, key=lambda account: (account.login.lower(), account.login))
    if arguments.json:
        print_json([_shown(account) for account in accounts])
    else:
        rows = [[account.login, _state(account), _schemes(account), ", ".join(account.aliases)] for account in accounts]
        say(table(rows, ("login", "state", "schemes", "aliases")))
    return 0


def _show(arguments: argparse.Namespace, settings: Settings) -> int:
    backend = choose(settings, arguments.backend, (Store, Finder), "cannot look up a user")
    login = _login(arguments, settings)
    if backend.plugin.isolated:
        return with_workers(
            settings, backend, lambda guard: guard.find(login), lambda account: _tell_one(arguments, account)
        )
    become_daemon_user(settings, [backend])
    return _tell_one(arguments, with_backend(backend, lambda store: _found(store, login)))


def _found(store: Any, login: Login) -> Any:
    return store.lookup(login) if isinstance(store, Store) else store.find(login)


def _tell_one(arguments: argparse.Namespace, account: Found) -> int:
    if not isinstance(account, Account):
        tell(_told(NoSuchUser(arguments.login), arguments))
        return 1
    shown = _shown(account)
    if arguments.json:
        print_json(shown)
    else:
        say(table([[key, str(value)] for key, value in shown.items() if value not in (None, "", [], {})]))
    return 0


ACTIONS = {"add": _add, "passwd": _passwd, "delete": _delete, "list": _list, "show": _show}


def _login(arguments: argparse.Namespace, settings: Settings) -> Login:
    try:
        return NamePolicy(settings.auth.default_domain.lower(), "ignore").login(arguments.login)
    except MalformedName as fault:
        raise Fault(f"{arguments.login!r} is no login: {fault}") from None


def _refuse_unreachable(login: Login, given: str, realm_join: RealmJoin) -> None:
    """A user whom no client could ask for is made by mistake. Raises ``Fault``."""
    if "@" in login.local:
        # libsasl2 cuts at the last @ and gives the rest as a realm; "a@b" with a realm "c" is the user a@b
        raise Fault(
            f"{given!r} has more than one @: what callers make of it is {login.local!r}, so nobody could log in"
        )
    if not login.domain and realm_join == "require":
        raise Fault(
            f'{given!r} has no domain, and the configuration says auth.realm_join = "require": nobody could log in; '
            f"add {given}@DOMAIN"
        )


def _writable(arguments: argparse.Namespace, settings: Settings) -> BackendSettings:
    backend = choose(settings, arguments.backend, WritableStore, "cannot be written to")
    path = getattr(backend.config, "path", None)
    # only a new user brings a new file, and so a new folder
    become_daemon_user(settings, [backend], [path] if isinstance(path, Path) and arguments.action == "add" else [])
    return backend


def _shown(account: Account) -> dict[str, object]:
    return {
        "login": account.login,
        "state": _state(account),
        "schemes": _schemes(account).split(", ") if account.secrets else [],
        "aliases": list(account.aliases),
        "uid": account.uid,
        "gid": account.gid,
        "home": account.home,
        "maildir": account.maildir,
        "quota": account.quota,
        "name": account.name,
        "options": dict(account.options),
        "allow_nets": list(account.allow_nets),
    }


def _state(account: Account) -> str:
    return "disabled" if account.disabled else "expired" if account.expired else "active"


def _schemes(account: Account) -> str:
    return ", ".join(_scheme(secret) for secret in account.secrets)


def _scheme(secret: str) -> str:
    try:
        return passwords.parse(secret).scheme
    except passwords.UnusableSecret as error:
        return str(error)
