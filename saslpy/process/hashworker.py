"""The process that computes password hashes, one after another.

It gets questions in packets of several and reports results together, since a packet costs both sides more than an
MD5-CRYPT; but no result waits for longer than the packet says.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from time import perf_counter
from typing import Any, TypeAlias

from ..passwords.tasks import TASKS
from . import wire

NICE = 5
"""How much more willingly than the auth process it gives up its core (nice(2))."""

DONE, NO_MEMORY, FAULT = range(3)
"""How a question ended: with its result; undecided; undecided by a fault of ours, whose type is told."""

MADE: dict[str, type] = {"check": bool, "matching": tuple, "make": str, "scram": str}
"""What each task results in."""

Result: TypeAlias = bool | str | tuple[list[bytes], list[int]]

read_results = wire.typed(list[tuple[int, int, Result, float]])
"""The results in a packet: the question's number, how it ended, with what, and the seconds that it took.

Raises ``wire.Malformed``.
"""


def serve(channel: socket.socket) -> None:
    """Answer until the other end is closed. A packet is ``[patience, questions]``: the seconds that a result may wait for
    others, and a list of ``[number, task, args]``.

    The auth process goes first: while it waits for a core, everybody waits.
    """
    _give_way()
    report, room = _Report(channel), wire.Room()
    while packet := _next(channel, room, report):
        patience, questions = wire.decode(packet)
        before = perf_counter()
        for number, task, args in questions:
            how, result = _answer(task, args)
            now = perf_counter()
            report.add((number, how, result, now - before), now, patience)
            before = now


def _give_way() -> None:
    """Have less of a claim to a core than the auth process, and do not take it away in the middle of its work.

    SCHED_BATCH (sched(7)): what wakes us up does not preempt others. Without it the auth process needs a sixth more for
    each login, since it finds its core's caches cold.
    """
    os.nice(NICE)
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _next(channel: socket.socket, room: wire.Room, report: _Report) -> bytes:
    """The next packet; before we wait for one, all results are told."""
    try:
        return room.receive(channel, socket.MSG_DONTWAIT)
    except BlockingIOError:
        report.send()
        return room.receive(channel)


class _Report:
    """Results that wait for others."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._done: list[tuple[int, int, Any, float]] = []
        self._since = 0.0

    def add(self, result: tuple[int, int, Any, float], now: float, patience: float) -> None:
        """One more; all are told when the first has waited long enough."""
        if not self._done:
            self._since = now
        self._done.append(result)
        if now - self._since >= patience:
            self.send()

    def send(self) -> None:
        """Tell all."""
        if self._done:
            self._channel.send(wire.encode(self._done))
            self._done = []


def _answer(task: str, args: list[Any]) -> tuple[int, Any]:
    try:
        return DONE, TASKS[task](*args)
    except MemoryError:
        return NO_MEMORY, ""
    except Exception as error:
        return FAULT, type(error).__name__
