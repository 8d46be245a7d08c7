"""``[[listen]]`` with ``protocol = "socketmap"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..config import check_number
from ..listen import Listen


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketmapListen(Listen):
    """Lookups of Postfix (socketmap_table(5)): which mailboxes there are, and who may send as which address.

    ``recipient_delimiter`` as in Postfix: "joe+lists" is joe's where it is "+". ``read_timeout`` (seconds) is for the rest
    of a request, ``idle_timeout`` for the next one.
    """

    protocol: Literal["socketmap"]
    recipient_delimiter: str = ""
    idle_timeout: float = 100.0

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        check_number("idle_timeout", self.idle_timeout, 0.001, 86_400)
        for mark in self.recipient_delimiter:
            if mark.isalnum() or mark in '@."' or not mark.isprintable() or not mark.isascii() or mark == " ":
                raise ValueError(f'recipient_delimiter: signs such as "+" or "-", and not {mark!r}')

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """None: nobody logs in here."""
        return ()
