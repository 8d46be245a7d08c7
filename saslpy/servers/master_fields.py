"""What a Dovecot's mail processes are told of a user beside what the account itself says."""

from __future__ import annotations

import pwd
import secrets

import trio

from ..model import Account
from ..protocols.dovecot.fields import pair
from ..protocols.dovecot.userdb import Version, userdb
from .handed import HandedLogin

GROUPS_WAIT = 2.0
"""Seconds for the system to say which user has a uid."""

GROUP_THREADS = 4
"""That ask the system so at a time."""


class Fields:
    """For one socket. ``system_groups``: the groups of the system's user with the account's uid are the account's, too."""

    def __init__(self, dovecot: Version, system_groups: bool) -> None:
        self._dovecot = dovecot
        self._system_groups = system_groups
        self._threads = trio.CapacityLimiter(GROUP_THREADS)

    async def of(self, account: Account) -> list[bytes]:
        """The fields of an account."""
        fields = userdb(account, self._dovecot)
        if self._system_groups and account.uid is not None and (name := await self._system_user(account.uid)):
            fields.append(pair(b"system_groups_user", name))
        return fields

    async def _system_user(self, uid: int) -> str | None:
        """The system's user with a uid; None where there is none, or the system does not say in time."""
        with trio.move_on_after(GROUPS_WAIT):
            try:
                found = await trio.to_thread.run_sync(pwd.getpwuid, uid, abandon_on_cancel=True, limiter=self._threads)
            except (KeyError, OverflowError):
                return None
            return found.pw_name
        return None


def of_session(handed: HandedLogin, wants_token: bool) -> list[bytes]:
    """The fields of a login that is fetched."""
    fields = [pair(b"auth_mech", handed.mechanism)]
    if handed.master:
        fields += [pair(b"master_user", handed.master), pair(b"auth_user", handed.master)]
    if handed.mechanism == "ANONYMOUS":
        fields.append(b"anonymous")
    if wants_token:
        # for DOVECOT-TOKEN, a mechanism of other services of Dovecot that we do not have: nobody will ever take it
        fields.append(pair(b"auth_token", secrets.token_hex(20)))
    return fields
