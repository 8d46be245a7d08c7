"""What a store lacks, from templates: ``home = "/var/vmail/{domain}/{local}"``."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import texts
from .config import check_number
from .model import Account
from .soundness import MAX_ID

PLACES = ("login", "local", "domain", "home")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTemplate:
    """``[backend.NAME.account]``: values for the fields that the store leaves empty.

    ``home``, ``maildir``, ``quota`` and ``name`` may hold ``{login}``, ``{local}``, ``{domain}``, and ``maildir``
    also ``{home}``. A relative ``maildir`` is within the home directory, a store's too.
    """

    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    maildir: str | None = None
    quota: str | None = None
    name: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("uid", "gid"):
            if (number := getattr(self, key)) is not None:
                check_number(key, number, 0, MAX_ID)
        for key in ("home", "maildir", "quota", "name"):
            _check_places(key, getattr(self, key))
        if self.home is not None and not self.home.startswith("/"):
            raise ValueError('home: must be an absolute path such as "/var/vmail/{domain}/{local}"')

    def fill(self, account: Account) -> Account:
        """The account with its gaps filled; no path is made of a name that could leave its folder."""
        if self == NOTHING and (account.maildir is None or account.maildir.startswith("/")):
            return account
        places = places_of(account.login)
        home = account.home or _rendered(self.home, places)
        maildir = account.maildir or _rendered(self.maildir, {**places, "home": home})
        return replace(
            account,
            uid=self.uid if account.uid is None else account.uid,
            gid=self.gid if account.gid is None else account.gid,
            home=home,
            maildir=_within(home, maildir),
            quota=account.quota or texts.quota(_rendered(self.quota, places) or ""),
            name=account.name or _rendered(self.name, places),
            options={**self.options, **account.options},
        )


def places_of(login: str) -> dict[str, str | None]:
    """What may stand in a template, None for parts of which no path may be made (``/``, ``.`` and ``..``)."""
    local, at, domain = login.rpartition("@")
    parts = {"login": login, "local": local if at else login, "domain": domain}
    return {key: None if "/" in part or part in (".", "..") else part for key, part in parts.items()}


def _within(home: str | None, maildir: str | None) -> str | None:
    """A relative maildir ("Maildir", "./Maildir", "~/Maildir") in the home directory, if there is one."""
    if maildir is None or home is None or maildir.startswith("/") or ".." in maildir.split("/"):
        return maildir
    return posixpath.join(home, maildir.removeprefix("~/").removeprefix("./")).rstrip("/")


def _rendered(template: str | None, places: Mapping[str, str | None]) -> str | None:
    if template is None:
        return None
    for key, value in places.items():
        if value is None and "{" + key + "}" in template:
            return None
    return template.format_map(places)


def _check_places(key: str, template: str | None) -> None:
    if template is None:
        return
    allowed = PLACES if key == "maildir" else PLACES[:3]
    try:
        template.format_map(dict.fromkeys(allowed, ""))
    except (KeyError, ValueError, IndexError, AttributeError):
        names = ", ".join("{" + place + "}" for place in allowed)
        raise ValueError(f"{key}: a template may hold {names} and nothing else in braces") from None


NOTHING = AccountTemplate()
