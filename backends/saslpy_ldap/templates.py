"""Names and filters made of a login: ``{login}``, ``{local}`` and ``{domain}`` in places where they can do no harm."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from saslpy.model import Login

from . import filters

PLACES = ("login", "local", "domain")

_PLACE = re.compile(r"\{([a-z]+)\}")
_RDN = re.compile(r"[ ]*(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)[ ]*=")

_NOT_IN_ACCOUNT_NAMES = frozenset('"/\\[]:;|=,+*?<>')
"""What Active Directory has in no sAMAccountName; with one of them a bind name could be read as one of another form."""


def check_places(text: str, allowed: tuple[str, ...]) -> set[str]:
    """The placeholders in a template. Raises ValueError where others, or lonely braces, stand in it."""
    names = {match[1] for match in _PLACE.finditer(text)}
    known = ", ".join("{" + place + "}" for place in allowed)
    for name in sorted(names.difference(allowed)):
        raise ValueError(f"unknown placeholder {{{name}}}; known are {known}")
    if re.search(r"[{}]", _PLACE.sub("", text)):
        raise ValueError(f"a brace stands alone; placeholders are {known}")
    return names


def _filled(text: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    # one pass: what a value brings is not looked at again
    return _PLACE.sub(lambda match: escape(values[match[1]]), text)


def _values(login: Login) -> dict[str, str]:
    return {"login": login.name, "local": login.local, "domain": login.domain}


# --- filters


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter with placeholders in its values. ``items`` are its equalities."""

    text: str
    items: tuple[filters.Item, ...]
    places: frozenset[str]

    @classmethod
    def of(cls, text: str, extra: tuple[str, ...] = ()) -> Filter:
        """Read a filter; ``extra`` are placeholders beside the usual ones. Raises ValueError."""
        grammar = filters.Grammar(text)
        places = check_places(grammar.text, (*PLACES, *extra))
        # braces cannot stand in an attribute's name, so a placeholder is in a value or a fault of the grammar
        if not places & {"login", "local", *extra}:
            named = " or ".join("{" + place + "}" for place in ("login", "local", *extra))
            raise ValueError(f"has no {named}: it would find the same for everybody")
        return cls(grammar.text, tuple(grammar.items), frozenset(places))

    def of_login(self, login: Login, **more: str) -> str:
        """The filter for a login."""
        return _filled(self.text, {**_values(login), **more}, filters.escaped)

    def everybody(self) -> Filter | None:
        """The filter for all whom this one finds, with nothing of a login but perhaps its domain; None where there is none.

        A star takes the place of a whole value: whether parts of one can be compared depends on the attribute, and what a
        server cannot compare it does not find.
        """
        text = self.text
        for item in self.items:
            if item.value in ("{login}", "{local}", "{local}@{domain}") and not item.negated:
                text = text.replace(f"({item.attribute}={item.value})", f"({item.attribute}=*)")
        places = frozenset(match[1] for match in _PLACE.finditer(text))
        return Filter(text, self.items, places) if places <= {"domain"} else None

    @classmethod
    def of_all(cls, text: str) -> Filter:
        """Read a filter that finds everybody, of a domain perhaps. Raises ValueError."""
        grammar = filters.Grammar(text)
        return cls(grammar.text, tuple(grammar.items), frozenset(check_places(grammar.text, ("domain",))))

    def login_attribute(self) -> tuple[str, str]:
        """The attribute that is compared with ``{login}``, else with ``{local}``, and which of them; or two ""."""
        for place in ("login", "local"):
            for item in self.items:
                if item.value == "{" + place + "}":
                    return item.attribute, place
        return "", ""


# --- names to bind as


@dataclass(frozen=True, slots=True)
class BindName:
    """A template for the name to bind as: a DN, or one of Active Directory's forms (MS-ADTS, 5.1.1.1.1)."""

    text: str
    is_dn: bool
    places: frozenset[str]

    @classmethod
    def of(cls, text: str) -> BindName:
        """Read a template. Raises ValueError."""
        places = check_places(text, PLACES)
        if not places & {"login", "local"}:
            raise ValueError("has neither {login} nor {local}: everybody would bind as the same")
        is_dn = _RDN.match(text) is not None
        if is_dn:
            _check_dn(text)
        elif not (
            text == "{login}" or re.fullmatch(r"\{local\}@[^@{}\s]+|\{local\}@\{domain\}|[^\\@{}\s]+\\\{local\}", text)
        ):
            raise ValueError(
                'expected a DN such as "uid={local},ou=people,dc=example,dc=com", or Active Directory\'s '
                '"{local}@corp.example.com", "{login}" or "CORP\\\\{local}"'
            )
        return cls(text, is_dn, frozenset(places))

    def of_login(self, login: Login) -> str | None:
        """The name to bind as, None where a login can have none in this directory."""
        values = _values(login)
        if any(not values[place] for place in self.places):
            return None
        if self.is_dn:
            return _filled(self.text, values, dn_escaped)
        if _NOT_IN_ACCOUNT_NAMES.intersection(login.name) or "@" in login.local:
            return None
        return _filled(self.text, values, str)


def dn_escaped(value: str) -> str:
    """A value for a DN (RFC 4514, 2.4): what has a meaning in one, and blanks at its ends, behind a backslash."""
    text = re.sub(r'([\\,+"<>;=])', r"\\\1", value).replace("\0", r"\00")
    if text[:1] in ("#", " "):
        text = "\\" + text
    if text.endswith(" ") and len(value) > 1:
        text = text[:-1] + "\\ "
    return text


def prepared(value: str) -> str:
    """A value as LDAP's matching sees it (RFC 4518, 2), but for upper and lower case: signs and blanks that are one."""
    if value.isascii() and " " not in value:
        return value
    return re.sub(r" +", " ", unicodedata.normalize("NFKC", value)).strip(" ")


def _check_dn(text: str) -> None:
    """Whether it is a DN once values are put in. Raises ValueError."""
    for part in re.split(r"(?<!\\),", text):
        for pair in re.split(r"(?<!\\)\+", part):
            match = _RDN.match(pair)
            if match is None or not pair[match.end() :].strip():
                raise ValueError(f"{pair.strip()!r} is no attribute=value; in a DN these are joined by commas")
            if _PLACE.search(pair[: match.end()]):
                raise ValueError(f"{pair.strip()!r}: a placeholder belongs behind the =")
