"""The SASL mechanisms, each a generator in a file of its own. ``exchange`` has what they are made of."""

from __future__ import annotations

from ..exchange import Mechanism
from ..mechanism_names import MECHANISMS
from .anonymous import ANONYMOUS
from .cram import CRAM_MD5
from .external import EXTERNAL
from .login import LOGIN
from .oauth import OAUTHBEARER, XOAUTH2
from .plain import PLAIN
from .scram import mechanism as scram

_ALL = {
    one.name: one
    for one in (
        *(scram(f"SCRAM-SHA-{size}{plus}") for plus in ("-PLUS", "") for size in (256, 1)),
        CRAM_MD5,
        PLAIN,
        LOGIN,
        OAUTHBEARER,
        XOAUTH2,
        EXTERNAL,
        ANONYMOUS,
    )
}
assert tuple(_ALL) == MECHANISMS


def named(name: str) -> Mechanism | None:
    """The mechanism of a name; case does not matter (RFC 4422, 3.1: names are upper case, clients are not)."""
    return _ALL.get(name.upper())
