"""Servers over real sockets, in this process: asked, and read to the end."""

from __future__ import annotations

from pathlib import Path

import trio


class Front:
    """A running server and what it has logged."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path, self.lines = path, lines

    async def connect(self) -> trio.SocketStream:
        return await trio.open_unix_socket(str(self.path))

    async def say(self, *pieces: bytes, end: bool = False) -> bytes:
        """Send pieces one by one, read to the end."""
        async with await self.connect() as stream:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(0)
            if end:
                await stream.send_eof()
            return await read_all(stream)


async def read_all(stream: trio.SocketStream) -> bytes:
    data = b""
    with trio.fail_after(10):
        while more := await stream.receive_some():
            data += more
    return data
