"""Connections that stay open over a reload of a whole daemon: the next request goes by what the configuration says then."""

from __future__ import annotations

import socket
from pathlib import Path

from saslpy.protocols.netstrings import netstring

from ..real.saslpy import Daemon, configured, run, serving

HTTP = '[[listen]]\nprotocol = "http"\npath = "http"\n'
MAP = '[[listen]]\nprotocol = "socketmap"\npath = "map"\n'
USERS = '[backend.local]\ntype = "static"\nusers = { "joe@example.org" = "{PLAIN}secret" }\n'
QUESTION = b'{"login": "joe@example.org"}'
JOE = netstring(b"OK joe@example.org")
NOBODY = netstring(b"NOTFOUND ")


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def user(connection: socket.socket) -> bytes:
    """The first line of the answer to a program's question; nothing where it is hung up on."""
    head = (
        b"POST /user HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(QUESTION)
    )
    connection.sendall(head + QUESTION)
    return connection.recv(4096).partition(b"\r\n")[0]


def mailbox(connection: socket.socket, address: str) -> bytes:
    connection.sendall(netstring(b"mailbox " + address.encode()))
    return connection.recv(4096)


def reconfigured(daemon: Daemon, place: Path, listen: str) -> None:
    configured(place, USERS, "", listen)
    done = run("reload", "--config", str(daemon.config))
    assert done.returncode == 0, done.stderr


def test_http(place: Path) -> None:
    (place / "key").write_text("s3cret\n")
    (place / "key").chmod(0o600)
    with serving(configured(place, USERS, "", HTTP)) as daemon, connected(place / "http") as connection:
        assert user(connection) == b"HTTP/1.1 200 OK"
        reconfigured(daemon, place, HTTP)
        assert user(connection) == b"HTTP/1.1 200 OK"
        with connected(place / "http") as before:
            assert user(before) == b"HTTP/1.1 200 OK"
            reconfigured(daemon, place, HTTP + 'secret_file = "key"\n')
            assert user(before).startswith(b"HTTP/1.1 401 "), "the secret counts at once"
        reconfigured(daemon, place, HTTP)
        reconfigured(daemon, place, "")
        assert user(connection) == b"", "the socket is none any more"


def test_socketmap(place: Path) -> None:
    with serving(configured(place, USERS, "", MAP)) as daemon, connected(place / "map") as connection:
        assert mailbox(connection, "joe@example.org") == JOE
        assert mailbox(connection, "joe+lists@example.org") == NOBODY
        reconfigured(daemon, place, MAP + 'recipient_delimiter = "+"\n')
        assert mailbox(connection, "joe+lists@example.org") == JOE
        reconfigured(daemon, place, "")
        assert mailbox(connection, "joe@example.org") == b"", "the socket is none any more"
