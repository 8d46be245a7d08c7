"""The daemon: sockets open, modules loaded, then the supervisor starts the processes that do the work."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from . import assemble
from .config import ConfigError
from .observe.log import Bridge, Log
from .plugins import PluginError
from .preload import preload
from .privileges import Identity, PrivilegeError, identity, no_core_dumps, raise_file_limit
from .process import auth
from .process.roles import Role
from .process.supervisor import Supervisor
from .servers.sockets import ListenError, Place, TcpPlace, listening
from .settings import Settings, load


def run(settings: Settings, log: Log) -> int:
    """Serve until SIGTERM or SIGINT; the exit status.

    Raises ``ListenError``, ``PluginError`` or ``PrivilegeError`` before anything is served.
    """
    who = identity(settings.daemon.user, settings.daemon.group)
    no_core_dumps()
    files = raise_file_limit()
    logging.basicConfig(handlers=[Bridge(log)], level=logging.WARNING, force=True)
    with Site(who, log) as site:
        site.adopt(settings)
        log.info("starting", pid=os.getpid(), uid=who.uid if who else os.getuid(), max_files=files)
        status = Supervisor(site, who, log).run()
    log.info("stopped")
    return status


class Site:
    """What the configuration asks of the supervisor: the sockets that are open, the workers that may be started."""

    def __init__(self, who: Identity | None, log: Log) -> None:
        self._who = who
        self._log = log
        self._open: dict[Place, tuple[socket.socket, ExitStack]] = {}
        self.settings: Settings
        self.roles: Mapping[str, Role] = {}

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for _sock, stack in self._open.values():
            stack.close()

    @property
    def drain_seconds(self) -> float:
        """How long requests under way may take at the end."""
        return self.settings.daemon.drain_seconds

    def adopt(self, settings: Settings) -> dict[Place, socket.socket]:
        """Open what this configuration has more than the one before, close what it has less; the new sockets.

        When anything fails, nothing has changed.
        """
        preload(settings.used_backends)
        wanted = [listen.place for listen in settings.listen]
        with ExitStack() as undo:
            opened = {}
            for place in wanted:
                if place not in self._open:
                    stack = undo.enter_context(ExitStack())
                    opened[place] = (stack.enter_context(listening(self._owned(place))), stack)
            undo.pop_all()
        for place in self._open.keys() - set(wanted):
            self._open.pop(place)[1].close()
        self._open |= opened
        self.settings, self.roles = settings, assemble.roles(settings)
        return {place: sock for place, (sock, _stack) in opened.items()}

    def _owned(self, place: Place) -> Place:
        """A socket belongs to the user that we become, unless the configuration says otherwise."""
        if self._who is None or isinstance(place, TcpPlace):
            return place
        return replace(place, owner=place.owner or str(self._who.uid), group=place.group or str(self._who.gid))

    def auth(self, channel: socket.socket) -> None:
        """The auth process, from its start to its end."""
        auth.run(self.settings, {place: sock for place, (sock, _stack) in self._open.items()}, channel, self._log)

    def close(self) -> None:
        """Close the listening sockets, in a worker."""
        for sock, _stack in self._open.values():
            sock.close()

    def reload(self) -> tuple[int, Sequence[int]]:
        """Read the configuration anew: a file with it for the auth process, and the new sockets. Raises ``ConfigError``."""
        settings = load(self.settings.path)
        try:
            if identity(settings.daemon.user, settings.daemon.group) != self._who:
                raise ConfigError(["daemon.user: another user needs a restart"])
            opened = self.adopt(settings)
        except (ListenError, PluginError, PrivilegeError) as error:
            raise ConfigError([str(error)]) from None
        return auth.packed(settings, list(opened)), [sock.fileno() for sock in opened.values()]
