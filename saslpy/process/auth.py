"""The auth process: it answers every socket, and holds the way to every user store."""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from .. import assemble
from ..authenticator import Authenticator, Rules
from ..observe.log import Log
from ..plugins import PluginError
from ..servers.accepting import AcceptLoop, Server
from ..servers.control import ControlServer
from ..servers.control import place as place_of_control
from ..servers.dovecot_site import DovecotSite
from ..servers.sockets import Place
from ..settings import Listen, Settings
from ..texts import describe, first_of
from .control import Control, Message
from .handover import NotHandedOver, unpacked
from .soon import Soon
from .status import status

if TYPE_CHECKING:
    from .submissions import Crew, Submissions

MAX_CONTROL = 16
"""Connections to the control socket at a time."""

KEPT_FILES = 256
"""Open files that connections leave for the rest: the channels of workers, what backends connect to."""

ADOPTING = 20.0
"""Seconds for all backends of a new configuration to open; less than the supervisor waits (``reloading.PATIENCE``)."""

FLUSH_EVERY = 0.5
"""Seconds between two tries to write lines that a stalled reader of the log has not taken."""

LEAVING = 0.5
"""Seconds beyond ``drain_seconds`` for submission workers, which have those for what they have under way, to end."""

Sockets = Mapping[Place, socket.socket]


def run(settings: Settings, sockets: Sockets, channel: socket.socket, log: Log) -> None:
    """Serve until SIGTERM, then drain."""
    try:
        trio.run(_serve, settings, sockets, channel, log)
    finally:
        log.sink.later = None
        log.sink.flush()


async def _serve(settings: Settings, sockets: Sockets, channel: socket.socket, log: Log) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with Control.over(channel) as control, trio.open_nursery() as nursery:
            soon = Soon()
            nursery.start_soon(soon.run)
            log.sink.later = soon
            nursery.start_soon(_flush_regularly, log)
            auth = Auth(control, nursery, log)
            await auth.adopt(settings, sockets)
            control.ready()  # whoever reads the line may rely on being started again
            log.info("ready", listen=_listed(settings))
            nursery.start_soon(auth.reload_when_told)
            await anext(aiter(signals))
            await auth.drain()
            nursery.cancel_scope.cancel()


