"""``[[listen]]`` with ``protocol = "authdaemon"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..listen import Listen
from ..logins import check_mechanisms

_SERVED = ("PLAIN", "LOGIN", "CRAM-MD5")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthdaemonListen(Listen):
    """The socket of Courier's authdaemond: courier-imap and its POP3 server, maildrop, sqwebmail, authtest; and Cyrus SASL
    (``pwcheck_method: authdaemond``).

    ``mechanisms``: empty for those of ``[auth]`` that can be served here. PLAIN or LOGIN allows passwords in the clear,
    CRAM-MD5 also CRAM-SHA1 and CRAM-SHA256. ``default_options`` are Courier's options for accounts that do not have them
    themselves. ``password_only``: the services that only want to know whether a password is right; for all others an
    account without uid, gid and home is "could not find out". ``secrets``: callers also get the stored passwords. Over TCP,
    where the kernel says nobody's name, nobody is told of users without their password.
    ``temporary_failure`` can only be "drop": Courier's clients know no other word.
    """

    protocol: Literal["authdaemon"]
    temporary_failure: Literal["drop"] = "drop"
    mechanisms: tuple[str, ...] = ()
    default_options: dict[str, str] = field(default_factory=dict)
    password_only: tuple[str, ...] = ("smtp",)
    secrets: bool = False

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        check_mechanisms(self.mechanisms)
        for number, name in enumerate(self.mechanisms):
            if name not in _SERVED:
                raise ValueError(f"mechanisms[{number}]: {name} is not served here; those are {', '.join(_SERVED)}")
        if self.secrets and self.address is not None:
            raise ValueError(
                "secrets: over TCP everybody on this machine, and beyond, would be told the stored passwords"
            )
        for key, value in self.default_options.items():
            if not key or set("=,") & set(key) or "," in value or not (key + value).isprintable():
                raise ValueError(f"default_options: {key!r} cannot be told: no commas, and no equals sign in a name")

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """The mechanisms of this socket, where ``[auth]`` has these."""
        return self.mechanisms or tuple(name for name in auth if name in _SERVED)
