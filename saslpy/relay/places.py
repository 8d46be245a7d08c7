"""Places that mail may go to, as ``via`` writes them.

::

    via := "smtp://" host [":" port]      port 25; STARTTLS
         | "smtps://" host [":" port]     port 465; TLS at once
         | "lmtp:" host [":" port]        port 24 (RFC 2033)
         | "lmtp:" path                   a unix socket: whatever has a slash
         | "capture:" folder              a maildir, for trying things out
         | "mx"                           by DNS; needs a queue

An IPv6 address stands in brackets.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ..addresses import is_loopback
from ..protocols.smtp import domains

PORTS = {"smtp": 25, "smtps": 465, "lmtp": 24}

_URL = re.compile(r"(smtps?)://([^/]*)/?", re.IGNORECASE)
_WRITTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]/@]+))(?::(?P<port>[0-9]{1,5}))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Server:
    """One host of a next hop: ``host`` and ``port``, or ``path``, that of a unix socket. ``tls``: from the first byte."""

    protocol: Literal["smtp", "lmtp"]
    host: str = ""
    port: int = 0
    path: Path | None = None
    tls: bool = False

    @property
    def local(self) -> bool:
        """Whether it is on this machine, for certain: nobody listens on the way."""
        return self.path is not None or is_loopback(self.host)

    def __str__(self) -> str:
        """As the log shows it, and as ``via`` has it."""
        if self.path is not None:
            return f"lmtp:{self.path}"
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"lmtp:{place}" if self.protocol == "lmtp" else f"smtp{'s' if self.tls else ''}://{place}"


@dataclass(frozen=True, slots=True)
class Capture:
    """A maildir that takes everything."""

    folder: Path

    def __str__(self) -> str:
        return f"capture:{self.folder}"


Place: TypeAlias = Server | Capture


def place_of(key: str, text: str, folder: Path = Path()) -> Place:
    """What one ``via`` means. Raises ``ValueError``, which begins with the key."""
    kind, colon, rest = text.partition(":")
    kind = kind.lower()
    if kind == "mx":
        raise ValueError(f"{key}: delivery by DNS needs a queue, and there is none yet; name a smarthost")
    if colon and kind in ("smtp", "smtps"):
        return _by_url(key, text)
    if colon and kind == "lmtp":
        return _by_lmtp(key, rest, folder)
    if colon and kind == "capture":
        return Capture(_path(key, rest, folder))
    shown = text.rpartition("@")[2]  # what precedes it may be a password
    raise ValueError(
        f'{key}: expected "smtp://host:port", "smtps://host", "lmtp:/path" or "capture:DIR", got {shown!r}'
    )


def _by_url(key: str, text: str) -> Server:
    if "@" in text:
        raise ValueError(f"{key}: no name or password belongs into a URL; use login and password_file")
    found = _URL.fullmatch(text)
    if not found:
        raise ValueError(f'{key}: expected "smtp://host:port", got {text!r}')
    scheme = found[1].lower()
    host, port = _host_and_port(key, found[2], PORTS[scheme])
    return Server("smtp", host, port, tls=scheme == "smtps")


def _by_lmtp(key: str, rest: str, folder: Path) -> Server:
    if rest.startswith("//") or rest.startswith(("unix:", "inet:")):
        raise ValueError(f'{key}: expected "lmtp:/path" or "lmtp:host:port", got {"lmtp:" + rest!r}')
    if "/" in rest:
        return Server("lmtp", path=_path(key, rest, folder))
    host, port = _host_and_port(key, rest, PORTS["lmtp"])
    return Server("lmtp", host, port)


def _path(key: str, text: str, folder: Path) -> Path:
    if not text or _CONTROL.search(text):
        raise ValueError(f"{key}: expected a path behind the colon")
    return folder / Path(text)


def _host_and_port(key: str, text: str, default: int) -> tuple[str, int]:
    match = _WRITTEN.fullmatch(text)
    if match is None:
        hint = "; an IPv6 address goes in brackets" if text.count(":") > 1 else ""
        raise ValueError(f'{key}: expected "host", "host:port" or "[v6]:port", got {text!r}{hint}')
    port = int(match["port"] or default)
    if not 0 < port <= 0xFFFF:
        raise ValueError(f"{key}: there is no port {port}")
    try:
        return (str(ipaddress.IPv6Address(match["v6"])) if match["v6"] else _host(match["name"])), port
    except ValueError:
        raise ValueError(f"{key}: {match['v6'] or match['name']!r} is no host") from None


def _host(name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        return domains.canonical(name.removesuffix("."))
