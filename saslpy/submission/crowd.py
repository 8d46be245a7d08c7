"""How many connections each client has: one must not take them all."""

from __future__ import annotations

import ipaddress

from ..networks import address

SITE = 64
"""Bits of an IPv6 address that say who it is; the rest is his to choose (RFC 6177)."""


class Crowd:
    """Counts, by whatever a client is known by."""

    def __init__(self) -> None:
        self._present: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._present)

    def enter(self, client: str, most: int) -> bool:
        """One more of a client, who has ``most`` at a time; False where he has too many. 0 is no limit."""
        count = self._present.get(client, 0)
        if 0 < most <= count:
            return False
        self._present[client] = count + 1
        return True

    def leave(self, client: str) -> None:
        """One less."""
        count = self._present.pop(client) - 1
        if count:
            self._present[client] = count


def site(client: str) -> str:
    """What an address is counted as: itself, and an IPv6 one as its /64."""
    if ":" not in client:
        return client
    found = address(client)
    if found is None or found.version == 4:
        return str(found or client)
    return str(ipaddress.ip_network((int(found), SITE), strict=False))
