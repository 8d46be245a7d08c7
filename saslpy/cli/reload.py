"""``saslpy reload``: the running daemon takes the configuration as it is now."""

from __future__ import annotations

import argparse

from .common import Fault, say, settings_or_exit, tell
from .daemon import ask


def run(arguments: argparse.Namespace) -> int:
    """0 when the configuration is in force, 1 when it has faults, 75 when there is no daemon to ask."""
    settings = settings_or_exit(arguments)
    try:
        faults = ask(settings, "reload")["faults"]
    except Fault as fault:
        tell(str(fault))
        return fault.status
    if faults:
        tell(*(f"{arguments.config}: {fault}" for fault in faults), "the configuration from before stays in force")
        return 1
    say("the new configuration is in force")
    return 0
