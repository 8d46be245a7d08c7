"""The guard between the core and a backend: whatever a backend does, the core gets an answer or a ``BackendFailed``.

Threads for blocking methods, a deadline, coalesced lookups and the memory of whether the backend works are here, so
that no backend has to bring them.

``timeout`` is how long a backend may be silent, not how long a login may wait for its turn: as long as others are
answered, a login waits until its own deadline.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from math import inf
from typing import Any, TypeVar

import trio

from . import senders
from .backend import (
    BadRecord,
    BatchStore,
    Finder,
    Listing,
    Probe,
    Sampling,
    Senders,
    Store,
    TokenVerifier,
    Upgrading,
    Verifier,
)
from .breaker import Breaker
from .coalesce import Coalescer, TooManyWaiting, WaitedTooLong
from .hashing import no_backlog
from .health import Health
from .listing import Finish, Lister, Unlisted, as_it_is
from .model import NEVER_HERE, Account, Login, Reason, Refusal
from .names import odd_character
from .soundness import fault_in, fault_in_refusal
from .texts import describe
from .turns import NoTurn, Turns

T = TypeVar("T")

PARALLEL_LOOKUPS = 2
"""Questions under way to one batch store; more would make the batches smaller, not the answers faster."""

LIMIT = 512
"""Questions to one backend at a time: half of what the door takes, so that one that hangs leaves room for the others."""

THREADS = 8
"""Threads at most in one backend's blocking methods, those abandoned at the deadline included."""


