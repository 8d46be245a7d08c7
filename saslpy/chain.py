"""Ask the backends in turn. A doubt outweighs a no: the store that failed may hold the right password, or the user."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Literal, TypeVar

from .accounts import AccountTemplate
from .checking import Checker, Usual
from .guard import BackendFailed, Guarded
from .hashing import HashingFailed, Overloaded, reason_of
from .model import Accept, Account, Defer, Login, Origin, Reason, Refusal, Reject, Verdict
from .soundness import network
from .upgrading import Upgrader

T = TypeVar("T")

OnReject = Literal["stop", "next"]

UNKNOWN = Reject(Reason.UNKNOWN_USER)
"""The no of those that do not know the user: another one may."""


@dataclass(frozen=True, slots=True)
class Link:
    """One backend in a chain, and what the configuration says of it."""

    backend: Guarded
    on_reject: OnReject = "stop"
    usual: Usual = field(default_factory=Usual)
    template: AccountTemplate = field(default_factory=AccountTemplate)
    upgrader: Upgrader | None = None

    @property
    def name(self) -> str:
        """The name of the backend's section."""
        return self.backend.name


async def in_turn(
    links: Iterable[Link], ask: Callable[[Link], Awaitable[T | Reject]], no: Reject, ask_all: bool = False
) -> T | Reject | Defer:
    """The first answer that is no ``Reject``, else a doubt, else the last no.

    Unknown user: ask the next one. Another no: stop, unless the backend is marked ``on_reject = "next"``; with ``ask_all``
    no refusal stops. Failure: remember the doubt and go on. ``no`` is the answer where nobody has said another one.
    """
    doubt: Defer | None = None
    for link in links:
        try:
            answer = await ask(link)
        except BackendFailed as failure:
            doubt = doubt or failure.verdict(link.name)
            continue
        except Overloaded as overload:
            return Defer(reason_of(overload), link.name, str(overload))
        except HashingFailed as failure:
            doubt = doubt or Defer(reason_of(failure), link.name, str(failure))
            continue
        if not isinstance(answer, Reject):
            return answer
        if ask_all:
            no = answer
        elif answer.reason is not Reason.UNKNOWN_USER:
            no = answer
            if link.on_reject == "stop":
                break
    return doubt or no


class Chain:
    """Backends in the order in which they are asked."""

    def __init__(self, links: Sequence[Link], checker: Checker) -> None:
        self.links = tuple(links)
        self.checker = checker
        self.several_stores = sum(link.backend.has_secrets for link in links) > 1

    async def verify(self, login: Login, password: str, origin: Origin, until: float = inf) -> Verdict:
        """The verdict of the whole chain on a login with a password in the clear, by ``until`` (``trio.current_time``).

        The time is a value that every wait is given, and no cancel scope around all of them: for one login a scope costs
        a tenth of all that the event loop does.
        """
        verdict = await in_turn(self.links, partial(self._ask, login, password, origin, until), UNKNOWN)
        return await self._cost_of_unknown(password, until) if verdict is UNKNOWN else verdict

    async def _ask(self, login: Login, password: str, origin: Origin, until: float, link: Link) -> Accept | Reject:
        backend = link.backend
        if not backend.has_secrets:
            if not backend.has_verify:
                return UNKNOWN  # it knows tokens only
            answer = await backend.verify(login, password, until)
            if isinstance(answer, Refusal):
                return Reject(answer.reason, link.name, answer.detail)
            return judge(answer, origin, link)
        account = await backend.lookup(login, until)
        if account is None:
            return UNKNOWN
        known = await self.checker.check(account, password, link.usual, until)
        if not isinstance(known, list):
            return Reject(known, link.name)
        verdict = judge(account, origin, link)
        if link.upgrader is not None and isinstance(verdict, Accept):
            link.upgrader.consider(login, account, known, password)
        return verdict

    async def _cost_of_unknown(self, password: str, until: float) -> Reject | Defer:
        """One real hash of the usual kind of the first store: an unknown user takes the time of a known one.

        Where it cannot be computed he is told what a known one is told, or a flood would show who exists.
        """
        link = next((link for link in self.links if link.backend.has_secrets), None)
        if link is None:
            return UNKNOWN
        if not link.usual.known:
            try:
                stored = await link.backend.sample(until)
            except BackendFailed:
                stored = None
            if stored is not None:
                link.usual.saw_stored(stored)
        try:
            await self.checker.pretend(password, link.usual, until)
        except (Overloaded, HashingFailed) as failure:
            return Defer(reason_of(failure), link.name, str(failure))
        return UNKNOWN


def judge(account: Account, origin: Origin, link: Link) -> Accept | Reject:
    """The password is right: may this account log in here and now?"""
    if account.disabled:
        return Reject(Reason.DISABLED, link.name)
    if account.expired:
        return Reject(Reason.EXPIRED, link.name)
    if account.deny_services and origin.service in account.deny_services:
        return Reject(Reason.SERVICE_DENIED, link.name)
    if account.allow_nets and not in_networks(origin.client, account.allow_nets):
        return Reject(Reason.NETWORK_DENIED, link.name)
    return Accept(link.template.fill(account), link.name)


def in_networks(client: str, networks: Sequence[str]) -> bool:
    """Whether an address is in one of the networks; an unknown address is in none."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    found = (network(text) for text in networks)  # the guard has refused what is none
    return any((mapped or address) in one for one in found if one is not None)
