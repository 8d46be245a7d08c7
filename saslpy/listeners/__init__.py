"""The sockets that callers use: a frozen dataclass for each protocol, whose fields are the keys of its ``[[listen]]``."""

from __future__ import annotations

from ..listen import Listen
from .authdaemon import AuthdaemonListen
from .dovecot import DovecotListen
from .dovecot_master import DovecotMasterListen
from .http import HttpListen
from .saslauthd import SaslauthdListen
from .socketmap import SocketmapListen
from .submission import SubmissionListen

PROTOCOLS: dict[str, type[Listen]] = {
    "saslauthd": SaslauthdListen,
    "authdaemon": AuthdaemonListen,
    "dovecot": DovecotListen,
    "dovecot-master": DovecotMasterListen,
    "http": HttpListen,
    "socketmap": SocketmapListen,
    "submission": SubmissionListen,
    "submissions": SubmissionListen,
}
"""By the value of ``protocol``."""
