"""Ask the backends in turn. A doubt outweighs a no: the store that failed may hold the right password."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from .accounts import AccountTemplate
from .checking import Checker, Usual
from .guard import BackendFailed, Guarded
from .hashing import HashingFailed, Overloaded, reason_of
from .model import Accept, Account, Defer, Login, Origin, Reason, Refusal, Reject, Verdict
from .soundness import network
from .upgrading import Upgrader

OnReject = Literal["stop", "next"]


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


class Chain:
    """Backends in the order in which they are asked."""

    def __init__(self, links: Sequence[Link], checker: Checker) -> None:
        self.links = tuple(links)
        self.checker = checker

    async def verify(self, login: Login, password: str, origin: Origin, until: float = inf) -> Verdict:
        """The verdict of the whole chain on a login with a password in the clear, by ``until`` (``trio.current_time``).

        The time is a value that every wait is given, and no cancel scope around all of them: for one login a scope costs
        a tenth of all that the event loop does.

        Unknown here: ask the next. Wrong password: stop, unless the backend is marked ``on_reject = "next"``. Failure:
        remember the doubt and go on; if nobody accepts then, the answer is Defer.
        """
        doubt: Defer | None = None
        verdict = Reject(Reason.UNKNOWN_USER)
        for link in self.links:
            if not (link.backend.has_secrets or link.backend.has_verify):
                continue  # it knows tokens only
            try:
                answer = await self._ask(link, login, password, origin, until)
            except BackendFailed as failure:
                doubt = doubt or Defer(failure.reason, link.name, failure.detail)
                continue
            except Overloaded as overload:
                return Defer(reason_of(overload), link.name, str(overload))
            except HashingFailed as failure:
                doubt = doubt or Defer(reason_of(failure), link.name, str(failure))
                continue
            if isinstance(answer, Accept):
                return answer
            if answer.reason is not Reason.UNKNOWN_USER:
                verdict = answer
                if link.on_reject == "stop":
                    break
        if doubt is None and verdict.reason is Reason.UNKNOWN_USER:
            await self._cost_of_unknown(password, until)
        return doubt or verdict

    async def _ask(self, link: Link, login: Login, password: str, origin: Origin, until: float) -> Accept | Reject:
        if link.backend.has_secrets:
            account = await link.backend.lookup(login, until)
            if account is None:
                return Reject(Reason.UNKNOWN_USER, link.name)
            known = await self.checker.check(account, password, link.usual, until)
            if not isinstance(known, list):
                return Reject(known, link.name)
            verdict = judge(account, origin, link)
            if link.upgrader is not None and isinstance(verdict, Accept):
                link.upgrader.consider(login, account, known, password)
            return verdict
        answer = await link.backend.verify(login, password, until)
        if isinstance(answer, Refusal):
            return Reject(answer.reason, link.name, answer.detail)
        return judge(answer, origin, link)

    async def _cost_of_unknown(self, password: str, until: float) -> None:
        """One real hash of the usual kind of the first store: an unknown user takes the time of a known one."""
        link = next((link for link in self.links if link.backend.has_secrets), None)
        if link is None:
            return
        if not link.usual.known:
            try:
                stored = await link.backend.sample(until)
            except BackendFailed:
                stored = None
            if stored is not None:
                link.usual.saw_stored(stored)
        try:
            await self.checker.pretend(password, link.usual, until)
        except (Overloaded, HashingFailed):
            return


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
