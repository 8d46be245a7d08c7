"""The auth process: it answers every socket, and holds the way to every user store."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from .. import assemble
from ..authenticator import Authenticator, Rules
from ..observe.log import Log
from ..servers.accepting import AcceptLoop
from ..servers.sockets import Place
from ..settings import Settings
from .control import Control, Message

FLUSH_EVERY = 0.5
"""Seconds between two tries to write lines that a stalled reader of the log has not taken."""

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
            log.sink.later = trio.lowlevel.current_trio_token().run_sync_soon
            nursery.start_soon(_flush_regularly, log)
            auth = Auth(control, nursery, log)
            await auth.adopt(settings, sockets)
            log.info("ready", listen=" ".join(f"{listen.protocol}:{listen.name}" for listen in settings.listen))
            control.ready()
            nursery.start_soon(auth.reload_when_told)
            await anext(aiter(signals))
            await auth.drain()
            nursery.cancel_scope.cancel()


@dataclass(slots=True)
class _Front:
    """A listener at work."""

    socket: socket.socket
    loop: AcceptLoop[Any]
    accepting: trio.CancelScope

    def close(self) -> None:
        """No new connections; those that are open go on."""
        self.accepting.cancel()
        self.socket.close()


class Auth:
    """What serves at this moment. ``adopt`` changes it, and drops no connection."""

    def __init__(self, control: Control, nursery: trio.Nursery, log: Log) -> None:
        self._control = control
        self._nursery = nursery
        self._log = log
        self._settings: Settings | None = None
        self._door: Authenticator | None = None
        self._fronts: dict[Place, _Front] = {}
        self._rules: list[Rules] = []
        self._retire: trio.Event | None = None

    async def adopt(self, settings: Settings, sockets: Sockets) -> None:
        """Go by this configuration from now on. ``sockets`` are those that are not open yet.

        What is under way ends by the old one. Whatever opening a backend raises is raised, and changes nothing.
        """
        rules, retire = await self._nursery.start(self._keep, settings)
        if self._door is None:
            self._door = Authenticator(rules, self._log)
        else:
            self._door.rules = rules
        if self._retire is not None:
            self._retire.set()
        self._retire, self._settings = retire, settings
        self._listen(settings, sockets, self._door)

    async def _keep(self, settings: Settings, task_status: trio.TaskStatus[tuple[Rules, trio.Event]]) -> None:
        """Hold the backends of a configuration open until it is replaced, and the last request that it began is done."""
        retire = trio.Event()
        async with assemble.rules(settings, self._log, self._control) as rules:
            self._rules.append(rules)
            task_status.started((rules, retire))
            await retire.wait()
            while rules.pending:  # noqa: ASYNC110 (at a reload only, within the deadline of a request)
                await trio.sleep(0.02)
            self._rules.remove(rules)

    def _listen(self, settings: Settings, sockets: Sockets, door: Authenticator) -> None:
        wanted = {listen.place: listen for listen in settings.listen}
        for place in self._fronts.keys() - wanted.keys():
            self._fronts.pop(place).close()
        for place, listen in wanted.items():
            server = assemble.server(listen, door, self._log)
            if place in self._fronts:
                self._fronts[place].loop.change(server, listen.max_connections)
                continue
            loop = AcceptLoop(listen.name, sockets[place], server, listen.max_connections, self._log)
            front = self._fronts[place] = _Front(sockets[place], loop, trio.CancelScope())
            self._nursery.start_soon(self._accept, front)

    async def _accept(self, front: _Front) -> None:
        with front.accepting:
            await front.loop.run(self._nursery)

    async def reload_when_told(self) -> None:
        """Take every new configuration that the supervisor sends."""
        async for message in self._control.reloads:
            await self._reload(message)

    async def _reload(self, message: Message) -> None:
        settings, sockets = unpacked(message)
        try:
            await self.adopt(settings, sockets)
        except Exception as error:
            self._log.fault(error, during="reload")
            self._log.error("reload-failed", detail="the configuration from before stays in force")
        else:
            self._log.info(
                "reloaded", listen=" ".join(f"{listen.protocol}:{listen.name}" for listen in settings.listen)
            )
        self._control.ready()

    async def drain(self) -> None:
        """No new connections; requests under way get their answer, within the time."""
        for front in self._fronts.values():
            front.close()
        assert self._settings is not None
        with trio.move_on_after(self._settings.daemon.drain_seconds) as scope:
            while self._pending:  # noqa: ASYNC110 (once in a process's life)
                await trio.sleep(0.01)
        if scope.cancelled_caught:
            self._log.warning("drain-cut-short", pending=self._pending)

    @property
    def _pending(self) -> int:
        return sum(rules.pending for rules in self._rules)


def packed(settings: Settings, places: list[Place]) -> int:
    """A file with a configuration, which may be larger than a packet, and the places of the sockets that come with it."""
    file = os.memfd_create("saslpy-settings", os.MFD_CLOEXEC)
    with open(file, "wb", closefd=False) as stream:
        pickle.dump((settings, places), stream)
    return file


def unpacked(message: Message) -> tuple[Settings, dict[Place, socket.socket]]:
    """What ``packed`` made, with the sockets. It comes from the supervisor, which is trusted with everything."""
    file, *sockets = message.files
    with open(file, "rb") as stream:  # noqa: PTH123
        stream.seek(0)
        settings, places = pickle.load(stream)  # noqa: S301
    return settings, {place: socket.socket(fileno=number) for place, number in zip(places, sockets, strict=True)}


async def _flush_regularly(log: Log) -> None:
    while True:
        await trio.sleep(FLUSH_EVERY)
        log.sink.flush()
