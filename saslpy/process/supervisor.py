"""The first process: it starts all others, starts again what ends, and reads no byte from outside.

The auth process asks it over one channel, and can ask: ``["start", number, role]`` for a worker, answered by
``["started", number, pid]`` with the worker's channel, or by ``["wait", number, seconds]``; ``["processes", number]`` for
a list of ``[role, pid, age]``; ``["reload", number]``, answered by a list of faults. It can tell ``["ready"]``, and
``["end", pid, why]`` to have a worker killed. What a role runs, as whom and how many of it is said by the configuration
alone. A new configuration goes to the auth process as ``["adopt"]`` with a file, and is answered by ``["adopted"]`` or
``["refused", why]``.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import msgspec

from ..config import ConfigError
from ..observe.log import Log
from ..privileges import Identity
from ..systemd import notify
from . import wire
from .children import Backoff, Child, fork
from .plan import Plan

HANDLED = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

GRACE = 3.0
"""Seconds beyond ``drain_seconds`` until the auth process is killed."""

TRY_AGAIN = 0.5
"""Seconds until a worker may be asked for again when there are enough of its role."""

AUTH = "auth"


class Supervisor:
    """Runs the daemon's processes until it is told to stop."""

    def __init__(self, plan: Plan, who: Identity | None, log: Log) -> None:
        self._plan = plan
        self._who = who
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._auth: Child | None = None
        self._channel: socket.socket | None = None
        self._ready = False
        self._started = monotonic()
        self._reloading: int | None = None  # the question that asked for it, 0 for a signal
        self._again = False
        self._own: list[socket.socket] = []  # what the selector does not know
        self._stop_at: float | None = None  # when what still runs is killed
        self._status: int | None = None

    def run(self) -> int:
        """0 when told to stop, 1 when the auth process could not even start; a command's own status."""
        with self._signals(), self._selector:
            self._start_auth()
            try:
                while self._status is None:
                    self._wait()
            finally:
                self._end_all()
        return self._status

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals wake the loop through a socket; their numbers are read from it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            before = {number: signal.signal(number, lambda *_: None) for number in HANDLED}
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            self._own = [theirs]
            self._selector.register(ours, selectors.EVENT_READ, lambda: self._signalled(ours.recv(256)))
            try:
                yield
            finally:
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        now = monotonic()
        if self._stop_at is not None:
            if now >= self._stop_at and self._auth is not None:
                self._log.warning("killed", process=AUTH, pid=self._auth.pid, detail="did not end in time")
                self._auth.kill()
        elif self._auth is None and self._status is None and not self._backoff(AUTH).wait(now):
            self._start_auth()

    def _patience(self) -> float | None:
        now = monotonic()
        if self._stop_at is not None:
            return max(0.05, self._stop_at - now)
        return self._backoff(AUTH).wait(now) if self._auth is None else None

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._reload()
            else:
                self._stop(number)

    def _stop(self, number: int) -> None:
        if self._stop_at is not None:
            return
        self._log.info("stopping", signal=signal.Signals(number).name)
        notify("STOPPING=1")
        self._stop_at = monotonic() + self._plan.drain_seconds + GRACE
        if self._auth is None:
            self._status = 0
        else:
            # a command ends by the signal itself, so that its status tells which one it was
            self._auth.tell(signal.Signals(number) if self._plan.once else signal.SIGTERM)

    def _reload(self, number: int = 0) -> None:
        """Take the configuration as it is now; ``number`` is the question that its faults answer."""
        if not self._ready or self._stop_at is not None or self._reloading is not None:
            self._again = self._again or number == 0  # a signal is not lost: it counts when we are done
            self._tell(["reload", number, ["the daemon is starting, stopping or reloading; try again"]])
            return
        self._reloading = number
        notify(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic() * 1e6)}")
        try:
            file, sockets = self._plan.reload()
        except ConfigError as error:
            self._reloaded(error.faults)
            return
        self._tell(["adopt"], [file, *sockets])
        os.close(file)

    def _reloaded(self, faults: Sequence[str]) -> None:
        """The auth process goes by the new configuration; or there are faults, and everything stays as it was."""
        number, self._reloading = self._reloading, None
        if number is None:
            return
        if faults:
            self._plan.rollback()
            for fault in (*faults, "the configuration from before stays in force"):
                self._log.error("reload-failed", detail=fault)
        else:
            self._plan.commit()
        notify("READY=1")
        self._tell(["reload", number, list(faults)])
        self._reload_again()

    def _reload_again(self) -> None:
        """What a signal asked for while we were starting or reloading."""
        if self._again and self._auth is not None:
            self._again = False
            self._reload()

    def _start_auth(self) -> None:
        ours, theirs = wire.pair()
        plan = self._plan

        def prepare() -> None:
            self._leave()
            ours.close()
            if plan.once:
                for number in HANDLED:
                    signal.signal(number, signal.SIG_DFL)

        self._auth = self._fork(AUTH, self._who, prepare, lambda: plan.auth(theirs))
        theirs.close()
        ours.setblocking(False)
        self._channel = ours
        self._selector.register(ours, selectors.EVENT_READ, self._asked)

    def _fork(self, role: str, who: Identity | None, prepare: Callable[[], None], main: Callable[[], int]) -> Child:
        child = fork(role, who, prepare, main, self._log)
        self._children[child.pid] = child
        return child

    def _leave(self) -> None:
        """In a child: what only the supervisor needs is closed."""
        for number in [*(key.fd for key in self._selector.get_map().values()), *(sock.fileno() for sock in self._own)]:
            os.close(number)
        self._selector.close()

    def _asked(self) -> None:
        """A packet of the auth process."""
        if self._channel is None:  # its end was seen in the same look at the selector
            return
        try:
            packet = self._channel.recv(wire.MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._forget_channel()
            return
        try:
            self._do(wire.decode(packet))
        except msgspec.DecodeError:
            self._log.error("odd-request", process=AUTH)

    def _do(self, words: object) -> None:
        match words:
            case ["start", int(number), str(role)]:
                self._start_worker(number, role)
            case ["end", int(pid), str(why)]:
                self._end_worker(pid, why)
            case ["processes", int(number)]:
                self._tell(["processes", number, self._processes()])
            case ["reload", int(number)]:
                self._reload(number)
            case ["adopted"]:
                self._reloaded([])
            case ["refused", str(why)]:
                self._reloaded([why])
            case ["ready"]:
                self._ready = True
                notify("READY=1")
                self._reload_again()
            case _:
                self._log.error("odd-request", process=AUTH)

    def _start_worker(self, number: int, name: str) -> None:
        role = self._plan.roles.get(name)
        if role is None:
            self._log.error("odd-request", process=AUTH, detail="a role that there is not")
            self._tell(["wait", number, TRY_AGAIN])
            return
        wait = self._backoff(name).wait(monotonic())
        if sum(child.role == name for child in self._children.values()) >= role.most:
            wait = max(wait, TRY_AGAIN)
        if wait:
            self._tell(["wait", number, wait])
            return
        ours, theirs = wire.pair()
        with ours, theirs:
            child = self._fork(
                name, None if role.privileged else self._who, self._prepare(ours), lambda: role.main(theirs) or 0
            )
            self._tell(["started", number, child.pid], [ours.fileno()])

    def _prepare(self, other_end: socket.socket) -> Callable[[], None]:
        def prepare() -> None:
            self._leave()
            self._plan.close()
            other_end.close()

        return prepare

    def _processes(self) -> list[tuple[str, int, float]]:
        now = monotonic()
        children = [(child.role, child.pid, now - child.started) for child in self._children.values()]
        return [("supervisor", os.getpid(), now - self._started), *children]

    def _end_worker(self, pid: int, why: str) -> None:
        child = self._children.get(pid)
        if child is not None and child is not self._auth:
            self._log.warning("killed", process=child.role, pid=pid, detail=why)
            child.kill()

    def _tell(self, message: Any, files: Sequence[int] = ()) -> None:
        if self._channel is None:
            return
        try:
            socket.send_fds(self._channel, [wire.encode(message)], files)
        except BlockingIOError:
            # it asks and does not read: it is not well
            if self._auth is not None:
                self._log.error("killed", process=AUTH, pid=self._auth.pid, detail="does not listen")
                self._auth.kill()
        except OSError:
            return  # it has ended; that is heard of on its own

    def _forget_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        if self._plan.once and child is self._auth:
            self._auth = None
            self._forget_channel()
            self._status = code if code >= 0 else 128 - code
            return
        stopping = self._stop_at is not None
        if code != 0 and not child.wanted_dead and not stopping:
            how = f"signal {-code}" if code < 0 else f"status {code}"
            self._log.error("process-ended", process=child.role, pid=child.pid, detail=how)
        if code != 0 and not child.wanted_dead:  # one that we have killed says nothing of the next
            now = monotonic()
            self._backoff(child.role).ended(now - child.started, now)
        if child is not self._auth:
            return
        self._auth = None
        self._forget_channel()
        self._reloaded(["the auth process ended before it had the new configuration"])
        if stopping:
            self._status = 0
        elif not self._ready:
            self._status = 1

    def _backoff(self, role: str) -> Backoff:
        return self._backoffs.setdefault(role, Backoff())

    def _end_all(self) -> None:
        """Workers end when their channel does; what is left is killed."""
        self._forget_channel()
        end = monotonic() + 0.5
        while self._children and monotonic() < end:
            self._reap()
            with suppress(OSError):
                self._selector.select(0.02)
        for child in list(self._children.values()):
            child.kill()
        for pid in list(self._children):
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
