"""Packets between our own processes: msgpack over a SOCK_SEQPACKET socket pair (unix(7)).

The kernel keeps the packets apart and whole, so there is no framing; the end of the other process is an empty packet.
msgpack can carry nothing but plain values: a process that has been taken over cannot make another one run code.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

MAX_PACKET = 192 * 1024
"""Bytes of a packet: below the socket buffer that every Linux gives (212,992)."""

MAX_TEXT = 4096
"""Characters of a message in words."""

encode = msgspec.msgpack.Encoder().encode


class Malformed(msgspec.DecodeError):
    """A packet that is not what was to come. Whoever has sent it can be trusted with nothing more."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel; not inherited by an exec."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_PACKET)
    return ours, theirs


class Room:
    """Where packets are received, one after another.

    Python makes a buffer of the full length for each recv(2), which the kernel must map, and shorten, and unmap again.
    """

    __slots__ = ("_view",)

    def __init__(self) -> None:
        self._view = memoryview(bytearray(MAX_PACKET))

    def receive(self, channel: socket.socket, flags: int = 0) -> bytes:
        """A packet, an empty one at the end. Raises ``OSError``."""
        return self._view[: channel.recv_into(self._view, 0, flags)].tobytes()


def text(words: str) -> str:
    """Words that can be sent: not too long, and what is no text (surrogates, as in a file's name) is replaced."""
    return words[:MAX_TEXT].encode("utf-8", "replace").decode()


def typed(kind: Any) -> Callable[[bytes], Any]:
    """A reader of packets that hold one kind of value. It raises ``Malformed`` for anything else."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(packet: bytes) -> Any:
        try:
            return decode(packet)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:  # not msgpack or this; not UTF-8; too deep
            raise Malformed(type(error).__name__) from None

    return read


decode = typed(Any)
"""The plain value in a packet. Raises ``Malformed``."""
