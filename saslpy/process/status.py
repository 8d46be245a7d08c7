"""What the running daemon tells about itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from .. import __version__
from ..authenticator import Authenticator
from ..guard import Guarded
from ..listen import Listen
from ..servers.accepting import AcceptLoop
from ..upgrading import Upgrades


def status(
    door: Authenticator,
    loops: Iterable[tuple[str, AcceptLoop[Any]]],
    processes: Iterable[list[Any]],
    workers: Sequence[dict[str, Any]] = (),
    in_workers: Iterable[Listen] = (),
) -> dict[str, Any]:
    """Everything, as plain values; ages and times in seconds. ``loops`` come with their protocols.

    ``workers`` are those of submission (``submissions.Submissions.status``), ``in_workers`` what these serve.
    """
    return {
        "version": __version__,
        "time": round(time.time(), 3),
        "logins": {kind.__name__.lower(): count for kind, count in door.counts.items()},
        "pending": door.rules.pending,
        "upgrades": _upgrades(door.rules.upgrades),
        "backends": [_backend(guard) for guard in door.rules.backends],
        "listeners": [
            {"protocol": protocol, "listen": loop.name, "open": loop.open, "refused": loop.refused}
            for protocol, loop in loops
        ]
        + [_together(listen, workers) for listen in in_workers],
        "submission": list(workers),
        "processes": [{"role": role, "pid": pid, "age": round(age, 1)} for role, pid, age in processes],
    }


def _together(listen: Listen, workers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A listener that several processes serve."""
    parts = [one for worker in workers for one in worker["listeners"] if one["listen"] == listen.name]
    counts = {key: sum(part[key] for part in parts) for key in ("open", "refused")}
    return {"protocol": listen.protocol, "listen": listen.name} | counts


def _upgrades(upgrades: Upgrades | None) -> dict[str, int]:
    """What became of the hash upgrades since the start or the last reload (``Upgrades.counts``)."""
    counts = {} if upgrades is None else upgrades.counts
    return {name: counts.get(name, 0) for name in ("written", "changed", "failed", "dropped")}


def _backend(guard: Guarded) -> dict[str, Any]:
    down = guard.health.down(guard.name)
    return {
        "backend": guard.name,
        "state": "up" if down is None else "down",
        "seconds": None if down is None else round(down[0], 1),
        "detail": "" if down is None else down[1],
        "under_way": guard.under_way,
        "circuit": "open" if guard.circuit_open else "closed",
    }
