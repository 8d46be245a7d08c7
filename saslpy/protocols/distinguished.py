"""The common name in a certificate's subject, as a string (RFC 4514, and RFC 2253 before it): ``CN=joe,O=Example``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PAIR = re.compile(r'(?P<name>[A-Za-z][A-Za-z0-9-]*|[0-9.]+)=(?P<value>(?:[^,+"\\<>;]|\\.)*)(?:[,+]|\Z)', re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_BYTE = 2
"""Hexadecimal digits of an escaped byte; what is escaped otherwise is a character that stands for itself."""


def common_name(subject: str) -> str:
    """The one CN of a subject; empty when there is none, when there are several, or when it is not of this form."""
    try:
        found = [value for name, value in _pairs(subject) if name.upper() == "CN"]
    except ValueError:
        return ""
    return found[0] if len(found) == 1 else ""


def _pairs(subject: str) -> Iterator[tuple[str, str]]:
    """Names and values. Raises ``ValueError``."""
    end = 0
    while end < len(subject):
        pair = _PAIR.match(subject, end)
        if pair is None or pair["value"].startswith("#"):  # BER in hexadecimal digits
            raise ValueError("no distinguished name")
        yield pair["name"], _unescaped(pair["value"])
        end = pair.end()


def _unescaped(value: str) -> str:
    """A value as it is meant. Raises ``ValueError`` for what is not UTF-8."""
    raw = value.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(
        lambda found: bytes.fromhex(found[1].decode()) if len(found[1]) == _BYTE else found[1], raw
    ).decode()
