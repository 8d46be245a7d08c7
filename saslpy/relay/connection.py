"""A connection to a host of a next hop: what the client's generators want is sent and read, each wait with a deadline."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import trio

from ..protocols.smtp.client import Client
from ..protocols.smtp.replies import Reply
from ..protocols.smtp.steps import Step, Steps, Unusable
from .outcome import LOST, SILENT
from .places import Server

READ = 65_536
SEND = 32_768
"""Octets. Fewer of a message's content wait for more, or for its end."""

LAST_WORDS = 1.0
"""Seconds to wait for the reason where a hop has closed the connection in the middle of a message."""

FAREWELL = 2.0
"""Seconds in which a connection that is not needed any more says QUIT."""

Stream: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"
Encrypt: TypeAlias = Callable[[Stream], Awaitable[Stream]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End(Generic[T]):
    """What a generator has returned."""

    value: T


def _advance(steps: Steps[T], reply: Reply | None) -> Step | _End[T]:
    """The next step. None is for its beginning, and behind a handshake."""
    try:
        return next(steps) if reply is None else steps.send(reply)
    except StopIteration as end:
        return _End(end.value)


class Connection:
    """``timeout``: seconds for every reply, and for what is sent to be taken; ``final``: for those to the whole content.

    After anything that ``run`` raises, the connection is good for nothing but ``kill``.
    """

    def __init__(self, server: Server, stream: trio.SocketStream, client: Client, timeout: float, final: float) -> None:
        self.server = server
        self.client = client
        self.messages = 0
        self.since = self.idle_since = trio.current_time()
        self._stream: Stream = stream
        self._socket = stream.socket
        self._plain: int | None = stream.socket.fileno()  # None with TLS
        self._timeout = timeout
        self._final = final

    async def run(self, steps: Steps[T]) -> T:
        """What the generator returns. Raises what it raises, and ``Unusable``."""
        return await self._run(steps, None)

    async def open(self, steps: Steps[T], encrypt: Encrypt) -> T:
        """The same, where TLS may have to be begun."""
        return await self._run(steps, encrypt)

    async def encrypt(self, encrypt: Encrypt) -> None:
        """From here on all is TLS. Raises ``Unusable``."""
        self._stream = await self._within(encrypt(self._stream), "does not shake hands")
        self._plain = None

    async def _run(self, steps: Steps[T], encrypt: Encrypt | None) -> T:
        try:
            step = _advance(steps, None)
            while isinstance(step, Step):
                step = await self._take(step, steps, encrypt)
        finally:
            steps.close()
        if self.client.to_send >= SEND:
            await self.flush()
        return step.value

    async def _take(self, step: Step, steps: Steps[T], encrypt: Encrypt | None) -> Step | _End[T]:
        if step is Step.HANDSHAKE:
            assert encrypt is not None
            await self.flush()
            await self.encrypt(encrypt)
            return _advance(steps, None)
        reply = await self._answer(step)
        if reply.code == 334:  # who is asked for SCRAM's proof must compute for as long as the server likes
            return await trio.to_thread.run_sync(_advance, steps, reply)
        return _advance(steps, reply)

    async def _answer(self, step: Step) -> Reply:
        """The next reply. The longer time is for what the hop does when it has all, not for taking it in."""
        if step is not Step.VERDICT:
            return await self._within(self._reply(), "does not answer")
        await self.flush()
        return await self._within(self._reply(), "does not answer", self._final)

    async def flush(self) -> None:
        """What waits to be sent. Raises ``Unusable``."""
        await self._within(self._flush(), "takes nothing in")

    async def _flush(self) -> None:
        data = self.client.data_to_send()
        if data and self._plain is not None:
            data = data[_written(self._plain, data) :]
        if data:
            await self._stream.send_all(data)

    async def _reply(self) -> Reply:
        """The next one, to what is to be sent first: one deadline for both, since each costs as much as a message."""
        await self._flush()
        while (reply := self.client.next_reply()) is None:
            await self._receive()
        return reply

    async def _receive(self) -> None:
        if self._plain is None:
            data = await self._stream.receive_some(READ)
        else:
            await trio.lowlevel.wait_readable(self._plain)
            data = _read(self._plain)
        if not data:
            raise Unusable(LOST, "has closed the connection")
        self.client.receive(bytes(data))

    async def _within(self, wait: Awaitable[T], what: str, seconds: float | None = None) -> T:
        """What comes of it before the deadline. Raises ``Unusable``."""
        seconds = self._timeout if seconds is None else seconds
        try:
            # trio.fail_after, which does the same, is a good part of what a message costs
            with trio.CancelScope(deadline=trio.current_time() + seconds):
                return await wait
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unusable(LOST, f"has closed the connection: {cause(error)}") from None
        raise Unusable(SILENT, f"{what} within {seconds:g} s")

    async def catch_up(self) -> None:
        """Take in what has come unasked, without waiting for it. Raises ``Unusable`` where it has ended."""
        if not self.quiet():
            # over TLS it may be something that is no data, and there is nothing to wait for
            with trio.move_on_after(0.01):
                await self._within(self._receive(), "")

    async def last_words(self) -> Reply | None:
        """What a hop has said unasked, and whether it was a refusal: why it does not take any more of a message."""
        with trio.move_on_after(LAST_WORDS):
            try:
                while (reply := self.client.unasked()) is None:
                    await self._within(self._receive(), "")
            except Unusable:
                return None
            return None if reply.positive else reply
        return None

    @property
    def tls_version(self) -> str:
        """Such as "TLSv1.3"; empty without TLS."""
        return (self._stream.version() or "") if isinstance(self._stream, trio.SSLStream) else ""

    def quiet(self) -> bool:
        """Whether nothing has come in, and no end."""
        poll = select.poll()
        try:
            poll.register(self._socket.fileno(), select.POLLIN)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False

    async def quit(self) -> None:
        """Close it, politely."""
        with trio.move_on_after(FAREWELL) as scope:
            scope.shield = True
            try:
                self.client.say("QUIT")
                await self._within(self._flush(), "")
                await self._stream.aclose()
            except Unusable:
                pass
        await self.kill()

    async def kill(self) -> None:
        """Close it at once. What it was in the middle of is void."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)


def _written(descriptor: int, data: bytes) -> int:
    """How many bytes a socket has taken at once; trio's streams do the same, with more ado."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise trio.BrokenResourceError from error


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ)
    except OSError as error:
        raise trio.BrokenResourceError from error


def cause(error: BaseException) -> str:
    """What the system or OpenSSL has said, beneath what trio has made of it."""
    while inner := error.__cause__ or (isinstance(error, BaseExceptionGroup) and error.exceptions[0]) or None:
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'ended'}"
    if isinstance(error, socket.gaierror):  # its numbers are not the system's
        return f"its name cannot be looked up: {error.strerror}"
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else type(error).__name__
    return type(error).__name__
