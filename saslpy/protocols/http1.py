"""The server's side of a connection that speaks HTTP/1.0 or HTTP/1.1 (RFC 9112), without I/O: h11, with bounds.

Requests that come behind each other are answered in turn. A request with a fault is answered, and is the last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11

MAX_HEAD = 32_768
"""Bytes of a request without its body. A client certificate that nginx hands on takes some thousands of them."""

MAX_BODY = 65_536
"""Bytes of a request's body."""

MAX_CHUNKS = 1024
"""Chunks that a body may come in: each costs time, before it is known who asks."""

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class HttpFault(Exception):
    """A request that is answered with this status (RFC 9110), and with a text that never holds what came."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Request:
    """A request. ``path`` is without its query; ``fields`` have names in lower case, and may hold secrets."""

    method: str
    path: str
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def one(self, name: bytes) -> bytes:
        """The value of a field, empty for none. Raises ``HttpFault`` where there are two: which one is meant?"""
        found = [value for key, value in self.fields if key == name]
        if len(found) > 1:
            raise HttpFault(400, f"{name.decode()} is there twice")
        return found[0] if found else b""

    @property
    def names(self) -> frozenset[bytes]:
        """The names of the fields that are there."""
        return frozenset(name for name, _ in self.fields)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``fields`` may hold secrets."""

    status: int = 200
    fields: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


def json_answer(status: int, value: Any, *fields: tuple[bytes, bytes]) -> Answer:
    """A response with a JSON document."""
    return Answer(status, ((b"Content-Type", b"application/json"), *fields), json.dumps(value).encode() + b"\n")


def _request(head: h11.Request, body: bytes = b"") -> Request:
    path = head.target.partition(b"?")[0].decode("ascii", "replace")
    return Request(head.method.decode("ascii"), path, tuple(head.headers), body)


class HttpSide:
    """Takes bytes in pieces of any size; ``next`` gives a request, which ``answer`` must be told of before the next one.

    ``halfway``: a request has begun to come. ``ended``: no other one can come. ``check`` is given each request before its
    body is read, and may raise ``HttpFault``.
    """

    __slots__ = ("_bare", "_body", "_check", "_chunks", "_head", "_http", "ended", "halfway")

    def __init__(self, check: Callable[[Request], None] = lambda _: None) -> None:
        self._check = check
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._chunks = 0
        self._bare = False  # HEAD: a response without its body
        self.halfway = False
        self.ended = False

    def receive(self, data: bytes) -> None:
        """More bytes; none at all is the end of what comes."""
        self.halfway = self.halfway or bool(data)
        self._http.receive_data(data)

    def next(self) -> Request | None:
        """The next request, None when more bytes are needed or none come. Raises ``HttpFault``."""
        try:
            return self._next()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            raise HttpFault(status if status in REASONS else 400, "this is no HTTP request") from None

    def _next(self) -> Request | None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._head, self._bare = event, event.method == b"HEAD"
                self._check_head(event)
                self._check(_request(event))
            elif isinstance(event, h11.Data):
                self._add(event)
            elif isinstance(event, h11.EndOfMessage):
                return self._whole()
            else:
                self.ended = isinstance(event, h11.ConnectionClosed)
                return None

    def _check_head(self, head: h11.Request) -> None:
        if head.http_version not in (b"1.0", b"1.1"):
            raise HttpFault(505, "HTTP/1.0 and HTTP/1.1 alone are spoken here")
        names = {name for name, _ in head.headers}
        if b"transfer-encoding" in names and (b"content-length" in names or head.http_version == b"1.0"):
            # two ends of one body: whoever stands before us may have seen the other (RFC 9112, 6.1 and 11.2)
            raise HttpFault(400, "it is not certain where the request ends")
        for name, value in head.headers:
            if name == b"content-length" and int(value) > MAX_BODY:
                raise HttpFault(413, f"a body of over {MAX_BODY} bytes")

    def _add(self, data: h11.Data) -> None:
        self._body += data.data
        self._chunks += data.chunk_end
        if len(self._body) > MAX_BODY:
            raise HttpFault(413, f"a body of over {MAX_BODY} bytes")
        if self._chunks > MAX_CHUNKS:
            raise HttpFault(413, f"a body in over {MAX_CHUNKS} chunks")

    def _whole(self) -> Request:
        assert self._head is not None
        head, body, self._head = self._head, bytes(self._body), None
        self._body.clear()
        self._chunks = 0
        return _request(head, body)

    def go_on(self) -> bytes:
        """What tells a client to send its body that waits for that (Expect: 100-continue); empty for all others."""
        if not self._http.they_are_waiting_for_100_continue:
            return b""
        return self._http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")) or b""

    def answer(self, answer: Answer, last: bool = False) -> bytes:
        """The bytes of a response. ``last``: the connection is closed behind it, and the client is told."""
        fields = [*answer.fields, (b"Content-Length", str(len(answer.body)).encode()), (b"Cache-Control", b"no-store")]
        if last:
            fields.append((b"Connection", b"close"))
        head = h11.Response(status_code=answer.status, headers=fields, reason=REASONS[answer.status].encode())
        body = b"" if self._bare else answer.body
        data = b"".join(self._http.send(event) or b"" for event in (head, h11.Data(data=body), h11.EndOfMessage()))
        self._end_cycle()
        return data

    def _end_cycle(self) -> None:
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self.halfway = bool(self._http.trailing_data[0])
        else:
            self.halfway, self.ended = False, True

    @property
    def answerable(self) -> bool:
        """Whether a fault can still be told."""
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)
