"""The content of one message: its header is judged before anything goes to the next hop, then it goes as it comes.

What is kept of it is its header and one piece: the next hop's pace is the client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocols.smtp.events import ContentEnd, ContentPiece, Ended, Reset
from ..submission.headers import Bounds, Header, HeaderReader

if TYPE_CHECKING:
    from .submission_session import Session


class Void(Exception):
    """There will be no message: the client has reset it, or what it has sent was refused. The text says why."""


class Content:
    """One message's. Give ``head`` what goes before the rest; then it is its pieces, for whoever takes them.

    ``size`` are octets that have come; ``ended``: all of it has.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reader = HeaderReader(Bounds(header=session.server.options.limits.header))
        self._rest = b""
        self.size = 0
        self.ended = False

    async def header(self) -> Header:
        """The header, as soon as it is there. Raises ``HeaderFault``, ``Void``, ``Gone``."""
        while not self._rest and not self.ended:
            self._rest = self._reader.receive(await self._piece())
            if self._reader.fault is not None:
                raise self._reader.fault
        return self._reader.finish()

    def head(self, header: bytes) -> None:
        """The header that goes on."""
        self._rest = header + self._rest

    def __aiter__(self) -> Content:
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Raises ``Void``, ``Gone``."""
        if self._rest:
            piece, self._rest = self._rest, b""
            return piece
        if not self.ended and (piece := await self._piece()):
            return piece
        raise StopAsyncIteration

    async def _piece(self) -> bytes:
        """What comes next; nothing at the end."""
        event = await self._session.event()
        if isinstance(event, ContentPiece):
            self.size += len(event.data)
            return event.data
        if isinstance(event, ContentEnd):
            self.ended = True
            return b""
        raise Void(event.why if isinstance(event, Reset | Ended) and event.why else "the client has left")
