"""A chain's backends asked about a user without his password: what can prove it, whether he exists, all there are.

A doubt outweighs a no here, too: the store that failed may know the user.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from .chain import UNKNOWN, Link, in_turn, judge
from .checking import Checker
from .exchange import Candidate, Candidates
from .guard import BackendFailed
from .model import Accept, Account, Defer, Login, Origin, Reason, Refusal, Reject


async def candidates(links: Sequence[Link], checker: Checker, login: Login, until: float = inf) -> Candidates:
    """The accounts that stores have for a login, with their usable secrets, in the order in which they are to be tried.

    As with passwords, the first store that knows the user decides, unless it is marked ``on_reject = "next"``. Backends
    that can only check passwords are passed over.
    """
    found: list[Candidate] = []

    async def ask(link: Link) -> Reject:
        account = await link.backend.lookup(login, until)
        if account is None:
            return UNKNOWN
        usable, reason = checker.usable(account, link.usual.default_scheme)
        found.append(Candidate(account, link, tuple(known.secret for known in usable)))
        return Reject(Reason.WRONG_PASSWORD if usable else reason, link.name)

    otherwise = await in_turn((link for link in links if link.backend.has_secrets), ask, UNKNOWN)
    return Candidates(tuple(found), otherwise)


async def find(links: Sequence[Link], login: Login, until: float = inf) -> Candidate | Reject | Defer:
    """The account of a login, whatever its password.

    A backend that cannot tell who exists is a doubt: "no such user" makes a mail server bounce mail for good. One that
    checks tokens may be there beside a store that has its users, and is none as long as that one can tell.
    """

    async def ask(link: Link) -> Candidate | Reject:
        if not link.backend.can_find:
            raise BackendFailed(Reason.BACKEND_FAILED, "it cannot tell which users there are")
        account = await link.backend.find(login, until)
        return UNKNOWN if account is None else Candidate(account, link)

    if not any(link.backend.can_find for link in links):
        return Defer(Reason.BACKEND_FAILED, detail="no backend can tell which users there are")
    return await in_turn((link for link in links if link.backend.can_find or link.backend.has_verify), ask, UNKNOWN)


async def verify_token(
    links: Sequence[Link], login: Login, token: str, until: float = inf
) -> tuple[Account, Link] | Reject | Defer:
    """The account that a token stands for, and who says so. The first backend that takes it decides."""

    async def ask(link: Link) -> tuple[Account, Link] | Reject:
        answer = await link.backend.verify_token(login, token, until)
        return Reject(answer.reason, link.name, answer.detail) if isinstance(answer, Refusal) else (answer, link)

    issuers = (link for link in links if link.backend.has_tokens)
    return await in_turn(issuers, ask, Reject(Reason.INVALID_TOKEN), ask_all=True)


async def may_send(links: Sequence[Link], login: Login, address: str, until: float = inf) -> Accept | Reject | Defer:
    """Whether a user may send mail as an address, by the backend that has him."""
    found = await find(links, login, until)
    if not isinstance(found, Candidate):
        return found
    link = found.link
    try:
        allowed = await link.backend.may_send(found.account, address, until)
    except BackendFailed as failure:
        return failure.verdict(link.name)
    return Accept(found.account, link.name) if allowed else Reject(Reason.AUTHZ_DENIED, link.name)


async def accounts(links: Iterable[Link], until: float = inf) -> list[Account]:
    """All users, by name, each as the first backend has him. Raises ``BackendFailed`` when a part cannot be had."""
    found: dict[str, Account] = {}
    links = tuple(links)
    if not any(link.backend.can_list for link in links):
        raise BackendFailed(Reason.BACKEND_FAILED, "no backend can list its users")
    for link in links:
        if not link.backend.can_list:
            if link.backend.has_verify or link.backend.has_secrets:
                raise BackendFailed(Reason.BACKEND_FAILED, f"backend {link.name} cannot list its users")
            continue
        for account in await link.backend.accounts(until, link.template.fill):
            found.setdefault(account.login, account)
    return [found[name] for name in sorted(found)]


def judged(candidate: Candidate, origin: Origin) -> Accept | Reject:
    """Whether this account may log in here and now."""
    return judge(candidate.account, origin, candidate.link)
