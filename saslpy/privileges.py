"""From root to an ordinary user, in one visible order; and the limits that a server wants."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
from contextlib import suppress
from dataclasses import dataclass

DEFAULT_USER = "saslpy"
_PR_SET_NO_NEW_PRIVS = 38


class PrivilegeError(Exception):
    """The daemon cannot run as it should; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to become: numbers, and the supplementary groups that come with the name."""

    name: str
    uid: int
    gid: int

    @property
    def root(self) -> bool:
        """Whether this is the superuser."""
        return self.uid == 0


def identity(user: str | None, group: str | None) -> Identity | None:
    """Whom to become, None for "stay who we are" (we are not root). Raises ``PrivilegeError``."""
    if os.geteuid() != 0:
        return None
    name = user or DEFAULT_USER
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):  # ValueError: a NUL
        raise PrivilegeError(_no_user(user)) from None
    try:
        gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise PrivilegeError(f"daemon.group: there is no group {group!r}") from None
    return Identity(name, entry.pw_uid, gid)


def _no_user(user: str | None) -> str:
    if user is not None:
        return f"daemon.user: there is no user {user!r}; add it with: useradd --system {user}"
    return (
        "started as root, and there is no user 'saslpy' to run as; add it with: useradd --system saslpy "
        "(or name another in [daemon] user)"
    )


def drop(who: Identity) -> None:
    """Become ``who``: groups, gid, uid, then no way back (no_new_privs), then the umask."""
    if not who.root:
        os.initgroups(who.name, who.gid)
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise PrivilegeError("prctl(PR_SET_NO_NEW_PRIVS) failed")
    os.umask(0o077)


def raise_file_limit() -> int:
    """As many open files as the hard limit allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def no_core_dumps() -> None:
    """Passwords are in our memory: none of it may be written to a core file, or read by another process of our user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
