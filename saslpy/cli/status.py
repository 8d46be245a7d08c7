"""``saslpy status``: how the running daemon is."""

from __future__ import annotations

import argparse
from typing import Any

from .common import Fault, print_json, say, settings_or_exit, table, tell
from .daemon import ask

DOWN = 1


def run(arguments: argparse.Namespace) -> int:
    """0 when every backend works, 1 when one is down, 75 when there is no daemon to ask."""
    settings = settings_or_exit(arguments, 75)
    try:
        status = ask(settings, "status")
    except Fault as fault:
        tell(str(fault))
        return fault.status
    if arguments.json:
        print_json(status)
    else:
        say("\n\n".join(_tables(status)))
    return DOWN if any(backend["state"] == "down" for backend in status["backends"]) else 0


def _tables(status: dict[str, Any]) -> list[str]:
    logins = status["logins"]
    summary = [
        ["saslpy", status["version"]],
        ["accepted", str(logins["accept"])],
        ["rejected", str(logins["reject"])],
        ["could not find out", str(logins["defer"])],
        ["under way", str(status["pending"])],
    ]
    if any(status["upgrades"].values()):
        summary.append(["hashes upgraded", _counted(status["upgrades"])])
    return [
        table(summary),
        table([_backend(backend) for backend in status["backends"]], ("backend", "state", "asked now", "detail")),
        table(
            [[one["listen"], one["protocol"], str(one["open"]), str(one["refused"])] for one in status["listeners"]],
            ("listen", "protocol", "open", "refused"),
        ),
        *_submission(status["submission"]),
        table(
            [[one["role"], str(one["pid"]), _age(one["age"])] for one in status["processes"]],
            ("process", "pid", "age"),
        ),
    ]


def _submission(workers: list[dict[str, Any]]) -> list[str]:
    """The processes where mail is submitted, if there are any."""
    if not workers:
        return []
    rows = [[str(one["pid"]), one["state"], str(one["open"]), str(one["messages"])] for one in workers]
    return [table(rows, ("submission", "state", "open", "messages"))]


def _counted(upgrades: dict[str, int]) -> str:
    """ "12, failed 3": how many were written, and what became of others."""
    others = [f"{name} {count}" for name, count in upgrades.items() if count and name != "written"]
    return ", ".join([str(upgrades["written"]), *others])


def _backend(one: dict[str, Any]) -> list[str]:
    state = one["state"] if one["seconds"] is None else f"down for {_age(one['seconds'])}"
    return [one["backend"], state, str(one["under_way"]), one["detail"][:80]]


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
