"""Connections that are kept: few, the one used last is used first, and none that is known to be dead.

Every question is a SELECT, or an UPDATE that compares first, so it may be asked again on a new connection where an old
one turns out to be dead. It is not asked again where the server was too slow: that would double the load of a server that
has too much already. A server that fails is left alone for some seconds as long as another one answers; where none does,
all are tried at once, so that logins work again as soon as any server does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeAlias, TypeVar

from .connect import CONNECT_SECONDS, Connection, Unreachable, close, is_lost, is_timeout
from .servers import Server

T = TypeVar("T")
P = TypeVar("P")

Connect: TypeAlias = Callable[[Server, float], Connection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Connections, and seconds.

    ``patience``: until there is a connection. ``max_age``: until one is made anew, so that a better server is found again,
    and new columns are. ``max_idle``: until an unused one is closed. ``ping_after``: of idling, until one is tried before
    it is used. ``retry_after``: for which a failed server is left alone while another one answers.
    """

    size: int = 4
    patience: float = 2.8
    max_age: float = 300.0
    max_idle: float = 60.0
    ping_after: float = 5.0
    retry_after: float = 2.0


class PoolBusy(Exception):
    """All connections were in use for all the time that there was to wait."""


@dataclass(slots=True, eq=False)
class Link(Generic[P]):
    """A connection, what was prepared on it, and the times (of ``monotonic``) when it was made and last used."""

    connection: Connection
    prepared: P
    server: Server
    made: float
    used: float


class Pool(Generic[P]):
    """Connections to the first of ``servers`` that works. May be used from several threads.

    ``connect`` makes a connection within some seconds. ``prepare`` is called once for each new connection, and what it
    returns is given to every question on it.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        connect: Connect,
        prepare: Callable[[Connection], P],
        limits: Limits,
    ) -> None:
        self._servers = tuple(servers)
        self._connect = connect
        self._prepare = prepare
        self._limits = limits
        self._slots = threading.Semaphore(limits.size)
        self._lock = threading.Lock()
        self._idle: list[Link[P]] = []
        self._down: dict[Server, float] = {}  # until when
        self._closed = False

    def run(self, question: Callable[[Connection, P], T]) -> T:
        """The answer to a question. It may be asked twice. Raises ``PoolBusy``, ``Unreachable``, the driver's errors."""
        return self.run_on(lambda link: question(link.connection, link.prepared))

    def run_on(self, question: Callable[[Link[P]], T]) -> T:
        """As ``run``, for a question that wants to know the server too."""
        deadline = monotonic() + self._limits.patience
        if not self._slots.acquire(timeout=self._limits.patience):
            raise PoolBusy(f"all {self._limits.size} connections to the database are busy")
        try:
            return self._run(question, deadline)
        finally:
            self._slots.release()

    @contextmanager
    def aside(self, connect: Connect) -> Iterator[Link[P]]:
        """A connection made by ``connect``, for what takes long: none of the pool's, and closed at the end of the block."""
        link = self._new(monotonic() + self._limits.patience, connect)
        try:
            yield link
        finally:
            close(link.connection)

    def close(self) -> None:
        """Close what is idle; what is in use is closed by the thread that uses it, as soon as that is done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        _close_all(idle)

    def _run(self, question: Callable[[Link[P]], T], deadline: float) -> T:
        link = self._kept(deadline)
        if link is not None:
            try:
                return self._ask(link, question)
            except Exception as error:
                if not is_lost(error):
                    raise
        return self._ask(self._new(deadline, self._connect), question)

    def _ask(self, link: Link[P], question: Callable[[Link[P]], T]) -> T:
        try:
            answer = question(link)
        except BaseException as error:
            # whatever it was: a half-read answer would become the next user's
            close(link.connection)
            self._failed(link.server, error)
            raise
        self._give_back(link)
        return answer

    def _failed(self, server: Server, error: BaseException) -> None:
        """Forget what is idle where a connection was lost, and go elsewhere first where the server hangs."""
        if is_lost(error) or is_timeout(error):
            self._drop_idle(server)
        if is_timeout(error):
            self._mark_down(server)

    # --- connections that were kept

    def _kept(self, deadline: float) -> Link[P] | None:
        """An idle connection that seems to work, None where there is none."""
        while monotonic() < deadline:
            with self._lock:
                link = self._idle.pop() if self._idle else None
            if link is None or self._works(link):
                return link
        return None

    def _works(self, link: Link[P]) -> bool:
        now = monotonic()
        if now - link.made > self._limits.max_age or now - link.used > self._limits.max_idle:
            close(link.connection)
            return False
        if now - link.used <= self._limits.ping_after:
            return True
        try:
            link.connection.ping()
        except Exception as error:
            close(link.connection)
            self._drop_idle(link.server)
            if is_timeout(error):
                self._mark_down(link.server)
            return False
        return True

    def _give_back(self, link: Link[P]) -> None:
        now = link.used = monotonic()
        with self._lock:
            if self._closed:
                old = [link]
            else:
                self._idle.append(link)
                # the one unused for the longest time is the first
                kept = next(
                    (number for number, idle in enumerate(self._idle) if now - idle.used <= self._limits.max_idle), 0
                )
                old, self._idle = self._idle[:kept], self._idle[kept:]
        _close_all(old)

    def _drop_idle(self, server: Server) -> None:
        with self._lock:
            dropped = [link for link in self._idle if link.server == server]
            self._idle = [link for link in self._idle if link.server != server]
        _close_all(dropped)

    # --- new connections

    def _new(self, deadline: float, connect: Connect) -> Link[P]:
        """A connection to the first server that gives one."""
        failures: list[tuple[Server, Exception]] = []
        for number, server in enumerate(order := self._order()):
            seconds = min(CONNECT_SECONDS, (deadline - monotonic()) / (len(order) - number))
            if seconds <= 0:
                break
            try:
                link = self._opened(server, seconds, connect)
            except Exception as error:
                self._mark_down(server)
                failures.append((server, error))
            else:
                with self._lock:
                    self._down.pop(server, None)
                return link
        raise _summary(failures)

    def _opened(self, server: Server, seconds: float, connect: Connect) -> Link[P]:
        connection = connect(server, seconds)
        try:
            prepared = self._prepare(connection)
        except BaseException:
            close(connection)
            raise
        now = monotonic()
        return Link(connection, prepared, server, now, now)

    def _order(self) -> list[Server]:
        """All servers: those that are not known to be down, then the others."""
        now = monotonic()
        with self._lock:
            resting = [server for server in self._servers if self._down.get(server, now) > now]
            due = [server for server in self._servers if server not in resting]
            for server in due:
                if server in self._down:
                    # one thread finds out whether it is back; the others need not wait for that
                    self._down[server] = now + self._limits.retry_after
        return due + resting

    def _mark_down(self, server: Server) -> None:
        with self._lock:
            self._down[server] = monotonic() + self._limits.retry_after


def _summary(failures: list[tuple[Server, Exception]]) -> Exception:
    """One failure as it is, several in one line."""
    if not failures:
        return Unreachable("no time was left to connect")
    if len(failures) == 1:
        return failures[0][1]
    return Unreachable("; ".join(_told(server, error) for server, error in failures))


def _told(server: Server, error: Exception) -> str:
    text = str(error)
    return text if text.startswith(f"{server}: ") else f"{server}: {text}"


def _close_all(links: list[Link[P]]) -> None:
    for link in links:
        close(link.connection)
