"""All users of a directory: paged searches (RFC 2696), on connections of their own, so that no login waits for them.

The filter is the one that a login is found with, and asks whether there is a value where the login stands; ``list_filter``
is for filters of which that makes no sense. Entries whose names are local parts are users of each of ``domains``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from saslpy.model import Account, Login

from .answers import SIZE_LIMIT_EXCEEDED, BadEntry, Entry, Failed, Found, Lost, Session, TooSlow, Unreachable
from .directory import Directory
from .finding import Finder
from .places import Server
from .pool import NoAnswer

if TYPE_CHECKING:
    from . import Config

SECONDS = 45.0
"""For one listing; the core gives up after 50."""

PATIENCE = 20.0
"""Seconds until a page: a server may have to sort out all of its entries first."""

MOST = 500_000
"""Entries of one search: a server that does not know pages sends them all at once."""

TOO_MANY = (
    'raise the size limit of bind_dn (in slapd.conf: limits dn.exact="…" size.prtotal=unlimited size.hard=unlimited)'
)


class Lister:
    """Lists what a ``Finder`` would find."""

    def __init__(self, config: Config, directory: Directory, finder: Finder) -> None:
        self._config = config
        self._directory = directory
        self._finder = finder
        self._layout = replace(finder.layout, password="")
        self._domains = config.domains if self._names_tell_domains() else ()

    def accounts(self) -> list[Account]:
        """Everybody, without secrets, as the first server has it that can say. Raises ``Fault``."""
        until = monotonic() + SECONDS
        failures: list[str] = []
        for server in self._directory.servers.in_turn():
            try:
                return self._at(server, until)
            except (Unreachable, Lost, TooSlow, Failed) as error:
                failures.append(f"{server}: {error}")
        raise NoAnswer("; ".join(failures))

    def _at(self, server: Server, until: float) -> list[Account]:
        with ExitStack() as stack:

            def session() -> Session:
                soon = min(until, monotonic() + self._directory.limits.connect)
                return stack.enter_context(closing(self._directory.beside(server, soon)))

            pages = session()
            # a second one: nobody knows what another search does to a server's place in the first
            members = session() if self._config.group_filter else None
            # each domain has users of its own where the name is a local part; else "" stands for all
            domains = self._config.domains if self._layout.add_domain else ("",)
            return [
                account
                for domain in domains
                for found in self._pages(pages, domain, until)
                for account in self._users(found, domain, members, until)
            ]

    def _pages(self, session: Session, domain: str, until: float) -> Iterator[Found]:
        cookie: bytes | None = b""
        while cookie is not None:
            question = self._finder.about_all(domain, self._layout.attributes, cookie, MOST)
            found = session.search(question, min(until, monotonic() + PATIENCE))
            if found.result.code:
                hint = TOO_MANY if found.result.code == SIZE_LIMIT_EXCEEDED else ""
                raise Failed("search for all users", found.result, hint)
            self._finder.refuse_elsewhere(found)
            yield found
            cookie = found.cookie or None

    def _users(self, found: Found, domain: str, members: Session | None, until: float) -> Iterator[Account]:
        for entry in found.entries:
            account = self._account(entry, Login("", "", domain))
            if not self._is_ours(account):
                continue
            if members is not None:
                login = Login.of(account.login)
                known = members.search(self._finder.membership(entry.dn, login), min(until, monotonic() + PATIENCE))
                if known.result.code not in (0, SIZE_LIMIT_EXCEEDED):
                    raise Failed("search", known.result)
                account = account if known.entries else replace(account, disabled=True)
            yield account

    def _account(self, entry: Entry, login: Login) -> Account:
        try:
            return self._layout.account(entry, login)
        except BadEntry as fault:
            raise BadEntry(f"{entry.dn[:200]}: {fault}") from None

    def _names_tell_domains(self) -> bool:
        """Whether only who has a name in one of ``domains`` is found by a login; in doubt, all are listed."""
        template = self._config.filter_template
        compared = {item.attribute.lower() for item in template.items if "{login}" in item.value}
        return template.places <= {"login", "domain"} and compared == {self._layout.login.lower()}

    def _is_ours(self, account: Account) -> bool:
        names = (account.login, *account.aliases)
        return not self._domains or any(Login.of(name).domain in self._domains for name in names)
