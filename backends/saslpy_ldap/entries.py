"""From an entry to an ``Account``: its canonical name, numbers, yes and no, quotas and lists."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from saslpy.model import Account, Login
from saslpy.texts import listed, pairs, quota

from .answers import BadEntry, Entry
from .attributes import as_asked, names_of

FIELDS = ("uid", "gid", "home", "maildir", "quota", "name", "options", "aliases", "disabled", "expired", "allow_nets")
"""What an attribute may be read for, beside the login and the password."""

GATES = ("disabled", "expired", "allow_nets")
"""Those that keep somebody out: to overlook one would let him in."""

_YES = {"true", "1", "y", "yes", "t", "on"}
_NO = {"", "false", "0", "n", "no", "f", "off"}

_PAIR = re.compile(r"((?:\\.|[^\\=,+])+)=((?:\\.|[^\\,+])*)", re.DOTALL)
_ESCAPED = re.compile(r"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which attribute says what. ``login``: the canonical name's; ``add_domain``: it is a local part.

    ``fields``: names of ``FIELDS`` to attributes. ``password``: the attribute with stored secrets, empty for none.
    """

    login: str
    add_domain: bool
    fields: Mapping[str, str]
    password: str = ""

    @property
    def attributes(self) -> tuple[str, ...]:
        """What to ask for."""
        named = [self.login, *self.fields.values(), self.password]
        # 1.1: none at all (RFC 4511, 4.5.1.8)
        return tuple(dict.fromkeys(name for name in named if name)) or ("1.1",)

    def account(self, entry: Entry, login: Login) -> Account:
        """The account in an entry. Raises ``BadEntry``."""
        entry = as_asked(entry, self.attributes, [self.fields[gate] for gate in GATES if gate in self.fields])
        name, aliases = self._names(entry, login)
        values = {field: _one(entry, attribute) for field, attribute in self.fields.items()}
        return Account(
            login=name,
            secrets=self._secrets(entry) if self.password else (),
            uid=_number(values.get("uid", ""), "uid"),
            gid=_number(values.get("gid", ""), "gid"),
            home=values.get("home") or None,
            maildir=values.get("maildir") or None,
            quota=quota(values.get("quota", "")),
            name=values.get("name") or None,
            options=_pairs(_all(entry, self.fields.get("options", ""))),
            aliases=self._aliases(entry, name, aliases),
            disabled=self._flag(entry, "disabled"),
            expired=self._flag(entry, "expired"),
            allow_nets=tuple(_split(_all(entry, self.fields.get("allow_nets", "")))),
        )

    def _names(self, entry: Entry, login: Login) -> tuple[str, tuple[str, ...]]:
        """The canonical name, and the other values of its attribute.

        Values have no order (RFC 4511, 4.1.7), and two servers may give them in two. So that one user has one name, it is
        the value in the entry's DN, else the first by the alphabet, whatever was typed.
        """
        if not self.login:
            return login.name, ()
        values = sorted({canonical(value, login, self.add_domain) for value in _all(entry, self.login)} - {""})
        if not values:
            raise BadEntry(f"the entry shows no {self.login}: it has none, or bind_dn may not read it")
        in_dn = {canonical(value, login, self.add_domain) for value in rdn_values(entry.dn, self.login)}
        name = next((value for value in values if value in in_dn), values[0])
        return name, tuple(value for value in values if value != name)

    def _aliases(self, entry: Entry, name: str, aliases: tuple[str, ...]) -> tuple[str, ...]:
        """Other names, and further addresses; Active Directory's proxyAddresses begin with "smtp:"."""
        further = _all(entry, self.fields.get("aliases", ""))
        if not further:
            return aliases
        addresses = (value[5:] if value[:5].lower() == "smtp:" else value for value in map(str.strip, further))
        return tuple(sorted({*aliases, *addresses} - {name, ""}))

    def _flag(self, entry: Entry, field: str) -> bool:
        """Of several values one yes is enough: they have no order, and whoever wrote it meant it."""
        return True in {_is_set(value.strip(), field) for value in _all(entry, self.fields.get(field, ""))}

    def _secrets(self, entry: Entry) -> tuple[str, ...]:
        secrets = tuple(value for value in _all(entry, self.password) if value)
        if not secrets:
            # a directory hides what may not be read, and to take that for a wrong password would be a lie
            raise BadEntry(f"the entry shows no {self.password}: it has none, or bind_dn may not read it")
        return secrets


def canonical(value: str, login: Login, add_domain: bool) -> str:
    """A name as the naming policy spells it; blanks around it never count in LDAP (RFC 4518, 2.6.1)."""
    name = unicodedata.normalize("NFC", value.strip())
    if not name.isprintable():
        raise BadEntry("the login's attribute holds a control character")
    if add_domain:
        return f"{name}@{login.domain}" if name and login.domain else name
    local, at, domain = name.rpartition("@")
    return f"{local}@{domain.lower()}" if at else name


def rdn_values(dn: str, attribute: str) -> list[str]:
    """The values that the first part of a DN gives an attribute (RFC 4514, 3)."""
    first = re.match(r"(?:\\.|[^\\,])*", dn, re.DOTALL)
    pairs = _PAIR.findall(first[0] if first else "")
    names = names_of(attribute)
    return [_unescaped(_trimmed(value)) for name, value in pairs if name.strip(" +").lower() in names]


def _trimmed(value: str) -> str:
    """Without the blanks around it, but for one that a backslash keeps."""
    kept = re.fullmatch(r" *((?:\\.|[^\\])*?) *", value, re.DOTALL)
    return kept[1] if kept else value


def _unescaped(value: str) -> str:
    data = _ESCAPED.sub(
        lambda found: chr(int(found[1], 16)) if len(found[1]) == 2 else found[1],
        value.encode("utf-8", "surrogateescape").decode("latin-1"),  # a character for each byte, as \\xx is
    )
    return data.encode("latin-1").decode("utf-8", "surrogateescape")


def _all(entry: Entry, attribute: str) -> list[str]:
    try:
        return [value.decode() for value in entry.values.get(attribute.lower(), ())]
    except UnicodeDecodeError:
        raise BadEntry(f"a value of {attribute} is not UTF-8") from None


def _one(entry: Entry, attribute: str) -> str:
    values = [value.strip() for value in _all(entry, attribute)]
    return min(values, default="")


def _number(value: str, field: str) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise BadEntry(f"the value for {field} is not a number from 0 up")
    return int(value)


def _is_set(value: str, field: str) -> bool:
    if value.lower() in _YES:
        return True
    if value.lower() in _NO:
        return False
    raise BadEntry(f"the value for {field} is neither yes nor no")


def _pairs(values: list[str]) -> dict[str, str]:
    """``a=1`` in several values, or joined by commas, as a dictionary."""
    return pairs(",".join(values))


def _split(values: list[str]) -> list[str]:
    return [part for value in values for part in listed(value)]
