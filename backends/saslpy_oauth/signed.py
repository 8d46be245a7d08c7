"""Tokens that carry their proof with them: signed JWTs (RFC 7519, RFC 9068), checked here, without asking anybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from saslpy.model import Account, Login, Reason, Refusal

from . import keys, strictjson
from .claims import Rules
from .compact import NoToken, parse, shown
from .keysfile import KeysFile

if TYPE_CHECKING:
    from . import Config


class SignedTokens:
    """A ``TokenVerifier`` that blocks for a look at the file of keys, once a second at most.

    ``clock`` gives seconds since 1970.
    """

    def __init__(self, config: Config, rules: Rules, clock: Callable[[], float] = time.time) -> None:
        assert config.keys_file is not None
        self._algorithms = frozenset(config.algorithms)
        self._types = frozenset(kind.lower() for kind in config.token_types)
        self._file = KeysFile(config.keys_file, config.keys, lambda data: keys.read(data, config.algorithms))
        self._rules = rules
        self._clock = clock

    def verify_token(self, login: Login, token: str) -> Account | Refusal:
        """Whose token it is; never who the client wants to be, which is for the core to compare."""
        try:
            jws = parse(token, self._algorithms, self._types)
            signed = self._file.current().signed(jws)
            if signed is None:
                raise NoToken(f"there is no key for it (kid {shown(jws.kid)}, {jws.algorithm})")
            if not signed:
                raise NoToken("its signature is wrong")
            claims = strictjson.table(jws.payload)
        except NoToken as error:
            return Refusal(Reason.INVALID_TOKEN, str(error))
        except strictjson.NotJson as error:
            return Refusal(Reason.INVALID_TOKEN, f"its payload {error}")
        return self._rules.judge(claims, self._clock())

    def probe(self) -> str:
        """The keys that are loaded."""
        return str(self._file.current())
