"""Starting processes by fork, and the short life of a child between the fork and its work.

The supervisor has one thread and no event loop, so that a fork is safe and quick: everything is loaded already, and
most memory is shared.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from ..observe.log import Log
from ..plugins import PluginError
from ..privileges import Identity, PrivilegeError, drop, no_core_dumps
from ..texts import first_of
from .ending import kill_tree

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
"""Seconds until a process that has ended is started again: doubled each time, up to the longest."""

STEADY = 10.0
"""Seconds of life after which the end of a process is no sign that the next will end too."""


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next start of a kind of process."""

    delay: float = 0.0
    not_before: float = 0.0

    def ended(self, lived: float, now: float) -> None:
        """One has ended by itself after ``lived`` seconds."""
        self.delay = FIRST_DELAY if lived > STEADY else min(max(2 * self.delay, FIRST_DELAY), LONGEST_DELAY)
        self.not_before = now + self.delay

    def wait(self, now: float) -> float:
        """Seconds to wait still."""
        return max(0.0, self.not_before - now)


@dataclass(slots=True)
class Child:
    """A process of ours. ``key`` is its role's (``Role.key``); it is killed at ``kill_at`` (``monotonic``).

    ``lingers`` as in ``Role``.
    """

    role: str
    pid: int
    key: str = ""
    started: float = field(default_factory=monotonic)
    wanted_dead: bool = False
    kill_at: float = inf
    lingers: bool = False

    @property
    def ends(self) -> bool:
        """Whether it was killed, or has been given the time to end by itself first."""
        return self.wanted_dead or self.kill_at < inf

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone already does not mind."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all that it has started: a PAM module's program has a session of its own, and would live on."""
        self.wanted_dead = True
        kill_tree(self.pid)


def fork(role: str, who: Identity | None, prepare: Callable[[], None], main: Callable[[], int], log: Log) -> Child:
    """A child that runs ``main`` as ``who`` (None: as we are) and ends with its status.

    ``prepare`` closes what it must not hold, and may change what is done about signals: they are ignored.

    Raises ``OSError`` when there may be no more processes.
    """
    gc.freeze()  # what is there now is not looked at by the child's collector, so its pages stay shared
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return Child(role, pid)
    code = 1
    try:
        _reset_signals()
        log.sink.forget()
        prepare()
        if who is not None:
            drop(who)
        no_core_dumps()
        _end_with_parent(parent, comm(role))
        adopt_orphans()
        code = main()
    except BaseException as error:  # nothing of the parent's stack may run in the child
        with suppress(BaseException):
            told = first_of(error)
            if isinstance(told, PrivilegeError | PluginError):
                log.error("cannot-start", process=role, detail=str(told))
            else:
                log.fault(error, process=role)
    finally:
        with suppress(BaseException):
            log.sink.flush()
        os._exit(code)


def comm(role: str) -> str:
    """What ``ps`` shows of a process: 15 bytes."""
    return f"saslpy {role.removeprefix('backend.')}"[:15]


def adopt_orphans() -> None:
    """What our descendants leave behind becomes our child, so that it can be found."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # a terminal's Ctrl-C, and a service manager's SIGTERM, reach every process; each ends when its channel does
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)


def _end_with_parent(parent: int, name: str) -> None:
    """Die with the supervisor, and show in ``ps`` what we are. After the change of user, which undoes the former."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
