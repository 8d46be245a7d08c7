"""``[auth]``: who is asked, and how names are read. ``settings.py`` has the other sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .config import check_number, guess
from .mechanism_names import CLEARTEXT, MECHANISMS
from .names import MalformedName, NamePolicy, RealmJoin
from .passwords import scheme_named

HOUR = 3600
"""The longest time, in seconds, that anything may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """``[[auth.route]]``: another chain for some domains, some services, or both. The first that fits is taken.

    They are compared as they stand, domains without regard to case; an empty one is for logins without a domain, and for
    callers that name no service.
    """

    chain: tuple[str, ...]
    domains: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.chain:
            raise ValueError("chain: names no backend")
        if not (self.domains or self.services):
            raise ValueError("needs domains, services or both; the chain for all others is [auth] chain")
        domains = tuple(_domain(f"domains[{number}]", domain) for number, domain in enumerate(self.domains))
        object.__setattr__(self, "domains", domains)
        for number, service in enumerate(self.services):
            if "*" in service or not service.isprintable() or any(map(str.isspace, service)):
                raise ValueError(f"services[{number}]: {service!r} is no name of a service, such as 'smtp'")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSettings:
    """``[auth.passwords]``: how stored passwords are checked.

    ``forbid`` are schemes that never match ("PLAIN", "MD5-CRYPT"). ``processes`` (0: one a core) compute hashes,
    ``memory_mib`` (0: a quarter of the machine's) is what argon2 and its like may use together.
    """

    forbid: tuple[str, ...] = ()
    processes: int = 0
    memory_mib: int = 0

    def __post_init__(self) -> None:
        check_number("processes", self.processes, 0, 512)
        check_number("memory_mib", self.memory_mib, 0, 1 << 24)
        for number, name in enumerate(self.forbid):
            if scheme_named(name) is None:
                raise ValueError(f"forbid[{number}]: {name!r} is no scheme; `saslpy hash --list` shows the usual ones")

    @property
    def forbidden(self) -> frozenset[str]:
        """The canonical names of the forbidden schemes."""
        return frozenset(scheme for name in self.forbid if (scheme := scheme_named(name)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """``[auth]``: who is asked, and how names are read.

    ``chain`` names the backends in the order in which they are asked. ``realm_join``: "join" makes ``login@realm`` where
    the caller gives a realm apart, "ignore" forgets the realm, "require" refuses a login without one.
    ``default_domain`` is added to a bare login. ``deadline`` (seconds) covers the whole chain; Postfix gives up after
    10 s. ``min_seconds`` is the least time until a refusal, and until SCRAM's challenge in a chain of several stores.
    ``max_pending`` requests may be under way, more are told to come again; refusals that wait for their time do not count.

    ``mechanisms`` are offered on sockets that offer any and do not say which; what needs stored secrets (CRAM-MD5, SCRAM)
    only where every backend can give them. ``master_users`` may log in as another user (with an authorization identity,
    RFC 4616). ``anonymous`` is the name that ANONYMOUS logs in as; empty for nobody.
    """

    chain: tuple[str, ...] = ("local",)
    mechanisms: tuple[str, ...] = CLEARTEXT
    master_users: tuple[str, ...] = ()
    anonymous: str = ""
    default_domain: str = ""
    realm_join: RealmJoin = "join"
    deadline: float = 8.0
    min_seconds: float = 0.1
    max_pending: int = 1024
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    route: tuple[RouteSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.chain:
            raise ValueError("chain: names no backend")
        object.__setattr__(self, "default_domain", _domain("default_domain", self.default_domain))
        check_number("deadline", self.deadline, 0, HOUR, above=True)
        if not 0 <= self.min_seconds < self.deadline:
            raise ValueError("min_seconds: must be from 0 to below the deadline")
        check_number("max_pending", self.max_pending, 1, 1_000_000)
        check_mechanisms(self.mechanisms)
        for number, name in enumerate(self.master_users):
            _login(f"master_users[{number}]", name)
        if self.anonymous:
            _login("anonymous", self.anonymous)


def check_mechanisms(names: Sequence[str]) -> None:
    """Raise ``ValueError`` for what is no mechanism of ours, or is there twice."""
    for number, name in enumerate(names):
        if name not in MECHANISMS:
            near = guess(name.upper(), list(MECHANISMS))
            raise ValueError(
                f"mechanisms[{number}]: {name!r} is no mechanism{near or '; those are ' + ', '.join(MECHANISMS)}"
            )
        if name in names[:number]:
            raise ValueError(f"mechanisms[{number}]: {name} is there twice")


def _login(key: str, name: str) -> None:
    try:
        NamePolicy().login(name)
    except MalformedName as fault:
        raise ValueError(f"{key}: {name!r} is no login: {fault}") from None


def _domain(key: str, text: str) -> str:
    """A domain as the naming policy writes that of every login: else none would ever equal it. Raises ``ValueError``."""
    if "@" in text:
        raise ValueError(f"{key}: {text!r} has an @; a domain stands alone, such as 'example.org'")
    if "*" in text:
        raise ValueError(f"{key}: {text!r}: there are no patterns, every domain is written out")
    try:
        if any(map(str.isspace, text)):
            raise MalformedName("a blank in it")
        return NamePolicy().login("login", text).domain
    except MalformedName as fault:
        raise ValueError(f"{key}: {text!r} is no domain: {fault}") from None
