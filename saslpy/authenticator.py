"""The one door: every login attempt of every front end comes through ``Authenticator.verify``.

Names, bounds, the deadline, the floor in time for refusals and the audit line are here, so that no front end, mechanism
or backend can forget them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from .chain import Chain
from .guard import Guarded
from .model import Accept, Defer, Login, Origin, Reason, Reject, Verdict
from .names import MalformedName, NamePolicy
from .observe.audit import Audit
from .observe.log import Log
from .texts import describe
from .upgrading import Upgrades

MAX_PASSWORD = 65_536
"""Characters of a password (tokens included) that are worth a look."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which chain answers for which domains and services; an empty set means all of them."""

    chain: Chain
    domains: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()

    def takes(self, login: Login, origin: Origin) -> bool:
        """Whether this route answers for the login."""
        return (not self.domains or login.domain in self.domains) and (
            not self.services or origin.service in self.services
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """``deadline`` seconds for one request; ``min_seconds`` before a refusal; ``pending`` requests at a time."""

    deadline: float = 8.0
    min_seconds: float = 0.1
    pending: int = 1024


@dataclass(slots=True, eq=False)
class Rules:
    """What the configuration says about logins. ``pending`` counts the requests under way that were begun by it."""

    routes: Sequence[Route]  # the first that fits is taken, and the last one takes everything
    names: NamePolicy
    bounds: Bounds = field(default_factory=Bounds)
    backends: Sequence[Guarded] = ()
    upgrades: Upgrades | None = None
    pending: int = 0

    def chain(self, login: Login, origin: Origin) -> Chain:
        """Who answers for a login."""
        for route in self.routes:
            if route.takes(login, origin):
                return route.chain
        raise LookupError("the last route takes everything")


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
        login, fault = _login(rules.names, given, realm, password, origin)
        verdict: Verdict = Defer(Reason.SHUTDOWN)
        rules.pending += 1
        try:
            verdict = fault or await self._bounded(rules, login, password, origin)
            if isinstance(verdict, Reject):
                await trio.sleep_until(start + rules.bounds.min_seconds)
        finally:
            rules.pending -= 1
            self.counts[type(verdict)] += 1
            self._audit.attempt(login, origin, verdict, trio.current_time() - start)
        return verdict

    async def _bounded(self, rules: Rules, login: Login, password: str, origin: Origin) -> Verdict:
        bounds = rules.bounds
        if rules.pending > bounds.pending:
            return Defer(Reason.OVERLOAD, detail=f"{bounds.pending} requests are under way")
        until = trio.current_time() + bounds.deadline
        try:
            return await rules.chain(login, origin).verify(login, password, origin, until)
        except Exception as error:  # backends are guarded, so this is a fault of ours
            self._log.fault(error)
            return Defer(Reason.INTERNAL, detail=describe(error) if isinstance(error, OSError) else "")


def _login(names: NamePolicy, given: str, realm: str, password: str, origin: Origin) -> tuple[Login, Reject | None]:
    """The login that is meant, and the refusal of what no backend may be asked."""
    try:
        login = names.login(given, realm, origin)
    except MalformedName as fault:
        return Login(given, given, "", given, origin), Reject(Reason.MALFORMED, detail=str(fault))
    if not password:
        # never handed on: to a directory it would be an anonymous bind, which succeeds
        return login, Reject(Reason.EMPTY_PASSWORD)
    if "\0" in password:
        return login, Reject(Reason.MALFORMED, detail="a NUL in the password")
    if len(password) > MAX_PASSWORD:
        return login, Reject(Reason.MALFORMED, detail=f"a password of over {MAX_PASSWORD} characters")
    return login, None
