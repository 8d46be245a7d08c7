"""The control socket: the daemon's own commands ask here. One line of JSON each way, then the connection ends.

``{"command": "status"}`` is answered by an object. What cannot be done is answered by ``{"error": "…"}``. Who may
connect is said by the socket's mode alone: 0600, for root and the daemon's user.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import trio

from ..observe.log import Log
from .peers import linger
from .sockets import UnixPlace


def place(run_dir: Path) -> UnixPlace:
    """Where the control socket of a daemon stands."""
    return UnixPlace(run_dir / "control", 0o600)


MAX_REQUEST = 65_536
PATIENCE = 30.0
"""Seconds for a whole exchange; a reload opens backends."""

Command: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Answers the commands in a table."""

    def __init__(self, commands: Mapping[str, Command], log: Log) -> None:
        self._commands = commands
        self._log = log

    def begin(self, connection: socket.socket) -> socket.socket:
        """Nothing can be done at once."""
        return connection

    async def serve(self, connection: socket.socket) -> None:
        """One request and its answer."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection.dup()))
        async with stream:
            with trio.move_on_after(PATIENCE):
                try:
                    answer = await self._answer(await _line(stream))
                    await stream.send_all(json.dumps(answer).encode() + b"\n")
                    await linger(connection)
                except trio.BrokenResourceError:
                    return

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"error": "no such command; this daemon may be older than the command line"}
        try:
            return await command(request)
        except Exception as error:
            self._log.fault(error, during="control")
            return {"error": f"the command failed: {type(error).__name__}; the daemon's log has more"}


async def _line(stream: trio.SocketStream) -> bytes:
    data = b""
    while b"\n" not in data and len(data) < MAX_REQUEST:
        more = await stream.receive_some()
        if not more:
            break
        data += more
    return data.partition(b"\n")[0]
