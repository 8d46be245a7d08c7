"""The places where a database may be: how they are written, and whether the way there needs TLS."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from saslpy.addresses import is_loopback

DEFAULT_PORT = 3306

_WRITTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]/@]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Server:
    """One database server: ``host`` and ``port``, or ``socket``."""

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    tls: bool = False

    def __str__(self) -> str:
        """As the log shows it: "127.0.0.1:3306", or the path."""
        if self.socket:
            return self.socket
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def server_of(text: str, tls: bool | None) -> Server:
    """The server that ``host``, ``host:port`` or ``[v6]:port`` means. ``tls`` None: unless loopback. Raises ValueError."""
    if "@" in text:
        # what precedes it may be a password, and is not shown
        raise ValueError(f"hosts: {text.rpartition('@')[2]!r} follows an @: user and password have keys of their own")
    match = _WRITTEN.fullmatch(text)
    if match is None or (match["v6"] and not _is_ipv6(match["v6"])):
        hint = "; an IPv6 address goes in brackets" if text.count(":") > 1 else ""
        raise ValueError(f'hosts: expected "host", "host:port" or "[v6]:port", got {text!r}{hint}')
    port = int(match["port"] or DEFAULT_PORT)
    if not 0 < port <= 0xFFFF:
        raise ValueError(f"hosts: {text!r}: there is no port {port}")
    host = match["v6"] or match["name"]
    return Server(host, port, tls=not is_loopback(host) if tls is None else tls)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
