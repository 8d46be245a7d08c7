"""A TCP proxy that keeps every answer for a while: what is behind it is slow, and not wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import trio

HOST = "127.0.0.1"


class Proxy:
    """``with Proxy(port) as proxy:``; whoever connects to ``HOST:proxy.port`` talks to ``HOST:port``.

    ``delay``: seconds from the moment when bytes of an answer come to the moment when they are handed on.
    """

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self.port = 0
        self._target = target
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken
        self._scope: trio.CancelScope
        self._scopes: set[trio.CancelScope] = set()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def start(self) -> None:
        """Listen; on the same port as before, if it was started before."""
        ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve, ready), daemon=True)
        self._thread.start()
        assert ready.wait(10), "the proxy does not start"

    def stop(self) -> None:
        """Drop all connections, and refuse new ones."""
        if self._thread is not None:
            trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
            self._thread.join()
            self._thread = None

    def drop(self) -> None:
        """End all connections; new ones are welcome."""

        def cancel() -> None:
            for scope in self._scopes:
                scope.cancel()

        trio.from_thread.run_sync(cancel, trio_token=self._token)

    @contextmanager
    def slow(self, delay: float) -> Iterator[None]:
        """Answers are late while the block runs. Connections are dropped first, so that a new one takes its time too."""
        self.drop()
        self.delay = delay
        try:
            yield
        finally:
            self.delay = 0.0

    async def _serve(self, ready: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as self._scope:
            (listener,) = await trio.open_tcp_listeners(self.port, host=HOST)
            self.port = listener.socket.getsockname()[1]
            ready.set()
            await trio.serve_listeners(self._connect, [listener])

    async def _connect(self, client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream(HOST, self._target)
        except OSError:
            return
        async with server, trio.open_nursery() as nursery:
            self._scopes.add(nursery.cancel_scope)
            try:
                nursery.start_soon(_pass_on, client, server)
                await self._pass_on_late(server, client)
            finally:
                self._scopes.discard(nursery.cancel_scope)
            nursery.cancel_scope.cancel()

    async def _pass_on_late(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        """Every piece ``delay`` after it has come, however many come at a time; until the source ends."""
        pieces, late = trio.open_memory_channel[tuple[float, bytes]](10_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_deliver, late, sink)
            with pieces:
                try:
                    async for data in source:
                        pieces.send_nowait((trio.current_time() + self.delay, bytes(data)))
                except trio.BrokenResourceError:
                    return


async def _deliver(late: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream) -> None:
    async for due, data in late:
        await trio.sleep_until(due)
        try:
            await sink.send_all(data)
        except trio.BrokenResourceError:
            return


async def _pass_on(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except trio.BrokenResourceError:
        return
