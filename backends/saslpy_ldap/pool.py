"""Connections that are kept: few for each server, the one used last is used first, none that is known to be dead.

A question goes to the first server that is not known to be down; where one fails, the next is asked within the same time.
A kept connection that turns out to be closed costs nothing but a new one. A server that was too slow, or could not be
reached, is left alone for some seconds as long as others answer; where none does, all are tried each time, so that logins
work again as soon as any server does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from .answers import BUSY, UNAVAILABLE, Failed, Fault, Lost, Session, Unreachable
from .places import Server

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``size`` connections at most to each server. The others are seconds.

    ``connect``: until there is a connection, with TLS and our own bind. ``answer``: until an answer. ``max_age``: until a
    connection is made anew, so that a better server is found again. ``max_idle``: until an unused one is closed.
    ``rest``, doubled with every failure in a row up to ``most_rest``: for which a failed server is left alone.
    """

    size: int = 8
    connect: float = 1.0
    answer: float = 2.0
    max_age: float = 300.0
    max_idle: float = 60.0
    rest: float = 2.0
    most_rest: float = 16.0


class NoAnswer(Fault):
    """No server could say; the message names each, and why. ``answered``: one has said so itself, with a result code."""

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class PoolBusy(Fault):
    """All connections were in use for all the time that there was."""


class Servers:
    """The servers in their order, and which of them are down. May be used from several threads."""

    def __init__(self, servers: Sequence[Server], limits: Limits) -> None:
        self._servers = tuple(servers)
        self._limits = limits
        self._lock = threading.Lock()
        self._down: dict[Server, tuple[float, float]] = {}  # until when, and how long that was

    @property
    def all(self) -> tuple[Server, ...]:
        """As they stand in the configuration."""
        return self._servers

    def in_turn(self) -> list[Server]:
        """All of them: those that are not known to be down, then the others."""
        now = monotonic()
        with self._lock:
            resting = [server for server in self._servers if self._down.get(server, (now, 0))[0] > now]
            due = [server for server in self._servers if server not in resting]
            for server in due:
                if server in self._down:
                    # one thread finds out whether it is back; the others need not wait for that
                    rest = self._down[server][1]
                    self._down[server] = (now + rest, rest)
        return due + resting

    def failed(self, server: Server) -> None:
        """Leave it alone for a while."""
        now = monotonic()
        with self._lock:
            before = self._down.get(server)
            rest = self._limits.rest if before is None else min(before[1] * 2, self._limits.most_rest)
            self._down[server] = (now + rest, rest)

    def works(self, server: Server) -> None:
        """It has answered."""
        if server in self._down:
            with self._lock:
                self._down.pop(server, None)


@dataclass(slots=True, eq=False)
class _Kept:
    """An idle connection, and the times (of ``monotonic``) when it was made and last used."""

    session: Session
    made: float
    used: float


class Pool:
    """Connections for one purpose. May be used from several threads.

    ``connect`` makes a connection to a server until a time. A question is given a connection and the time until which it
    must be answered; what it raises is a failure of the server, so it must return whatever is an answer.
    """

    def __init__(self, servers: Servers, connect: Callable[[Server, float], Session], limits: Limits) -> None:
        self._servers = servers
        self._connect = connect
        self._limits = limits
        self._slots = threading.Semaphore(limits.size)
        self._lock = threading.Lock()
        self._idle: dict[Server, list[_Kept]] = {server: [] for server in servers.all}
        self._closed = False

    def run(self, ask: Callable[[Session, float], T], until: float) -> T:
        """The answer of the first server that gives one. Raises ``NoAnswer``, ``PoolBusy``."""
        return self._with_slot(self._servers.in_turn(), ask, until)

    def run_at(self, server: Server, ask: Callable[[Session, float], T], until: float) -> T:
        """The answer of one server. Raises as ``run``."""
        return self._with_slot([server], ask, until)

    def close(self) -> None:
        """Close what is idle; what is in use is closed by the thread that uses it, as soon as that is done."""
        with self._lock:
            self._closed = True
        for server in self._idle:
            self._drop_idle(server)

    def _with_slot(self, order: list[Server], ask: Callable[[Session, float], T], until: float) -> T:
        if not self._slots.acquire(timeout=max(0.0, until - monotonic())):
            raise PoolBusy(f"all {self._limits.size} connections to the directory are busy")
        try:
            return self._first(order, ask, until)
        finally:
            self._slots.release()

    def _first(self, order: list[Server], ask: Callable[[Session, float], T], until: float) -> T:
        failures: list[tuple[Server, Exception]] = []
        for number, server in enumerate(order):
            now = monotonic()
            if now >= until:
                break
            try:
                # each has its share, so that a server that hangs leaves something for the next
                answer = self._at(server, ask, now + (until - now) / (len(order) - number))
            except Exception as error:
                self._note(server, error)
                failures.append((server, error))
            else:
                self._servers.works(server)
                return answer
        told = "; ".join(f"{server}: {_told(error)}" for server, error in failures)
        raise NoAnswer(told or "no time was left", answered=any(isinstance(error, Failed) for _, error in failures))

    def _note(self, server: Server, error: Exception) -> None:
        """Go elsewhere first where the server hangs, is gone, or asks for it."""
        if isinstance(error, Failed) and error.code not in (BUSY, UNAVAILABLE):
            return
        self._drop_idle(server)
        self._servers.failed(server)

    # --- one server

    def _at(self, server: Server, ask: Callable[[Session, float], T], until: float) -> T:
        kept = self._kept(server)
        if kept is not None:
            try:
                return self._use(server, kept, ask, until)
            except Lost:
                # those beside it are as old, and closed like it
                self._drop_idle(server)
        began = monotonic()
        try:
            session = self._connect(server, min(until, began + self._limits.connect))
        except Failed as error:
            # our own bind: the service account is refused here, perhaps not elsewhere
            raise Unreachable(str(error)) from None
        return self._use(server, _Kept(session, began, began), ask, until)

    def _use(self, server: Server, kept: _Kept, ask: Callable[[Session, float], T], until: float) -> T:
        try:
            answer = ask(kept.session, min(until, monotonic() + self._limits.answer))
        except BaseException:
            # whatever it was: a half-read answer would become the next user's
            kept.session.close()
            raise
        self._give_back(server, kept)
        return answer

    def _kept(self, server: Server) -> _Kept | None:
        """An idle connection that seems to stand, None where there is none."""
        while True:
            with self._lock:
                idle = self._idle[server]
                kept = idle.pop() if idle else None
            if kept is None or (self._fresh(kept) and kept.session.quiet()):
                return kept
            kept.session.close()

    def _fresh(self, kept: _Kept) -> bool:
        now = monotonic()
        return now - kept.made <= self._limits.max_age and now - kept.used <= self._limits.max_idle

    def _give_back(self, server: Server, kept: _Kept) -> None:
        kept.used = monotonic()
        with self._lock:
            idle = self._idle[server]
            if self._closed:
                old = [kept]
            else:
                idle.append(kept)
                old = [one for one in idle if not self._fresh(one)]
                self._idle[server] = [one for one in idle if one not in old]
        for one in old:
            one.session.close()

    def _drop_idle(self, server: Server) -> None:
        with self._lock:
            dropped, self._idle[server] = self._idle[server], []
        for one in dropped:
            one.session.close()


def _told(error: Exception) -> str:
    # what is not ours may show what it could not put into a message
    return str(error) if isinstance(error, Fault) else type(error).__name__
