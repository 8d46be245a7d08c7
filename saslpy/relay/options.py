"""``[relay]``: where mail goes that was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import check_number
from .routes import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """``[relay]``: where mail goes that was taken.

    ``mode``: "proxy" answers 250 when the next hop has. ``timeout_seconds`` is for each of the next hop's replies, but
    ``final_timeout_seconds`` for the one to a whole message: when that is not waited for, the message may arrive twice.
    """

    mode: Literal["proxy", "queue"] = "proxy"
    timeout_seconds: float = 60.0
    final_timeout_seconds: float = 600.0
    route: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        check_number("timeout_seconds", self.timeout_seconds, 0.1, 3600)
        check_number("final_timeout_seconds", self.final_timeout_seconds, 0.1, 3600)
        if self.mode == "queue":
            raise ValueError('mode: there is no queue yet; take "proxy"')
        if not self.route:
            raise ValueError("route: there is none, so no mail could go anywhere; add a [[relay.route]]")
