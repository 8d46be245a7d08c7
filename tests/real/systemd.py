"""What a service manager does with sockets: it opens them, and hands them to the daemon (sd_listen_fds(3))."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

STARTER = """
import os, sys
names, sockets, command = sys.argv[1], [int(n) for n in sys.argv[2].split(",")], sys.argv[3:]
for position, number in enumerate(sockets):
    os.dup2(number, 100 + position)
for position in range(len(sockets)):
    os.dup2(100 + position, 3 + position)
    os.close(100 + position)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


def listener(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A unix socket, as a .socket unit opens it."""
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    if kind == socket.SOCK_STREAM:
        sock.listen(10)
    return sock


def started_with(config: Path, names: str, *sockets: socket.socket | BinaryIO) -> subprocess.Popen[bytes]:
    """The daemon, with these sockets under these names ("mux:other"). Its log is beside its configuration."""
    numbers = ",".join(str(sock.fileno()) for sock in sockets)
    serve = [sys.executable, "-m", "saslpy", "serve", "--config", str(config)]
    with config.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", STARTER, names, numbers, *serve],
            pass_fds=[sock.fileno() for sock in sockets],
            stderr=log,
        )
