"""``saslpy serve``."""

from __future__ import annotations

import argparse

from ..observe.log import Log
from ..observe.sink import Sink
from ..systemd import is_journal
from .common import settings_or_exit, tell


def run(arguments: argparse.Namespace) -> int:
    """The daemon, until it is told to stop."""
    settings = settings_or_exit(arguments)
    log = Log(Sink(2), settings.daemon.log_format, settings.daemon.log_level, journal=is_journal(2))

    from ..daemon import run as run_daemon
    from ..plugins import PluginError
    from ..privileges import PrivilegeError
    from ..servers.claiming import ListenError

    try:
        return run_daemon(settings, log)
    except (ListenError, PluginError, PrivilegeError) as error:
        if settings.daemon.log_format == "json":
            log.error("cannot-start", detail=str(error))
        else:
            tell(str(error))
        return 1
