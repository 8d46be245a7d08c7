"""What the configuration says about logins: who is asked about whom, how names are read, who may act as whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from .chain import Chain
from .guard import Guarded
from .hashing import HashThreads
from .mechanism_names import MECHANISMS
from .model import Login, Origin, Reason, Reject
from .names import MalformedName, NamePolicy
from .pretending import Pretence
from .scramkeys import KeyMaker
from .upgrading import Upgrades

MAX_PASSWORD = 65_536
"""Characters of a password (tokens included) that are worth a look."""

HELD = 4
"""Answers that wait for their floor in time, at most: so many for each request that may be under way."""


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
    """What the configuration says about logins.

    ``pending`` counts the requests under way that were begun by it, ``held`` the answers that only wait for their floor in
    time: a flood of wrong passwords is no reason to keep out a right one.
    """

    routes: Sequence[Route]  # the first that fits is taken, and the last one takes everything
    names: NamePolicy
    bounds: Bounds = field(default_factory=Bounds)
    backends: Sequence[Guarded] = ()
    upgrades: Upgrades | None = None
    keys: KeyMaker = field(default_factory=lambda: KeyMaker(HashThreads(), Pretence()))
    masters: frozenset[str] = frozenset()  # canonical names in lower case: who may act as any other
    anonymous: str = ""
    unserved: Mapping[str, str] = field(default_factory=dict)  # mechanisms that cannot be served, and why
    listed: frozenset[str] | None = None  # the mechanisms that some listener may offer; None: all
    pending: int = 0
    held: int = 0

    @property
    def under_way(self) -> int:
        """What a stop waits for."""
        return self.pending + self.held

    def lists(self, mechanism: str) -> bool:
        """Whether the configuration has this mechanism; those that only Courier knows go by its CRAM-MD5."""
        return self.listed is None or mechanism in self.listed or mechanism not in MECHANISMS

    async def floor(self, start: float) -> None:
        """Hold an answer back until ``min_seconds`` after ``start`` (``trio.current_time``).

        Over ``HELD`` it is given at once: a no stays a no, which a Defer would not be, and its cost, a real hash for
        everybody, is the same without a floor.
        """
        bounds = self.bounds
        if self.held >= HELD * bounds.pending:
            return
        self.held += 1
        try:
            await trio.sleep_until(start + bounds.min_seconds)
        finally:
            self.held -= 1

    def chain(self, login: Login, origin: Origin) -> Chain:
        """Who answers for a login."""
        for route in self.routes:
            if route.takes(login, origin):
                return route.chain
        raise LookupError("the last route takes everything")

    def name(self, given: str, realm: str, origin: Origin) -> tuple[Login, Reject | None]:
        """The login that is meant, and the refusal of one that no backend may be asked about."""
        try:
            return self.names.login(given, realm, origin), None
        except MalformedName as fault:
            return Login(given, given, "", given, origin), Reject(Reason.MALFORMED, detail=str(fault))

    def login(self, given: str, realm: str, password: str, origin: Origin) -> tuple[Login, Reject | None]:
        """The same for a login with a password."""
        login, fault = self.name(given, realm, origin)
        if fault is not None:
            return login, fault
        if not password:
            # never handed on: to a directory it would be an anonymous bind, which succeeds
            return login, Reject(Reason.EMPTY_PASSWORD)
        if "\0" in password:
            return login, Reject(Reason.MALFORMED, detail="a NUL in the password")
        if len(password) > MAX_PASSWORD:
            return login, Reject(Reason.MALFORMED, detail=f"a password of over {MAX_PASSWORD} characters")
        if not _has_bytes(password):
            # JSON can say it; a backend would fail at it, and count as down
            return login, Reject(Reason.MALFORMED, detail="a password that no bytes stand for")
        return login, None


def _has_bytes(password: str) -> bool:
    """Whether bytes can have been meant by it; those that are not UTF-8 are surrogates."""
    try:
        return password.isascii() or bool(password.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False
