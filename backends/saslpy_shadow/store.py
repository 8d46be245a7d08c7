"""Lookups in /etc/shadow and /etc/passwd. Plain blocking code for a worker process that is killed at the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from saslpy.backend import Found
from saslpy.model import NEVER_HERE, Account, Login

from .entries import (
    PASSWD_FIELDS,
    SHADOW_FIELDS,
    MalformedLine,
    PasswdEntry,
    ShadowEntry,
    disguised,
    expired,
    passwd_entry,
    secret,
    shadow_entry,
)
from .lines import NamedLines

if TYPE_CHECKING:
    from . import Config

DAY = 86400

NOBODY = 65534
"""The user whom nothing belongs to (Linux's overflowuid)."""


class ShadowStore:
    """The users of two files."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._domains = tuple(domain.lower() for domain in config.domains)
        self._shadow = NamedLines(config.path, SHADOW_FIELDS)
        self._passwd = NamedLines(config.passwd, PASSWD_FIELDS)

    def lookup(self, login: Login) -> Found:
        """The account, None where there is no such user. Raises OSError and ``MalformedLine``."""
        name = login.local if login.domain and login.domain in self._domains else login.name
        try:
            key = name.encode()
        except UnicodeEncodeError:
            return NEVER_HERE
        if not name or ":" in name or "\n" in name or name[0] in "+-#":
            return NEVER_HERE
        # both are asked in any case: while one cannot be read, nobody is unknown
        line, person = self._shadow.line(key), self._person(key)
        if line is None or person is None or not self._admits(person.uid):
            return None
        return self._account(name, self._read_shadow(line), person)

    def accounts(self) -> Iterator[Account]:
        """Everybody in both files who is no part of the system itself, without secrets. Raises as ``lookup``.

        Files that somebody has written to a moment ago are waited for: half of one would be half of the users.
        """
        shadow = self._shadow.lines()
        for key, line in self._passwd.lines().items():
            entry = shadow.get(key)
            person = self._read_passwd(line, key)
            if entry is None or person.uid < self._config.list_min_uid or person.uid == NOBODY:
                continue
            if self._admits(person.uid):
                yield replace(self._account(_name(key), self._read_shadow(entry, key), person), secrets=())

    def sample(self) -> str | None:
        """A secret of the newest user's kind, changed so that it is nobody's: no hash leaves here unasked."""
        for line in self._shadow.backwards():
            try:
                found = disguised(shadow_entry(line.removesuffix(b"\n")).password)
            except MalformedLine:
                continue
            if found is not None:
                return found
        return None

    def probe(self) -> str:
        """The files and what they hold. Raises when one cannot be read."""
        people, shadow = self._passwd.index(), self._shadow.index()
        both = len(people.places.keys() & shadow.places.keys())
        told = [f"{self._config.path}: {both} users"]
        for path, index in ((self._config.path, shadow), (self._config.passwd, people)):
            if index.malformed:
                told.append(f"{index.malformed} malformed lines in {path}")
        if self._config.min_uid:
            told.append(f"without uids below {self._config.min_uid}")
        elif not self._config.allow_root:
            told.append("without root")
        return ", ".join(told)

    def _person(self, key: bytes) -> PasswdEntry | None:
        line = self._passwd.line(key)
        return None if line is None else self._read_passwd(line)

    def _read_passwd(self, line: bytes, key: bytes | None = None) -> PasswdEntry:
        try:
            return passwd_entry(line)
        except MalformedLine as fault:
            raise _about(key, self._config.passwd, fault) from None

    def _read_shadow(self, line: bytes, key: bytes | None = None) -> ShadowEntry:
        try:
            return shadow_entry(line)
        except MalformedLine as fault:
            raise _about(key, self._config.path, fault) from None

    def _admits(self, uid: int) -> bool:
        """Others do not exist here: their passwords are nobody's business, and the next backend may know the name."""
        return uid >= self._config.min_uid and (uid != 0 or self._config.allow_root)

    def _account(self, name: str, entry: ShadowEntry, person: PasswdEntry) -> Account:
        return Account(
            name,
            secret(entry.password),
            uid=person.uid,
            gid=person.gid,
            home=person.home,
            name=person.name,
            aliases=() if "@" in name else tuple(f"{name}@{domain}" for domain in self._domains),
            expired=expired(entry, int(self._clock() // DAY)) is not None,
        )


def _about(key: bytes | None, path: object, fault: MalformedLine) -> MalformedLine:
    """The fault with its place; the name too, where it is not that of the login that is asked for."""
    whose = "this user's line" if key is None else f"the line of {key[:80].decode('utf-8', 'replace')!r}"
    return MalformedLine(f"{path}: {whose}: {fault}")


def _name(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise MalformedLine(f"the name {key[:80]!r} is not UTF-8") from None
