"""A next hop for trying things out: a maildir that takes every message, as a mail delivery agent would put it there.

A message is written to ``tmp``, made durable, moved to ``new`` (https://cr.yp.to/proto/maildir.html). Before its own header
stand Return-Path and a Delivered-To for each recipient; its lines end with LF, as in maildirs they do, but for binary ones.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import trio

from ..protocols.smtp.capabilities import Capabilities
from ..protocols.smtp.envelope import Envelope, fault
from ..protocols.smtp.replies import RECIPIENT_OK, message_taken
from ..protocols.smtp.transaction import Recipient
from .outcome import UNWRITABLE, Accepted, Answer, Deferred, Delivered, Outcome, answer

T = TypeVar("T")

OFFERS = Capabilities(dict.fromkeys(("SMTPUTF8", "8BITMIME", "BINARYMIME", "CHUNKING"), ""))
"""What a folder can take, in a next hop's words."""

SUBFOLDERS = ("tmp", "new", "cur")


class _Unwritable(Exception):
    """The folder takes nothing."""


class CaptureHop:
    """``name`` is this host's, for the files' names, of which no two are the same."""

    def __init__(self, folder: Path, name: str, unique: Callable[[], str] | None = None) -> None:
        self._folder = folder
        self._unique = unique or (lambda: f"{time.time():.6f}.{secrets.token_hex(8)}.{name}")

    @asynccontextmanager
    async def begin(self, envelope: Envelope, login: str = "") -> AsyncIterator[Capturing]:
        """A message. There is room for everybody's."""
        yield Capturing(self._folder, self._unique(), envelope)


class Capturing:
    """One message on its way into the folder."""

    def __init__(self, folder: Path, name: str, envelope: Envelope) -> None:
        self._folder = folder
        self._name = name
        self._envelope = envelope
        self._accepted: list[Recipient] = []

    async def rcpt(self, *recipients: Recipient, data: bool = False) -> list[Answer]:
        """Everybody is welcome, unless the message must be held, or is late already."""
        refusal = fault(self._envelope.later(trio.current_time()), OFFERS, confidential=True, final=True)
        if refusal is not None:
            return [answer(refusal)] * len(recipients)
        self._accepted.extend(recipients)
        return [Accepted(RECIPIENT_OK)] * len(recipients)

    async def content(self, pieces: AsyncIterable[bytes]) -> list[Outcome]:
        """See ``hop.Delivering``."""
        outcome: Outcome = Delivered(message_taken(self._name))
        try:
            await self._write(pieces)
        except _Unwritable:
            outcome = Deferred(UNWRITABLE)
        return [outcome] * len(self._accepted)

    async def _write(self, pieces: AsyncIterable[bytes]) -> None:
        file = await _in_thread(self._create)
        try:
            async for piece in pieces:
                # no CR but those of line ends comes as far as this
                await _in_thread(file.write, piece if self._envelope.binary else piece.replace(b"\r", b""))
            await _in_thread(self._keep, file)
        except BaseException:
            with trio.CancelScope(shield=True):
                await _in_thread(self._discard, file)
            raise

    def _create(self) -> BinaryIO:
        for name in SUBFOLDERS:
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / "tmp" / self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        file = os.fdopen(descriptor, "wb")
        try:
            file.write(self._trace().encode())
        except BaseException:
            self._discard(file)
            raise
        return file

    def _trace(self) -> str:
        sender = "" if self._envelope.sender is None else str(self._envelope.sender)
        to = "".join(f"Delivered-To: {recipient.mailbox}\n" for recipient in self._accepted)
        return f"Return-Path: <{sender}>\n{to}"

    def _keep(self, file: BinaryIO) -> None:
        with file:
            file.flush()
            os.fsync(file.fileno())
        new = self._folder / "new"
        (self._folder / "tmp" / self._name).rename(new / self._name)
        folder = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _discard(self, file: BinaryIO) -> None:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            (self._folder / "tmp" / self._name).unlink(missing_ok=True)


async def _in_thread(work: Callable[..., T], *arguments: object) -> T:
    try:
        return await trio.to_thread.run_sync(work, *arguments)
    except OSError as error:
        raise _Unwritable(os.strerror(error.errno or 0)) from None
