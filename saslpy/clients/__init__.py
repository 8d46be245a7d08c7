"""Asking a running daemon, ours or a peer's, as a mail server would. Blocking; for the command line and for tests."""

from __future__ import annotations

import os
import socket

TIMEOUT = 15.0
"""Seconds for each answer."""

MOST = 65_537
"""Bytes of an answer."""


class NoSense(Exception):
    """What came is no answer of this protocol."""


def connect(place: str) -> socket.socket:
    """A connection to a path or to ``host:port``. Raises ``OSError``."""
    host, colon, port = place.rpartition(":")
    if "/" not in place and colon and port.isdigit():
        return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    try:
        sock.connect(os.fspath(place))
    except BaseException:
        sock.close()
        raise
    return sock


def until_end(sock: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    data = b""
    while len(data) < MOST and (more := sock.recv(65_536)):
        data += more
    return data