@dataclass(slots=True)
class _Front:
    """A listener at work."""

    protocol: str
    socket: socket.socket
    loop: AcceptLoop[Any]
    accepting: trio.CancelScope

    def close(self) -> None:
        """No new connections; those that are open go on."""
        self.accepting.cancel()
        self.socket.close()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A listener that the configuration asks for."""

    protocol: str
    name: str
    server: Server[Any]
    most: int  # connections


class Auth:
    """What serves at this moment. ``adopt`` changes it, and drops no connection."""

    def __init__(self, control: Control, nursery: trio.Nursery, log: Log) -> None:
        self._control = control
        self._nursery = nursery
        self._log = log
        self._settings: Settings | None = None
        self._door: Authenticator | None = None
        self._dovecot = DovecotSite()
        self._fronts: dict[Place, _Front] = {}
        self._rules: list[Rules] = []
        self._retire: trio.Event | None = None
        self._submissions: Submissions | None = None

    async def adopt(self, settings: Settings, sockets: Sockets) -> None:
        """Go by this configuration from now on. ``sockets`` are those that are not open yet.

        What is under way ends by the old one. Whatever opening a backend raises is raised, and changes nothing.
        """
        rules, retire = await self._nursery.start(self._keep, settings)
        try:
            door = self._door or Authenticator(rules, self._log)
            crew = await self._prepare_workers(settings, door)
        except BaseException:
            retire.set()
            raise
        self._door, door.rules = door, rules
        if self._retire is not None:
            self._retire.set()
        self._retire, self._settings = retire, settings
        self._listen(settings, sockets, door)
        if self._submissions is not None:
            self._submissions.commit(crew, settings)

    async def _prepare_workers(self, settings: Settings, door: Authenticator) -> Crew | None:
        """The submission workers of a configuration, if it wants any. They begin with ``commit``."""
        if self._submissions is None and any(listen.in_workers for listen in settings.listen):
            from .submissions import Submissions  # noqa: PLC0415 (for those who want it)

            state = settings.daemon.state_dir
            self._submissions = Submissions(self._control, self._nursery, door, state, self._log)
            await self._submissions.begin()
        must = self._settings is not None
        return None if self._submissions is None else await self._submissions.prepare(settings, must)

    async def _keep(self, settings: Settings, task_status: trio.TaskStatus[tuple[Rules, trio.Event]]) -> None:
        """Hold the backends of a configuration open until it is replaced, and the last request that it began is done."""
        retire = trio.Event()
        unused = False
        try:
            async with assemble.rules(settings, self._log, self._control) as rules:
                self._rules.append(rules)
                task_status.started((rules, retire))
                await retire.wait()
                await _until_unused(rules)
                self._rules.remove(rules)
                unused = True
        except Exception as error:
            if not unused:
                raise  # what serves is broken, or cannot even be opened
            self._log.fault(error, during="close")

    def _listen(self, settings: Settings, sockets: Sockets, door: Authenticator) -> None:
        wanted: dict[Place, _Wanted] = {
            listen.place: _Wanted(
                listen.protocol,
                listen.name,
                assemble.server(listen, door, self._log, settings, self._dovecot),
                self._most(listen),
            )
            for listen in settings.listen
            if not listen.in_workers
        }
        own = place_of_control(settings.daemon.run_dir)
        if own in sockets or own in self._fronts:
            commands = {"status": self._status, "reload": self._asked_to_reload}
            wanted[own] = _Wanted("control", str(own.path), ControlServer(commands, self._log), MAX_CONTROL)
        for place_gone in self._fronts.keys() - wanted.keys():
            gone = self._fronts.pop(place_gone)
            gone.close()
            gone.loop.retire()
        for place, want in wanted.items():
            if place in self._fronts:
                self._fronts[place].loop.change(want.server, want.most)
                continue
            loop = AcceptLoop(want.name, sockets[place], want.server, want.most, self._log)
            front = self._fronts[place] = _Front(want.protocol, sockets[place], loop, trio.CancelScope())
            self._nursery.start_soon(self._accept, front)

    def _most(self, listen: Listen) -> int:
        """Connections that a listener takes at a time. Without files for our workers' channels nothing is answered."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(files // 2, files - KEPT_FILES)
        if files == resource.RLIM_INFINITY or listen.max_connections <= most:
            return listen.max_connections
        self._log.warning("few-files", listen=listen.name, max_files=files, max_connections=most)
        return most

    async def _accept(self, front: _Front) -> None:
        with front.accepting:
            await front.loop.run(self._nursery)

    async def reload_when_told(self) -> None:
        """Take every new configuration that the supervisor sends."""
        async for message in self._control.adoptions:
            await self._reload(message)

    async def _reload(self, message: Message) -> None:
        sockets: Sockets = {}
        try:
            with trio.fail_after(ADOPTING):
                settings, sockets = await trio.to_thread.run_sync(unpacked, message)
                await self.adopt(settings, sockets)
        except Exception as error:
            for sock in sockets.values():
                sock.close()
            late = isinstance(error, trio.TooSlowError)
            self._control.refused(f"its backends were not open in {ADOPTING:g} s" if late else cause(error))
        else:
            self._log.info("reloaded", listen=_listed(settings))
            self._control.adopted()

    async def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        assert self._door is not None
        assert self._settings is not None
        loops = [(front.protocol, front.loop) for front in self._fronts.values()]
        workers = await self._submissions.status() if self._submissions is not None else []
        in_workers = [listen for listen in self._settings.listen if listen.in_workers]
        return status(self._door, loops, await self._control.processes(), workers, in_workers)

    async def _asked_to_reload(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"faults": await self._control.reload()}

    async def drain(self) -> None:
        """No new connections; requests under way get their answer, within the time."""
        for front in self._fronts.values():
            front.close()
        assert self._settings is not None
        seconds = self._settings.daemon.drain_seconds
        if self._submissions is not None:
            self._submissions.drain(seconds)
        with trio.move_on_after(seconds + (self._submissions is not None) * LEAVING) as scope:
            while self._pending:  # noqa: ASYNC110 (once in a process's life)
                await trio.sleep(0.01)
            await self._finish_upgrades()
        if self._submissions is not None:
            await self._submissions.finish()
        if scope.cancelled_caught and self._pending:
            self._log.warning("drain-cut-short", pending=self._pending)

    async def _finish_upgrades(self) -> None:
        """What the last logins have left to be hashed anew; whatever has no time is done at the next login."""
        for rules in list(self._rules):
            if rules.upgrades is not None:
                await rules.upgrades.finished()

    @property
    def _pending(self) -> int:
        """Requests that are under way, and processes that may begin some still."""
        workers = self._submissions.alive if self._submissions is not None else 0
        return workers + sum(rules.under_way for rules in self._rules)


def _listed(settings: Settings) -> str:
    return " ".join(f"{listen.protocol}:{listen.name}" for listen in settings.listen)


def cause(error: BaseException) -> str:
    """What went wrong, in words: our own errors say it themselves, of others the type and the message are shown."""
    error = first_of(error)
    return str(error) if isinstance(error, PluginError | NotHandedOver) else describe(error)


async def _until_unused(rules: Rules) -> None:
    """Requests under way end within their deadline, upgrades are dropped after some seconds."""
    while rules.under_way:  # noqa: ASYNC110 (at a reload only)
        await trio.sleep(0.02)
    if rules.upgrades is not None:
        await rules.upgrades.finished()


async def _flush_regularly(log: Log) -> None:
    while True:
        await trio.sleep(FLUSH_EVERY)
        log.sink.flush()
