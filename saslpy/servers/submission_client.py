"""Who is at the other end, behind whatever hands connections on: by the PROXY protocol, by XCLIENT, by TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence

from ..networks import address
from ..protocols import proxyprotocol
from ..submission.tls import ServerContext, client_name
from .submission_wire import Wire

PLUS, EXTERNAL = "-PLUS", "EXTERNAL"


class MalformedAddress(ValueError):
    """What XCLIENT says is no address."""


def peer_of(connection: socket.socket) -> str:
    """The address of who has connected; empty where it is none, or has gone already."""
    try:
        name = connection.getpeername()
    except OSError:
        return ""
    if not isinstance(name, tuple):
        return ""
    host: str = name[0]
    return str(address(host) or "") if ":" in host else host


async def proxied(wire: Wire) -> str:
    """The client that a PROXY header tells, empty where it tells none. Raises ``ProtocolError``, and ``Gone``."""
    data = b""
    while (header := proxyprotocol.read(data)) is None:
        data += await wire.receive()
    wire.begun = data[header.length :]
    return header.client


def told_address(attributes: Mapping[str, str | None]) -> str | None:
    """XCLIENT's ADDR; None where it is not told. Raises ``MalformedAddress``."""
    text = attributes.get("ADDR")
    if not text:
        return None
    found = address(text[5:] if text[:5].upper() == "IPV6:" else text)
    if found is None:
        raise MalformedAddress("no IP address")
    return str(found)


# --- TLS


def usable(offered: Sequence[str], tls: ssl.SSLObject | None) -> tuple[str, ...]:
    """The mechanisms that make sense on a connection: some need TLS, EXTERNAL needs a client certificate."""
    return tuple(
        name
        for name in offered
        if (tls is not None or not name.endswith(PLUS)) and (name != EXTERNAL or certificate_name(tls))
    )


def certificate_name(tls: ssl.SSLObject | None) -> str:
    """As whom a client's certificate, which was verified, may log in; empty without one."""
    return client_name(tls.getpeercert()) if tls is not None else ""


def binding(kind: str, tls: ssl.SSLObject | None) -> bytes | None:
    """Channel-binding data of a type (RFC 5929); None where there is none. Python has no tls-exporter (RFC 9266)."""
    if tls is None:
        return None
    if kind == "tls-unique" and tls.version() == "TLSv1.2":
        return tls.get_channel_binding("tls-unique")
    if kind == "tls-server-end-point" and isinstance(tls.context, ServerContext):
        return tls.context.end_point
    return None


def cipher_of(tls: ssl.SSLObject | None) -> str:
    """What Received says of TLS."""
    cipher = tls.cipher() if tls is not None else None
    return cipher[0] if cipher else ""
