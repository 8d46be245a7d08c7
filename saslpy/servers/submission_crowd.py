"""How many connections each client has: one must not take them all."""

from __future__ import annotations

import ipaddress

from ..networks import address

SITE = 64
"""Bits of an IPv6 address that say who it is; the rest is his to choose (RFC 6177)."""


class Crowd:
    """Counts. 0 for ``most`` is no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._present: dict[str, int] = {}

    def enter(self, client: str) -> str | None:
        """One more of a client. What ``leave`` wants, None where he has too many."""
        key = _key(client)
        count = self._present.get(key, 0)
        if 0 < self._most <= count:
            return None
        self._present[key] = count + 1
        return key

    def leave(self, key: str) -> None:
        """One less."""
        count = self._present.pop(key) - 1
        if count:
            self._present[key] = count


def _key(client: str) -> str:
    if ":" not in client:
        return client
    found = address(client)
    if found is None or found.version == 4:
        return str(found or client)
    return str(ipaddress.ip_network((int(found), SITE), strict=False))