class BackendFailed(Exception):
    """The backend could not say. ``detail`` is for the log; it never holds a secret of ours.

    ``one_login``: it is this login's trouble (others are answered, its record is bad), and not the backend's.
    """

    def __init__(self, reason: Reason, detail: str, one_login: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.one_login = one_login


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
        self.timeout = timeout
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
        self._limit = limit
        self._under_way = 0
        self._breaker = Breaker(trio.current_time)
        self._limiter = trio.CapacityLimiter(THREADS)
        self._turns = Turns(workers or THREADS)
        self._in_processes = workers is not None
        self._writing = trio.CapacityLimiter(1)
        self._coalescer = (
            Coalescer(self._ask_many, _again, nursery, self._latest, PARALLEL_LOOKUPS, backlog)
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
        return self._under_way

    @property
    def circuit_open(self) -> bool:
        """Whether it is asked now and then only, since it does not answer."""
        return self._breaker.open

    async def lookup(self, login: Login, until: float = inf) -> Account | None:
        """The account of a login, or None: definitely no such user. By ``until`` (``trio.current_time``) at the latest."""
        self._enter()
        try:
            if self._coalescer is None:
                return self._account(await self._call(until, self.backend.lookup, login))
            return await self._coalescer.lookup(login, until)
        except TooManyWaiting:
            raise BackendFailed(Reason.OVERLOAD, "too many lookups are waiting") from None
        except WaitedTooLong as waited:
            failure = self._no_turn(waited.since)
            self._note(failure, login)
            raise failure from None
        except BackendFailed as failure:
            self._note(failure, login)
            raise
        finally:
            self._under_way -= 1

    async def verify(self, login: Login, password: str, until: float = inf) -> Account | Refusal:
        """The account, or a definite no. By ``until`` (``trio.current_time``) at the latest."""
        return _definite(await self._asked(until, login, self.backend.verify, login, password, secret=password))

    async def verify_token(self, login: Login, token: str, until: float = inf) -> Account | Refusal:
        """The account of a token's user, or a definite no. ``login`` is whom the client wants to be, or nameless."""
        return _definite(await self._asked(until, login, self.backend.verify_token, login, token, secret=token))

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
        return self._account(await self._asked(until, login, self.backend.find, login))

    async def accounts(self, until: float = inf, finish: Finish = as_it_is) -> Sequence[Account]:
        """All its accounts by their names, without their secrets; within 50 s. All of them, or ``BackendFailed``.

        One that is not sound fails the whole list: whoever is missing in it may lose his mailbox. A failure is that of the
        list alone, and says nothing about whether logins can be answered. ``finish`` is done with each account, such as to
        fill in a template, and not on the event loop.
        """
        if not self.can_list:
            raise BackendFailed(Reason.BACKEND_FAILED, "it cannot list its users")
        with _failing_alone("its users were not listed in time"):
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
            answer = await self._asked(until, login, self.backend.may_send, account, spelling)
            if not isinstance(answer, bool):
                raise _odd(f"{type(answer).__name__}, not yes or no")
            if answer:
                return True
        return False

    async def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        """Whether these stored secrets now have the place of the old ones.

        A failure is that of the write alone, and says nothing about whether logins can be answered.
        """
        with _failing_alone(self._too_slow(), (*old, *new)), trio.fail_after(self.timeout):
            return await self._invoke(self.backend.replace_secrets, login, old, new, limiter=self._writing) is True

    async def _asked(self, until: float, login: Login, method: Callable[..., Any], *args: Any, secret: str = "") -> Any:
        """What the backend says to a question about a login, if it can be asked. Raises ``BackendFailed``."""
        self._enter()
        try:
            return await self._call(until, method, *args, secret=secret)
        except BackendFailed as failure:
            self._note(failure, login)
            raise
        finally:
            self._under_way -= 1

    def _enter(self) -> None:
        """One more question, if the backend can be asked. Raises ``BackendFailed``."""
        if self._under_way >= self._limit:
            raise BackendFailed(Reason.OVERLOAD, f"{self._limit} questions to this backend are under way")
        if not self._breaker.lets_through():
            raise BackendFailed(Reason.TIMEOUT, f"it has not answered for a while ({self._too_slow()})")
        self._under_way += 1

    def _note(self, failure: BackendFailed, login: Login) -> None:
        if failure.reason is Reason.TIMEOUT and not failure.one_login:
            self._breaker.silent(login.name)

    async def sample(self, until: float = inf) -> str | None:
        """Any stored secret of the usual kind, None where the backend has or shows none."""
        if not isinstance(self.backend, Sampling):
            return None
        answer = await self._call(until, self.backend.sample)
        return answer if isinstance(answer, str) else None

    async def probe(self) -> str:
        """A line about what was reached; a backend that cannot tell is asked for a user that nobody has."""
        if isinstance(self.backend, Probe):
            return str(await self._call(inf, self.backend.probe))
        if self.has_secrets:
            await self.lookup(Login.of("saslpy-check@invalid"))
        return "answers" if self.has_secrets else "loaded"

    def _latest(self, since: float) -> float:
        """When one who waits since ``since`` has waited in vain. It moves on with every answer to anybody."""
        return self._breaker.silent_since(since) + self.timeout

    async def _ask_many(self, logins: Sequence[Login]) -> Sequence[Account | Exception | None]:
        answers = list(await self._call(inf, self.backend.lookup_many, logins))
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

    async def _call(self, until: float, method: Callable[..., Any], *args: Any, secret: str = "") -> Any:
        """Call the backend, within its time, and remember how it went. ``secret`` is what no failure may show."""
        since = trio.current_time()
        try:
            answer = await self._in_turn(lambda: min(until, self._latest(since)), method, *args)
        except trio.TooSlowError:
            failure = BackendFailed(Reason.TIMEOUT, self._too_slow(), one_login=not self._silent(since))
        except NoTurn:
            failure = self._no_turn(since)
        except trio.Cancelled:
            raise
        except BadRecord as bad:
            failure = BackendFailed(Reason.BACKEND_FAILED, describe(bad, (secret,)), one_login=True)
            self._heard(bad)
        except BackendFailed as told:  # by a worker process, in its own words
            failure = told
            if told.one_login:  # a bad record
                self._heard(told)
            else:
                self._breaker.answered()
        except BaseException as error:  # a plug-in may raise anything, SystemExit and KeyboardInterrupt too
            if isinstance(error, BaseExceptionGroup) and error.subgroup(trio.Cancelled):
                raise
            failure = BackendFailed(Reason.BACKEND_FAILED, describe(error, (secret,)))
            self._breaker.answered()
        else:
            self._heard(answer)
            return answer
        if not failure.one_login:
            self.health.failed(self.name, failure.detail)
        raise failure

    async def _in_turn(self, until: Callable[[], float], method: Callable[..., Any], *args: Any) -> Any:
        """Call the backend when it takes one more question. Raises ``trio.TooSlowError`` and ``NoTurn``."""
        if inspect.iscoroutinefunction(method) and not self._in_processes:
            with trio.fail_at(until()):
                return await method(*args)
        async with self._turns.turn(until):
            with trio.fail_at(until()):
                return await self._invoke(method, *args)

    def _heard(self, answer: object) -> None:
        """Remember that the store has answered, if it was asked."""
        if all(map(_without_asking, answer if isinstance(answer, list | tuple) and answer else (answer,))):
            self._breaker.not_asked()
            return
        self._breaker.answered()
        self.health.works(self.name)

    async def _invoke(self, method: Callable[..., Any], *args: Any, limiter: trio.CapacityLimiter | None = None) -> Any:
        if inspect.iscoroutinefunction(method):
            return await method(*args)
        answer = await trio.to_thread.run_sync(method, *args, abandon_on_cancel=True, limiter=limiter or self._limiter)
        return await answer if isinstance(answer, Awaitable) else answer

    def _silent(self, since: float) -> bool:
        """Whether nothing was heard for the whole timeout by one who listens since ``since``."""
        return trio.current_time() >= self._latest(since)

    def _no_turn(self, since: float) -> BackendFailed:
        """The failure of one that was not asked about: it says nothing to anybody, or others took all of the time."""
        if self._silent(since):
            return BackendFailed(Reason.TIMEOUT, self._too_slow())
        return BackendFailed(Reason.OVERLOAD, "too many questions wait for it", one_login=True)

    def _too_slow(self) -> str:
        return f"no answer in {self.timeout:g} s"


@contextmanager
def _failing_alone(late: str, secrets: Sequence[str] = ()) -> Iterator[None]:
    """What is raised in the block as a ``BackendFailed`` that nobody remembers. ``late``: the words for too slow."""
    try:
        yield
    except trio.TooSlowError:
        raise BackendFailed(Reason.TIMEOUT, late) from None
    except (trio.Cancelled, BackendFailed):
        raise
    except Unlisted as odd:
        raise BackendFailed(Reason.BACKEND_FAILED, str(odd)) from None
    except BaseException as error:  # a plug-in may raise anything
        if isinstance(error, BaseExceptionGroup) and error.subgroup(trio.Cancelled):
            raise
        raise BackendFailed(Reason.BACKEND_FAILED, describe(error, secrets)) from None


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


def _without_asking(answer: object) -> bool:
    return isinstance(answer, Refusal) and not answer.asked


def _again(error: Exception) -> Exception:
    """The same failure for another task: a shared exception would gather the tracebacks of all of them."""
    if isinstance(error, BackendFailed):
        return BackendFailed(error.reason, error.detail, error.one_login)
    return BackendFailed(Reason.INTERNAL, describe(error))
