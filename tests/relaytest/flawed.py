"""A small SMTP server with flaws on purpose, each of which has been somebody's."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Flawed:
    """Refuses strangers, but for its flaws. ``messages`` are those that it took to their end."""

    def __init__(self, flaws: frozenset[str], context: ssl.SSLContext | None) -> None:
        self.flaws = flaws
        self.context = context
        self.messages: list[bytes] = []
        self.connections = 0

    def serve(self, sock: socket.socket) -> None:
        self.connections += 1
        with sock, suppress(OSError):
            sock.settimeout(20)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if "mute" in self.flaws:
                sock.recv(100)
                return
            if "busy" in self.flaws:
                sock.sendall(b"421 4.3.2 busy\r\n")
                return
            session = _Session(self, sock)
            try:
                session.run()
            finally:
                session.sock.close()


class _Session:
    def __init__(self, server: Flawed, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.trusted = "open" in server.flaws
        self.sender = self.recipient = False
        self.buffer = b""

    def say(self, text: str) -> None:
        self.sock.sendall(text.encode() + b"\r\n")

    def line(self) -> bytes:
        end = b"\n" if "lf" in self.server.flaws else b"\r\n"
        while end not in self.buffer:
            data = self.sock.recv(65_536)
            if not data:
                raise OSError
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(end)
        return line.rstrip(b"\r")

    def run(self) -> None:
        self.say("220 flawed")
        while True:
            line = self.line()
            if re.fullmatch(rb"(?i)quit", line):
                self.say("221 bye")
                return
            self.say(self.answer(line))
            if line == b"STARTTLS" and self.server.context is not None:
                self.sock = self.server.context.wrap_socket(self.sock, server_side=True)
                if "injection" not in self.server.flaws:
                    self.buffer = b""
            if self.recipient and line == b"DATA":
                self.content()

    def answer(self, line: bytes) -> str:
        verb = line.upper().partition(b" ")[0]
        if verb == b"STARTTLS" and self.server.context is not None:
            return "220 go"
        if verb in (b"EHLO", b"HELO"):
            self.trusted |= "localhost" in self.server.flaws and line.endswith(b"localhost")
            return "250-flawed\r\n250 AUTH PLAIN"
        if verb == b"AUTH":
            self.trusted |= "anyone" in self.server.flaws
            return "235 welcome" if self.trusted else "535 no"
        if verb == b"XCLIENT":
            self.trusted |= "xclient" in self.server.flaws and b"LOGIN=" in line
            return "220 again" if self.trusted else "550 no"
        if verb == b"MAIL":
            self.sender = self.trusted or ("null" in self.server.flaws and b"<>" in line)
            return "250 ok" if self.sender else "530 log in"
        if verb == b"RCPT":
            self.recipient = self.sender or ("percent" in self.server.flaws and b"%" in line)
            return "250 ok" if self.recipient else "503 MAIL first"
        if verb == b"DATA":
            return "354 go on" if self.recipient else "503 RCPT first"
        return "500 what"

    def content(self) -> None:
        lines = []
        while (line := self.line()) != b".":
            lines.append(line)
        self.server.messages.append(b"\n".join(lines))
        self.say("250 taken")


@contextmanager
def flawed(*flaws: str, context: ssl.SSLContext | None = None) -> Iterator[tuple[Flawed, int]]:
    """The server and its port on loopback."""
    server = Flawed(frozenset(flaws), context)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, server), daemon=True).start()
        try:
            yield server, listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, server: Flawed) -> None:
    with suppress(OSError):
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=server.serve, args=(sock,), daemon=True).start()
