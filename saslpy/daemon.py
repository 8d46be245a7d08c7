"""The daemon's life: sockets open, privileges dropped, backends opened, ready; serve until told to stop, then drain."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import trio

from .assemble import authenticator, server
from .authenticator import Authenticator
from .observe.log import Bridge, Log
from .preload import preload
from .privileges import Identity, drop, identity, no_core_dumps, raise_file_limit
from .servers.accepting import AcceptLoop
from .servers.sockets import TcpPlace, UnixPlace, listening
from .settings import Settings
from .systemd import notify

FLUSH_EVERY = 0.5
"""Seconds between two tries to write lines that a stalled reader of the log has not taken."""


def run(settings: Settings, log: Log) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ``ListenError``, ``PluginError`` or ``PrivilegeError`` before anything is served.
    """
    who = identity(settings.daemon.user, settings.daemon.group)
    no_core_dumps()
    files = raise_file_limit()
    logging.basicConfig(handlers=[Bridge(log)], level=logging.WARNING, force=True)
    preload(settings.used_backends)
    with ExitStack() as stack:
        sockets = [stack.enter_context(listening(_owned(listen.place, who))) for listen in settings.listen]
        if who is not None:
            drop(who)
        log.info("starting", pid=os.getpid(), uid=os.getuid(), max_files=files)
        try:
            trio.run(_serve, settings, sockets, log)
        finally:
            log.sink.later = None
            log.sink.flush()
        log.info("stopped")


def _owned(place: UnixPlace | TcpPlace, who: Identity | None) -> UnixPlace | TcpPlace:
    """A socket belongs to the user that we become, unless the configuration says otherwise."""
    if who is None or isinstance(place, TcpPlace):
        return place
    return replace(place, owner=place.owner or str(who.uid), group=place.group or str(who.gid))


async def _serve(settings: Settings, sockets: Sequence[socket.socket], log: Log) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with authenticator(settings, log) as door, trio.open_nursery() as nursery:
            log.sink.later = trio.lowlevel.current_trio_token().run_sync_soon
            nursery.start_soon(_flush_regularly, log)
            async with trio.open_nursery() as accepting:
                for listen, sock in zip(settings.listen, sockets, strict=True):
                    front = server(listen, door, log)
                    loop = AcceptLoop(listen.name, sock, front, listen.max_connections, log)
                    accepting.start_soon(loop.run, nursery)
                log.info("ready", listen=" ".join(f"{listen.protocol}:{listen.name}" for listen in settings.listen))
                notify("READY=1")
                await _told_to_stop(signals, log)
                accepting.cancel_scope.cancel()
            await _drain(door, sockets, settings.daemon.drain_seconds, log)
            nursery.cancel_scope.cancel()


async def _told_to_stop(signals: AsyncIterator[int], log: Log) -> None:
    async for number in signals:
        if number == signal.SIGHUP:
            log.warning("reload-ignored", detail="this version takes a new configuration at a restart only")
            continue
        log.info("stopping", signal=signal.Signals(number).name)
        return


async def _drain(door: Authenticator, sockets: Sequence[socket.socket], seconds: float, log: Log) -> None:
    """No new connections; requests under way get their answer, within the time."""
    notify("STOPPING=1")
    for sock in sockets:
        sock.close()
    with trio.move_on_after(seconds) as scope:
        while door.pending:  # noqa: ASYNC110 (once in a process's life, and the door stays simple)
            await trio.sleep(0.01)
    if scope.cancelled_caught:
        log.warning("drain-cut-short", pending=door.pending)


async def _flush_regularly(log: Log) -> None:
    while True:
        await trio.sleep(FLUSH_EVERY)
        log.sink.flush()
