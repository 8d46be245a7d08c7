"""The figures beside the logins a second: how fast a command starts, when a daemon is ready, what memory it takes."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from . import PASSWORD, tools
from .client import Door
from .peers import Running
from .processes import memory_kib
from .rounds import Timing
from .scenarios import MYSQL_SHA512, SQLITE_FEW, SQLITE_SHA512, Group
from .stage import FAULTS, Opener, Stage
from .tools import Load

STARTS = 15
READY_STARTS = 5
IDLE_CONNECTIONS = (300, 1000)
SETTLE = 0.5
"""Seconds until a daemon has done what it does after a burst. Below saslpy's read timeout of 10 s."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the second table."""

    name: str
    unit: str
    saslpy: float | None
    other: float | None = None
    other_name: str = ""


def start_up(stage: Stage, _timing: Timing) -> Iterator[Figure]:
    """Milliseconds of a command, from its start to its end."""
    bare = _command([sys.executable, "-c", "pass"])
    yield Figure("saslpy --help", "ms", _command([str(stage.program), "--help"]), bare, "python -c pass")
    command = [str(stage.program), "hash", "--password-stdin"]
    yield Figure("saslpy hash (ARGON2ID)", "ms", _command(command), bare, "python -c pass")
    command = [str(stage.program), "hash", "--scheme", "SHA512-CRYPT", "--password-stdin"]
    yield Figure("saslpy hash --scheme SHA512-CRYPT", "ms", _command(command), bare, "python -c pass")


def _command(command: list[str]) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run(command, input=PASSWORD.encode(), check=True, capture_output=True, timeout=60)
        return (time.perf_counter() - start) * 1000

    return median(once() for _ in range(STARTS))


def ready(stage: Stage, _timing: Timing) -> Iterator[Figure]:
    """Milliseconds from the start of a daemon to its first right answer."""
    for group in (MYSQL_SHA512, SQLITE_SHA512):
        name = f"ready, {group.name}"
        yield Figure(name, "ms", _ready(stage, stage.saslpy, group), _ready(stage, stage.peer, group), group.peer)


def _ready(stage: Stage, opener: Opener, group: Group) -> float | None:
    times = []
    for _ in range(READY_STARTS):
        with stage.willing(opener, group) as running:
            if running is None:
                return None
            times.append(running.ready * 1000)
    return median(times)


def memory(stage: Stage, timing: Timing) -> Iterator[Figure]:
    """Memory of all of a daemon's processes, before and after load."""
    for group in (MYSQL_SHA512, SQLITE_SHA512):
        ours = _memory(stage, stage.saslpy, group, timing)
        theirs = _memory(stage, stage.peer, group, timing)
        for when, us, them in zip(("idle", "after load"), ours, theirs, strict=True):
            yield Figure(f"memory {when}, {group.name}", "MiB", us, them, group.peer)


def _memory(stage: Stage, opener: Opener, group: Group, timing: Timing) -> tuple[float | None, float | None]:
    with stage.willing(opener, group) as running:
        if running is None:
            return None, None
        time.sleep(SETTLE)
        idle = memory_kib(running.pid) / 1024
        tools.load(running.door, Load(group.pattern, group.users, 64, max(2.0, timing.seconds)))
        time.sleep(SETTLE)
        return idle, memory_kib(running.pid) / 1024


def idle_connections(stage: Stage, _timing: Timing) -> Iterator[Figure]:
    """What a connection costs on which nothing is said. The peers have no such figure: five of them, and nobody logs in."""
    for count in IDLE_CONNECTIONS:
        with stage.willing(stage.saslpy, SQLITE_FEW) as running:
            cost = _idle(running, count) if running is not None else None
        yield Figure(f"one of {count} idle connections", "bytes", cost)


def _idle(running: Running, count: int) -> float:
    time.sleep(SETTLE)
    before = memory_kib(running.pid, "Rss")
    with connections(running.door, count):
        time.sleep(SETTLE)
        return (memory_kib(running.pid, "Rss") - before) * 1024 / count


@contextmanager
def connections(door: Door, count: int) -> Iterator[None]:
    """So many open connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 100, hard), hard))
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(5)
            connection.connect(str(door.socket))
        yield


FIGURES: dict[str, Callable[[Stage, Timing], Iterator[Figure]]] = {
    "start-up": start_up,
    "ready": ready,
    "memory": memory,
    "idle-connections": idle_connections,
}


def figures(stage: Stage, names: list[str], timing: Timing, tell: Callable[[str], None]) -> list[Figure]:
    """All that are wanted; what fails is noted."""
    found: list[Figure] = []
    for name in names:
        tell(name)
        try:
            found += FIGURES[name](stage, timing)
        except (*FAULTS, subprocess.SubprocessError) as fault:
            stage.fault(f"{name}: {fault}")
    return found
