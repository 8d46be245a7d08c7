"""How much a login may send: messages in an hour and recipients in a day, each counted apart, all workers together.

One object, in one process, counts for them all; workers ask it. A window slides (``window``), so that no hour
whatever holds more messages than are allowed. (A bucket that fills up again lets through twice as much in one hour.)
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..names import folded
from ..protocols.smtp.replies import Reply, reply
from .window import Window

HOUR = 3600.0
DAY = 24 * HOUR

MAX_LOGINS = 100_000
"""That are counted at a time. Of more, those that have been quiet for longest are forgotten."""

Counted: TypeAlias = Literal["messages", "recipients"]


@dataclass(frozen=True, slots=True)
class Limits:
    """0 switches one off."""

    messages_per_hour: int = 500
    recipients_per_day: int = 2000


@dataclass(frozen=True, slots=True)
class Allowed:
    """Taken at ``at``, which ``give_back`` wants again."""

    at: float


@dataclass(frozen=True, slots=True)
class Refused:
    """``counted`` is what there is too much of. ``retry_after`` are seconds; infinite: so many never go at once."""

    counted: Counted
    retry_after: float

    def reply(self) -> Reply:
        """What the client hears."""
        if math.isinf(self.retry_after):
            return reply(550, "5.7.1", f"more {self.counted} than you may send in {_PERIOD[self.counted]}")
        minutes = max(1, math.ceil(self.retry_after / 60))
        text = f"too many {self.counted} in {_PERIOD[self.counted]}; try again in {minutes} minutes"
        return reply(450, "4.7.1", text)


_PERIOD = {"messages": "an hour", "recipients": "a day"}


class _Usage:
    """One login's windows."""

    __slots__ = ("messages", "recipients")

    def __init__(self) -> None:
        self.messages = Window(HOUR)
        self.recipients = Window(DAY)

    def idle(self, now: float) -> bool:
        """Whether nothing of it counts any more."""
        self.messages.forget(now)
        self.recipients.forget(now)
        return not self.messages.total and not self.recipients.total


class Counters:
    """What all logins have sent. ``limits``, and those of particular ``others``, may be replaced while it counts.

    ``changes`` grows with everything that is worth keeping.
    """

    def __init__(
        self, limits: Limits, max_logins: int = MAX_LOGINS, others: Mapping[str, Limits] | None = None
    ) -> None:
        self.limits = limits
        self.others = others or {}
        self._max_logins = max_logins
        self._usage: OrderedDict[str, _Usage] = OrderedDict()
        self.changes = 0

    def __len__(self) -> int:
        return len(self._usage)

    def take(self, login: str, messages: int, recipients: int, now: float) -> Allowed | Refused:
        """Count both, or neither where one would be over its limit. ``now`` is any clock's, in seconds."""
        usage, limits = self._of(login, now), self.others.get(login, self.limits)
        wanted: tuple[tuple[Counted, Window, int, int], ...] = (
            ("messages", usage.messages, messages, limits.messages_per_hour),
            ("recipients", usage.recipients, recipients, limits.recipients_per_day),
        )
        for counted, window, count, limit in wanted:
            window.forget(now)
            if limit and count and window.total + count > limit:
                return Refused(counted, math.inf if count > limit else window.wait(limit - count, now))
        self.changes += 1
        for _, window, count, _ in wanted:
            window.add(count, now)
        return Allowed(now)

    def give_back(self, login: str, messages: int, recipients: int, at: float) -> None:
        """Undo what was taken ``at`` that time, since it was not sent after all. What is not known any more is no fault."""
        if usage := self._usage.get(folded(login)):
            self.changes += 1
            usage.messages.take_off(messages, at)
            usage.recipients.take_off(recipients, at)

    # --- beyond a process's life

    @property
    def logins(self) -> list[str]:
        """Those that are known, who has been quiet for longest first."""
        return list(self._usage)

    def kept(self, login: str) -> tuple[str, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """What ``restore`` wants; None where there is nothing."""
        usage = self._usage.get(login)
        if usage is None or not (usage.messages.total or usage.recipients.total):
            return None
        return login, usage.messages.counts, usage.recipients.counts

    def restore(
        self,
        login: str,
        messages: Iterable[tuple[int, int]],
        recipients: Iterable[tuple[int, int]],
        *,
        back: float,
        now: float,
    ) -> None:
        """Count what another process has counted, by a clock that was ``back`` seconds ahead of ours."""
        usage = self._of(login, now)
        usage.messages.restore(messages, back, now)
        usage.recipients.restore(recipients, back, now)

    def _of(self, login: str, now: float) -> _Usage:
        login = folded(login)  # not every store, and no XCLIENT, tells a name as it is written there
        usage = self._usage.get(login)
        if usage is not None:
            self._usage.move_to_end(login)
            return usage
        # one comes, up to two go: what no longer counts is gone some time, and nobody ever walks through all
        for _ in range(2):
            if self._usage and next(iter(self._usage.values())).idle(now):
                self._usage.popitem(last=False)
        if len(self._usage) >= self._max_logins:
            self._usage.popitem(last=False)
        usage = self._usage[login] = _Usage()
        return usage
