"""Users whom PAM knows: the system's own, and those of whatever its modules ask (sssd, winbind, pam_userdb, pam_oath …)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saslpy.backend import Plugin
from saslpy.config import check_number
from saslpy.soundness import MAX_ID

if TYPE_CHECKING:
    from .verifier import PamVerifier

PLACE = "{service}"

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""A file name within /etc/pam.d and nothing else. libpam itself takes the last part of a path, and makes it lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "pam"``.

    ``service`` is the file in /etc/pam.d that says what is asked; ``contrib/pam.d/saslpy`` is one to start from. With
    ``{service}`` in it, the caller's service takes that place ("smtp", "imap"), and ``services`` lists those that may:
    a login for any other is refused. ``confdir``: another folder than /etc/pam.d (Linux-PAM 1.4 or newer).

    ``domains`` are the domains of the system's users: ``joe@example.org`` is then asked for as ``joe``, and both names
    are one account. A login in any other domain is asked for as it is. ``allow_root``: unless true, a user with uid 0
    is refused, whatever PAM says. Other users are the stack's business (``pam_succeed_if.so uid >= 1000``).

    uid, gid, home and name come from passwd (nsswitch.conf), where the user has an entry. PAM itself cannot say who exists:
    whether mail can be delivered to somebody is said by passwd alone, and who is not there (pam_userdb's users, say) does
    not exist. Listed are those whom ``getent passwd`` shows, which with sssd or winbind may be none of theirs, from
    ``list_min_uid`` on, but for nobody (65534).

    Modules of PAM may do anything, so they run in worker processes that keep the rights that the daemon was started with.
    """

    service: str = "saslpy"
    services: tuple[str, ...] = ()
    confdir: Path | None = None
    domains: tuple[str, ...] = ()
    allow_root: bool = False
    list_min_uid: int = 1000

    def __post_init__(self) -> None:
        check_number("list_min_uid", self.list_min_uid, 0, MAX_ID)
        self._check_service()
        self._check_services()
        for number, domain in enumerate(self.domains):
            if not domain or "@" in domain or domain != domain.strip():
                raise ValueError(f'domains[{number}]: expected a domain such as "example.org", got {domain!r}')

    def service_files(self) -> dict[str, str]:
        """The caller's services that are allowed, and the PAM service of each; ``{"": name}`` where it is one for all."""
        if PLACE not in self.service:
            return {"": self.service}
        return {service: self.service.replace(PLACE, service) for service in self.services}

    def _check_service(self) -> None:
        if not _NAME.fullmatch(self.service.replace(PLACE, "x")):
            raise ValueError(
                f"service: {self.service!r} is no service name: "
                "lower-case letters, digits, '.', '_', '-', and perhaps {service}"
            )

    def _check_services(self) -> None:
        if PLACE not in self.service:
            if self.services:
                raise ValueError('services: goes with service = "{service}"; this service is asked for everything')
            return
        if not self.services:
            raise ValueError('services: is required with {service}: those that may log in, such as ["smtp", "imap"]')
        for number, name in enumerate(self.services):
            if not _NAME.fullmatch(name):
                raise ValueError(f"services[{number}]: {name!r} is no service name")
            if name in self.services[:number]:
                raise ValueError(f"services[{number}]: {name!r} stands there twice")


@contextmanager
def open_verifier(config: Config) -> Iterator[PamVerifier]:
    """The verifier. No service file is read before the first login, so a missing one is no failing start."""
    from .verifier import PamVerifier

    yield PamVerifier(config)


plugin = Plugin(Config, open_verifier, extra="pam", driver="pamela", isolated=True, privileged=True, local=True)
