"""One connection to one server, made so that a silent server is noticed soon."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeAlias

import pymysql
from pymysql import err

from .servers import Server

Connection: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"
Values: TypeAlias = tuple[Any, ...]

if pymysql.VERSION < (1, 2):
    # such a one goes on in the clear with a server that has no TLS
    raise ImportError("PyMySQL 1.2 or newer is needed: pip install 'saslpy[mysql]'")

CONNECT_SECONDS = 1.0
"""How long a server may take to accept and to greet, so that the next one still has its turn."""

_LOST = {1053, 1927, 2006, 2013, 4031}  # shutdown, killed, gone away, lost, idle for too long


class Unreachable(ConnectionError):
    """No server could be reached; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who we are to the server. ``timeout`` is the longest wait for an answer in seconds."""

    user: str
    password: str = field(repr=False)
    database: str
    timeout: float
    context: ssl.SSLContext | None = None

    def connect(self, server: Server, seconds: float) -> Connection:
        """A connection. ``seconds``: for accepting and greeting. Raises ``Unreachable`` and the driver's errors."""
        connection = self._connection(server)
        sock = _dial(server, seconds)
        if server.socket:
            # what the driver does itself, but leaving the socket open when nobody listens: nothing need be encrypted
            connection._secure = True  # type: ignore[attr-defined]
        connection.connect(sock)
        return connection

    def _connection(self, server: Server) -> Connection:
        return pymysql.Connection(
            user=self.user,
            password=self.password.encode(),  # the driver would encode it as Latin-1
            database=self.database,
            host=server.host or None,
            port=server.port,
            unix_socket=server.socket or None,
            ssl=self.context if server.tls else None,
            # without it the driver would build a context of its own for every connection, and verify nothing
            ssl_disabled=not server.tls,
            read_timeout=self.timeout,
            write_timeout=self.timeout,
            charset="utf8mb4",
            autocommit=True,  # else a repeatable read would go on showing the users of yesterday
            program_name="saslpy",
            defer_connect=True,
        )


def tls_context(ca_pem: str) -> ssl.SSLContext:
    """What verifies servers: against these authorities, or the system's."""
    context = ssl.create_default_context(cadata=ca_pem or None)
    # as PyMySQL does: the certificates that a server makes for itself lack what Python 3.13 insists on
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def ask(
    connection: Connection, sql: str, args: Values | dict[str, str] | None = ()
) -> tuple[list[str], Sequence[Values]]:
    """The names of the columns, in lower case, and the rows. ``args`` None: the statement is sent as it is."""
    cursor = connection.cursor()
    cursor.execute(sql, args)
    return column_names(cursor), cursor.fetchall()


def column_names(cursor: pymysql.cursors.Cursor) -> list[str]:
    """Those of an executed query, in lower case."""
    return [column[0].lower() for column in cursor.description or ()]


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone (and the same question may be asked on a new one)."""
    if is_timeout(error):
        return False
    if isinstance(error, err.OperationalError):
        return bool(error.args) and error.args[0] in _LOST
    return isinstance(error, err.InterfaceError | OSError)


def is_timeout(error: BaseException) -> bool:
    """Whether the server did not answer in time. PyMySQL shows it as a lost connection, with the true reason behind."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def close(connection: Connection) -> None:
    """Say good-bye and close, whatever state the connection is in."""
    try:
        connection.close()
    except (err.Error, OSError):
        return


def _dial(server: Server, seconds: float) -> socket.socket:
    """A connection on which the server has begun to speak. Raises ``Unreachable``.

    The driver's ``connect_timeout`` does not cover the greeting: a server whose process hangs accepts, and says nothing.
    """
    deadline = monotonic() + seconds
    try:
        sock = _connected(server, deadline)
    except OSError as error:
        raise Unreachable(f"{server}: {error.strerror or error}") from None
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
        sock.close()
        raise Unreachable(f"{server}: accepts connections and says nothing")
    return sock


def _connected(server: Server, deadline: float) -> socket.socket:
    """Connected to the first of the server's addresses that accepts; each has its share of the time."""
    addresses = _addresses(server)
    failure: OSError = TimeoutError("no time left")
    for number, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.05, (deadline - monotonic()) / (len(addresses) - number)))
            sock.connect(address)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _addresses(server: Server) -> list[tuple[socket.AddressFamily, Any]]:
    if server.socket:
        return [(socket.AF_UNIX, server.socket)]
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
