"""The daemon: sockets open, modules loaded, then the supervisor starts the processes that do the work."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from . import assemble
from .config import ConfigError
from .observe.log import Bridge, Log
from .plugins import PluginError
from .preload import preload, preload_servers
from .privileges import Identity, PrivilegeError, identity, no_core_dumps, raise_file_limit
from .process import auth
from .process.handover import packed
from .process.roles import Role
from .process.supervisor import Supervisor
from .servers import control
from .servers.claiming import ListenError
from .servers.sockets import Place, UnixPlace, give, listening
from .settings import Settings, load
from .systemd import close_passed
from .texts import describe


def run(settings: Settings, log: Log) -> int:
    """Serve until SIGTERM or SIGINT; the exit status.

    Raises ``ListenError``, ``PluginError`` or ``PrivilegeError`` before anything is served.
    """
    who = identity(settings.daemon.user, settings.daemon.group)
    no_core_dumps()
    files = raise_file_limit()
    logging.basicConfig(handlers=[Bridge(log)], level=logging.WARNING, force=True)
    with Site(settings, who, log) as site:
        log.info("starting", pid=os.getpid(), uid=who.uid if who else os.getuid(), max_files=files)
        status = Supervisor(site, who, log).run()
    log.info("stopped")
    return status


Opened = dict[Place, tuple[socket.socket, ExitStack]]


@dataclass(frozen=True, slots=True)
class _Next:
    """A configuration that is being tried, what was opened for it, and its roles."""

    settings: Settings
    opened: Opened
    roles: dict[str, Role]


class Site:
    """What the configuration asks of the supervisor: the sockets that are open, the workers that may be started."""

    def __init__(self, settings: Settings, who: Identity | None, log: Log) -> None:
        """Open all sockets. Raises ``ListenError`` and ``PluginError``."""
        self._who = who
        self._log = log
        self._open: Opened = {}
        self._next: _Next | None = None
        self._generation = 0  # of the configuration that was read last
        self._roles: dict[str, Role] = {}
        self._roles_before: dict[str, Role] = {}  # requests that began by the old configuration may want a worker still
        self.settings = self._first = settings
        self._prepare(settings)
        self.commit()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.rollback()
        self.stop_listening()

    def stop_listening(self) -> None:
        """Close all sockets; those that systemd has opened stay open with systemd.

        They are kept as closed ones: a worker that is started meanwhile serves none of them.
        """
        _close(self._open)
        if self._next is not None:
            _close(self._next.opened)

    @property
    def drain_seconds(self) -> float:
        """How long requests under way may take at the end."""
        return self.settings.daemon.drain_seconds

    @property
    def roles(self) -> Mapping[str, Role]:
        """The workers that may be asked for: by the configuration in force, the one before, and the one that is tried."""
        return self._roles_before | self._roles | (self._next.roles if self._next is not None else {})

    def reload(self) -> tuple[int, Sequence[int]]:
        """Read the configuration anew: a file with it for the auth process, and the new sockets. Raises ``ConfigError``.

        ``commit`` or ``rollback`` follows, once the auth process has said whether it can go by it.
        """
        settings = self._read()
        try:
            if identity(settings.daemon.user, settings.daemon.group) != self._who:
                raise ConfigError(["daemon.user: another user needs a restart"])
            opened = self._prepare(settings)
        except (ListenError, PluginError, PrivilegeError) as error:
            raise ConfigError([str(error)]) from None
        sockets = self._new_to_auth(settings, opened)
        try:
            return packed(assemble.for_auth(settings), list(sockets)), [sock.fileno() for sock in sockets.values()]
        except Exception as error:  # a plug-in may be made of what cannot be handed to another process
            self.rollback()
            raise ConfigError([f"this configuration needs a restart: {describe(error)}"]) from None

    def _new_to_auth(self, settings: Settings, opened: Opened) -> dict[Place, socket.socket]:
        """The sockets that the auth process is to serve, and has not got yet."""
        everything = self._open | opened
        has = self._served_by_auth(self.settings) & self._open.keys()
        return {place: everything[place][0] for place in self._served_by_auth(settings) & everything.keys() - has}

    @staticmethod
    def _served_by_auth(settings: Settings) -> set[Place]:
        """All others than those of submission, which have processes of their own."""
        places = {listen.place for listen in settings.listen if not listen.in_workers}
        return places | {control.place(settings.daemon.run_dir)}

    def _read(self) -> Settings:
        """The configuration as it is now, as one of its own generation. Raises ``ConfigError``."""
        path = self.settings.path
        if path.exists() and not path.is_file():
            raise ConfigError([f"{path} is no file"])  # a named pipe would be waited for
        settings = load(path)
        self._generation += 1
        return settings.numbered(self._generation)

    def _prepare(self, settings: Settings) -> Opened:
        """Open what this configuration has more than the one before. When anything fails, nothing has changed."""
        preload(settings.used_backends)
        preload_servers(settings.listen)
        opened: Opened = {}
        with ExitStack() as undo:
            undo.callback(_close, opened)
            for place in (listen.place for listen in settings.listen):
                if place not in self._open:
                    opened[place] = _listen(self._owned(place))
            self._open_control(settings, opened)
            undo.pop_all()
        everything = self._open | opened
        sockets = {listen.place: everything[listen.place][0] for listen in settings.listen if listen.in_workers}
        self._next = _Next(
            settings, opened, assemble.roles(settings) | assemble.submission(settings, sockets, self._log)
        )
        return opened

    def _open_control(self, settings: Settings, opened: Opened) -> None:
        """The socket for ``saslpy status`` and the like; a daemon without one serves as well."""
        place = control.place(settings.daemon.run_dir)
        if place in self._open:
            return
        try:
            opened[place] = _listen(self._owned(place))
        except ListenError as error:
            self._log.warning("no-control-socket", detail=str(error))

    def commit(self) -> None:
        """Go by the configuration that was prepared: what it has less than the one before is closed."""
        if self._next is None:
            return
        self.settings, opened = self._next.settings, self._next.opened
        self._roles_before, self._roles = self._roles, self._next.roles
        self._next = None
        wanted = {listen.place for listen in self.settings.listen} | {control.place(self.settings.daemon.run_dir)}
        gone = {place: self._open.pop(place) for place in self._open.keys() - wanted}
        _close(gone)
        self._open |= opened
        for listen in self.settings.listen:
            place = self._owned(listen.place)
            if isinstance(place, UnixPlace) and place not in opened:
                self._give(place)

    def _give(self, place: UnixPlace) -> None:
        """Who may connect may have changed."""
        try:
            give(place)
        except ListenError as error:
            self._log.error("socket-not-given", detail=str(error))

    def rollback(self) -> None:
        """Forget the configuration that was prepared."""
        if self._next is not None:
            _close(self._next.opened)
            self._next = None

    def _owned(self, place: Place) -> Place:
        """A socket belongs to the user that we become, unless the configuration says otherwise."""
        if self._who is None or not isinstance(place, UnixPlace):
            return place
        return replace(place, owner=place.owner or str(self._who.uid), group=place.group or str(self._who.gid))

    once = False

    def auth(self, channel: socket.socket) -> int:
        """The auth process, from its start to its end."""
        self._keep(served := self._served_by_auth(self.settings))
        sockets = {place: sock for place, (sock, _) in self._open.items() if place in served}
        auth.run(assemble.for_auth(self.settings), sockets, channel, self._log)
        return 0

    def close(self, role: Role) -> None:
        """In a worker: close the listening sockets that are not its own, and let go of the stores' secrets.

        No name leads to these any more; what of them has been in memory is not wiped.
        """
        self._keep(role.serves)
        # cleared, and not dropped: with the last name of what was opened, the sockets' files would go
        for settings in (self._first, self.settings, *([self._next.settings] if self._next is not None else [])):
            settings.backends.clear()
        for roles in (self._roles, self._roles_before, *([self._next.roles] if self._next is not None else [])):
            roles.clear()

    def _keep(self, places: Collection[Place]) -> None:
        """In a child: close all listening sockets but these."""
        close_passed()
        new = {} if self._next is None else self._next.opened
        for place, (sock, _) in [*self._open.items(), *new.items()]:
            if place not in places:
                sock.close()

    @property
    def watched(self) -> Sequence[Path]:
        """The certificates' files."""
        submission = self.settings.submission
        return () if submission is None else [path for _, path in submission.tls.files]


def _listen(place: Place) -> tuple[socket.socket, ExitStack]:
    stack = ExitStack()
    return stack.enter_context(listening(place)), stack


def _close(opened: Opened) -> None:
    """The sockets, and their files."""
    for _, stack in opened.values():
        stack.close()
