"""Small things about the other end of a connection."""

from __future__ import annotations

import ipaddress
import socket
import struct

import trio

from ..model import Caller

_UCRED = struct.Struct("iII")
LINGER = 1.0
LINGER_BYTES = 1 << 20


def caller_of(connection: socket.socket) -> Caller | None:
    """Who is at the other end of a unix socket (SO_PEERCRED, unix(7)); None for TCP, where the kernel says nobody."""
    # asking the socket for its family takes longer: Python makes an enumeration's member of it
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Caller(pid, uid, gid) if pid > 0 else None


def address_of(text: str) -> str:
    """An IP address as a caller gives it; empty when it is none: rules, backends and log lines go by it."""
    if not text:
        return ""
    try:
        # behind the per cent sign of fe80::1%eth0 any text may stand
        return str(ipaddress.ip_address(text)).partition("%")[0]
    except ValueError:
        return ""


async def linger(connection: socket.socket) -> None:
    """Let the other end read our reply before the close, though it is still writing.

    A close with unread bytes in the socket would reset the connection, and the reply could be lost. Bounded in time
    (seconds) and bytes.
    """
    left = LINGER_BYTES
    try:
        connection.shutdown(socket.SHUT_WR)
        with trio.move_on_after(LINGER):
            while left > 0:
                await trio.lowlevel.wait_readable(connection)
                data = connection.recv(65_536, socket.MSG_DONTWAIT)
                if not data:
                    return
                left -= len(data)
    except OSError:
        return
