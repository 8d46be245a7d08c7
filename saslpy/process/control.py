"""The auth process's side of its channel to the supervisor."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import outcome
import trio

from . import wire
from .link import Link
from .outbox import Outbox

MAX_FILES = 253
"""Descriptors in one packet: the kernel takes no more (SCM_MAX_FD, unix(7))."""

MAX_UNSENT = 1024
"""Packets that wait until the supervisor reads; beyond that, it has other troubles."""

TRY_AGAIN = 1.0
"""Seconds until a worker is asked for again when there was no descriptor left for its channel."""

PATIENCE = 5.0
"""Seconds for the supervisor to answer; then it is asked again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A packet of the supervisor's, with the file descriptors that came along.

    ``cut``: not all of them, since this process has too many.
    """

    words: list[Any] = field(repr=False)
    files: list[int]
    cut: bool = False

    def close(self) -> None:
        """Close the files: nobody takes them."""
        for file in self.files:
            os.close(file)


class Control:
    """Asks the supervisor; its ``["adopt"]`` messages come out of ``adoptions``."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._asked = 0
        self._askers: dict[int, trio.lowlevel.Task] = {}
        self._adopt, self.adoptions = trio.open_memory_channel[Message](16)
        self._outbox = Outbox(channel, MAX_UNSENT)

    @classmethod
    @asynccontextmanager
    async def over(cls, channel: socket.socket) -> AsyncIterator[Control]:
        """Listens while the block runs."""
        control = cls(channel)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control._listen)
            nursery.start_soon(control._outbox.run)
            yield control
            nursery.cancel_scope.cancel()

    @classmethod
    @asynccontextmanager
    async def maybe(cls, channel: socket.socket | None) -> AsyncIterator[Control | None]:
        """The same, or None where there is no channel."""
        if channel is None:
            yield None
            return
        async with cls.over(channel) as control:
            yield control

    def ready(self) -> None:
        """Tell that everything answers."""
        self._send(["ready"])

    def adopted(self) -> None:
        """Tell that the new configuration is in force."""
        self._send(["adopted"])

    def refused(self, why: str) -> None:
        """Tell that we cannot go by the new configuration."""
        self._send(["refused", wire.text(why)])

    async def start(self, role: str) -> Link:
        """A worker of a role. Waits for as long as the supervisor says that it must."""
        while True:
            with trio.move_on_after(PATIENCE):
                message = await self._ask("start", role)
                match message.words:
                    case ["started", _, int(pid)]:
                        if not message.cut:
                            return self._link(message, pid)
                        message.close()  # its worker ends when its channel does
                        await trio.sleep(TRY_AGAIN)
                    case [_, _, seconds]:
                        await trio.sleep(seconds)

    def _link(self, message: Message, pid: int) -> Link:
        (file,) = message.files
        return Link(socket.socket(fileno=file), lambda why: self._send(["end", pid, why]), pid)

    async def processes(self) -> list[list[Any]]:
        """All processes of the daemon, each as [role, pid, age in seconds]."""
        return list((await self._ask("processes")).words[2])

    async def reload(self) -> list[str]:
        """Have the configuration read anew; its faults."""
        return list((await self._ask("reload")).words[2])

    async def _ask(self, question: str, *args: str) -> Message:
        self._asked += 1
        number = self._asked
        self._askers[number] = trio.lowlevel.current_task()
        self._send([question, number, *args], keep=question != "start")

        def abort(_raise: object) -> trio.lowlevel.Abort:
            del self._askers[number]
            return trio.lowlevel.Abort.SUCCEEDED

        answer: Message = await trio.lowlevel.wait_task_rescheduled(abort)
        return answer

    def _send(self, words: list[Any], keep: bool = True) -> None:
        """Send, at once if it can be. ``keep``: nobody says it again, so it waits while the supervisor does not read."""
        self._outbox.send(wire.encode(words), keep)

    async def _listen(self) -> None:
        """Until the supervisor is gone, which ends us too."""
        while True:
            await trio.lowlevel.wait_readable(self._channel)
            try:
                packet, files, flags, _ = socket.recv_fds(self._channel, wire.MAX_PACKET, MAX_FILES)
            except BlockingIOError:
                continue
            except ConnectionResetError:  # it has left something of ours unread
                packet = b""
            if not packet:
                raise EOFError("the supervisor has ended")
            for file in files:
                os.set_inheritable(file, False)
            message = Message(wire.decode(packet), files, bool(flags & socket.MSG_CTRUNC))
            match message.words[0]:
                case "adopt":
                    await self._adopt.send(message)
                case "ping":
                    self._send(["pong"], keep=False)
                case _:
                    self._answered(message)

    def _answered(self, message: Message) -> None:
        asker = self._askers.pop(message.words[1], None)
        if asker is not None:
            trio.lowlevel.reschedule(asker, outcome.Value(message))
            return
        message.close()  # nobody waits for it any more; the worker ends when its channel does
