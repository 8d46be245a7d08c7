"""Passwords checked by a bind: as the entry that a search has found, or as a name that is made of the login."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from saslpy.backend import Found
from saslpy.model import NEVER_HERE, Account, Login, Reason, Refusal

from .answers import SUCCESS, Fault
from .directory import Directory
from .finding import NOBODY, Finder, Person
from .listing import Lister
from .places import Server
from .pool import NoAnswer
from .reasons import refusal_of
from .remembered import Remembered
from .templates import prepared

if TYPE_CHECKING:
    from . import Config

UNKNOWN = Refusal(Reason.UNKNOWN_USER)
NO_MEMBER = Refusal(Reason.SERVICE_DENIED, "in no group that group_filter finds")


class SearchThenBind:
    """Searches with the service account, then binds as what was found. Blocks; may be called from several threads.

    It has ``accounts`` where the configuration says how.
    """

    def __init__(self, config: Config, directory: Directory) -> None:
        self._config = config
        self._directory = directory
        self._finder = Finder(config, directory)
        self._remembered: Remembered[Person] = Remembered(config.remember_seconds)
        if config.list_template is not None:
            self.accounts = Lister(config, directory, self._finder).accounts

    def find(self, login: Login) -> Found:
        """The account, None where there is definitely no such user. Raises ``Fault``."""
        if not askable(login, self._config.domains):
            return NEVER_HERE
        person = self._finder.find(login, self._directory.until())
        return None if person is None else person.judged()

    def verify(self, login: Login, password: str) -> Account | Refusal:
        """The account, or a definite no. Raises ``Fault``."""
        word = usable(password)
        if isinstance(word, Refusal):
            return word
        if not askable(login, self._config.domains):
            return NEVER_HERE
        until = self._directory.until()
        known = self._remembered.get(login.name)
        if known is not None:
            return self._verify_known(known, login, word, until)
        return self._verify_found(login, word, until)

    def probe(self) -> str:
        """What was reached: every server is searched."""
        return self._directory.each_server(self._finder.probe)

    def _verify_known(self, known: Person, login: Login, word: bytes, until: float) -> Account | Refusal:
        """A bind as the entry of before; any other answer than yes stands only when a search finds the same entry."""
        said = None
        try:
            answer = self._bind(known, word, until)
        except NoAnswer as failure:
            if not failure.answered:
                raise
            # perhaps this name is none any more
        else:
            if isinstance(answer, Account):
                # not remembered anew: what has changed in the entry since must be seen some time
                return answer
            said = (known, answer)
        self._remembered.forget(login.name)
        return self._verify_found(login, word, until, said)

    def _verify_found(
        self, login: Login, word: bytes, until: float, said: tuple[Person, Refusal] | None = None
    ) -> Account | Refusal:
        """A search, and a bind as what it finds. ``said``: who was refused just now, and how."""
        since = self._remembered.now()
        person = self._finder.find(login, until)
        if person is None:
            return UNKNOWN
        if said is not None and (person.dn, person.member) == (said[0].dn, said[0].member):
            # not asked twice: it would count as two attempts, and lock an account after half of them
            return said[1]
        answer = self._bind(person, word, until)
        if isinstance(answer, Account) or answer is NO_MEMBER:
            self._remembered.put(login.name, person, since)
        return answer

    def _bind(self, person: Person, word: bytes, until: float) -> Account | Refusal:
        refusal = refusal_of(self._directory.bind(person.dn, word, until))
        if refusal is not None:
            return refusal
        return person.account if person.member else NO_MEMBER


class DirectBind:
    """Binds as a name made of the login, with no search. Blocks; may be called from several threads.

    It has no ``find``: a directory answers to a wrong password and to an unknown name alike.
    """

    def __init__(self, config: Config, directory: Directory) -> None:
        self._config = config
        self._directory = directory
        self._name = config.bind_name

    def verify(self, login: Login, password: str) -> Account | Refusal:
        """The account, or a definite no: a directory does not say whether there is such a user. Raises ``Fault``."""
        word = usable(password)
        if isinstance(word, Refusal):
            return word
        name = self._name.of_login(login) if askable(login, self._config.domains) else None
        if not name:
            return NEVER_HERE
        refusal = refusal_of(self._directory.bind(name, word, self._directory.until()))
        # nobody has told us another spelling: the name is the login's
        return Account(login.name) if refusal is None else refusal

    def probe(self) -> str:
        """What was reached: every server is asked for a user that nobody has."""
        return self._directory.each_server(self._try)

    def _try(self, server: Server, until: float) -> None:
        domain = next((domain for domain in self._config.domains if domain), NOBODY.domain)
        name = self._name.of_login(Login.of(f"{NOBODY.local}@{domain}"))
        assert name is not None
        # as long as nobody guesses: whoever says yes to it says yes to everything
        result = self._directory.bind_at(server, name, secrets.token_hex(16).encode(), until)
        if result.code == SUCCESS:
            raise Fault(f"{server} accepts a user that nobody has, with any password")


def usable(password: str) -> bytes | Refusal:
    """The password as it is sent, or why it may not be. An empty one would be a bind that succeeds (RFC 4513, 5.1.2)."""
    if not password:
        return Refusal(Reason.EMPTY_PASSWORD, asked=False)
    if "\0" in password:
        return Refusal(Reason.MALFORMED, asked=False)
    try:
        return password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # the error itself would show what stands there
        return Refusal(Reason.MALFORMED, asked=False)


def askable(login: Login, domains: tuple[str, ...]) -> bool:
    """Whether a login may be somebody here: it is of one of the domains ("" for none), where some are named.

    A spelling that the directory would take for another ("ｊｏｅ" for "joe") is nobody's, so that one user has one name.
    """
    if not login.local or (domains and login.domain not in domains):
        return False
    # isprintable: neither a NUL nor what was not UTF-8
    return login.name.isprintable() and all(prepared(part) == part for part in (login.local, login.domain))
