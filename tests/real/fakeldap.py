"""A server that speaks just as much LDAP as a test tells it to: canned answers, silence, garbage."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

# the protocolOp of a message (RFC 4511, 4.2 to 4.12)
BIND, BIND_RESPONSE, UNBIND, SEARCH, SEARCH_ENTRY, SEARCH_DONE = 0x60, 0x61, 0x42, 0x63, 0x64, 0x65
SEARCH_REFERENCE, EXTENDED, EXTENDED_RESPONSE = 0x73, 0x77, 0x78

POLICY = b"1.3.6.1.4.1.42.2.27.8.5.1"
DISCONNECTION = b"1.3.6.1.4.1.1466.20036"


@dataclass(frozen=True)
class Request:
    """What came in: its number, its kind, and all of its bytes."""

    number: int
    kind: int
    data: bytes


Answer = Callable[[Request], bytes | None]
"""What to send back; None for nothing. An empty one ends the connection."""


class FakeLdap:
    """``with FakeLdap(answer) as server:``; ``requests`` is what came in, ``connections`` how often somebody came."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._answer = answer
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        """Listen."""
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up on everybody."""
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ldap://127.0.0.1:{self.port}"

    def kinds(self) -> list[int]:
        """The kinds of requests that came in, but for good-byes."""
        return [request.kind for request in self.requests if request.kind != UNBIND]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        buffer = b""
        with contextlib.suppress(OSError), sock:
            while data := sock.recv(65536):
                buffer += data
                while (request := _request(buffer)) is not None:
                    buffer = buffer[len(request.data) :]
                    self.requests.append(request)
                    answer = b"" if request.kind == UNBIND else self._answer(request)
                    if answer == b"":
                        return
                    sock.sendall(answer or b"")


def ber(tag: int, *parts: bytes) -> bytes:
    """A value of BER (X.690): its tag, its length, and its parts."""
    value = b"".join(parts)
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    return bytes((tag, 0x84)) + size.to_bytes(4, "big") + value


def result(request: Request, code: int = 0, text: str = "", policy: int | None = None, referral: str = "") -> bytes:
    """The answer of the kind that belongs to a request, with a result code and perhaps a password policy's error."""
    kind = {BIND: BIND_RESPONSE, SEARCH: SEARCH_DONE, EXTENDED: EXTENDED_RESPONSE}[request.kind]
    urls = ber(0xA3, ber(0x04, referral.encode())) if referral else b""
    operation = ber(kind, ber(0x0A, bytes((code,))), ber(0x04), ber(0x04, text.encode()), urls)
    controls = b""
    if policy is not None:
        value = ber(0x04, ber(0x30, ber(0x81, bytes((policy,)))))
        controls = ber(0xA0, ber(0x30, ber(0x04, POLICY), value))
    return message(request.number, operation, controls)


def entry(request: Request, dn: str, **attributes: str | list[str]) -> bytes:
    """One entry of a search's answer."""
    listed = b"".join(
        ber(0x30, ber(0x04, name.encode()), ber(0x31, *(ber(0x04, value.encode()) for value in _several(values))))
        for name, values in attributes.items()
    )
    return message(request.number, ber(SEARCH_ENTRY, ber(0x04, dn.encode()), ber(0x30, listed)))


def reference(request: Request, url: str) -> bytes:
    """A place where the search could go on."""
    return message(request.number, ber(SEARCH_REFERENCE, ber(0x04, url.encode())))


def message(number: int, *parts: bytes) -> bytes:
    """A whole LDAPMessage."""
    return ber(0x30, ber(0x02, bytes((number,))), *parts)


def good_bye() -> bytes:
    """A notice of disconnection (RFC 4511, 4.4.1): unavailable."""
    return message(
        0, ber(EXTENDED_RESPONSE, ber(0x0A, b"\x34"), ber(0x04), ber(0x04, b"going down"), ber(0x8A, DISCONNECTION))
    )


def _several(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values


def _request(buffer: bytes) -> Request | None:
    """The first message in a buffer, None where it is not whole. Numbers have one byte here, as ours do at first."""
    if len(buffer) < 2:
        return None
    size, offset = buffer[1], 2
    if size & 0x80:
        offset += size & 0x7F
        size = int.from_bytes(buffer[2:offset], "big")
    if len(buffer) < offset + size:
        return None
    assert buffer[offset : offset + 2] == b"\x02\x01"
    return Request(buffer[offset + 2], buffer[offset + 3], buffer[: offset + size])
