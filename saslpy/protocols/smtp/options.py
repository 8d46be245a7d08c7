"""What a server offers, demands and bears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EXTENSIONS = frozenset(
    (
        "8BITMIME",
        "AUTH",
        "BINARYMIME",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "LIMITS",
        "PIPELINING",
        "REQUIRETLS",
        "SIZE",
        "SMTPUTF8",
        "STARTTLS",
    )
)
"""Those that need no more than a next hop, or nothing. Others are switched on by the options that say how far they go."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection; 0 is none for ``size``, ``line``, ``recipients`` and ``messages``.

    ``size``, ``header`` and ``line`` (without its CRLF) are octets of a message, ``swallow`` those that are read behind
    ``size`` to find its end. ``recipients`` are those of a message, ``messages`` those of the connection. ``errors`` and
    ``idle_commands`` (NOOP and the like, and MAIL) are counted since the last message that was taken, as are ``refused``
    recipients and those beyond it that are ``put_off`` with 452, as Postfix bounds its smtpd_recipient_overshoot_limit.
    """

    size: int = 50 * 1024 * 1024
    header: int = 1024 * 1024
    line: int = 0
    swallow: int = 64 * 1024 * 1024
    recipients: int = 1000
    messages: int = 0
    errors: int = 20
    idle_commands: int = 100
    refused: int = 100
    put_off: int = 1000
    auth_failures: int = 3


@dataclass(frozen=True, slots=True)
class FutureRelease:
    """How long a message may be held (RFC 4865): seconds from now, which ``clock`` tells."""

    seconds: int
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def until(self) -> datetime:
        """The same as a date."""
        return self.clock() + timedelta(seconds=self.seconds)

    def __str__(self) -> str:
        return f"{self.seconds} {self.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Options:
    """``hostname`` is our name. ``mechanisms`` are offered where AUTH may be used.

    ``require_tls``: no AUTH and no MAIL before TLS. ``require_auth``: no MAIL before AUTH. ``xclient``: the peer is one
    whose XCLIENT counts. ``repair_line_ends``: see ``content.DataReader``. ``deliver_by`` is the least time in seconds
    (RFC 2852), ``priorities`` the profile's name, which may be empty (RFC 6710); None does not offer them.
    """

    hostname: str
    mechanisms: tuple[str, ...] = ()
    require_tls: bool = True
    require_auth: bool = True
    extensions: frozenset[str] = EXTENSIONS
    xclient: bool = False
    repair_line_ends: bool = False
    future_release: FutureRelease | None = None
    deliver_by: int | None = None
    priorities: str | None = None
    limits: Limits = field(default_factory=Limits)
