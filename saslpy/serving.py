"""Which mechanisms a configuration can serve, for whom, and why not.

A mechanism that is offered and works for some users only does harm: Thunderbird that sees CRAM-MD5 does not try PLAIN.
So one is offered only where every backend that may be asked can serve it, as far as that is known before anybody logs in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .chain import Link
from .checking import Checker
from .exchange import MECHANISMS
from .guard import BackendFailed
from .mechanisms import named
from .mechanisms.cram import can_prove
from .model import Account
from .passwords import UnusableSecret, parse
from .passwords.secret import StoredSecret

MOST = 50_000
"""Accounts of a backend that are looked at; the rest is taken to be like them."""

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


def lacks(accounts: Iterable[Account], checker: Checker, default_scheme: str) -> dict[str, str]:
    """For each mechanism that needs secrets and does not work for every user: how many users it does not work for."""
    users = 0
    without: dict[str, int] = {}
    for account in accounts:
        if users == MOST:
            break
        users += 1
        secrets = [secret for stored in account.secrets if (secret := _parsed(stored, checker, default_scheme))]
        for name in ("CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            if not any(_serves(name, secret) for secret in secrets):
                without[name] = without.get(name, 0) + 1
    return {name: f"{count} of {users} users have no secret for it" for name, count in without.items()}


def _serves(name: str, secret: StoredSecret) -> bool:
    return can_prove(secret) if name == "CRAM-MD5" else secret.scheme in (name, "PLAIN")


def _parsed(stored: str, checker: Checker, default_scheme: str) -> StoredSecret | None:
    try:
        secret = parse(stored, default_scheme)
    except UnusableSecret:
        return None
    return None if secret.scheme in checker.forbidden else secret


async def survey(link: Link, checker: Checker) -> dict[str, str] | None:
    """``lacks`` of a backend that can list its users; None where it cannot, or does not now."""
    if not (link.backend.has_secrets and link.backend.can_list):
        return None
    try:
        return lacks(await link.backend.accounts(), checker, link.usual.default_scheme)
    except BackendFailed:
        return None
