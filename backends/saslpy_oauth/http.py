"""One connection to an HTTP/1.1 server (RFC 9112), and one question after another on it: a POST and its answer.

h11 speaks the protocol. Here are the bounds: 64 KiB of an answer, 16 KiB of its head, no redirect is followed, and nothing
that came without having been asked for is ever taken for an answer. Deadlines are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import h11
import trio

from .endpoint import Fault

MAX_BODY = 64 * 1024
MAX_HEAD = 16 * 1024
PIECE = 16 * 1024
CLOSED = "it closed the connection without an answer"

Headers = Sequence[tuple[str, str]]


class Gone(Fault):
    """The connection had ended before anything of an answer came: the same may be asked on a new one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``body`` says whose the token is."""

    status: int
    body: bytes = field(repr=False)


class Connection:
    """To the server at the other end of a stream. After any exception it is good for nothing but ``close``.

    ``about``: how it is protected, in words ("TLSv1.3", "").
    """

    def __init__(self, stream: trio.abc.Stream, socket: trio.socket.SocketType, about: str) -> None:
        self.about = about
        self._stream = stream
        self._socket = socket
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._heard = False

    async def post(self, target: str, headers: Headers, body: bytes) -> Answer:
        """The answer to a question. Raises ``Gone`` and ``Fault``."""
        self._heard = False
        head = h11.Request(method="POST", target=target, headers=[*headers, ("Content-Length", str(len(body)))])
        pieces = [self._http.send(event) or b"" for event in (head, h11.Data(data=body), h11.EndOfMessage())]
        try:
            await self._send(b"".join(pieces))
            return await self._answer()
        except h11.RemoteProtocolError as error:
            # h11 tells what is wrong, and not what was there
            raise Fault(f"what it answers is no HTTP: {error}") if self._heard else Gone(CLOSED) from None

    def reusable(self) -> bool:
        """Whether another question may be asked: the answer has ended, and nothing stands behind it, no end either."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE or http.trailing_data != (b"", False):
            return False
        http.start_next_cycle()
        return True

    def quiet(self) -> bool:
        """Whether it still stands idle: no end has come, and nothing that nobody asked for."""
        return not self._socket.is_readable()

    async def close(self) -> None:
        """Close it, without a word that could be waited for."""
        await trio.aclose_forcefully(self._stream)

    async def _send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            raise Gone(CLOSED) from None

    async def _answer(self) -> Answer:
        status, body = 0, bytearray()
        while True:
            match await self._event():
                case h11.Response() as response:
                    status = response.status_code
                    _check_plain(response)
                case h11.Data() as piece:
                    body += piece.data
                    if len(body) > MAX_BODY:
                        raise Fault(f"its answer is longer than {MAX_BODY} bytes")
                case h11.EndOfMessage():
                    return Answer(status, bytes(body))
                case h11.ConnectionClosed():
                    raise Gone(CLOSED)
                case _:  # h11.InformationalResponse: "wait for more" (RFC 9110, 15.2)
                    pass

    async def _event(self) -> h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._receive())
        if not isinstance(event, h11.Event):  # h11.PAUSED
            raise Fault("it switches to another protocol")
        return event

    async def _receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(PIECE)
        except trio.BrokenResourceError:
            raise Fault("the connection broke") if self._heard else Gone(CLOSED) from None
        self._heard = self._heard or bool(data)
        return bytes(data)


def _check_plain(response: h11.Response) -> None:
    for name, value in response.headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise Fault("its answer is compressed, which nobody has asked for")
