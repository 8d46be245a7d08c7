"""Stored passwords read from an attribute: for CRAM-MD5 and SCRAM, where a directory lets us read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saslpy.backend import Found
from saslpy.model import NEVER_HERE, Login

from .answers import Change, Fault
from .directory import Directory
from .finding import Finder
from .listing import Lister
from .rules import DIRECTORY_NAMES
from .verifier import askable

if TYPE_CHECKING:
    from . import Config


class LdapStore:
    """The users of a directory with their stored secrets. Blocks; may be called from several threads.

    It has ``accounts`` where the configuration says how.
    """

    def __init__(self, config: Config, directory: Directory) -> None:
        self._config = config
        self._directory = directory
        self._finder = Finder(config, directory)
        if config.list_template is not None:
            self.accounts = Lister(config, directory, self._finder).accounts

    def lookup(self, login: Login) -> Found:
        """The account with its secrets, None where there is definitely no such user. Raises ``Fault``."""
        if not askable(login, self._config.domains):
            return NEVER_HERE
        person = self._finder.find(login, self._directory.until())
        if person is None:
            return None
        return person.judged()

    def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        """Better secrets in the place of these, if the directory still has them. Raises ``Fault``."""
        until = self._directory.until()
        person = self._finder.find(login, until) if askable(login, self._config.domains) else None
        if person is None or not old or not set(old) <= set(person.account.secrets):
            return False
        gone = tuple(secret.encode() for secret in old if secret not in new)
        made = tuple(_spelt(secret).encode() for secret in new if secret not in old)
        return self._directory.modify(Change(person.dn, self._config.password_attribute, gone, made), until)

    def sample(self) -> str | None:
        """Any stored password."""
        return self._finder.sample(self._directory.until())

    def probe(self) -> str:
        """What was reached. Raises ``Fault`` too where no password can be seen."""
        told = self._directory.each_server(self._finder.probe)
        if self.sample() is None:
            raise Fault(f"no entry below base shows {self._config.password_attribute}: may bind_dn read it?")
        return f"{told}, stored passwords can be read"


def _spelt(secret: str) -> str:
    """A new secret with the name of its scheme as directories know it."""
    name, _, data = secret.removeprefix("{").partition("}")
    return f"{{{DIRECTORY_NAMES[name]}}}{data}"
