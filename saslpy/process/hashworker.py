"""The process that computes password hashes, one after another.

It gets questions in packets of several and reports results together, since a packet costs both sides more than an
MD5-CRYPT; but no result waits for longer than ``REPORT_AFTER``.
"""

from __future__ import annotations

import os
import socket
from time import perf_counter
from typing import Any

from ..passwords.tasks import TASKS
from . import wire

REPORT_AFTER = 0.003
"""Seconds that a result may wait for others of its packet."""

NICE = 2
"""How much more willingly than the auth process it gives up its core (nice(2))."""

DONE, NO_MEMORY, FAULT = range(3)
"""How a question ended: with its result; undecided; undecided by a fault of ours, whose type is told."""


def serve(channel: socket.socket) -> None:
    """Answer until the other end is closed. A packet is a list of ``[number, task, args]``.

    The auth process goes first: while it waits for a core, everybody waits.
    """
    os.nice(NICE)
    while packet := channel.recv(wire.MAX_PACKET):
        _work_off(channel, wire.decode(packet))


def _work_off(channel: socket.socket, questions: list[Any]) -> None:
    done: list[tuple[int, int, Any, float]] = []
    first = before = perf_counter()
    for number, task, args in questions:
        how, result = _answer(task, args)
        now = perf_counter()
        done.append((number, how, result, now - before))
        before = now
        if now - first > REPORT_AFTER:
            channel.send(wire.encode(done))
            done, first = [], now
    if done:
        channel.send(wire.encode(done))


def _answer(task: str, args: list[Any]) -> tuple[int, Any]:
    try:
        return DONE, TASKS[task](*args)
    except MemoryError:
        return NO_MEMORY, ""
    except Exception as error:
        return FAULT, type(error).__name__
