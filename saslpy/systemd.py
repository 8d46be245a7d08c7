"""Telling the service manager how we are (sd_notify(3)), without a library."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send ``READY=1`` and the like, if somebody wants to hear it. Never raises."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            sock.send(state.encode())
    except OSError:
        return
