"""One login at a time, to see that a daemon is up and answers right before any load is put on it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Protocol = Literal["saslauthd", "authdaemon"]
POLL = 0.001


class NotReady(Exception):
    """The daemon did not come up, or answers wrong."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a daemon is asked, and how."""

    protocol: Protocol
    socket: Path


def ask(door: Door, login: str, password: str, timeout: float = 10.0) -> bool | None:
    """Yes, no, or None for any other answer. Raises ``OSError``."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(door.socket))
        connection.sendall(_request(door.protocol, login, password))
        return _verdict(door.protocol, _all(connection, door.protocol))


def _request(protocol: Protocol, login: str, password: str) -> bytes:
    if protocol == "saslauthd":
        fields = (login.encode(), password.encode(), b"smtp", b"")
        return b"".join(struct.pack("!H", len(field)) + field for field in fields)
    body = f"smtp\nlogin\n{login}\n{password}\n".encode()
    return b"AUTH %d\n" % len(body) + body


def _all(connection: socket.socket, protocol: Protocol) -> bytes:
    """Everything up to the end of the stream, or of the reply where the daemon waits for us to close."""
    reply = b""
    while data := connection.recv(8192):
        reply += data
        if protocol == "saslauthd" and len(reply) >= 2 and len(reply) >= 2 + int.from_bytes(reply[:2]):
            break
    return reply


def _verdict(protocol: Protocol, reply: bytes) -> bool | None:
    yes, no = (
        (reply[2:4] == b"OK", reply[2:4] == b"NO")
        if protocol == "saslauthd"
        else (reply.endswith(b"\n.\n"), reply == b"FAIL\n")
    )
    return True if yes else False if no else None


def wait_until_right(door: Door, login: str, password: str, alive: Callable[[], bool], seconds: float = 20.0) -> float:
    """Wait until a right login is accepted: the (monotonic) time of that. Then a wrong one must be refused.

    Raises ``NotReady``.
    """
    deadline = time.monotonic() + seconds
    answer: bool | None = None
    while answer is not True:
        if not alive():
            raise NotReady("it has ended")
        if time.monotonic() > deadline:
            raise NotReady(f"no right answer within {seconds:g} s (last one: {answer})")
        try:
            answer = ask(door, login, password)
        except OSError:
            time.sleep(POLL)
            continue
        if answer is not True:
            time.sleep(0.05)  # up, but its store is not
    ready = time.monotonic()
    if ask(door, login, password + "-wrong") is not False:
        raise NotReady("it does not refuse a wrong password")
    return ready
