"""Whether what a plug-in answers is what its contract says: the fields of accounts and refusals, and their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from operator import attrgetter
from types import NoneType

from .model import DOUBTS, Account, Reason, Refusal
from .names import odd_character

MAX_ID = 0xFFFF_FFFE
"""The highest number of a system user or group; the next one stands for nobody at all (chown(2))."""


def fault_in(account: Account) -> str | None:
    """What is wrong with an account that a plug-in made, in words for its author; None when its fields are sound."""
    if type(account.login) is not str or not account.login:
        return "login is no text"
    if not account.login.isprintable() and (odd := odd_character(account.login)):
        return f"login holds what no name may: {odd}"
    if not _texts(account.secrets):
        return 'secrets are no tuple of texts, such as ("{SCHEME}data",)'
    return _fault_in_details(account)


def fault_in_refusal(refusal: Refusal) -> str | None:
    """What is wrong with a refusal that a plug-in made, in words for its author; None when it is a definite no."""
    if not isinstance(refusal.reason, Reason):
        return "reason is no saslpy.Reason"
    if refusal.reason in DOUBTS:
        return f"reason {refusal.reason.value} says that nothing was found out: raise an exception instead"
    return None if isinstance(refusal.detail, str) else "detail is no text"


def _fault_in_details(account: Account) -> str | None:
    if _bare(account):
        return None  # as most are: the closer look takes three times as long
    for name, kinds, told in DETAILS:
        if type(getattr(account, name)) not in kinds:
            return f"{name} is {told}"
    for name in ("allow_nets", "deny_services", "aliases"):
        if not _texts(getattr(account, name)):
            return f"{name} are no tuple of texts"
    options = account.options
    if not isinstance(options, Mapping) or (options and not all(map(_texts, map(tuple, options.items())))):
        return "options are no mapping of texts to texts"
    return _fault_in_values(account)


def _fault_in_values(account: Account) -> str | None:
    for name in ("uid", "gid"):
        number = getattr(account, name)
        if number is not None and not 0 <= number <= MAX_ID:
            return f"{name} is no number from 0 to {MAX_ID}"
    for name in ("home", "maildir", "quota"):
        value = getattr(account, name)
        if value is not None and not value.isprintable() and _UNTOLD.search(value):
            return f"{name} holds a control character, or is not UTF-8"
    for text in account.allow_nets:
        if not network(text):
            return f"allow_nets hold {text[:64]!r}, which is no network"
    return None


_UNTOLD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What a path may hold, and no line of a protocol."""

DETAILS = (
    ("disabled", (bool,), "neither True nor False"),
    ("expired", (bool,), "neither True nor False"),
    ("uid", (int, NoneType), "no number"),
    ("gid", (int, NoneType), "no number"),
    ("home", (str, NoneType), "no text"),
    ("maildir", (str, NoneType), "no text"),
    ("quota", (str, NoneType), "no text"),
    ("name", (str, NoneType), "no text"),
)
"""Fields of an account, the types that they may have, and what is said of any other."""


_MORE = attrgetter("uid", "gid", "home", "maildir", "quota", "name", "allow_nets", "deny_services", "aliases")
_NOTHING = (None, None, None, None, None, None, (), (), ())


def _bare(account: Account) -> bool:
    """Whether there is nothing but a login and secrets."""
    return (
        account.disabled is False
        and account.expired is False
        and _MORE(account) == _NOTHING
        and type(account.options) is dict
        and not account.options
    )


def _texts(values: object) -> bool:
    if type(values) is not tuple:
        return False
    for value in values:  # noqa: SIM110 (a generator takes twice as long)
        if not isinstance(value, str):
            return False
    return True


@lru_cache(4096)
def network(text: str) -> IPv4Network | IPv6Network | None:
    """A network in CIDR form ("192.0.2.0/24", or one address), None when it is none."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None
