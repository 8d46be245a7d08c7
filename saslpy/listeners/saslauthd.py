"""``[[listen]]`` with ``protocol = "saslauthd"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..config import check_number
from ..listen import Listen
from ..mechanism_names import CLEARTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslauthdListen(Listen):
    """The saslauthd mux socket of Cyrus SASL: Postfix, Exim, Cyrus IMAP, OpenLDAP.

    ``temporary_failure``: "drop" hangs up, as libsasl2 and Exim expect; "code" sends a word that is neither OK nor NO.
    ``max_field`` is the longest field of a request in bytes. ``mechanisms``: it carries a password, for which PLAIN or
    LOGIN must be among them, and nothing else follows from it.
    """

    protocol: Literal["saslauthd"]
    temporary_failure: Literal["drop", "code"] = "drop"
    mechanisms: tuple[str, ...] = CLEARTEXT
    max_field: int = 8192

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        check_number("max_field", self.max_field, 256, 0xFFFF)  # two bytes count it
        if not set(CLEARTEXT) & set(self.mechanisms):
            raise ValueError(
                "mechanisms: this protocol carries a password in the clear, so PLAIN or LOGIN must be allowed"
            )

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """What the callers' users may be said to use."""
        return self.mechanisms
