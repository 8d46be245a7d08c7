"""How one backend is asked: as many questions at a time as it takes, each within its time, in threads where it blocks.

``timeout`` is how long a backend may be silent, not how long a login may wait for its turn: as long as others are
answered, a login waits until its own deadline. What is heard of it is remembered: whether it works, and whether it
answers at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import trio

from .backend import BadRecord
from .breaker import Breaker
from .health import Health
from .listing import Unlisted
from .model import Defer, Login, Reason, Refusal
from .texts import describe
from .turns import NoTurn, Turns

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

    def verdict(self, backend: str) -> Defer:
        """What a login hears of it."""
        return Defer(self.reason, backend, self.detail)


class Asking:
    """Asks one backend. ``under_way`` are the questions that it has not answered yet, ``limit`` at most.

    ``workers``: how many questions it takes at a time where it is in other processes.
    """

    def __init__(self, name: str, timeout: float, health: Health, limit: int, workers: int | None) -> None:
        self.name = name
        self.timeout = timeout
        self.health = health
        self.under_way = 0
        self.breaker = Breaker(trio.current_time)
        self._limit = limit
        self._limiter = trio.CapacityLimiter(THREADS)
        self._turns = Turns(workers or THREADS)
        self._in_processes = workers is not None
        self._writing = trio.CapacityLimiter(1)

    async def asked(self, until: float, login: Login, method: Callable[..., Any], *args: Any, secret: str = "") -> Any:
        """What the backend says to a question about a login, if it can be asked. Raises ``BackendFailed``."""
        self.enter()
        try:
            return await self.call(until, method, *args, secret=secret)
        except BackendFailed as failure:
            self.note(failure, login)
            raise
        finally:
            self.under_way -= 1

    def enter(self) -> None:
        """One more question, if the backend can be asked. Raises ``BackendFailed``."""
        if self.under_way >= self._limit:
            raise BackendFailed(Reason.OVERLOAD, f"{self._limit} questions to this backend are under way")
        if not self.breaker.lets_through():
            raise BackendFailed(Reason.TIMEOUT, f"it has not answered for a while ({self._too_slow()})")
        self.under_way += 1

    def note(self, failure: BackendFailed, login: Login) -> None:
        """Remember a question about a login that failed."""
        if failure.reason is Reason.TIMEOUT and not failure.one_login:
            self.breaker.silent(login.name)

    def latest(self, since: float) -> float:
        """When one who waits since ``since`` has waited in vain. It moves on with every answer to anybody."""
        return self.breaker.silent_since(since) + self.timeout

    def no_turn(self, since: float) -> BackendFailed:
        """The failure of one that was not asked about: it says nothing to anybody, or others took all of the time."""
        if self._silent(since):
            return BackendFailed(Reason.TIMEOUT, self._too_slow())
        return BackendFailed(Reason.OVERLOAD, "too many questions wait for it", one_login=True)

    async def call(self, until: float, method: Callable[..., Any], *args: Any, secret: str = "") -> Any:
        """Call the backend, within its time, and remember how it went. ``secret`` is what no failure may show."""
        since = trio.current_time()
        try:
            answer = await self._in_turn(lambda: min(until, self.latest(since)), method, *args)
        except trio.TooSlowError:
            failure = BackendFailed(Reason.TIMEOUT, self._too_slow(), one_login=not self._silent(since))
        except NoTurn:
            failure = self.no_turn(since)
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
                self.breaker.answered()
        except BaseException as error:  # a plug-in may raise anything, SystemExit and KeyboardInterrupt too
            if isinstance(error, BaseExceptionGroup) and error.subgroup(trio.Cancelled):
                raise
            failure = BackendFailed(Reason.BACKEND_FAILED, describe(error, (secret,)))
            self.breaker.answered()
        else:
            self._heard(answer)
            return answer
        if not failure.one_login:
            self.health.failed(self.name, failure.detail)
        raise failure

    async def written(self, method: Callable[..., Any], *args: Any, secrets: Sequence[str]) -> Any:
        """What a write has come to, one at a time. A failure is that of the write alone."""
        with failing_alone(self._too_slow(), secrets), trio.fail_after(self.timeout):
            return await self._invoke(method, *args, limiter=self._writing)

    async def _in_turn(self, until: Callable[[], float], method: Callable[..., Any], *args: Any) -> Any:
        """Call the backend when it takes one more question. Raises ``trio.TooSlowError`` and ``NoTurn``."""
        if inspect.iscoroutinefunction(method) and not self._in_processes:
            with trio.fail_at(until()):
                return await method(*args)
        async with self._turns.turn(until):
            with trio.fail_at(until()):
                return await self._invoke(method, *args)

    async def _invoke(self, method: Callable[..., Any], *args: Any, limiter: trio.CapacityLimiter | None = None) -> Any:
        if inspect.iscoroutinefunction(method):
            return await method(*args)
        answer = await trio.to_thread.run_sync(method, *args, abandon_on_cancel=True, limiter=limiter or self._limiter)
        return await answer if isinstance(answer, Awaitable) else answer

    def _heard(self, answer: object) -> None:
        """Remember that the store has answered, if it was asked."""
        if all(map(_without_asking, answer if isinstance(answer, list | tuple) and answer else (answer,))):
            self.breaker.not_asked()
            return
        self.breaker.answered()
        self.health.works(self.name)

    def _silent(self, since: float) -> bool:
        """Whether nothing was heard for the whole timeout by one who listens since ``since``."""
        return trio.current_time() >= self.latest(since)

    def _too_slow(self) -> str:
        return f"no answer in {self.timeout:g} s"


@contextmanager
def failing_alone(late: str, secrets: Sequence[str] = ()) -> Iterator[None]:
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


def _without_asking(answer: object) -> bool:
    return isinstance(answer, Refusal) and not answer.asked
