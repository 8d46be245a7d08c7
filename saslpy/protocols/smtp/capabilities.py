"""What a next hop offers: EHLO's answer, LHLO's too (RFC 5321, 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .replies import Reply

_KEYWORD = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =]+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``name in capabilities`` is whether an extension is offered; names are upper case."""

    keywords: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.keywords

    @property
    def size(self) -> int:
        """Octets of a message at most, 0 where no limit is told (RFC 1870, 4)."""
        text = self.keywords.get("SIZE", "")
        return int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else 0

    @property
    def min_by_time(self) -> int:
        """Seconds of BY at least, 0 where none are told (RFC 2852). It is the first of a list."""
        text = self.keywords.get("DELIVERBY", "").partition(",")[0]
        return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Those of AUTH."""
        return tuple(self.keywords.get("AUTH", "").upper().split())


NONE = Capabilities()
"""Those of a hop that has only HELO, or has said nothing yet."""


def capabilities(reply: Reply) -> Capabilities:
    """Those of EHLO's answer. Lines that cannot be read are passed over; ``AUTH=`` is an old spelling."""
    keywords: dict[str, str] = {}
    for line in reply.lines[1:]:
        found = _KEYWORD.fullmatch(line)
        if found:
            name, more = found[1].upper(), (found[2] or "").strip()
            keywords[name] = f"{keywords[name]} {more}" if name == "AUTH" and name in keywords else more
    return Capabilities(keywords)
