"""Logins that a Dovecot login process was told are right, until the mail process asks for their accounts.

Dovecot's imap-login hands the client's connection to an imap process, and that one fetches the user by REQUEST from the
master socket: with the login process's CPID, the id of its AUTH, and the COOKIE of its connection.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model import Account

TTL = 150.0
"""Seconds that a login is kept: Dovecot's own limit of a login's time (MASTER_AUTH_SERVER_TIMEOUT_SECS)."""

GRACE = 10.0
"""Seconds that it outlives the connection of the login process, which may end as soon as it has handed over."""

MOST = 16_384
"""Logins that are kept; one more costs the oldest. They are fetched within milliseconds."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """By what a login is fetched. ``cookie`` is 32 hex digits, as its connection was told."""

    cpid: int
    auth_id: int
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandedLogin:
    """An accepted login. ``master`` is who proved to be somebody, where that is another than the account; else empty.

    ``service`` is what was logged in to ("imap"). ``given`` is the name that the client gave, where it was the account's.
    """

    account: Account
    mechanism: str
    master: str = ""
    service: str = ""
    given: str = ""


class Handed:
    """What is kept, in the order in which it came. ``clock`` gives seconds."""

    def __init__(self, most: int = MOST, ttl: float = TTL, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._ttl = ttl
        self._clock = clock
        self._logins: OrderedDict[Ticket, tuple[HandedLogin, float]] = OrderedDict()
        self._by_cookie: dict[str, set[Ticket]] = {}

    def __len__(self) -> int:
        """How many are kept, late ones included that nobody has asked for."""
        return len(self._logins)

    def remember(self, ticket: Ticket, login: HandedLogin) -> None:
        """Keep a login."""
        self._pop(ticket)  # a new one is the last in order
        self._drop_old()
        self._logins[ticket] = login, self._clock() + self._ttl
        self._by_cookie.setdefault(ticket.cookie, set()).add(ticket)

    def take(self, ticket: Ticket) -> HandedLogin | None:
        """The login, once; None where there is none, or it is too late."""
        login, until = self._pop(ticket) or (None, 0.0)
        return login if self._clock() < until else None

    def leave(self, cookie: str) -> None:
        """The connection with this cookie has ended: what it has left is kept for ``GRACE`` seconds more."""
        latest = self._clock() + GRACE
        for ticket in self._by_cookie.get(cookie, ()):
            login, until = self._logins[ticket]
            self._logins[ticket] = login, min(until, latest)

    def _pop(self, ticket: Ticket) -> tuple[HandedLogin, float] | None:
        kept = self._logins.pop(ticket, None)
        if kept is not None:
            tickets = self._by_cookie[ticket.cookie]
            tickets.remove(ticket)
            if not tickets:
                del self._by_cookie[ticket.cookie]
        return kept

    def _drop_old(self) -> None:
        now = self._clock()
        while self._logins:
            oldest, (_, until) = next(iter(self._logins.items()))
            if len(self._logins) < self._most and now < until:
                return
            self._pop(oldest)
