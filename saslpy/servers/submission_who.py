"""Who is at the other end of a connection, as far as is known by now, and as whom he sends."""

from __future__ import annotations

import ssl

from ..model import Account, Origin
from ..submission.message import Sender
from ..submission.options import Legacy
from .submission_client import certificate_name


class Who:
    """``client`` is his address, whoever hands the connection on; ``legacy``: what he may without a login."""

    __slots__ = ("_account", "_sender", "client", "legacy")

    def __init__(self, client: str, legacy: Legacy | None) -> None:
        self.client = client
        self.legacy = legacy
        self._account: Account | None = None
        self._sender: Sender | None = None

    @property
    def login(self) -> str:
        """Of whom has logged in; empty without."""
        return self._account.login if self._account is not None else ""

    def known_as(self, account: Account | None) -> None:
        """He has logged in; None: whatever he was known as is forgotten."""
        self._account, self._sender = account, None

    def origin(self, tls: ssl.SSLObject | None, mechanism: str = "PLAIN") -> Origin:
        """Where his questions come from."""
        return Origin("submission", "submission", mechanism, self.client, None, tls is not None, certificate_name(tls))

    def sender(self, tls: ssl.SSLObject | None) -> Sender | None:
        """As who he sends; None where he has no login, and needs one."""
        if self._sender is None and self._account is not None:
            self._sender = Sender(self._account, self.origin(tls), self._account.login)
        elif self._sender is None and self.legacy is not None:
            address = self.legacy.sender
            self._sender = Sender(Account(address), self.origin(tls), self.legacy.login, address)
        return self._sender
