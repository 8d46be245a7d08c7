"""Asking the issuer (RFC 7662): is this token active, and whose is it?

    POST /introspect                          200
    Authorization: Basic …                    {"active": true, "email": "joe@example.org", "exp": …, "scope": "mail"}
    token=…&token_type_hint=access_token      {"active": false}

``"active": false`` is the one definite no that an endpoint has (2.2), whatever is wrong with the token. Everything else
that is not an answer, 401 to our own name included (2.3), leaves open whether the token is good.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import trio

from saslpy.model import Account, Login, Reason, Refusal

from . import strictjson
from .claims import Rules
from .compact import MAX_TOKEN
from .dial import Dialler
from .endpoint import Fault
from .http import Answer
from .pool import Pool

if TYPE_CHECKING:
    from . import Config

PATIENCE = 60.0
"""Seconds for a question, whoever asks. The core's guard waits for ``timeout``, which is less as a rule."""

NO_TOKEN = "saslpy-check"  # noqa: S105 (it is nobody's)

HINTS = {
    400: "it does not like the question; is it an introspection endpoint?",
    401: "client_id or the secret is not accepted there",
    403: "client_id may not ask there",
    404: "there is nothing at this path",
}


class Introspection:
    """A ``TokenVerifier``, on the event loop. ``clock`` gives seconds since 1970."""

    def __init__(self, config: Config, rules: Rules, clock: Callable[[], float] = time.time) -> None:
        assert config.endpoint is not None
        self._endpoint = config.endpoint
        self._headers = _headers(config.endpoint.authority, config.client_id, config.client_secret)
        self._pool = Pool(Dialler(config.endpoint, config.ca_pem).connect, config.pool_size)
        self._rules = rules
        self._clock = clock

    async def verify_token(self, login: Login, token: str) -> Account | Refusal:
        """Whose token it is; never who the client wants to be, which is for the core to compare."""
        if not _sendable(token):
            return Refusal(Reason.INVALID_TOKEN, "too long, or no token", asked=False)
        claims = await self._ask(token)
        if not claims["active"]:
            return Refusal(Reason.INVALID_TOKEN, "not active")
        return self._rules.judge(claims, self._clock())

    async def probe(self) -> str:
        """That the endpoint answers, and knows us."""
        await self._ask(NO_TOKEN)
        return f"{self._endpoint} answers" + (f" ({self._pool.about})" if self._pool.about else "")

    async def close(self) -> None:
        """Close what is idle; what is in use has been cancelled."""
        await self._pool.close()

    async def _ask(self, token: str) -> Mapping[str, Any]:
        """What it says, ``active`` among it. Raises ``Fault``."""
        body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        try:
            with trio.fail_after(PATIENCE):
                return _claims(await self._pool.post(self._endpoint.target, self._headers, body))
        except Fault as fault:
            raise Fault(f"{self._endpoint}: {fault}") from None
        except trio.TooSlowError:
            raise Fault(f"{self._endpoint}: no answer in {PATIENCE:g} s") from None


def _headers(authority: str, client_id: str, secret: str) -> list[tuple[str, str]]:
    # both are form-encoded first (RFC 6749, 2.3.1)
    credentials = b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()
    return [
        ("Host", authority),
        ("User-Agent", "saslpy"),
        ("Authorization", f"Basic {credentials}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
    ]


def _sendable(token: str) -> bool:
    """Whether it can be a token: visible ASCII (RFC 6749, A.12), and not too much of it."""
    return 0 < len(token) <= MAX_TOKEN and token.isascii() and token.isprintable() and " " not in token


def _claims(answer: Answer) -> Mapping[str, Any]:
    if answer.status != 200:
        redirected = "a redirect, which is not followed" if answer.status // 100 == 3 else ""
        hint = HINTS.get(answer.status, redirected)
        raise Fault(f"it answers {answer.status}" + (f": {hint}" if hint else ""))
    try:
        claims = strictjson.table(answer.body)
    except strictjson.NotJson as error:
        raise Fault(f"its answer {error}") from None
    if not isinstance(claims.get("active"), bool):
        raise Fault("its answer does not say whether the token is active")
    return claims
