"""The users of the system itself, from /etc/shadow and /etc/passwd, without PAM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saslpy.backend import Plugin
from saslpy.config import check_number

if TYPE_CHECKING:
    from .store import ShadowStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "shadow"``.

    ``path`` holds the passwords, shadow(5); ``passwd`` the rest, passwd(5): uid, gid, home, name. A user must stand in
    both. Names are exact, upper and lower case differ. A change of the files counts from the next login on.

    Who may log in: everybody with a password, as with ``saslauthd -a shadow``; a shell such as /usr/sbin/nologin is no
    bar, since mail users often have no other. Users with a uid below ``min_uid`` do not exist here, and uid 0 only if
    ``allow_root``. Locked passwords and empty ones match nothing. Refused as expired: accounts past their date, passwords
    that must be changed (last change 0) and those past their maximum age, whether the days of grace are over or not,
    since nobody can change a password over SMTP or IMAP.

    Who is listed as a user: everybody from ``list_min_uid`` on, but for nobody (65534), with a password or without.

    ``domains`` are the domains of the system's users: ``joe@example.org`` is then ``joe``, and both names are one account.

    The file is root's: it is read in worker processes that keep the rights that the daemon was started with (root, or the
    group ``shadow``), and no password leaves them but that of the user who logs in.
    """

    path: Path = Path("/etc/shadow")
    passwd: Path = Path("/etc/passwd")
    min_uid: int = 0
    allow_root: bool = False
    list_min_uid: int = 1000
    domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_number("min_uid", self.min_uid, 0, 2**32 - 1)
        check_number("list_min_uid", self.list_min_uid, 0, 2**32 - 1)
        if self.allow_root and self.min_uid > 0:
            raise ValueError("allow_root: root's uid is below min_uid; set one of them")
        for number, domain in enumerate(self.domains):
            if not domain or "@" in domain or domain != domain.strip():
                raise ValueError(f'domains[{number}]: expected a domain such as "example.org", got {domain!r}')


@contextmanager
def open_store(config: Config) -> Iterator[ShadowStore]:
    """The store. The files are opened at each login, so a missing one is a failing login, not a failing start."""
    from .store import ShadowStore

    yield ShadowStore(config)


plugin = Plugin(Config, open_store, isolated=True, privileged=True, local=True)
