"""saslpy, peer, saslpy, peer … in short rounds, so that what else happens on the machine meets both; medians count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median

from . import tools
from .hashes import hashes
from .peers import Running
from .scenarios import Scenario
from .stage import FAULTS, Stage
from .tools import Load, Measured


@dataclass(frozen=True, slots=True)
class Timing:
    """How often and how long everything is measured."""

    rounds: int
    seconds: float


@dataclass(slots=True)
class Side:
    """The rounds of one daemon in one scenario."""

    rounds: list[Measured] = field(default_factory=list)

    def median(self, key: str) -> float | None:
        """Of ``rps``, ``p50``, …; None when nothing was measured."""
        return median(getattr(one, key) for one in self.rounds) if self.rounds else None

    @property
    def mismatched(self) -> int:
        """Wrong answers in all rounds."""
        return sum(one.mismatched for one in self.rounds)

    @property
    def errors(self) -> int:
        """Logins without an answer in all rounds."""
        return sum(one.errors for one in self.rounds)


@dataclass(slots=True)
class Row:
    """What was seen in one scenario."""

    scenario: Scenario
    saslpy: Side = field(default_factory=Side)
    peer: Side = field(default_factory=Side)
    crypt: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """saslpy's logins a second, as a multiple of the peer's."""
        return _share(self.saslpy.median("rps"), self.peer.median("rps"))

    @property
    def of_crypt(self) -> float | None:
        """saslpy's logins a second, as a share of ``crypt_r`` alone."""
        return _share(self.saslpy.median("rps"), median(self.crypt) if self.crypt else None)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None when there is none, or nothing to compare with that can be believed."""
        goal = self.scenario.goal
        share = self.ratio if goal is not None and goal.of == "peer" else self.of_crypt
        if goal is None or share is None or (goal.of == "crypt_r" and share > 1):
            return None  # faster than the hash itself: something else had the cores in the yardstick's turns
        return share >= goal.share

    @property
    def unrest(self) -> float:
        """How far the yardstick's rounds lie apart, as a share of their median: on a quiet machine, under 0.05."""
        return (max(self.crypt) - min(self.crypt)) / median(self.crypt) if self.crypt else 0.0


def _share(ours: float | None, theirs: float | None) -> float | None:
    return None if not ours or not theirs else ours / theirs


def measure(stage: Stage, scenarios: Sequence[Scenario], timing: Timing, tell: Callable[[str], None]) -> list[Row]:
    """All scenarios, group by group."""
    rows: list[Row] = []
    for group, members in groupby(scenarios, key=lambda scenario: scenario.group):
        with ExitStack() as stack:
            ours = stack.enter_context(stage.willing(stage.saslpy, group))
            theirs = stack.enter_context(stage.willing(stage.peer, group))
            for scenario in members:
                tell(scenario.name)
                rows.append(_row(stage, scenario, timing, ours, theirs))
    return rows


def _row(stage: Stage, scenario: Scenario, timing: Timing, ours: Running | None, theirs: Running | None) -> Row:
    row = Row(scenario)
    try:
        for _ in range(timing.rounds):
            _round(row, timing.seconds, ours, theirs)
    except FAULTS as fault:
        stage.fault(f"{scenario.name}: {fault}")
    for who, side in (("saslpy", row.saslpy), (scenario.group.peer, row.peer)):
        if side.mismatched:
            stage.fault(f"{scenario.name}: {who} gave {side.mismatched} wrong answers")
    return row


def _round(row: Row, seconds: float, ours: Running | None, theirs: Running | None) -> None:
    scenario, group = row.scenario, row.scenario.group
    load = Load(group.pattern, group.users, scenario.concurrency, seconds, scenario.wrong)
    for running, side in ((ours, row.saslpy), (theirs, row.peer)):
        if running is not None:
            side.rounds.append(tools.load(running.door, load))
    if scenario.has_yardstick:
        row.crypt.append(tools.crypt_alone(hashes(group.scheme)[0], seconds))
