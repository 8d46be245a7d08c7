"""The guard between the core and a backend: whatever a backend does, the core gets an answer or a ``BackendFailed``.

Threads for blocking methods, a deadline and the memory of whether the backend works (``asking``) are here, coalesced
lookups and a look at what was answered, so that no backend has to bring them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import trio

from . import senders
from .asking import LIMIT, Asking, BackendFailed, failing_alone
from .backend import BatchStore, Finder, Listing, Probe, Sampling, Senders, Store, TokenVerifier, Upgrading, Verifier
from .coalesce import Coalescer, TooManyWaiting, WaitedTooLong
from .hashing import no_backlog
from .health import Health
from .listing import Finish, Lister, as_it_is
from .model import NEVER_HERE, Account, Login, Reason, Refusal
from .names import odd_character
from .soundness import fault_in, fault_in_refusal
from .texts import describe

__all__ = ["BackendFailed", "Guarded"]

PARALLEL_LOOKUPS = 2
"""Questions under way to one batch store; more would make the batches smaller, not the answers faster."""


class Guarded:
    """One backend as the core sees it. Its methods raise ``BackendFailed`` and nothing else.

    ``timeout``: seconds without an answer; ``limit``: questions under way at a time, those that wait included;
    ``workers``: how many it takes at a time where it is in other processes; ``backlog``: the seconds that a password check
    must wait for its turn (``Hashes.backlog``).
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        name: str,
        backend: Any,
        timeout: float,
        health: Health,
        nursery: trio.Nursery,
        limit: int = LIMIT,
        workers: int | None = None,
        backlog: Callable[[], float] = no_backlog,
    ) -> None:
        self.name = name
        self.backend = backend
        self.health = health
        self.has_secrets = isinstance(backend, Store)
        self.has_verify = isinstance(backend, Verifier)
        self.can_change = isinstance(backend, Upgrading)
        self.has_tokens = isinstance(backend, TokenVerifier)
        if not (self.has_secrets or self.has_verify or self.has_tokens):
            raise TypeError(f"backend {name}: {type(backend).__name__} has no lookup(), verify() or verify_token()")
        self.can_find = self.has_secrets or isinstance(backend, Finder)
        self.can_list = isinstance(backend, Listing)
        self._lister = Lister(backend)
        self._asking = asking = Asking(name, timeout, health, limit, workers)
        self._coalescer = (
            Coalescer(self._ask_many, _again, nursery, asking.latest, PARALLEL_LOOKUPS, backlog)
            if isinstance(backend, BatchStore)
            else None
        )

    @classmethod
    @asynccontextmanager
    async def around(  # noqa: PLR0913, PLR0917
        cls,
        name: str,
        backend: Any,
        timeout: float,
        health: Health,
        limit: int = LIMIT,
        workers: int | None = None,
        backlog: Callable[[], float] = no_backlog,
    ) -> AsyncIterator[Guarded]:
        """The guard for an open backend; what is still under way at the end is cancelled."""
        async with trio.open_nursery() as nursery:
            yield cls(name, backend, timeout, health, nursery, limit, workers, backlog)
            nursery.cancel_scope.cancel()

    @property
    def under_way(self) -> int:
        """Questions that it has not answered yet."""
        return self._asking.under_way

    @property
    def circuit_open(self) -> bool:
        """Whether it is asked now and then only, since it does not answer."""
        return self._asking.breaker.open

    async def lookup(self, login: Login, until: float = inf) -> Account | None:
        """The account of a login, or None: definitely no such user. By ``until`` (``trio.current_time``) at the latest."""
        asking = self._asking
        asking.enter()
        try:
            if self._coalescer is None:
                return self._account(await asking.call(until, self.backend.lookup, login))
            return await self._coalescer.lookup(login, until)
        except TooManyWaiting:
            raise BackendFailed(Reason.OVERLOAD, "too many lookups are waiting") from None
        except WaitedTooLong as waited:
            failure = asking.no_turn(waited.since)
            asking.note(failure, login)
            raise failure from None
        except BackendFailed as failure:
            asking.note(failure, login)
            raise
        finally:
            asking.under_way -= 1

    async def verify(self, login: Login, password: str, until: float = inf) -> Account | Refusal:
        """The account, or a definite no. By ``until`` (``trio.current_time``) at the latest."""
        return _definite(await self._asking.asked(until, login, self.backend.verify, login, password, secret=password))

    async def verify_token(self, login: Login, token: str, until: float = inf) -> Account | Refusal:
        """The account of a token's user, or a definite no. ``login`` is whom the client wants to be, or nameless."""
        return _definite(await self._asking.asked(until, login, self.backend.verify_token, login, token, secret=token))

    async def find(self, login: Login, until: float = inf) -> Account | None:
        """The account of a login without a password, or None: definitely no such user. A store's comes with its secrets.

        Of a backend that cannot tell (``can_find``) nobody knows.
        """
        if self.has_secrets:
            return await self.lookup(login, until)
        if not self.can_find:
            raise BackendFailed(
                Reason.BACKEND_FAILED, "it can only check passwords, and not find a user", one_login=True
            )
        return self._account(await self._asking.asked(until, login, self.backend.find, login))

    async def accounts(self, until: float = inf, finish: Finish = as_it_is) -> Sequence[Account]:
        """All its accounts by their names, without their secrets; within 50 s. All of them, or ``BackendFailed``.

        One that is not sound fails the whole list: whoever is missing in it may lose his mailbox. A failure is that of the
        list alone, and says nothing about whether logins can be answered. ``finish`` is done with each account, such as to
        fill in a template, and not on the event loop.
        """
        if not self.can_list:
            raise BackendFailed(Reason.BACKEND_FAILED, "it cannot list its users")
        with failing_alone("its users were not listed in time"):
            return await self._lister.accounts(until, finish)

    async def may_send(self, account: Account, address: str, until: float = inf) -> bool:
        """Whether an account of this backend may send as an address: since it is its own, or the backend says so."""
        if odd_character(address):
            return False
        if senders.may_send(account, address):
            return True
        if not isinstance(self.backend, Senders):
            return False
        login = Login.of(account.login)
        for spelling in senders.spellings(address):
            answer = await self._asking.asked(until, login, self.backend.may_send, account, spelling)
            if not isinstance(answer, bool):
                raise _odd(f"{type(answer).__name__}, not yes or no")
            if answer:
                return True
        return False

    async def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        """Whether these stored secrets now have the place of the old ones.

        A failure is that of the write alone, and says nothing about whether logins can be answered.
        """
        asked = self.backend.replace_secrets
        return await self._asking.written(asked, login, old, new, secrets=(*old, *new)) is True

    async def sample(self, until: float = inf) -> str | None:
        """Any stored secret of the usual kind, None where the backend has or shows none."""
        if not isinstance(self.backend, Sampling):
            return None
        answer = await self._asking.call(until, self.backend.sample)
        return answer if isinstance(answer, str) else None

    async def probe(self) -> str:
        """A line about what was reached; a backend that cannot tell is asked for a user that nobody has."""
        if isinstance(self.backend, Probe):
            return str(await self._asking.call(inf, self.backend.probe))
        if self.has_secrets:
            await self.lookup(Login.of("saslpy-check@invalid"))
        return "answers" if self.has_secrets else "loaded"

    async def _ask_many(self, logins: Sequence[Login]) -> Sequence[Account | Exception | None]:
        answers = list(await self._asking.call(inf, self.backend.lookup_many, logins))
        if len(answers) != len(logins):
            raise _odd(f"{len(answers)} answers to {len(logins)} questions")
        return [self._one_of_many(answer) for answer in answers]

    def _one_of_many(self, answer: object) -> Account | Exception | None:
        """An answer; what is wrong with it is the failure of its own login."""
        if isinstance(answer, Exception):
            return BackendFailed(Reason.BACKEND_FAILED, describe(answer))
        try:
            return self._account(answer)
        except BackendFailed as failure:
            return failure

    def _account(self, answer: object) -> Account | None:
        if isinstance(answer, Account):
            return _sound(answer)
        if answer is None or answer == NEVER_HERE:
            return None
        raise _odd(f"{type(answer).__name__}, not Account or None")


def _definite(answer: object) -> Account | Refusal:
    """A sound account, or a definite no; else it is no answer."""
    if isinstance(answer, Account):
        return _sound(answer)
    if not isinstance(answer, Refusal):
        raise _odd(f"{type(answer).__name__}, not Account or Refusal")
    fault = fault_in_refusal(answer)
    if fault is not None:
        raise _odd(f"a refusal whose {fault}")
    return answer


def _sound(account: Account) -> Account:
    """An account whose fields are of their types; a string in the place of a tuple would be a no for everybody."""
    fault = fault_in(account)
    if fault is not None:
        raise _odd(f"an account whose {fault}")
    return account


def _odd(what: str) -> BackendFailed:
    return BackendFailed(Reason.BACKEND_FAILED, f"the backend answered {what}", one_login=True)


def _again(error: Exception) -> Exception:
    """The same failure for another task: a shared exception would gather the tracebacks of all of them."""
    if isinstance(error, BackendFailed):
        return BackendFailed(error.reason, error.detail, error.one_login)
    return BackendFailed(Reason.INTERNAL, describe(error))
