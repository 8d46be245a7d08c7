"""Concurrent lookups become one question.

While a question is under way, further lookups gather; when it is answered, all that have gathered go out together. A
lone lookup goes out at once, so nobody waits for company, unless it has leisure: when password checks are waiting for
their turn, the lookup's own check would wait, too. A second question goes out beside the first only when there
are enough lookups for a whole one, or when the first takes long: small questions cost more than they gain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import outcome
import trio

from .hashing import no_backlog
from .model import Account, Login

MOST = 64
"""Lookups in one question."""

LEISURE = (0.1, 0.010)
"""The part of the password checks' backlog for which a lookup waits for company, and the most of it in seconds."""

WAITING = 1024
"""Lookups that may gather before a further one is refused."""

Ask: TypeAlias = Callable[[Sequence[Login]], Awaitable[Sequence[Account | Exception | None]]]


SWEEP = 0.1
"""Seconds between two looks for lookups that have waited too long: one timer for all of them costs less than one each."""


class TooManyWaiting(Exception):
    """So many lookups wait for this store that one more cannot be answered in time."""


class WaitedTooLong(Exception):
    """No answer within the time, to one who has waited since ``since`` (``trio.current_time``)."""

    def __init__(self, since: float) -> None:
        super().__init__()
        self.since = since


@dataclass(slots=True, eq=False)
class _Waiter:
    login: Login
    task: trio.lowlevel.Task
    since: float
    until: float
    abandoned: bool = False


class Coalescer:
    """``lookup`` for one login, ``ask`` for many. At most ``parallel`` questions are under way.

    A lookup that has waited since a time ends by ``latest`` of it at the latest (``trio.current_time``, asked again and
    again, since it may move), or raises ``WaitedTooLong``. ``backlog`` gives the seconds for which a password check must
    wait for its turn. ``ask`` must end by itself (it has a deadline). What it raises is raised, made anew by ``copy``, in
    each of the tasks.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        ask: Ask,
        copy: Callable[[Exception], Exception],
        nursery: trio.Nursery,
        latest: Callable[[float], float],
        parallel: int = 2,
        backlog: Callable[[], float] = no_backlog,
    ) -> None:
        self._ask = ask
        self._latest = latest
        self._backlog = backlog
        self._timed: list[_Waiter] = []
        self._copy = copy
        self._nursery = nursery
        self._parallel = parallel
        self._under_way = 0
        self._waiting: deque[_Waiter] = deque()

    async def lookup(self, login: Login, until: float = inf) -> Account | None:
        """The answer for one login, by ``until`` (``trio.current_time``) at the latest."""
        if len(self._waiting) >= WAITING:
            raise TooManyWaiting
        waiter = _Waiter(login, trio.lowlevel.current_task(), trio.current_time(), until)
        self._waiting.append(waiter)
        if not self._timed:
            self._nursery.start_soon(self._sweep)
        self._timed.append(waiter)
        if self._under_way == 0 or len(self._waiting) >= MOST:
            self._ask_more()

        def abort(_raise: object) -> trio.lowlevel.Abort:
            waiter.abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        answer: Account | None = await trio.lowlevel.wait_task_rescheduled(abort)
        return answer

    async def _sweep(self) -> None:
        """End the lookups whose time is over, until none is left."""
        while self._timed:
            await trio.sleep(SWEEP)
            if self._waiting:
                self._ask_more()  # past the question that takes so long
            now = trio.current_time()
            for waiter in self._timed:
                if min(waiter.until, self._latest(waiter.since)) <= now:
                    _wake(waiter, outcome.Error(WaitedTooLong(waiter.since)))
            self._timed = [waiter for waiter in self._timed if not waiter.abandoned]

    async def _run(self) -> None:
        """Ask until nobody waits."""
        try:
            while self._waiting:
                if (leisure := self._leisure()) > 0:
                    await trio.sleep(leisure)
                if group := self._next_group():
                    await self._ask_for(group)
        finally:
            self._under_way -= 1

    def _leisure(self) -> float:
        """Seconds to wait for company: a part of what the lookups' checks will wait; nothing where that is little."""
        part, most = LEISURE
        seconds = self._backlog()
        return min(seconds * part, most) if seconds >= most else 0.0

    def _ask_more(self) -> None:
        if self._under_way < self._parallel:
            self._under_way += 1
            self._nursery.start_soon(self._run)

    def _next_group(self) -> dict[str, list[_Waiter]]:
        group: dict[str, list[_Waiter]] = {}
        while self._waiting and len(group) < MOST:
            waiter = self._waiting.popleft()
            if not waiter.abandoned:
                group.setdefault(waiter.login.name, []).append(waiter)
        return group

    async def _ask_for(self, group: dict[str, list[_Waiter]]) -> None:
        try:
            answers = await self._ask([waiters[0].login for waiters in group.values()])
        except Exception as error:
            for waiters in group.values():
                for waiter in waiters:
                    _wake(waiter, outcome.Error(self._copy(error)))
        else:
            for waiters, answer in zip(group.values(), answers, strict=True):
                for waiter in waiters:
                    _wake(waiter, self._outcome(answer))

    def _outcome(self, answer: Account | Exception | None) -> outcome.Outcome[Account | None]:
        return outcome.Error(self._copy(answer)) if isinstance(answer, Exception) else outcome.Value(answer)


def _wake(waiter: _Waiter, result: outcome.Outcome[Account | None]) -> None:
    if not waiter.abandoned:
        waiter.abandoned = True
        trio.lowlevel.reschedule(waiter.task, result)
