"""Networks as the configuration writes them, and those that are too large to be trusted with anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

WIDEST = {4: 16, 6: 32}
"""The shortest prefix, in bits, of a network that anybody may be in: as much as one site has."""

_OWN = tuple(
    map(
        ipaddress.ip_network,
        (
            "127.0.0.0/8",
            "10.0.0.0/8",  # RFC 1918
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",  # RFC 6598
            "169.254.0.0/16",  # RFC 3927
            "::1/128",
            "fc00::/7",  # RFC 4193
            "fe80::/10",
        ),
    )
)


def networks(key: str, texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of a key. Raises ``ValueError``, which begins with the key, for what is none."""
    return tuple(_network(f"{key}[{number}]", text) for number, text in enumerate(texts))


def _network(key: str, text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{key}: expected an address or a network such as "192.0.2.0/28", got {text!r}') from None
    raise ValueError(f"{key}: {text!r} has bits behind its prefix; is {str(meant)!r} meant?")


def check_narrow(key: str, found: Sequence[Network], danger: str) -> None:
    """Raise ``ValueError`` for a network that strangers are in, which would be ``danger``."""
    for number, network in enumerate(found):
        if wide(network):
            raise ValueError(f"{key}[{number}]: {network} is a large part of the Internet, and {danger}")


def wide(network: Network) -> bool:
    """Whether more than one site is in it."""
    return not private(network) and network.prefixlen < WIDEST[network.version]


def private(network: Network) -> bool:
    """Whether nobody on the Internet is in it."""
    return any(network.version == own.version and network.subnet_of(own) for own in _OWN)  # type: ignore[arg-type]


def address(text: str) -> Address | None:
    """An address, an IPv4 one also where IPv6 carries it (``::ffff:192.0.2.1``); None for what is none."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.version == 6 and found.ipv4_mapped) or found


def within(text: str, among: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    found = address(text)
    return found is not None and any(found in network for network in among)
