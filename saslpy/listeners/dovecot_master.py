"""``[[listen]]`` with ``protocol = "dovecot-master"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..listen import Listen
from ..protocols.dovecot.userdb import Version
from ..servers.claiming import ListenError
from ..servers.sockets import group_id, user_id
from ..servers.trusted import EVERYBODY, Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotMasterListen(Listen):
    """The sockets ``auth-master`` and ``auth-userdb`` of a Dovecot: where its processes learn whose mail is where.

    Root, the daemon's own user, ``owner``, ``group``, ``trusted_users`` ("*" for all who may connect) and
    ``trusted_groups`` may ask about everybody, list all users, and fetch those that have logged in. Others may only ask
    about accounts whose uid is their own.

    ``dovecot`` is the version that asks, "2.3" or "2.4": some fields have other names in it. ``system_groups``: the
    processes of an account get the groups that the system's user with its uid has. ``temporary_failure``: "code" says that
    a lookup has failed, "drop" hangs up.
    """

    protocol: Literal["dovecot-master"]
    mode: str = "0600"
    temporary_failure: Literal["drop", "code"] = "code"
    trusted_users: tuple[str, ...] = ()
    trusted_groups: tuple[str, ...] = ()
    dovecot: Version = "2.3"
    system_groups: bool = False

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        for number, name in enumerate(self.trusted_users):
            if name != EVERYBODY:
                _known(f"trusted_users[{number}]", name)
        for number, name in enumerate(self.trusted_groups):
            _known(f"trusted_groups[{number}]", name, group=True)

    @property
    def trusted(self) -> Trusted:
        """Who may ask about everybody."""
        owner = () if self.owner is None else (self.owner,)
        group = () if self.group is None else (self.group,)
        return Trusted.named((*self.trusted_users, *owner), (*self.trusted_groups, *group))

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """None: nobody logs in here."""
        return ()


def _known(key: str, name: str, group: bool = False) -> None:
    try:
        group_id(name) if group else user_id(name)
    except ListenError as fault:
        raise ValueError(f"{key}: {fault}") from None
