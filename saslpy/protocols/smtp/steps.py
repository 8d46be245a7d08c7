"""What the client's generators wait for, and how they give up (``client``)."""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum, auto
from typing import TypeAlias, TypeVar

from .replies import Reply

T = TypeVar("T")


class Step(Enum):
    """What a generator waits for."""

    REPLY = auto()
    VERDICT = auto()  # the reply to the whole content, which may take its time (RFC 5321, 4.5.3.2.6)
    HANDSHAKE = auto()


Steps: TypeAlias = Generator[Step, Reply, T]


class Unusable(Exception):
    """Nothing goes over this connection any more. ``reply`` is for our client; the text, with detail, for the log."""

    def __init__(self, reply: Reply, detail: str = "") -> None:
        super().__init__(detail or reply.text)
        self.reply = reply
