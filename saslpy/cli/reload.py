"""``saslpy reload``: the running daemon takes the configuration as it is now."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from .common import Fault, Unusable, say, settings_or_exit, tell
from .daemon import ask

if TYPE_CHECKING:
    from ..settings import Settings

PATIENCE = 10.0
"""Seconds for a daemon that is starting or reloading to be done with that."""

TRY_AGAIN = 0.25
"""Seconds until it is asked again."""


def run(arguments: argparse.Namespace) -> int:
    """0 when the configuration is in force, 1 when it has faults, 75 when there is no daemon to ask, or it has no time."""
    settings = settings_or_exit(arguments)
    try:
        faults = _faults(settings)
    except Fault as fault:
        tell(str(fault))
        return fault.status
    if faults:
        tell(*(f"{arguments.config}: {fault}" for fault in faults), "the configuration from before stays in force")
        return 1
    say("the new configuration is in force")
    return 0


def _faults(settings: Settings) -> list[str]:
    """The faults that the daemon finds. Raises ``Unusable``."""
    from ..process.plan import BUSY

    end = time.monotonic() + PATIENCE
    while True:
        faults: list[str] = ask(settings, "reload")["faults"]
        if faults != [BUSY]:
            return faults
        if time.monotonic() > end:
            raise Unusable(f"nothing was read: {BUSY}")
        time.sleep(TRY_AGAIN)
