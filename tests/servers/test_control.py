"""The control socket: whatever comes, there is one line in return, and garbage is no fault of ours."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import trio

from saslpy.servers.control import ControlServer

from ..fakes import list_log


async def answer(line: bytes) -> tuple[dict[str, Any], list[str]]:
    """What the server says to some bytes, and to the log."""

    async def status(request: dict[str, Any]) -> dict[str, Any]:
        return {"asked": request["command"]}

    log, lines = list_log()
    server = ControlServer({"status": status}, log)
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, theirs)
            await stream.send_all(line)
            await stream.send_eof()
            said = b""
            with trio.fail_after(5):
                while not said.endswith(b"\n"):
                    more = await stream.receive_some()
                    assert more, "hung up"
                    said += more
            await stream.aclose()
    return json.loads(said), lines


async def test_a_command() -> None:
    assert await answer(b'{"command": "status"}\n') == ({"asked": "status"}, [])


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 60_000,
        b'{"command":' * 5_000,
        b"[]",
        b'{"command": []}',
        b'{"command": 1e400}',
        b"\xff",
        b"",
        b'{"command": ' + b"1" * 5000 + b"}",
    ],
    ids=lambda line: str(line[:16]),
)
async def test_garbage_is_not_understood(line: bytes) -> None:
    said, lines = await answer(line + b"\n")
    assert "no such command" in said["error"]
    assert lines == []
