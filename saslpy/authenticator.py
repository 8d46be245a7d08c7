"""The one door: every login attempt of every front end comes through ``Authenticator``.

Names, bounds, the deadline, the floor in time for refusals and the audit line are here, so that no front end, mechanism
or backend can forget them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import trio

from . import changing, lookups
from .conversation import CUT_SHORT, Conversation
from .exchange import Candidate, Mechanism
from .mechanism_names import MECHANISMS
from .model import Accept, Account, Defer, Login, Origin, Reason, Reject, Verdict
from .observe.audit import Audit
from .observe.log import Log
from .rules import Bounds, Route, Rules
from .texts import describe

__all__ = ["Authenticator", "Bounds", "Route", "Rules"]

T = TypeVar("T")

LISTING = 50.0
"""Seconds for a list of all users; Courier's client waits for 60."""


class Authenticator:
    """Answers accept, reject or defer, always within the deadline, and never raises.

    ``rules`` may be replaced at any time: a request goes by those that were in force when it came.
    """

    def __init__(self, rules: Rules, log: Log, audit: Audit | None = None) -> None:
        self.rules = rules
        self.counts = dict.fromkeys((Accept, Reject, Defer), 0)
        self._log = log
        self._audit = audit or Audit(log)

    async def verify(self, given: str, realm: str, password: str, origin: Origin) -> Verdict:
        """The verdict on a name (and a realm, where the protocol has one) with a password in the clear.

        Bytes that are not UTF-8 come as surrogates. The attempt stands in the audit log when this returns.
        """
        start = trio.current_time()
        rules = self.rules
        login, fault = rules.login(given, realm, password, origin)
        verdict: Verdict = CUT_SHORT
        try:
            verdict = fault or await self._checked(rules, login, password, origin, start)
            if isinstance(verdict, Reject):
                await rules.floor(start)
        finally:
            self.told(login, origin, verdict, trio.current_time() - start)
        return verdict

    def told(self, login: Login, origin: Origin, verdict: Verdict, seconds: float) -> None:
        """Count an attempt and write its audit line."""
        self.counts[type(verdict)] += 1
        self._audit.attempt(login, origin, verdict, seconds)

    async def _checked(self, rules: Rules, login: Login, password: str, origin: Origin, start: float) -> Verdict:
        rules.pending += 1
        try:
            if rules.pending > rules.bounds.pending:
                return self._overload(rules)
            return await rules.chain(login, origin).verify(login, password, origin, start + rules.bounds.deadline)
        except Exception as error:  # backends are guarded, so this is a fault of ours
            return self._failed(error)
        finally:
            rules.pending -= 1

    async def within(self, rules: Rules, question: Callable[[float], Awaitable[T]]) -> T | Defer:
        """What comes of a question that is given the time until when, as one of the requests under way."""
        rules.pending += 1
        try:
            if rules.pending > rules.bounds.pending:
                return self._overload(rules)
            return await question(trio.current_time() + rules.bounds.deadline)
        except Exception as error:
            return self._failed(error)
        finally:
            rules.pending -= 1

    def _overload(self, rules: Rules) -> Defer:
        return Defer(Reason.OVERLOAD, detail=f"{rules.bounds.pending} requests are under way")

    def _failed(self, error: Exception) -> Defer:
        """The verdict for a fault of ours, which is told."""
        self._log.fault(error)
        return Defer(Reason.INTERNAL, detail=describe(error) if isinstance(error, OSError) else "")

    # --- exchanges

    def offered(self, listed: Sequence[str]) -> tuple[str, ...]:
        """Those of the listed mechanisms that can be served, in the order in which they are offered."""
        rules = self.rules
        return tuple(name for name in MECHANISMS if name in listed and name not in rules.unserved and rules.lists(name))

    def begin(self, mechanism: Mechanism, origin: Origin, plus_offered: bool = False) -> Conversation:
        """A new exchange. ``plus_offered``: the client was offered a mechanism with channel binding, too."""
        return Conversation(mechanism, replace(origin, mechanism=mechanism.name), self, plus_offered)

    # --- questions about users

    async def find(self, given: str, realm: str, origin: Origin) -> Account | Reject | Defer:
        """The account of a name, with its gaps filled; whether it may log in is not looked at. Nobody logs in here."""
        rules = self.rules
        login, fault = rules.name(given, realm, origin)
        if fault is not None:
            return fault
        found = await self.within(rules, lambda until: lookups.find(rules.chain(login, origin).links, login, until))
        return found.link.template.fill(found.account) if isinstance(found, Candidate) else found

    async def accounts(self) -> Sequence[Account]:
        """All users of all backends, by name. Raises ``BackendFailed`` when a part of them cannot be had."""
        rules = self.rules
        links = {link.name: link for route in rules.routes for link in route.chain.links}
        rules.pending += 1
        try:
            return await lookups.accounts(links.values(), trio.current_time() + LISTING)
        finally:
            rules.pending -= 1

    async def may_send(self, given: str, address: str, origin: Origin) -> Accept | Reject | Defer:
        """Whether a login may send mail as an address."""
        rules = self.rules
        login, fault = rules.name(given, "", origin)
        if fault is not None:
            return fault
        return await self.within(
            rules, lambda until: lookups.may_send(rules.chain(login, origin).links, login, address, until)
        )

    async def change_password(self, given: str, old: str, new: str, origin: Origin) -> Verdict:
        """The verdict on the old password; Accept only when the new one has taken its place.

        Beside the audit line of the old one, a line ``password-change`` says what has become of it: ``changed``, ``same``
        for an old one that is the new one, or the reason why not.
        """
        rules = self.rules
        verdict = await self.verify(given, "", old, origin)
        if not isinstance(verdict, Accept):
            return verdict
        login, fault = rules.login(given, "", new, origin)
        wish = changing.Change(login, verdict.backend, old, new)
        chain = rules.chain(login, origin)
        changed: Verdict = CUT_SHORT  # it may have been written
        try:
            if fault is not None:
                changed = fault
            else:
                changed = await self.within(rules, lambda until: changing.change(chain, rules.keys.hashes, wish, until))
        finally:
            self._told_change(wish, changed)
        return changed

    def _told_change(self, wish: changing.Change, changed: Verdict) -> None:
        if isinstance(changed, Accept):
            outcome, detail = "same" if wish.same else "changed", {}
        else:
            outcome, detail = changed.reason.value, {"detail": changed.detail} if changed.detail else {}
        self._log.info("password-change", login=wish.login.name, backend=wish.backend, outcome=outcome, **detail)
