"""What it takes to have a password hash computed: the task, who can do it, and what can go wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Protocol

import trio

from .model import Reason
from .passwords.strength import memory_kib
from .passwords.tasks import TASKS


class Overloaded(Exception):
    """The queue is full: the answer is "could not find out", at once."""


class HashingFailed(Exception):
    """The hash could not be computed: no memory, or its process ended. The answer is "could not find out"."""


class TooLate(HashingFailed):
    """The hash was not computed in time."""


@dataclass(slots=True, eq=False)
class Task:
    """One of ``passwords.tasks.TASKS`` with its arguments.

    ``kind`` is the same for tasks that take the same time; ``memory_kib`` what one needs; ``size`` about how many bytes
    the arguments have. Nobody changes one; it is not frozen, since to make a frozen one takes four times as long.
    """

    name: str
    args: Sequence[Any] = field(repr=False)
    kind: str = ""
    memory_kib: int = 0
    size: int = 0


def making(scheme: str, password: bytes, login: str) -> Task:
    """A new stored secret of a password."""
    return Task(
        "make",
        (scheme, password, login.encode("utf-8", "surrogatepass"), {}),
        kind=f"make {scheme}",
        memory_kib=memory_kib(scheme),
        size=len(password) + len(login),
    )


def reason_of(failure: Overloaded | HashingFailed) -> Reason:
    """Why it could not be found out, when a hash could not be had."""
    if isinstance(failure, Overloaded):
        return Reason.OVERLOAD
    return Reason.TIMEOUT if isinstance(failure, TooLate) else Reason.HASHING_FAILED


class Hashes(Protocol):
    """What computes hashes for the rest of the core: ``hashpool.HashPool`` in the daemon."""

    async def run(self, task: Task, until: float = inf, /) -> Any:
        """The result, by ``until`` (``trio.current_time``). Raises ``Overloaded`` or ``HashingFailed``."""

    def quiet(self) -> bool:
        """Whether nobody waits for a result who would wait longer for another task now."""

    def backlog(self) -> float:
        """For how many seconds a task that comes now would have to wait for its turn, as far as is known."""


class HashThreads:
    """Hashes in threads of this process: for a command that checks one login and ends."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(cores())

    async def run(self, task: Task, until: float = inf) -> Any:
        """The result."""
        work = partial(TASKS[task.name], *task.args)
        try:
            with trio.fail_at(until):
                return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        except MemoryError as error:
            raise HashingFailed("no memory") from error
        except trio.TooSlowError:
            raise TooLate("the hash was not computed in time") from None

    def quiet(self) -> bool:
        """Whether a thread is free."""
        return self._limiter.available_tokens > 0

    def backlog(self) -> float:
        """Nobody has measured it."""
        return 0.0


def no_backlog() -> float:
    """Where nothing waits for a hash: 0 seconds."""
    return 0.0


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine_memory() -> int:
    """The machine's memory in MiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def default_memory() -> int:
    """A quarter of the machine's memory in MiB, at least 300: one hash of Dovecot's default kind always fits."""
    return max(300, machine_memory() // 4)
