"""The daemon's memory over 100,000 logins against each backend: ``python -m tests.campaigns.memory [backend…]``.

Half of the logins are right, a quarter have a wrong password, a quarter a name that nobody has. After some of them RSS and
PSS of every process are read (/proc/PID/smaps_rollup, proc_pid_smaps(5)). A role is *flat* when its largest process has
grown by less than 3 MiB from 25,000 to 100,000 logins. The workers of PAM and shadow are replaced after 1,000 questions
each, so theirs are the largest that are there at that moment. Exit status 1: not flat, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import RESULTS, tools
from tests.matrix.credentials import User
from tests.matrix.stores import STORES
from tests.real.saslpy import Daemon, back_within, configured, folder, serving

CHECKPOINTS = (0, 10_000, 25_000, 50_000, 75_000, 100_000)
FLAT_FROM = 25_000
FLAT_MIB = 3.0
KNOWN = 500
PASSWORD = "s3cret of all"
CONCURRENCY = (12, 4)
"""Logins at a time: of known users, of names that nobody has."""

MOST_SECONDS = 400
"""For one stretch between two readings."""

ROW = "{:>7} {:>6}  {:10} {:>9} {:>8} {:>8} {:>8} {:>8}"

ROLES = ("supervisor", "auth", "hash", "backend.it")


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in MiB."""

    rss: float
    pss: float


Reading = Mapping[str, Sequence[Memory]]
"""The processes of each role."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the load generator saw."""

    answered: int
    mismatched: int
    errors: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the backends that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.memory", description=__doc__)
    parser.add_argument("backends", nargs="*", metavar="backend", help=f"of {', '.join(map(slug, STORES))}")
    parser.add_argument("--logins", type=int, default=CHECKPOINTS[-1], help="end after so many")
    options = parser.parse_args(arguments)
    names = {slug(name): name for name in STORES}
    for wanted in options.backends:
        if wanted not in names:
            parser.error(f"there is no backend {wanted!r}")
    tools.build()
    good = [campaign(names[wanted], options.logins) for wanted in options.backends or names]
    return 0 if all(good) else 1


def slug(backend: str) -> str:
    """The name on the command line."""
    return backend.replace(" ", "-")


def campaign(backend: str, most: int) -> bool:
    """One backend; whether it is flat, and every answer right."""
    print(f"\n{backend}", flush=True)
    print(ROW.format("logins", "per s", "role", "processes", "max RSS", "max PSS", "sum RSS", "sum PSS"), "MiB")
    readings: dict[int, Reading] = {}
    wrong = 0
    with running(backend) as (place, daemon):
        done = 0
        for number in checkpoints(most):
            start = time.monotonic()
            loaded = load(place, number - done) if number > done else Loaded(0, 0, 0)
            seconds = time.monotonic() - start
            wrong += loaded.mismatched + loaded.errors
            done += loaded.answered
            readings[number] = reading = read(daemon)
            show(done, loaded.answered / seconds if loaded.answered else 0.0, reading)
            if loaded.mismatched or loaded.errors:
                print(f"         {loaded.mismatched} wrong answers, {loaded.errors} without one")
        restarted = daemon.lines("process-ended") + daemon.lines("killed")
    for line in restarted[:3]:
        print(f"         {line}")
    flat = verdict(readings)
    return flat and not wrong and not restarted


def checkpoints(most: int) -> list[int]:
    """After how many logins memory is read: beyond the usual ones, every 100,000."""
    return [point for point in (*CHECKPOINTS, *range(200_000, most + 1, 100_000)) if point <= most]


@contextmanager
def running(backend: str) -> Iterator[tuple[Path, Daemon]]:
    """A daemon with a full store."""
    users = [User(f"u{number}", PASSWORD) for number in range(KNOWN)]
    with folder() as place, STORES[backend](place, users) as store:
        config = configured(place, f"[backend.it]\n{store.keys}", 'chain = ["it"]\nmin_seconds = 0\n')
        with serving(config) as daemon:
            back_within(10.0, place, users[0].login, PASSWORD)
            yield place, daemon


def load(place: Path, logins: int) -> Loaded:
    """So many logins: three quarters by known users, a third of those wrong; the others by nobody."""
    nobody = logins // 4
    questions = (
        ("u%d@example.org", logins - nobody, 33, CONCURRENCY[0]),
        ("nobody%d@example.org", nobody, 100, CONCURRENCY[1]),
    )
    with ThreadPoolExecutor(len(questions)) as threads:
        seen = list(threads.map(lambda question: _saslload(place, *question), questions))
    return Loaded(
        sum(each["ok"] + each["no"] + each["uncounted"] for each in seen),
        sum(each["mismatched"] for each in seen),
        sum(each["errors"] for each in seen),
    )


def _saslload(place: Path, user: str, logins: int, wrong: int, concurrency: int) -> dict[str, int]:
    done = subprocess.run(
        [
            RESULTS / tools.SASLLOAD[0],
            *("--protocol", "saslauthd", "--socket", place / "mux", "--password", PASSWORD),
            *("--user", user, "--users", str(KNOWN), "--wrong", str(wrong)),
            *("--requests", str(logins), "--concurrency", str(concurrency), "--seconds", str(MOST_SECONDS)),
            *("--seed", str(time.monotonic_ns() % 1_000_000_007)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS + 60,
    )
    if done.returncode != 0:
        raise SystemExit(f"saslload: {done.stderr}")
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def read(daemon: Daemon) -> Reading:
    """The memory of every process that is there now."""
    pids = {role: daemon.children(role) for role in ROLES[1:]} | {"supervisor": [daemon.process.pid]}
    found = {role: [memory for pid in pids[role] if (memory := memory_of(pid)) is not None] for role in ROLES}
    return {role: processes for role, processes in found.items() if processes}


def memory_of(pid: int) -> Memory | None:
    """Of a process; None when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(kib["Rss"] / 1024, kib["Pss"] / 1024)


def show(logins: int, rate: float, reading: Reading) -> None:
    """The lines of one reading."""
    everything = [one for processes in reading.values() for one in processes]
    for role, processes in (*reading.items(), ("all", everything)):
        rss, pss = [one.rss for one in processes], [one.pss for one in processes]
        figures = (f"{value:.1f}" for value in (max(rss), max(pss), sum(rss), sum(pss)))
        print(ROW.format(logins, f"{rate:.0f}", role, len(processes), *figures), flush=True)


def verdict(readings: Mapping[int, Reading]) -> bool:
    """Whether each role is flat."""
    last = max(readings)
    if last <= FLAT_FROM:
        print("no verdict: too few logins")
        return True
    flat = True
    for role, processes in readings[last].items():
        before = readings[FLAT_FROM].get(role, processes)
        growth = max(one.rss for one in processes) - max(one.rss for one in before)
        pss_growth = max(one.pss for one in processes) - max(one.pss for one in before)
        good = growth < FLAT_MIB
        flat = flat and good
        told = f"RSS {growth:+.2f} MiB, PSS {pss_growth:+.2f} MiB from {FLAT_FROM} to {last}"
        print(f"{role:11} {'flat' if good else 'NOT FLAT'}: {told}")
    return flat


if __name__ == "__main__":
    sys.exit(main())
