"""Packets between our own processes: msgpack over a SOCK_SEQPACKET socket pair (unix(7)).

The kernel keeps the packets apart and whole, so there is no framing; the end of the other process is an empty packet.
msgpack can carry nothing but plain values: a process that has been taken over cannot make another one run code.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import msgspec

MAX_PACKET = 192 * 1024
"""Bytes of a packet: below the socket buffer that every Linux gives (212,992)."""

encode = msgspec.msgpack.Encoder().encode


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel; not inherited by an exec."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_PACKET)
    return ours, theirs


def decode(packet: bytes) -> Any:
    """The plain value in a packet."""
    return msgspec.msgpack.decode(packet)
