"""The first process: it starts all others, starts again what ends, and reads no byte from outside.

The auth process asks it over one channel, and can ask: ``["start", number, role]`` for a worker, answered by
``["started", number, pid]`` with the worker's channel, or by ``["wait", number, seconds]``; ``["processes", number]`` for
a list of ``[role, pid, age]``; ``["reload", number]``, answered by a list of faults. It can tell ``["ready"]``, and
``["end", pid, why]`` to have a worker killed. What a role runs, as whom and how many of it is said by the configuration
alone. A new configuration goes to the auth process as ``["adopt"]`` with a file, and is answered by ``["adopted"]`` or
``["refused", why]``; a ``["ping"]`` by ``["pong"]``.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any

from ..observe.log import Log
from ..privileges import Identity
from ..systemd import notify
from . import wire
from .channel import Channel, Deaf, NotSent
from .children import Child
from .family import Family
from .heartbeat import Heartbeat
from .plan import Plan
from .reloading import SIGNAL, Reloading
from .signals import Signals, drain
from .starting import AUTH, DONE, Starting
from .watching import Watch

GRACE = 3.0
"""Seconds beyond ``drain_seconds`` until the auth process is killed."""

ORPHANED = 1.0
"""Seconds for workers to end after the auth process whose questions they answer, and for it to end after its channel."""

MOST_ODD = 10
"""Requests without sense until the auth process is killed: somebody else speaks with its voice."""


class Supervisor:
    """Runs the daemon's processes until it is told to stop."""

    def __init__(self, plan: Plan, who: Identity | None, log: Log) -> None:
        self._plan = plan
        self._who = who
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._family = Family(log)
        self._starting = Starting(plan, who, log, self._family, self._leave)
        self._reloading = Reloading(plan, log, self._tell)
        self._heart = Heartbeat()
        self._watch = Watch()
        self._watch.reading(plan.watched)
        self._auth: Child | None = None
        self._channel: Channel | None = None
        self._ready = False  # the auth process that runs now
        self._was_ready = False  # any of them
        self._started = monotonic()
        self._own: list[socket.socket] = []  # what the selector does not know
        self._stop_at: float | None = None  # when what still runs is killed
        self._status: int | None = None

    def run(self) -> int:
        """0 when told to stop, 1 when the auth process could not even start; a command's own status."""
        with self._signals.caught() as (woken, other), self._selector:
            self._own = [other]
            self._selector.register(woken, selectors.EVENT_READ, lambda: drain(woken))
            self._start_auth()
            try:
                while self._status is None:
                    self._wait()
            finally:
                self._forget_channel()
                self._family.end_all()
        return self._status

    # --- the loop

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        for child, code in self._family.reap():
            self._ended(child, code)
        self._heed(self._signals.take())
        self._look_at_the_clock(monotonic())

    def _patience(self) -> float | None:
        """Seconds until there is something to do though nobody says so; None for "never"."""
        now = monotonic()
        times = [self._family.next_kill() - now]
        if self._stop_at is not None:
            times.append(max(0.05, self._stop_at - now))
        elif self._auth is None:
            times.append(self._starting.auth_wait(now))
        else:
            times += [self._reloading.until - now, self._heart.wait(now), self._watch.wait(now)]
        least = min(times)
        return None if least == inf else max(0.0, least)

    def _heed(self, numbers: set[int]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            if number in numbers:
                self._stop(number)
        if signal.SIGHUP in numbers:
            self._reload(SIGNAL)

    def _look_at_the_clock(self, now: float) -> None:
        self._family.kill_due(now)
        if self._stop_at is not None:
            if now >= self._stop_at:
                self._kill_auth("did not end in time")
        elif self._auth is not None:
            self._look_at_auth(now)
        elif self._status is None and not self._starting.auth_wait(now):
            self._start_auth()

    def _look_at_auth(self, now: float) -> None:
        if now >= self._reloading.until:
            self._kill_auth("did not take the new configuration in time")
            self._reloading.done(["the auth process did not take it in time"])
        if not self._watch.wait(now) and self._watch.changed(self._plan.watched, now):
            self._log.info("files-changed")
            self._reload(SIGNAL)
        if self._heart.wait(now):
            return
        # opening backends may keep it from its loop, for as long as a reload may take
        if self._reloading.under_way:
            self._heart.begin(now)
        elif self._heart.ping(now):
            self._tell(["ping"])
        else:
            self._heart.end()
            self._kill_auth("does not answer")

    def _stop(self, number: signal.Signals) -> None:
        if self._stop_at is not None:
            return
        self._log.info("stopping", signal=number.name)
        notify("STOPPING=1")
        self._stop_at = monotonic() + self._plan.drain_seconds + GRACE
        self._plan.stop_listening()  # the kernel refuses who comes as soon as the others have closed theirs, too
        if self._auth is None:
            self._status = 0
        else:
            # a command ends by the signal itself, so that its status tells which one it was
            self._auth.tell(number if self._plan.once else signal.SIGTERM)

    # --- what the auth process says

    def _asked(self) -> None:
        """A packet of the auth process."""
        channel = self._channel
        if channel is None or (packet := channel.receive()) is None:
            return
        if not packet:
            self._forget_channel()
            if self._auth is not None and self._stop_at is None and not self._plan.once:
                self._family.end_later([self._auth], ORPHANED)  # it ends, or will not be heard any more
            return
        try:
            self._do(wire.decode(packet))
        except wire.Malformed:
            self._odd(channel)

    def _do(self, words: object) -> None:
        match words:
            case ["start", int(number), str(key)]:
                self._start_worker(number, key)
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
            case ["pong"]:
                self._heart.heard()
            case ["ready"]:
                self._ready = self._was_ready = True
                self._heart.begin(monotonic())
                self._watch.begin(self._plan.watched, monotonic())
                notify("READY=1")
                self._reload_again()
            case _:
                raise wire.Malformed("no request")

    def _odd(self, channel: Channel) -> None:
        channel.odd += 1
        if channel.odd <= MOST_ODD:
            self._log.error("odd-request", process=AUTH)
        if channel.odd >= MOST_ODD:
            self._kill_auth("its requests make no sense")

    def _reload(self, number: int) -> None:
        self._watch.reading(self._plan.watched)
        well = self._ready and self._auth is not None and not self._auth.ends
        self._reloading.ask(number, able=well and self._stop_at is None)

    def _reloaded(self, faults: Sequence[str]) -> None:
        self._reloading.done(faults)
        self._starting.forget()
        self._watch.begin(self._plan.watched, monotonic())
        self._reload_again()

    def _reload_again(self) -> None:
        if self._reloading.take_again():
            self._reload(SIGNAL)

    def _processes(self) -> list[tuple[str, int, float]]:
        now = monotonic()
        children = [(child.role, child.pid, now - child.started) for child in self._family]
        return [("supervisor", os.getpid(), now - self._started), *children]

    def _end_worker(self, pid: int, why: str) -> None:
        child = self._family.get(pid)
        if child is not None and child is not self._auth:
            self._family.kill(child, why)

    def _tell(self, message: Any, files: Sequence[int] = ()) -> str:
        """Why the message has not gone to the auth process; empty when it has."""
        if self._channel is None:
            return "it has ended"
        try:
            self._channel.send(message, files)
        except NotSent as error:
            if isinstance(error, Deaf):  # it asks and does not read: it is not well
                self._kill_auth("does not listen")
            return str(error)
        return ""

    # --- starting and ending

    def _start_auth(self) -> None:
        started = self._starting.auth()
        if started is not None:
            self._auth, ours = started
            self._channel = Channel(ours)
            self._selector.register(ours, selectors.EVENT_READ, self._asked)
        elif self._plan.once:
            self._status = 1

    def _start_worker(self, number: int, key: str) -> None:
        match self._starting.worker(key):
            case (child, ours):
                with ours:
                    self._tell(["started", number, child.pid], [ours.fileno()])
            case seconds:
                self._tell(["wait", number, seconds])

    def _leave(self) -> None:
        """In a child: what only the supervisor needs is closed."""
        for number in [*(key.fd for key in self._selector.get_map().values()), *(sock.fileno() for sock in self._own)]:
            os.close(number)
        self._selector.close()

    def _kill_auth(self, why: str) -> None:
        if self._auth is not None:
            self._family.kill(self._auth, why)

    def _forget_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel.socket)
            self._channel.close()
            self._channel = None

    def _ended(self, child: Child, code: int) -> None:
        if child is self._auth:
            self._auth_ended(child, code)
        elif not child.ends and self._stop_at is None and code != DONE:  # one that we kill says nothing of the next
            self._starting.ended(child, code)

    def _hear_last_words(self) -> None:
        """Of what an ended auth process had said, and was not heard yet, one thing counts: that it had begun to serve."""
        while self._channel is not None and (packet := self._channel.receive()):
            with suppress(wire.Malformed):
                self._was_ready = self._was_ready or wire.decode(packet) == ["ready"]

    def _auth_ended(self, child: Child, code: int) -> None:
        self._auth = None
        self._hear_last_words()
        self._forget_channel()
        self._heart.end()
        self._ready = False
        self._reloading.done(["the auth process ended before it had the new configuration"])
        if self._plan.once:
            self._status = code if code >= 0 else 128 - code
        elif self._stop_at is not None:
            self._status = 0
        else:
            self._starting.ended(child, code, quiet=child.wanted_dead)
            self._status = None if self._was_ready else 1
            # one that is at a question of its, and hangs, must not take the place of those that the next one needs
            self._family.end_later((child for child in self._family if not child.lingers), ORPHANED)
            # clients of their own: what they have under way ends without it
            self._family.end_later(self._family, self._plan.drain_seconds + GRACE)
