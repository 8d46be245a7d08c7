"""Bearer tokens, for OAUTHBEARER (RFC 7628) and XOAUTH2: signed JWTs with local keys, or an issuer that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saslpy.backend import Plugin

from . import rules
from .claims import PLACE, Rules
from .endpoint import Endpoint

if TYPE_CHECKING:
    from .introspection import Introspection
    from .signed import SignedTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "oauth"``.

    It says whose a token is, and nothing more of them: the account is looked up in the chain's stores.

    **Signed tokens.** ``keys_file``: the issuer's public keys, as a JWK Set (what its jwks_uri shows) or in PEM. It is read
    anew when it changes; what makes no sense then is told in the log, and the old keys stay. ``algorithms`` that are
    allowed: by default all that need no secret; HS256, HS384 and HS512 must be named, and work with keys of kind "oct"
    alone. ``token_types``: what may stand as ``typ`` in the header; a token without one counts as "JWT". ``issuer`` and
    ``audience`` are required.

    **Asking the issuer** (RFC 7662). ``introspection_url``, https unless it is on this machine, as ``client_id`` with the
    first line of ``client_secret_file``. The certificate is verified, against ``ca_file`` or the system's authorities.
    ``pool_size`` connections at most. ``issuer`` and ``audience`` may be left empty, and are not checked then: whatever the
    endpoint calls active is good.

    **Whose it is.** ``username_claim``: the claim that names the user. By default "email", since logins here are addresses,
    and an issuer can verify one: with ``verified_email`` the token must say that it has (``email_verified``). A
    preferred_username is often the user's own to change. ``username_format``: the login, with the claim's value in the
    place of ``{username}``. ``domains``: logins of others are refused, "" is for those with none; empty means all. Name
    them where not all users are this issuer's: what it says of a master user is believed, too. ``scopes`` that it must
    have, all of them. ``required_claims``: claims that must have this value, or hold it where they are arrays.
    ``leeway``: seconds by which clocks may differ.
    """

    keys_file: Path | None = None
    algorithms: tuple[str, ...] = (
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"),
    )
    token_types: tuple[str, ...] = ("at+jwt", "JWT")
    introspection_url: str = ""
    client_id: str = ""
    client_secret_file: Path | None = None
    ca_file: Path | None = None
    pool_size: int = 8
    issuer: str = ""
    audience: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    required_claims: dict[str, str | bool] = field(default_factory=dict)
    username_claim: str = "email"
    username_format: str = PLACE
    verified_email: bool = True
    domains: tuple[str, ...] = ()
    leeway: float = 30.0
    keys: Any = field(default=None, init=False, repr=False)
    endpoint: Endpoint | None = field(default=None, init=False, repr=False)
    client_secret: str = field(default="", init=False, repr=False)
    ca_pem: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        rules.check(self)
        derived = rules.keys(self) if self.keys_file is not None else rules.asking(self)
        derived["domains"] = tuple(domain.lower() for domain in self.domains)
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def claims(self) -> Rules:
        """What a token must say."""
        return Rules(
            issuer=self.issuer,
            audience=self.audience,
            ends=self.keys_file is not None,
            scopes=self.scopes,
            required_claims=self.required_claims,
            username_claim=self.username_claim,
            username_format=self.username_format,
            verified_email=self.verified_email,
            domains=self.domains,
            leeway=self.leeway,
        )


def open_backend(
    config: Config,
) -> AbstractContextManager[SignedTokens] | AbstractAsyncContextManager[Introspection]:
    """The backend. Nothing is connected before the first question, so an issuer that is down is no failing start."""
    if config.keys_file is not None:
        return _signed(config)
    from .introspection import Introspection

    # here, in a thread: the system's authorities take a while to load
    return _asking(Introspection(config, config.claims()))


@contextmanager
def _signed(config: Config) -> Iterator[SignedTokens]:
    from .signed import SignedTokens

    yield SignedTokens(config, config.claims())


@asynccontextmanager
async def _asking(asked: Introspection) -> AsyncIterator[Introspection]:
    try:
        yield asked
    finally:
        await asked.close()


plugin = Plugin(Config, open_backend, extra="oauth", driver="joserfc")
