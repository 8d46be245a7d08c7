"""A reload, as the supervisor sees it: asked for, handed to the auth process, and in force or forgotten."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Any, TypeAlias

from ..config import ConfigError
from ..observe.log import Log
from ..systemd import notify
from .plan import BUSY, Plan

PATIENCE = 30.0
"""Seconds for the auth process to say whether it goes by a configuration. It gives up before (``auth.ADOPTING``)."""

MOST_FAULTS, LONGEST_FAULT = 50, 500
"""How many faults are told, and how many characters of each: all of them fit into a packet."""

SIGNAL = 0
"""Stands for the number of a question where a signal has asked."""

Tell: TypeAlias = Callable[[Any, Sequence[int]], str]
"""Sends a message with files to the auth process; why it has not gone, empty when it has."""


class Reloading:
    """At most one reload at a time."""

    def __init__(self, plan: Plan, log: Log, tell: Tell) -> None:
        self._plan = plan
        self._log = log
        self._tell = tell
        self._asker: int | None = None
        self._until = inf
        self._again = False

    @property
    def under_way(self) -> bool:
        """Whether the auth process has a configuration to say something about."""
        return self._asker is not None

    @property
    def until(self) -> float:
        """When it must have said so (``monotonic``)."""
        return self._until

    def ask(self, number: int, able: bool) -> None:
        """Take the configuration as it is now; ``number`` is the question that its faults answer.

        When it cannot be begun, or the auth process is not ``able`` to, a signal counts later, and a question is sent away.
        """
        if not able or self.under_way:
            if number == SIGNAL:
                self._again = True
            else:
                self._tell(["reload", number, [BUSY]], ())
            return
        self._asker = number
        notify(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic() * 1e6)}")
        faults = self._begin()
        self._until = monotonic() + PATIENCE
        if faults:
            self.done(faults)

    def take_again(self) -> bool:
        """Whether a signal has asked for one meanwhile."""
        again, self._again = self._again, False
        return again

    def _begin(self) -> Sequence[str]:
        """Hand the configuration over; its faults."""
        try:
            file, sockets = self._plan.reload()
        except ConfigError as error:
            return error.faults
        except (Exception, SystemExit) as error:  # nothing that stands in a file, or in a plug-in, may end us
            self._log.fault(error, during="reload")
            return [f"cannot be read: {type(error).__name__}"]
        try:
            why = self._tell(["adopt"], [file, *sockets])
        finally:
            os.close(file)
        return [f"it cannot be handed to the auth process: {why}"] if why else []

    def done(self, faults: Sequence[str]) -> None:
        """The auth process goes by the new configuration; or there are faults, and everything stays as it was."""
        if self._asker is None:
            return
        number, self._asker, self._until = self._asker, None, inf
        told = _told(faults)
        if faults:
            self._plan.rollback()
            for fault in (*told, "the configuration from before stays in force"):
                self._log.error("reload-failed", detail=fault)
        else:
            self._plan.commit()
        notify("READY=1")
        if number != SIGNAL:
            self._tell(["reload", number, told], ())


def _told(faults: Sequence[str]) -> list[str]:
    """The first of them, each cut to a sensible length."""
    told = [fault if len(fault) <= LONGEST_FAULT else f"{fault[:LONGEST_FAULT]}..." for fault in faults[:MOST_FAULTS]]
    more = len(faults) - len(told)
    return [*told, f"and {more} more faults"] if more else told
