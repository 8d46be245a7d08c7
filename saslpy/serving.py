"""Which mechanisms a configuration can serve, for whom, and why not.

A mechanism that is offered and works for some users only does harm: Thunderbird that sees CRAM-MD5 does not try PLAIN.
So one is offered only where every backend that may be asked can serve it, as far as that is known before anybody logs in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from .backend import Listing
from .chain import Link
from .checking import Forbidden, Known
from .mechanism_names import MECHANISMS
from .mechanisms import named
from .mechanisms.cram import can_prove
from .model import Account
from .passwords import UnusableSecret
from .passwords.secret import StoredSecret
from .process.remote import Remote

if TYPE_CHECKING:
    from .settings import Settings

MOST = 50_000
"""Accounts of a backend that are looked at; the rest is taken to be like them."""

BY_SECRET = ("CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
"""The mechanisms that need a stored secret of their kind; -PLUS needs no other."""

Lacking = Mapping[str, Mapping[str, str]]
"""By the name of a backend what ``lacks`` said of it."""


def unserved(links: Iterable[Link], anonymous: str, lacking: Lacking) -> dict[str, str]:
    """Each mechanism that cannot be served, and why."""
    links = tuple(links)
    return {name: why for name in MECHANISMS if (why := _why_not(name, links, anonymous, lacking))}


def _why_not(name: str, links: Sequence[Link], anonymous: str, lacking: Lacking) -> str:
    mechanism = named(name)
    assert mechanism is not None
    match mechanism.needs:
        case "secret":
            return _no_secrets(name, links, lacking)
        case "nothing":
            return "" if anonymous else "[auth] anonymous is empty"
        case "password":
            able, what = any(map(_knows_passwords, links)), "knows passwords"
        case "token":
            able, what = any(link.backend.has_tokens for link in links), "checks tokens"
        case "certificate":
            able, what = any(link.backend.can_find for link in links), "can tell which users there are"
    return "" if able else f"no backend {what}"


def _no_secrets(name: str, links: Sequence[Link], lacking: Lacking) -> str:
    knowing = [link for link in links if _knows_passwords(link)]
    if not knowing:
        return "no backend knows passwords"
    for link in knowing:
        if not link.backend.has_secrets:
            return f"backend {link.name} can check passwords, but does not know them"
        if why := lacking.get(link.name, {}).get(name.removesuffix("-PLUS")):
            return f"backend {link.name}: {why}"
    return ""


def _knows_passwords(link: Link) -> bool:
    return link.backend.has_secrets or link.backend.has_verify


def needs_secrets(names: Iterable[str]) -> bool:
    """Whether one of these mechanisms needs stored secrets, so that users must be looked at."""
    return any(name.removesuffix("-PLUS") in BY_SECRET for name in names)


def lacks(accounts: Iterable[Account], forbidden: frozenset[str], default_scheme: str) -> dict[str, str]:
    """For each mechanism that needs secrets and does not work for every user: how many users it does not work for."""
    users = 0
    without: dict[str, int] = {}
    for account in accounts:
        if users == MOST:
            break
        users += 1
        secrets = list(_usable(account, forbidden, default_scheme))
        for name in BY_SECRET:
            if not any(_serves(name, secret) for secret in secrets):
                without[name] = without.get(name, 0) + 1
    return {name: f"{count} of {users} users have no secret for it" for name, count in without.items()}


def _serves(name: str, secret: StoredSecret) -> bool:
    return can_prove(secret) if name == "CRAM-MD5" else secret.scheme in (name, "PLAIN")


def _usable(account: Account, forbidden: frozenset[str], default_scheme: str) -> Iterator[StoredSecret]:
    for stored in account.secrets:
        with suppress(UnusableSecret, Forbidden):
            yield Known.counting(stored, default_scheme, forbidden).secret


def remarks(settings: Settings, links: Mapping[str, Link], lacking: Lacking) -> Iterator[tuple[str, str]]:
    """(the key of a listener's mechanisms, what is to be said of them), for ``saslpy check``.

    ``links`` are the backends that could be opened, by name; nothing is said while one of those that are asked is missing.
    """
    used = [links[backend.name] for backend in settings.used_backends if backend.name in links]
    if len(used) < len(settings.used_backends):
        return
    local = {name: found for name, found in lacking.items() if settings.backends[name].plugin.local}
    never = unserved(used, settings.auth.anonymous, local)
    in_part = unserved(used, settings.auth.anonymous, lacking)
    for number, listen in enumerate(settings.listen):
        for name in listen.offers(settings.auth.mechanisms):
            if name in never:
                yield f"listen[{number}].mechanisms", f"{name} is not offered: {never[name]}"
            elif name in in_part:
                yield (
                    f"listen[{number}].mechanisms",
                    f"{name} is offered, and not everybody can use it: {in_part[name]}",
                )


SURVEY = 10.0
"""Seconds for a look at all users of a backend."""


async def survey(link: Link, forbidden: frozenset[str]) -> dict[str, str] | None:
    """``lacks`` of a store of this process that can list its users; None where it cannot, or does not now."""
    backend = link.backend.backend
    if not (link.backend.has_secrets and isinstance(backend, Listing)) or isinstance(backend, Remote):
        return None
    try:
        with trio.fail_after(SURVEY):
            # the guard lists users without their secrets
            listed = await _called(backend.accounts)
            return await trio.to_thread.run_sync(
                lacks, listed, forbidden, link.usual.default_scheme, abandon_on_cancel=True
            )
    except Exception:
        return None  # whatever is wrong with it, a login will hear of it


async def _called(method: Callable[[], Any]) -> Any:
    if inspect.iscoroutinefunction(method):
        return await method()
    return await trio.to_thread.run_sync(method, abandon_on_cancel=True)
