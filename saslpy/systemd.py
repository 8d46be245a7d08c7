"""The service manager, without a library: telling it how we are (sd_notify(3)), taking its sockets (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from functools import cache

FIRST_PASSED = 3
"""The file descriptor of the first socket (SD_LISTEN_FDS_START)."""

MAX_PASSED = 1024
"""More than systemd passes."""


def notify(state: str) -> None:
    """Send ``READY=1`` and the like, if somebody wants to hear it. Never raises."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            # a reader that does not read must not stop us, too
            sock.send(state.encode(), socket.MSG_DONTWAIT)
    except OSError:
        return


def is_journal(number: int) -> bool:
    """Whether an open file is the journal's, which takes a line's priority from a ``<3>`` before it (sd-daemon(3))."""
    try:
        found = os.fstat(number)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


@cache
def passed_sockets() -> dict[str, list[int]]:
    """The file descriptors that were passed to this process, by their names; read once, and then not inherited."""
    if os.environ.pop("LISTEN_PID", None) != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[int]] = {}
    for position in range(_count(os.environ.get("LISTEN_FDS", ""))):
        number = FIRST_PASSED + position
        try:
            os.set_inheritable(number, False)
        except OSError:
            break  # there are fewer than was said
        found.setdefault(names[position] if position < len(names) else "unknown", []).append(number)
    return found


def _count(text: str) -> int:
    """How many descriptors were passed; 0 for what is no sensible number."""
    return min(int(text), MAX_PASSED) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def close_passed() -> None:
    """In a child: what is served from them has descriptors of its own."""
    for numbers in passed_sockets().values():
        for number in numbers:
            os.close(number)
