"""A socket to a server, encrypted where it should be, and the messages on it; no wait lasts longer than until a given time.

Both drivers only write and read messages: how long something may take, and whether a certificate is good, is decided here.
(OpenLDAP's library waits for ever in the middle of a message, and in a TLS handshake; ldap3 has timeouts for one ``recv``,
and verifies nothing unless told.)
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from . import ber
from .answers import Lost, TooSlow, Unreachable
from .messages import CONTROLS, EXTENDED_ANSWERS, EXTENDED_RESPONSE, result_of
from .places import Server

LEAST = 0.001
"""Seconds: a timeout of 0 would mean not to wait for what is there already."""

MAX_MESSAGE = 128 << 10
"""Bytes of one message. Pictures are not asked for, so ours are small; a socket pair must take one at once."""

MAX_SCHEMA = 4 << 20
"""Bytes of the message that holds a schema: a FreeIPA's has about half a megabyte."""

STARTTLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
"""The request for TLS, as message 1 (RFC 4511, 4.14.1)."""


def left(until: float) -> float:
    """Seconds until a time of ``monotonic``. Raises ``TooSlow`` when it is past."""
    seconds = until - monotonic()
    if seconds <= 0:
        raise TooSlow("no answer in time")
    return max(LEAST, seconds)


@dataclass(frozen=True, slots=True)
class Message:
    """An answer: the tag and the content of its protocolOp, the content of its controls, and all of its bytes."""

    kind: int
    operation: bytes = field(repr=False)
    controls: bytes = field(repr=False)
    data: bytes = field(repr=False)


class Wire:
    """A connected socket. ``most``: bytes of one message."""

    def __init__(self, sock: socket.socket, most: int = MAX_MESSAGE) -> None:
        self._sock = sock
        self._most = most
        self._buffer = b""

    def send(self, data: bytes, until: float) -> None:
        """Send all of it. Raises ``Lost``, ``TooSlow``."""
        self._sock.settimeout(left(until))
        try:
            self._sock.sendall(data)
        except TimeoutError:
            raise TooSlow("the server takes nothing in") from None
        except OSError as error:
            raise Lost(_told(error)) from None

    def answer(self, question: int, kinds: frozenset[int], until: float) -> Message:
        """The next message, which must belong to the question of this number, and be of its kind. ``Lost``, ``TooSlow``.

        ``kinds``: tags of protocolOp. Libraries take any result for the one that they wait for.
        """
        data = self._whole(until)
        with reading():
            (content,) = ber.contents(data, ber.SEQUENCE)
            identity, (kind, operation), *rest = ber.items(content)
            number = ber.number(ber.content(identity, ber.INTEGER))
            if number == 0 and kind == EXTENDED_RESPONSE:
                # the only notification that nobody asks for says that this is the end (RFC 4511, 4.4.1)
                raise Lost(f"the server ends the connection: {result_of(operation)}")
            if number != question or kind not in kinds:
                raise Lost("an answer to another question")
        return Message(kind, operation, next((value for tag, value in rest if tag == CONTROLS), b""), data)

    def start_tls(self, context: ssl.SSLContext, name: str, until: float) -> None:
        """Ask for TLS, and go on in it. Raises ``Unreachable`` where the server will not, ``Lost``, ``TooSlow``."""
        self.send(STARTTLS, until)
        message = self.answer(1, EXTENDED_ANSWERS, until)
        with reading():
            result = result_of(message.operation)
        if result.code:
            raise Unreachable(f"StartTLS is refused: {result}")
        if self._buffer:
            # sent in the clear, perhaps by somebody else, to be read as if it had come encrypted
            raise Unreachable("something came in behind the answer to StartTLS")
        self.encrypt(context, name, until)

    def encrypt(self, context: ssl.SSLContext, name: str, until: float) -> None:
        """From here on all is TLS; the server's certificate must be good for ``name``. Raises ``Unreachable``."""
        try:
            self._sock.settimeout(left(until))
            self._sock = context.wrap_socket(self._sock, server_hostname=name)
        except TimeoutError:
            raise Unreachable("accepts connections and says nothing") from None
        except (OSError, ValueError) as error:
            # ValueError: a name that can be no server's
            raise Unreachable(f"TLS: {_told(error)}") from None

    def quiet(self) -> bool:
        """Whether nothing has come in, and no end."""
        poll = select.poll()
        try:
            poll.register(self._sock.fileno(), select.POLLIN)
            return not self._buffer and not poll.poll(0)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def _whole(self, until: float) -> bytes:
        while True:
            with reading():
                size = ber.size_of(self._buffer)
            if size is not None and size > self._most:
                raise Lost(f"a message of more than {self._most} bytes")
            if size is not None and size <= len(self._buffer):
                message, self._buffer = self._buffer[:size], self._buffer[size:]
                return message
            self._buffer += self._received(until)

    def _received(self, until: float) -> bytes:
        self._sock.settimeout(left(until))
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            raise TooSlow("no answer in time") from None
        except OSError as error:
            raise Lost(_told(error)) from None
        if not data:
            raise Lost("the server has closed the connection")
        return data


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What cannot be read is not LDAP, and the connection is good for nothing. Raises ``Lost`` for a ValueError."""
    try:
        yield
    except ValueError:
        raise Lost("what the server sends is not LDAP") from None


def tls_context(ca_pem: str) -> ssl.SSLContext:
    """What verifies servers and their names: against these authorities, or the system's."""
    context = ssl.create_default_context(cadata=ca_pem or None)
    # the certificates that domain controllers make for themselves lack what Python 3.13 insists on
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def dial(server: Server, context: ssl.SSLContext | None, until: float, most: int = MAX_MESSAGE) -> Wire:
    """Connected to the first of the server's addresses that accepts, and encrypted as its place says. ``Unreachable``."""
    try:
        wire = Wire(_connected(server, until), most)
    except TooSlow:
        raise Unreachable("no time was left to connect") from None
    except TimeoutError:
        raise Unreachable("does not accept connections") from None
    except OSError as error:
        raise Unreachable(_told(error)) from None
    try:
        if server.protection == "tls":
            assert context is not None
            wire.encrypt(context, server.host, until)
        elif server.protection == "starttls":
            assert context is not None
            wire.start_tls(context, server.host, until)
    except BaseException:
        wire.close()
        raise
    return wire


def _connected(server: Server, until: float) -> socket.socket:
    addresses = _addresses(server)  # each has its share of the time
    failure: OSError = TimeoutError()
    for number, (family, address) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left(until) / (len(addresses) - number))
            sock.connect(address)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _addresses(server: Server) -> list[tuple[socket.AddressFamily, Any]]:
    if server.socket:
        return [(socket.AF_UNIX, server.socket)]
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("the host name cannot be one") from None
    return [(family, address) for family, _, _, _, address in found]


def _told(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    return str(getattr(error, "strerror", None) or error)
