"""Next hops for tests: Postfix's smtp-sink, and one in this process that does what it is told, right or wrong."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trio

from . import need
from .postfix import free_port


class SmtpSink:
    """``with SmtpSink("-p") as sink:``; takes everything on ``127.0.0.1:sink.port``. Options as in smtp-sink(1).

    ``dump``: a folder, into which each message is written as a file.
    """

    def __init__(self, *options: str, dump: Path | None = None, backlog: int = 100) -> None:
        self.port = free_port()
        self._options = [*options, *(["-d", f"{dump}/"] if dump else [])]
        self._backlog = backlog
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, wait for its greeting."""
        program = need("smtp-sink", package="postfix")
        self._process = subprocess.Popen(
            [program, "-u", "postfix", *self._options, f"127.0.0.1:{self.port}", str(self._backlog)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait(self, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                if sock.recv(200):
                    return
            assert self._process is not None
            assert self._process.poll() is None, "smtp-sink ended"
            assert time.monotonic() < deadline, "smtp-sink does not answer"
            time.sleep(0.02)


# --- the scripted one

DROP, HANG = b"(drop)", b"(hang)"
"""Instead of an answer: close the connection; say nothing any more."""

EXTENSIONS = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")

Answers = Mapping[str, bytes | Sequence[bytes]]
Authenticate = Callable[[str, Callable[[bytes], Awaitable[bytes]]], Awaitable[bytes]]
"""From AUTH's argument, and a function that says a line and gives the next, to the last answer."""


@dataclass
class Message:
    """One that was taken: as commands had it, dots and all."""

    mail: str
    rcpts: list[str]
    content: bytes


@dataclass
class ScriptedHop:
    """Speaks SMTP, or LMTP; ``await nursery.start(hop.serve)`` gives its port.

    ``answers`` by verb, "greeting" and "end" too: instead of yes; several are used up in turn by a connection, the last one
    again and again. ``bytewise``: its own bytes go out one by one. ``wire`` is what came in, by connection, decrypted where
    TLS was spoken.
    """

    answers: Answers = field(default_factory=dict)
    extensions: Sequence[str] = EXTENSIONS
    encrypted_extensions: Sequence[str] | None = None
    lmtp: bool = False
    context: ssl.SSLContext | None = None
    implicit: bool = False
    bytewise: bool = False
    authenticate: Authenticate | None = None
    wire: list[bytearray] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    broken_off: int = 0
    port: int = 0

    async def serve(self, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._connected, listeners)
            task_status.started(self.port)

    async def serve_unix(self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(str(path))
        sock.listen()
        task_status.started()
        await trio.serve_listeners(self._connected, [trio.SocketListener(sock)])

    def verbs(self) -> list[str]:
        """What was said, verb by verb."""
        return [line.split(" ")[0].upper() for line in self.commands]

    async def _connected(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
            await _Session(self, stream).run()
        await trio.aclose_forcefully(stream)


class _Over(Exception):
    """The connection ends."""


class _Session:
    """One connection to it."""

    def __init__(self, hop: ScriptedHop, stream: trio.SocketStream) -> None:
        self.hop = hop
        self.stream: trio.abc.Stream = stream
        self.raw = stream
        self.buffer = b""
        self.tls = False
        self.wire = bytearray()
        hop.wire.append(self.wire)
        self.mail, self.rcpts = "", list[str]()
        self._used: dict[str, int] = {}

    async def run(self) -> None:
        with suppress(_Over):
            if self.hop.implicit:
                await self._encrypt()
            await self._say("greeting", b"220 scripted.test ESMTP\r\n")
            while True:
                line = (await self._line()).decode("utf-8", "replace")
                self.hop.commands.append(line)
                await self._command(line)

    async def _command(self, line: str) -> None:
        verb = line.split(" ")[0].upper()
        match verb:
            case "EHLO" | "LHLO" if (verb == "LHLO") == self.hop.lmtp:
                extensions = self.hop.encrypted_extensions if self.tls else None
                lines = ["scripted.test", *(self.hop.extensions if extensions is None else extensions)]
                texts = [f"250{' ' if n == len(lines) - 1 else '-'}{text}\r\n" for n, text in enumerate(lines)]
                await self._say(verb, "".join(texts).encode())
            case "HELO" | "NOOP" | "VRFY":
                await self._say(verb, b"250 ok\r\n")
            case "RSET":
                self.mail, self.rcpts = "", []
                await self._say(verb, b"250 2.0.0 ok\r\n")
            case "STARTTLS" if self.hop.context is not None and not self.tls:
                if (await self._say(verb, b"220 2.0.0 go\r\n")).startswith(b"220"):
                    await self._encrypt()
            case "AUTH" if self.hop.authenticate is not None:
                await self._send(await self.hop.authenticate(line.partition(" ")[2], self._ask))
            case "MAIL":
                if (await self._say(verb, b"250 2.1.0 ok\r\n")).startswith(b"2"):
                    self.mail, self.rcpts = line, []
            case "RCPT" if self.mail:
                if (await self._say(verb, b"250 2.1.5 ok\r\n")).startswith(b"2"):
                    self.rcpts.append(line)
            case "DATA" if self.rcpts:
                if (await self._say(verb, b"354 go\r\n")).startswith(b"354"):
                    await self._content(await self._data())
            case "BDAT" if self.rcpts:
                await self._chunk(line)
            case "QUIT":
                await self._say(verb, b"221 2.0.0 bye\r\n")
                raise _Over
            case _:
                await self._say(verb, b"503 5.5.1 no\r\n")

    async def _data(self) -> bytes:
        content = b"\r\n"
        while not content.endswith(b"\r\n.\r\n"):
            content += await self._some()
            end = content.find(b"\r\n.\r\n")
            if end >= 0:
                content, self.buffer = content[: end + 5], content[end + 5 :]
        return content[2:-3]

    async def _chunk(self, line: str) -> None:
        _, size, *last = line.split(" ")
        while len(self.buffer) < int(size):
            self.buffer += await self._some()
        chunk, self.buffer = self.buffer[: int(size)], self.buffer[int(size) :]
        self.chunks = getattr(self, "chunks", b"") + chunk
        if last:
            await self._content(self.chunks)
        else:
            await self._say("BDAT", b"250 2.0.0 ok\r\n")

    async def _content(self, content: bytes) -> None:
        message = Message(self.mail, self.rcpts, content)
        self.mail, self.rcpts = "", []
        said = [self._answer("end", b"250 2.0.0 taken\r\n") for _ in (message.rcpts if self.hop.lmtp else [""])]
        if any(answer.startswith(b"250 ") for answer in said):
            self.hop.messages.append(message)
        for answer in said:
            await self._give(answer)

    async def _encrypt(self) -> None:
        assert self.hop.context is not None
        stream = trio.SSLStream(self.stream, self.hop.context, server_side=True, https_compatible=True)
        await stream.do_handshake()
        self.stream, self.tls = stream, True

    async def _say(self, verb: str, usual: bytes) -> bytes:
        return await self._give(self._answer(verb, usual))

    async def _give(self, said: bytes) -> bytes:
        if said == HANG:
            await trio.sleep_forever()
        if said.endswith(DROP):
            await self._send(said.removesuffix(DROP))
            raise _Over
        await self._send(said)
        return said

    def _answer(self, verb: str, usual: bytes) -> bytes:
        told = self.hop.answers.get(verb, usual)
        if isinstance(told, bytes):
            return told
        number = self._used.get(verb, 0)
        self._used[verb] = number + 1
        return told[min(number, len(told) - 1)] or usual

    async def _send(self, data: bytes) -> None:
        for piece in [data[n : n + 1] for n in range(len(data))] if self.hop.bytewise else [data]:
            if piece:
                await self.stream.send_all(piece)
                await trio.sleep(0)

    async def _ask(self, data: bytes) -> bytes:
        await self._send(data)
        return await self._line()

    async def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self.buffer += await self._some(line=True)
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    async def _some(self, line: bool = False) -> bytes:
        if self.buffer and not line:
            data, self.buffer = self.buffer, b""
            return data
        data = bytes(await self.stream.receive_some(65536))
        if not data:
            self.hop.broken_off += not line
            raise _Over
        self.wire += data
        return data
