"""One connection to the listener under test: bytes out, replies in, a deadline for each."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from types import TracebackType

from ..submission import shown

PATIENCE = 10.0
"""Seconds for a reply."""

MAX_REPLY = 64 * 1024
_LINE = re.compile(rb"([2-5]\d\d)([ -]|$)(.*)")


class Closed(Exception):
    """The other side has hung up: a refusal, too."""


class Unclear(Exception):
    """Silence, or no SMTP: nothing can be told from it. The message says which."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``text`` is that of the last line."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {shown(self.text, 60)}".rstrip()


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to: an address and a port, or the path of a unix socket. ``tls``: from the first byte.

    ``header`` is sent before all else: that of the PROXY protocol, where we stand among the proxies.
    """

    where: tuple[str, int] | str
    tls: bool = False
    header: bytes = b""


class Talk:
    """A connection, to be entered. All that blocks raises ``Closed`` or ``Unclear``."""

    def __init__(self, target: Target, patience: float = PATIENCE) -> None:
        self._target = target
        self._patience = patience
        self._buffer = b""
        self._sock = socket.socket(_family(target.where), socket.SOCK_STREAM)

    def __enter__(self) -> Talk:
        try:
            self._sock.settimeout(self._patience)
            self._sock.connect(self._target.where)
            if self._sock.family != socket.AF_UNIX:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock.sendall(self._target.header)
            if self._target.tls:
                self.encrypt()
        except BaseException:
            self._sock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def encrypt(self) -> None:
        """TLS from here on; by whose certificate is not looked at. What came before it is not forgotten."""
        try:
            self._sock = _context().wrap_socket(self._sock, server_hostname=None)
        except TimeoutError:
            raise Unclear("no end of the TLS handshake") from None
        except OSError:
            raise Closed from None

    def send(self, data: bytes) -> None:
        """Bytes, in one segment where they fit."""
        try:
            self._sock.sendall(data)
        except TimeoutError:
            raise Unclear("it reads no more") from None
        except OSError:
            return  # what it has said before can still be read

    def reply(self) -> Reply:
        """The next reply, of however many lines."""
        deadline = time.monotonic() + self._patience
        while True:
            match = _LINE.match(self._line(deadline))
            if match is None:
                raise Unclear("that is no SMTP")
            if match[2] != b"-":
                return Reply(int(match[1]), match[3].decode("ascii", "replace").strip())

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_REPLY:
                raise Unclear("that is no SMTP")
            self._buffer += self._more(deadline)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _more(self, deadline: float) -> bytes:
        try:
            self._sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._sock.recv(65_536)
        except TimeoutError:
            raise Unclear("no answer") from None
        except OSError:
            raise Closed from None
        if not data:
            raise Closed
        return data


def _family(where: tuple[str, int] | str) -> socket.AddressFamily:
    if isinstance(where, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in where[0] else socket.AF_INET


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
