"""The result as two tables for people, and as JSON."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from . import mail
from .figures import Figure
from .mail import MailResults
from .rounds import Row, Side, Timing
from .stage import Stage

HEAD = (
    "scenario",
    "saslpy rps",
    "p50 ms",
    "p99 ms",
    "peer rps",
    "p50 ms",
    "p99 ms",
    "ratio",
    "crypt_r/s",
    "of it",
    "goal",
    "",
)

UNREST = 0.1
"""A difference between the yardstick's rounds that makes a result doubtful."""


def machine() -> dict[str, Any]:
    """What it was measured on."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def text(stage: Stage, rows: Sequence[Row], figures: Sequence[Figure], mailed: MailResults) -> str:
    """The tables and what there is to say about them."""
    parts = []
    if rows:
        parts.append(_table([HEAD, *(_row(row, stage) for row in rows)]))
    if figures:
        parts.append(
            _table([("figure", "saslpy", "other", "unit", "the other is"), *map(_figure, figures)], left=(0, 4))
        )
    if lines := mail.lines(mailed):
        parts.append(_table(lines))
    parts.append("\n".join(_notes(stage, rows)))
    return "\n\n".join(part for part in parts if part)


def _row(row: Row, stage: Stage) -> tuple[str, ...]:
    peer = row.scenario.group.peer
    gone = ("peer missing", "-", "-") if peer in stage.absent else ("failed", "-", "-")
    goal = row.scenario.goal
    return (
        row.scenario.name,
        *(_side(row.saslpy) or ("failed", "-", "-")),
        *(_side(row.peer) or gone),
        _number(row.ratio, 2),
        _number(median(row.crypt) if row.crypt else None, 0),
        _number(row.of_crypt, 2),
        f"{goal.share:.1f} x {goal.of}" if goal else "",
        {True: "ok", False: "MISSED", None: "?" if goal else ""}[row.reached],
    )


def _side(side: Side) -> tuple[str, ...] | None:
    rps, p50, p99 = (side.median(key) for key in ("rps", "p50", "p99"))
    if rps is None or p50 is None or p99 is None:
        return None
    return (f"{rps:.0f}", f"{p50 / 1000:.2f}", f"{p99 / 1000:.2f}")


def _figure(figure: Figure) -> tuple[str, ...]:
    digits = 0 if figure.unit == "bytes" else 1
    ours, other = _number(figure.saslpy, digits), _number(figure.other, digits)
    return (figure.name, ours, other, figure.unit, figure.other_name)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(lines: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _notes(stage: Stage, rows: Sequence[Row]) -> Iterator[str]:
    for who, why in stage.absent.items():
        yield f"peer missing: {who}: {why}"
    for row in rows:
        if row.unrest > UNREST:
            yield f"busy machine: {row.scenario.name}: crypt_r/s differed by {row.unrest:.0%} between rounds; run it again"
        for who, side in (("saslpy", row.saslpy), (row.scenario.group.peer, row.peer)):
            if side.errors:
                yield f"note: {row.scenario.name}: {side.errors} logins got no answer from {who}"
    if rows:
        yield "Medians of the rounds; every answer was checked; no cache, throttle or delay of refusals on either side."
    for fault in stage.faults:
        yield f"FAILED: {fault}"


def as_json(
    stage: Stage,
    rows: Sequence[Row],
    figures: Sequence[Figure],
    mailed: MailResults,
    timing: Timing,
    on: dict[str, Any],
) -> dict[str, Any]:
    """Everything, each round too. ``on``: what ``machine`` said before it all."""
    return {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": on,
        "timing": asdict(timing),
        "scenarios": [_row_json(row) for row in rows],
        "figures": [asdict(figure) for figure in figures],
        "submission": mail.as_json(mailed),
        "missing": stage.absent,
        "faults": stage.faults,
    }


def _row_json(row: Row) -> dict[str, Any]:
    goal = row.scenario.goal
    return {
        "name": row.scenario.name,
        "peer": row.scenario.group.peer,
        "ratio": row.ratio,
        "of_crypt_r": row.of_crypt,
        "crypt_r_per_second": median(row.crypt) if row.crypt else None,
        "goal": asdict(goal) if goal else None,
        "reached": row.reached,
        "rounds": {
            "saslpy": [asdict(one) for one in row.saslpy.rounds],
            "peer": [asdict(one) for one in row.peer.rounds],
            "crypt_r": row.crypt,
        },
    }
