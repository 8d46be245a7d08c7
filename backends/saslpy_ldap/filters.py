"""Search filters as text (RFC 4515): their grammar, and how a value is put into one.

    filter = "(" ( "&" 1*filter / "|" 1*filter / "!" filter / item ) ")"
    item   = attribute [":dn"] [":" rule] ( "=" / "~=" / ">=" / "<=" / ":=" ) value

A value holds no bracket and no NUL, and a backslash only before two hexadecimal digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ATTRIBUTE = r"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)(?:;[A-Za-z0-9-]+)*"
_ITEM = re.compile(
    rf"(?P<attribute>{_ATTRIBUTE})(?P<equal>=|~=|>=|<=)(?P<value>.*)"
    rf"|(?:{_ATTRIBUTE})?(?::dn)?(?::[A-Za-z0-9.-]+)?:=(?P<other>.*)",
    re.DOTALL,
)
_VALUE = re.compile(r"(?:[^\\\0]|\\[0-9A-Fa-f]{2})*", re.DOTALL)
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@._-")
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Item:
    """A comparison in a filter that is an equality. ``negated``: it stands behind a ``!``."""

    attribute: str
    value: str
    negated: bool = False


class Grammar:
    """Reads a filter. ``text`` is the filter without what may be left out, ``items`` are its equalities. ValueError."""

    def __init__(self, text: str) -> None:
        self._rest = text.strip()
        self.items: list[Item] = []
        self._negated = False
        self.text = self._filter(0)
        if self._rest:
            raise ValueError(f"something stands behind the end of the filter: {self._shown()}")

    def _filter(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise ValueError("more brackets in brackets than any directory takes")
        self._expect("(")
        sign = self._rest[:1]
        if sign and sign in "&|!":
            self._rest = self._rest[1:].lstrip()
            inside = sign + self._list(sign, depth)
        else:
            inside = self._item()
        self._expect(")")
        return f"({inside})"

    def _list(self, sign: str, depth: int) -> str:
        outside = self._negated
        self._negated = outside or sign == "!"
        filters = [self._filter(depth + 1)]
        while self._rest.startswith("("):
            filters.append(self._filter(depth + 1))
        self._negated = outside
        if sign == "!" and len(filters) > 1:
            raise ValueError("! takes one filter; say (!(|(…)(…)))")
        return "".join(filters)

    def _item(self) -> str:
        end = re.match(r"[^()]*", self._rest)
        item = end[0] if end else ""
        self._rest = self._rest[len(item) :]
        item = item.strip()
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"expected attribute=value in brackets, got {item[:40]!r}")
        value = match["value"] if match["equal"] else match["other"]
        if not value:
            raise ValueError(f"nothing stands behind {item[:40]!r}")
        if not _VALUE.fullmatch(value):
            raise ValueError("a backslash needs two hexadecimal digits behind it (RFC 4515, 3)")
        if match["equal"] == "=":
            self.items.append(Item(match["attribute"], value, self._negated))
        return item

    def _expect(self, bracket: str) -> None:
        if not self._rest.startswith(bracket):
            where = f"before {self._shown()}" if self._rest else "at the end"
            raise ValueError(f"unbalanced: a {bracket} is missing {where}")
        self._rest = self._rest[1:].lstrip()

    def _shown(self) -> str:
        return repr(self._rest[:30])


def escaped(value: str) -> str:
    """A value for a filter: every byte that is no plain letter, digit, @, ``.``, ``_`` or ``-`` as ``\\xx``.

    RFC 4515, 3 asks it for ``*``, ``(``, ``)``, ``\\`` and NUL only; more of them cannot be read in two ways.
    """
    return "".join(
        chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in value.encode("utf-8", "surrogateescape")
    )
