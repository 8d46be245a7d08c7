"""The Dovecot client socket of a whole daemon: what idle connections cost, and what outlives a reload and a restart."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..real.saslpy import configured, run, serving

CONNECTIONS = 1000
MOST = 8192
"""Bytes for each."""


@contextmanager
def files(count: int) -> Iterator[None]:
    """So many files may be open, here and in what is started."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, before[0]), max(count, before[1])))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def configuration(place: Path, listen: str = '[[listen]]\nprotocol = "dovecot"\npath = "auth"\n') -> Path:
    return configured(place, '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n', "", listen)


def connected(place: Path) -> tuple[socket.socket, bytes]:
    """A connection after its handshake, as Postfix has it, and the greeting."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(place / "auth"))
    connection.sendall(b"VERSION\t1\t0\nCPID\t26417\n")
    said = b""
    while b"DONE\n" not in said:
        said += connection.recv(4096)
    return connection, said


def spid(place: Path) -> bytes:
    connection, said = connected(place)
    connection.close()
    [line] = [line for line in said.splitlines() if line.startswith(b"SPID\t")]
    return line


def ask(connection: socket.socket, key: int) -> bytes:
    connection.sendall(b"AUTH\t%d\tPLAIN\tservice=smtp\tnologin\tresp=AGpvZQBzZWNyZXQ=\n" % key)
    return connection.recv(4096)


def memory(pid: int) -> int:
    """Bytes in memory that are its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_a_thousand_idle_connections_cost_less_than_8_kib_each(place: Path) -> None:
    """Postfix has one for each smtpd, Dovecot for each login process."""
    config = configuration(place)
    with files(2 * CONNECTIONS + 500), serving(config) as daemon, ExitStack() as stack:
        [auth] = daemon.children("auth")
        for _ in range(50):  # what is there once for all
            with connected(place)[0] as connection:
                assert ask(connection, 1) == b"OK\t1\tuser=joe\n"
        before = memory(auth)
        connections = [stack.enter_context(connected(place)[0]) for _ in range(CONNECTIONS)]
        fresh = (memory(auth) - before) / CONNECTIONS
        for key in (1, 2):
            for connection in connections:
                assert ask(connection, key).startswith(b"OK")
        used = (memory(auth) - before) / CONNECTIONS
        print(f"{fresh:.0f} bytes for a connection that has only been greeted, {used:.0f} for one that was used")
        assert fresh < MOST
        assert used < MOST


def test_a_reload_leaves_connections_alone_and_a_restart_is_told(place: Path) -> None:
    config = configuration(place)
    with serving(config) as daemon:
        first = spid(place)
        connection, _ = connected(place)
        with connection:
            assert ask(connection, 1) == b"OK\t1\tuser=joe\n"
            done = run("reload", "--config", str(config))
            assert done.returncode == 0, done.stderr
            assert ask(connection, 2) == b"OK\t2\tuser=joe\n"
            assert spid(place) == first
            [auth] = daemon.children("auth")
            os.kill(auth, signal.SIGKILL)  # all that it knew of logins under way is gone
            assert connection.recv(4096) == b""
        assert spid(place) != first


def test_a_reload_counts_on_open_connections(place: Path) -> None:
    """A mechanism that is not listed any more, and a socket that is not."""
    config = configuration(place)
    with serving(config):
        connection, _ = connected(place)
        with connection:
            assert ask(connection, 1) == b"OK\t1\tuser=joe\n"
            configuration(place, '[[listen]]\nprotocol = "dovecot"\npath = "auth"\nmechanisms = ["LOGIN"]\n')
            done = run("reload", "--config", str(config))
            assert done.returncode == 0, done.stderr
            assert ask(connection, 2) == b"FAIL\t2\treason=unknown mechanism\n"
            connection.sendall(b"AUTH\t3\tLOGIN\tservice=smtp\n")
            assert connection.recv(4096) == b"CONT\t3\tVXNlcm5hbWU6\n"
            configuration(place, '[[listen]]\nprotocol = "dovecot"\npath = "other"\n')
            done = run("reload", "--config", str(config))
            assert done.returncode == 0, done.stderr
            assert ask(connection, 4) == b""
