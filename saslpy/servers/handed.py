"""Logins that a Dovecot login process was told are right, until the mail process asks for their accounts.

Dovecot's imap-login hands the client's connection to an imap process, and that one fetches the user by REQUEST from the
master socket: with the login process's CPID, the id of its AUTH, and the COOKIE of its connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..model import Account

TTL = 150.0
"""Seconds that a login is kept: Dovecot's own limit of a login's time (MASTER_AUTH_SERVER_TIMEOUT_SECS)."""

GRACE = 10.0
"""Seconds that it outlives the connection of the login process, which may end as soon as it has handed over."""

MOST = 16_384
"""Logins that are kept; one more costs the oldest. They are fetched within milliseconds."""


@dataclass(frozen=True, slots=True)
class HandedLogin:
    """An accepted login. ``master`` is who proved to be somebody, where that is another than the account; else empty.

    ``service`` is what was logged in to ("imap"). ``given`` is the name that the client gave, where it was the account's.
    """

    account: Account
    mechanism: str
    master: str
    until: float
    service: str = ""
    given: str = ""


Key = tuple[int, int, str]


class Handed:
    """What is kept, in the order in which it came. ``clock`` gives seconds."""

    def __init__(self, most: int = MOST, ttl: float = TTL, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._ttl = ttl
        self._clock = clock
        self._logins: dict[Key, HandedLogin] = {}

    def __len__(self) -> int:
        """How many are kept, late ones included that nobody has asked for."""
        return len(self._logins)

    def remember(  # noqa: PLR0913, PLR0917 (three of them are the key)
        self,
        cpid: int,
        auth_id: int,
        cookie: str,
        account: Account,
        mechanism: str,
        master: str = "",
        service: str = "",
        given: str = "",
    ) -> None:
        """Keep a login. ``cookie`` is 32 hex digits, as its connection was told."""
        key = (cpid, auth_id, cookie)
        self._logins.pop(key, None)  # a new one is the last in order
        self._drop_old()
        self._logins[key] = HandedLogin(account, mechanism, master, self._clock() + self._ttl, service, given)

    def take(self, cpid: int, auth_id: int, cookie: str) -> HandedLogin | None:
        """The login, once; None where there is none, or it is too late."""
        login = self._logins.pop((cpid, auth_id, cookie), None)
        return login if login is not None and self._clock() < login.until else None

    def leave(self, cookie: str) -> None:
        """The connection with this cookie has ended: what it has left is kept for ``GRACE`` seconds more."""
        until = self._clock() + GRACE
        for key, login in self._logins.items():
            if key[2] == cookie and until < login.until:
                self._logins[key] = replace(login, until=until)

    def _drop_old(self) -> None:
        now = self._clock()
        while self._logins:
            oldest = next(iter(self._logins))
            if len(self._logins) < self._most and now < self._logins[oldest].until:
                return
            del self._logins[oldest]
