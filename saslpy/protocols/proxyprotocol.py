r"""The PROXY protocol (haproxy.org, proxy-protocol.txt): the first bytes of a connection that a proxy has handed on.

::

    v1 := "PROXY " ("UNKNOWN" *any | ("TCP4" | "TCP6") SP source SP destination SP port SP port) CRLF     107 octets at most
    v2 := 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A   version << 4 | command   family << 4 | transport   length   addresses TLV*

``length`` counts what follows it, in network order. A proxy's own connection (LOCAL, UNKNOWN) tells no address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from dataclasses import dataclass

from . import ProtocolError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

MAX_V1 = 107
MAX_V2 = 4096
"""Octets behind the 16 of the head. Certificates of clients are the longest that comes; we read none of it."""

_V1_START = b"PROXY "
_HEAD = struct.Struct("!12sBBH")
_V1 = re.compile(rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5}))\r\n")
_ADDRESSES = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
_FAMILIES = {0x11: socket.AF_INET, 0x21: socket.AF_INET6}
_WITHOUT_ADDRESS = frozenset((0x00, 0x31))  # "unspecified", and a unix socket, which has nothing that we could use


@dataclass(frozen=True, slots=True)
class Proxied:
    """``client`` is the address that the proxy was connected from, empty where it does not tell; ``length`` in octets."""

    client: str
    length: int


def read(data: bytes) -> Proxied | None:
    """The header that stands at the beginning; None where more must come. Raises ``ProtocolError``."""
    if data.startswith(_V1_START):
        return _v1(data)
    if data.startswith(SIGNATURE):
        return _v2(data)
    if _V1_START.startswith(data) or SIGNATURE.startswith(data):
        return None
    raise ProtocolError("no PROXY header")


def _v1(data: bytes) -> Proxied | None:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise ProtocolError("a PROXY header that does not end")
        return None
    found = _V1.fullmatch(data[: end + 2])
    if not found:
        raise ProtocolError("a malformed PROXY header")
    if found[1] is None:
        return Proxied("", end + 2)
    if int(found[4]) > 0xFFFF or int(found[5]) > 0xFFFF:
        raise ProtocolError("a PROXY header with a port that there is not")
    kind = ipaddress.IPv4Address if found[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        client, _ = kind(found[2].decode()), kind(found[3].decode())
    except ValueError:
        raise ProtocolError("a PROXY header with an address that is none") from None
    return Proxied(_text(client), end + 2)


def _v2(data: bytes) -> Proxied | None:
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    if command not in (0x20, 0x21):
        raise ProtocolError("a PROXY header of another version, or with another command")
    if length > MAX_V2:
        raise ProtocolError(f"a PROXY header of over {MAX_V2} octets")
    whole = _HEAD.size + length
    if command == 0x20 or family in _WITHOUT_ADDRESS:  # LOCAL: whatever follows means nothing
        return Proxied("", whole) if len(data) >= whole else None
    if family not in _ADDRESSES:
        raise ProtocolError("a PROXY header for what is not TCP")
    if length < _ADDRESSES[family].size:
        raise ProtocolError("a PROXY header too short for its addresses")
    if len(data) < whole:
        return None
    source = _ADDRESSES[family].unpack_from(data, _HEAD.size)[0]
    return Proxied(_text(ipaddress.ip_address(socket.inet_ntop(_FAMILIES[family], source))), whole)


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As all of us compare it: an IPv4 address that IPv6 carries is one."""
    return str((address.version == 6 and address.ipv4_mapped) or address)
