"""``[[relay.route]]``: which next hop takes the mail of a recipient's domain.

Domains are compared as A-labels, without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..files import certificates, first_line
from ..mechanism_names import MECHANISMS
from ..protocols.smtp import domains
from .places import Capture, Place, Server, place_of

ALL = "*"
"""Every domain that no other route names."""

Protection: TypeAlias = Literal["require", "opportunistic", "none"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``[[relay.route]]``: where the mail for some domains goes.

    ``domains``: "*" is for those that no other route names. ``via``: a place, or several that are tried in order.
    ``login`` and ``password_file`` are for a next hop that wants a login. ``mechanisms`` are tried in their order; without
    them, the strongest that the hop offers (OAUTHBEARER, whose password is a token, is used only where it is named). PLAIN,
    LOGIN and tokens go over verified TLS, or within this machine, alone.

    ``tls``: "require" never goes without, and verifies the certificate, against ``ca_file`` where it is given;
    "opportunistic" takes what is offered, unverified. Without it: "require", and "opportunistic" within this machine.
    """

    domains: tuple[str, ...]
    via: str | tuple[str, ...]
    login: str = ""
    password_file: Path | None = None
    mechanisms: tuple[str, ...] = ()
    tls: Protection | Literal[""] = ""
    ca_file: Path | None = None
    password: str = field(default="", init=False, repr=False)
    ca_pem: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.domains:
            raise ValueError('domains: names none; "*" is for all')
        places = self.places()
        derived = {"domains": tuple(_domain(f"domains[{n}]", text) for n, text in enumerate(self.domains))}
        _check_login(self, places)
        _check_tls(self, places)
        # read now: later, the daemon has given up the rights to read them
        secrets = {
            "password": first_line(self.password_file, "password_file") if self.password_file else "",
            "ca_pem": certificates(self.ca_file) if self.ca_file else "",
        }
        for name, value in {**derived, **secrets}.items():
            object.__setattr__(self, name, value)

    def places(self, folder: Path = Path()) -> tuple[Place, ...]:
        """The places of ``via``, in order; paths are taken from ``folder``. Raises ``ValueError``."""
        if isinstance(self.via, str):
            found = [place_of("via", self.via, folder)]
        else:
            found = [place_of(f"via[{number}]", text, folder) for number, text in enumerate(self.via)]
        if not found:
            raise ValueError("via: names no place")
        if len(found) > 1 and any(isinstance(place, Capture) for place in found):
            raise ValueError("via: a capture stands alone")
        return tuple(found)

    def protection(self, server: Server) -> Protection:
        """How the way to one of its servers is protected."""
        if server.path is not None:
            return "none"
        return self.tls or ("opportunistic" if server.local and not server.tls else "require")


class Routes:
    """Finds the route of a domain."""

    __slots__ = ("_by_domain",)

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_domain: dict[str, Route] = {}
        for route in routes:
            for domain in route.domains:
                self._by_domain.setdefault(domain, route)

    def of(self, domain: str) -> Route | None:
        """Where a recipient's mail goes, None for nowhere. The domain is canonical, as that of a ``Mailbox`` is."""
        return self._by_domain.get(domain) or self._by_domain.get(ALL)


def faults(routes: Sequence[Route]) -> Iterator[tuple[str, str]]:
    """(key below ``relay``, what is wrong) of routes that do not go together."""
    seen: dict[str, int] = {}
    for number, route in enumerate(routes):
        for position, domain in enumerate(route.domains):
            if domain in seen:
                yield f"route[{number}].domains[{position}]", f"route[{seen[domain]}] is for {domain!r} already"
            seen.setdefault(domain, number)


def _domain(key: str, text: str) -> str:
    if text == ALL:
        return ALL
    if "*" in text or text.startswith("."):
        raise ValueError(f'{key}: {text!r}: there are no patterns but "*", every domain is written out')
    try:
        return domains.canonical(text)
    except domains.MalformedDomain as fault:
        raise ValueError(f"{key}: {text!r} is no domain: {fault}") from None


def _check_login(route: Route, places: Sequence[Place]) -> None:
    if bool(route.login) != (route.password_file is not None):
        raise ValueError(f"{'password_file' if route.login else 'login'}: is required with the other one of the two")
    if _CONTROL.search(route.login):
        raise ValueError("login: has a control character")
    for number, name in enumerate(route.mechanisms):
        if name not in MECHANISMS or name.endswith("-PLUS") or name in ("EXTERNAL", "ANONYMOUS"):
            raise ValueError(f"mechanisms[{number}]: {name!r} is none that can be used here")
    if not route.login:
        return
    for place in places:
        if isinstance(place, Capture):
            raise ValueError(f"login: nobody at {place} asks for it")
        if route.protection(place) == "opportunistic" and not place.local:
            raise ValueError('tls: "opportunistic" would let anybody on the way hear the password; take "require"')


def _check_tls(route: Route, places: Sequence[Place]) -> None:
    if route.tls == "none" and any(isinstance(place, Server) and place.tls for place in places):
        raise ValueError('tls: "none" contradicts smtps://')
