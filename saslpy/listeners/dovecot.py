"""``[[listen]]`` with ``protocol = "dovecot"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..config import check_number
from ..listen import Listen
from ..logins import check_mechanisms

_ONLY_LISTED = ("EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS")
"""No use to most callers: Postfix and Exim name no certificates that a login could go by, and cannot bind channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotListen(Listen):
    """The client socket of Dovecot's auth service: Postfix and Exim (type dovecot), Dovecot's login processes.

    ``mechanisms``: those that are offered; empty for those of ``[auth]``, without EXTERNAL and -PLUS, which must be listed
    here. ``temporary_failure``: "drop" hangs up, as Postfix and Exim expect; "code" is Dovecot's own word for it; "auto"
    goes by the version that the client announces. ``read_timeout`` (seconds) ends half a line, ``exchange_timeout`` an
    exchange whose client says no more; a connection may idle for ever.
    """

    protocol: Literal["dovecot"]
    temporary_failure: Literal["auto", "drop", "code"] = "auto"
    mechanisms: tuple[str, ...] = ()
    exchange_timeout: float = 150.0

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        check_number("exchange_timeout", self.exchange_timeout, 0.001, 86_400)
        check_mechanisms(self.mechanisms)

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """The mechanisms of this socket, where ``[auth]`` has these."""
        return self.mechanisms or tuple(name for name in auth if name not in _ONLY_LISTED)
