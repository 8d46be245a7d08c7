"""The sockets that callers use: a frozen dataclass for each protocol, whose fields are the keys of its ``[[listen]]``."""

from __future__ import annotations

from ..listen import Listen
from .dovecot import DovecotListen
from .saslauthd import SaslauthdListen

PROTOCOLS: dict[str, type[Listen]] = {
    "saslauthd": SaslauthdListen,
    "dovecot": DovecotListen,
}
"""By the value of ``protocol``."""
