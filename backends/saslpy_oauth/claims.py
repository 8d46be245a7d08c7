"""What a token says of itself (RFC 7519, 4; RFC 7662, 2.2), and whether that lets its user in here.

The same rules hold for the payload of a signed token and for the answer of an introspection endpoint. Who may say
these things was found out before: by the signature, or by asking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saslpy.model import Account, Reason, Refusal
from saslpy.names import MalformedName, NamePolicy

from .compact import shown

MAX_TIME = 253_402_300_799
"""The end of the year 9999, in seconds since 1970. What lies behind it is a mistake, or milliseconds."""

PLACE = "{username}"

Wanted = str | bool


class Unfit(ValueError):
    """This token lets nobody in here. The message is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a token must say. The fields are those of ``Config``; ``leeway`` is in seconds.

    ``ends``: whether it must say when it ends. Empty ``issuer``, ``audience`` and ``domains`` are not asked for.
    """

    issuer: str
    audience: tuple[str, ...]
    ends: bool = True
    scopes: tuple[str, ...] = ()
    required_claims: Mapping[str, Wanted] = field(default_factory=dict)
    username_claim: str = "email"
    username_format: str = PLACE
    verified_email: bool = True
    domains: tuple[str, ...] = ()
    leeway: float = 30.0

    def judge(self, claims: Mapping[str, Any], now: float) -> Account | Refusal:
        """The token's user, or why it is none. ``now`` is seconds since 1970."""
        try:
            self._check_times(claims, now)
            self._check_issuer(claims)
            self._check_audience(claims)
            self._check_scopes(claims)
            self._check_required(claims)
            return Account(self._user(claims))
        except Unfit as unfit:
            return Refusal(Reason.INVALID_TOKEN, str(unfit))

    def _check_times(self, claims: Mapping[str, Any], now: float) -> None:
        ends, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
        if ends is None and self.ends:
            raise Unfit("it does not say when it ends (exp)")
        if ends is not None and ends + self.leeway <= now:
            raise Unfit("expired")
        if begins is not None and begins - self.leeway > now:
            raise Unfit("not valid yet")
        if issued is not None and issued - self.leeway > now:
            raise Unfit("issued in the future")

    def _check_issuer(self, claims: Mapping[str, Any]) -> None:
        # to the letter, a slash at the end too (RFC 8414, 3.3)
        if self.issuer and claims.get("iss") != self.issuer:
            raise Unfit(f"from another issuer: {shown(claims.get('iss'))}")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        if self.audience and not _texts(claims, "aud").intersection(self.audience):
            raise Unfit(f"for another audience: {shown(claims.get('aud'))}")

    def _check_scopes(self, claims: Mapping[str, Any]) -> None:
        if not self.scopes:
            return
        # Azure says scp
        name = "scope" if "scope" in claims else "scp"
        given = {scope for text in _texts(claims, name) for scope in text.split(" ")}
        missing = [scope for scope in self.scopes if scope not in given]
        if missing:
            raise Unfit(f"lacks the scope {', '.join(missing)}")

    def _check_required(self, claims: Mapping[str, Any]) -> None:
        for name, wanted in self.required_claims.items():
            value = claims.get(name)
            values = value if isinstance(value, list) else [value]
            # True is 1 to Python, and not here
            if not any(type(one) is type(wanted) and one == wanted for one in values):
                raise Unfit(f"its {name} is not as required")

    def _user(self, claims: Mapping[str, Any]) -> str:
        """Whose it is, as the naming policy spells it. Raises ``Unfit``."""
        value = claims.get(self.username_claim)
        if not isinstance(value, str):
            raise Unfit(f"it names no user ({self.username_claim})")
        if self.verified_email and self.username_claim == "email" and not _verified(claims):
            raise Unfit("its address is not verified (email_verified)")
        return self._named(value)

    def _named(self, value: str) -> str:
        try:
            login = NamePolicy().login(self.username_format.replace(PLACE, value))
        except MalformedName as error:
            raise Unfit(f"its {self.username_claim} is no login: {error}") from None
        if not value or "@" in login.local:  # an empty one may be hidden by the format
            raise Unfit(f"its {self.username_claim} is no login")
        if self.domains and login.domain not in self.domains:
            raise Unfit(f"its user is of another domain: {shown(login.domain)}")
        return login.name


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, 2), None where there is none."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) not in (int, float) or not 0 <= value <= MAX_TIME:
        raise Unfit(f"its {name} is no time")
    return float(value)


def _verified(claims: Mapping[str, Any]) -> bool:
    """Whether the issuer knows that the address is the user's (OpenID Connect Core, 5.1). Some say it as a text."""
    said = claims.get("email_verified")
    return said is True or said == "true"


def _texts(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """A text, or an array of texts; empty where there is none."""
    value = claims.get(name, [])
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise Unfit(f"its {name} is no text")
    return frozenset(values)
