"""Which process may be started when, and starting it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic

from ..observe.log import Log
from ..privileges import Identity
from . import wire
from .children import Backoff, Child, fork
from .family import Family
from .plan import Plan
from .roles import Role
from .seldom import Seldom
from .signals import HANDLED

AUTH = "auth"

TRY_AGAIN = 0.5
"""Seconds until a worker may be asked for again when there are enough of its role, or the system gives no more."""

DONE = 79
"""The exit status of a worker whose channel was closed. Any other, 0 too, is that of code that had no right to end it."""


class Starting:
    """Starts the plan's processes: no more of them than it says, and ever more rarely what ends at once.

    ``leave`` closes in a child what only the supervisor needs.
    """

    def __init__(self, plan: Plan, who: Identity | None, log: Log, family: Family, leave: Callable[[], None]) -> None:
        self._plan = plan
        self._who = who
        self._log = log
        self._family = family
        self._leave = leave
        self._seldom = Seldom()
        self._auth = Role(AUTH, plan.auth, 1)
        self._backoffs: dict[str, Backoff] = {}

    def auth(self) -> tuple[Child, socket.socket] | None:
        """The auth process and our end of its channel; None when it cannot be now."""
        try:
            return self._spawn(self._auth, self._who, _forget_signals if self._plan.once else _nothing, 0)
        except OSError as error:
            self._failed(self._auth, error)
            self._backoff(self._auth.key).ended(0.0, monotonic())
            return None

    def auth_wait(self, now: float) -> float:
        """Seconds until the auth process may be started, 0 for "now"."""
        return self._backoff(self._auth.key).wait(now)

    def worker(self, key: str) -> tuple[Child, socket.socket] | float:
        """A worker of a role and our end of its channel; or the seconds until it may be asked for again."""
        role = self._plan.roles.get(key)
        if role is None:
            # of a configuration that was refused meanwhile, or replaced for the second time
            if self._seldom.now("no-such-role"):
                self._log.warning("no-such-role", process=AUTH)
            return TRY_AGAIN
        if wait := self._too_early(role):
            return wait
        try:
            return self._spawn(role, None if role.privileged else self._who, partial(self._plan.close, role), DONE)
        except OSError as error:
            self._failed(role, error)
            return TRY_AGAIN

    def _too_early(self, role: Role) -> float:
        wait = self._backoff(role.key).wait(monotonic())
        # what can hardly be ended leaves room for what is new, and is not without bound either
        most = sum(other.most for other in self._plan.roles.values() if other.name == role.name)
        full = self._family.count(role.key) >= role.most or self._family.total(role.name) >= 2 * most
        return max(wait, TRY_AGAIN) if full else wait

    def _spawn(
        self, role: Role, who: Identity | None, prepare: Callable[[], None], done: int
    ) -> tuple[Child, socket.socket]:
        """A child and our end of its channel; its exit status is ``done`` at its ordinary end. Raises ``OSError``."""
        ours, theirs = wire.pair()

        def leave() -> None:
            self._leave()
            ours.close()
            prepare()

        with theirs:
            try:
                child = fork(role.name, who, leave, lambda: role.main(theirs) or done, self._log)
            except OSError:
                ours.close()
                raise
        child.key, child.lingers = role.key, role.lingers
        self._family.add(child)
        return child, ours

    def _failed(self, role: Role, error: OSError) -> None:
        if self._seldom.now(role.name):
            self._log.error("cannot-start", process=role.name, detail=os.strerror(error.errno or 0))

    def ended(self, child: Child, code: int, quiet: bool = False) -> None:
        """A process has ended, and nobody had told it to. ``quiet``: everybody knows why."""
        if not quiet:
            how = f"signal {-code}" if code < 0 else f"status {code}"
            self._log.error("process-ended", process=child.role, pid=child.pid, detail=how)
        now = monotonic()
        self._backoff(child.key).ended(now - child.started, now)

    def forget(self) -> None:
        """Roles have gone."""
        kept = {self._auth.key, *self._plan.roles}
        self._backoffs = {key: backoff for key, backoff in self._backoffs.items() if key in kept}

    def _backoff(self, key: str) -> Backoff:
        return self._backoffs.setdefault(key, Backoff())


def _nothing() -> None:
    """It keeps all that it was given."""


def _forget_signals() -> None:
    """A command is ended by them."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
