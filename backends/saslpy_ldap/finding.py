"""Who a login is: one entry of the directory, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saslpy.backend import BadRecord
from saslpy.model import Account, Login

from .answers import SUCCESS, BadEntry, Entry, Fault, Found, Question
from .attributes import as_asked
from .directory import Directory
from .entries import Layout
from .places import Server
from .schema import Use, complaints

if TYPE_CHECKING:
    from . import Config

NOBODY = Login.of("saslpy-check@invalid")
SCOPES = {"base": 0, "one": 1, "subtree": 2}

_NO_USERS_THERE = re.compile(r"ldaps?://[^/]*/(?:DC=(?:Domain|Forest)DnsZones|CN=Configuration)[,?]", re.IGNORECASE)
"""Where a domain controller sends every search of its domain's root: zones of the DNS, and its own configuration."""


class Ambiguous(Fault, BadRecord):
    """Several entries for one login: which of them may log in is a question for whoever wrote the filter.

    No is not the answer: nobody has looked at the password, and whoever is meant may be right.
    """


class Elsewhere(Fault, BadRecord):
    """Nothing was found here, but a part of the directory is on another server, where we do not go with a password."""


@dataclass(frozen=True, slots=True)
class Person:
    """An entry. ``member``: whether it is in a group that may log in."""

    dn: str
    account: Account
    member: bool = True

    def judged(self) -> Account:
        """The account, which is disabled for one who may not log in."""
        return self.account if self.member else replace(self.account, disabled=True)


class Finder:
    """Searches with the filters of the configuration."""

    def __init__(self, config: Config, directory: Directory) -> None:
        self._config = config
        self._directory = directory
        self._filter = config.filter_template
        self._group = config.group_template
        self.layout = Layout(
            login=config.login_attribute or self._filter.login_attribute()[0],
            add_domain=not config.login_attribute and self._filter.login_attribute()[1] == "local",
            fields=config.attributes,
            password=config.password_attribute,
        )

    def find(self, login: Login, until: float) -> Person | None:
        """The person, None where there is definitely none. Raises ``Fault``."""
        entry = self._entry(login, until)
        if entry is None:
            return None
        if not entry.dn:
            raise BadEntry("the entry found has an empty name: to bind as it would be no bind at all")
        return Person(entry.dn, self.layout.account(entry, login), self._is_member(entry.dn, login, until))

    def probe(self, server: Server, until: float) -> None:
        """Whether the server has the base, takes the filters, and knows the attributes. Raises ``Fault``."""
        self._directory.search_at(server, replace(self._about(NOBODY), scope=0, filter="(objectClass=*)"), until)
        self._directory.search_at(server, self._about(NOBODY), until)
        if self._group is not None:
            self._directory.search_at(server, self.membership(self._config.base, NOBODY), until)
        wrong = list(complaints(self._directory.schema_at(server, until), self._read(), self._compared()))
        if wrong:
            raise Fault(f"{server}: {'; '.join(wrong)}")

    def sample(self, until: float) -> str | None:
        """Any stored password, None where there is none to be seen."""
        attribute = self.layout.password
        question = replace(self._about(NOBODY), filter=f"({attribute}=*)", attributes=(attribute,), limit=1)
        for entry in self._directory.search(question, until).entries:
            for value in as_asked(entry, (attribute,)).values.get(attribute.lower(), ()):
                return value.decode("utf-8", "replace")
        return None

    def about_all(self, domain: str, attributes: tuple[str, ...], cookie: bytes, limit: int) -> Question:
        """The search for all users, or for those of a domain; a page of it."""
        everybody = self._config.list_template
        assert everybody is not None
        text = everybody.of_login(Login("", "", domain))
        return Question(self._config.base, SCOPES[self._config.scope], text, attributes, limit, cookie)

    def membership(self, dn: str, login: Login) -> Question:
        """Whether an entry is in a group that may log in."""
        assert self._group is not None
        base = self._config.group_base or self._config.base
        return Question(base, 2, self._group.of_login(login, dn=dn), ("1.1",), 1)

    def refuse_elsewhere(self, found: Found) -> None:
        """Raises ``Elsewhere`` where a part of the answer is on another server."""
        if self._config.on_reference == "ignore":
            return
        if any(not _NO_USERS_THERE.match(url) for url in found.references):
            raise Elsewhere("a part of the directory is on another server; referrals are not followed (on_reference)")

    def _entry(self, login: Login, until: float) -> Entry | None:
        found = self._directory.search(self._about(login), until)
        if len(found.entries) > 1 or found.result.code != SUCCESS:
            raise Ambiguous("the filter finds more than one entry for a login")
        return found.entries[0] if self._any(found) else None

    def _is_member(self, dn: str, login: Login, until: float) -> bool:
        return self._group is None or self._any(self._directory.search(self.membership(dn, login), until))

    def _read(self) -> list[Use]:
        """The attributes whose values are read, with the keys that name them."""
        login = "login_attribute" if self._config.login_attribute else "filter"
        named = [(login, self.layout.login), ("password_attribute", self.layout.password)]
        named += [(f"attributes.{field}", attribute) for field, attribute in self.layout.fields.items()]
        return [(key, attribute) for key, attribute in named if attribute]

    def _compared(self) -> list[Use]:
        """The attributes that the filters compare."""
        group = self._group.items if self._group is not None else ()
        return [("filter", item.attribute) for item in self._filter.items] + [
            ("group_filter", item.attribute) for item in group
        ]

    def _any(self, found: Found) -> bool:
        """Whether there are entries. Raises ``Elsewhere`` where that cannot be known here."""
        if not found.entries:
            self.refuse_elsewhere(found)
        return bool(found.entries)

    def _about(self, login: Login) -> Question:
        # two are asked for, so that a second one is noticed
        scope = SCOPES[self._config.scope]
        return Question(self._config.base, scope, self._filter.of_login(login), self.layout.attributes, 2)
