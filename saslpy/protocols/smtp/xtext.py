"""xtext (RFC 3461, 4): how an address or an id stands in a parameter.

::

    xtext := *(xchar | "+" two hex digits)       xchar is "!" to "~" without "+" and "="

What it means is data. A control character in it is refused: it would end a line where the value is written next
(Exim's CVE-2020-28021, CVE-2020-28026).
"""

from __future__ import annotations

import re

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*")
_HEX = re.compile(r"\+([0-9A-Fa-f]{2})")
_PLAIN = re.compile(r"[!-*,-<>-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_UTF8_XTEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\x80-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})*")
_UTF8_PLAIN = re.compile(r"[!-*,-<>-\[\]-~]")


class MalformedXtext(ValueError):
    """No xtext, or one with a control character in it. The message does not hold it."""


def decode(text: str) -> str:
    """What it means: printable ASCII. Raises ``MalformedXtext``."""
    if not _XTEXT.fullmatch(text):
        raise MalformedXtext("no xtext")
    meant = _HEX.sub(lambda found: chr(int(found[1], 16)), text)
    if _CONTROL.search(meant) or not meant.isascii():
        raise MalformedXtext("a character that is not printable ASCII")
    return meant


def encode(text: str) -> str:
    """Printable ASCII as xtext. Raises ``MalformedXtext`` for anything else."""
    if _CONTROL.search(text) or not text.isascii():
        raise MalformedXtext("a character that is not printable ASCII")
    return "".join(char if _PLAIN.match(char) else f"+{ord(char):02X}" for char in text)


def decode_utf8(text: str) -> str:
    r"""The address of ``utf-8;…`` (RFC 6533, 3), where ``\x{20AC}`` stands for a character. Raises ``MalformedXtext``."""
    if not _UTF8_XTEXT.fullmatch(text):
        raise MalformedXtext("no utf-8 address")
    meant = _EMBEDDED.sub(lambda found: _character(int(found[1], 16)), text)
    if not meant.isprintable():
        raise MalformedXtext("a character that is not printable")
    return meant


def encode_utf8(text: str) -> str:
    r"""The same the other way, in ASCII: it may travel with and without SMTPUTF8. Raises ``MalformedXtext``."""
    if not text.isprintable():
        raise MalformedXtext("a character that is not printable")
    return "".join(char if _UTF8_PLAIN.match(char) else rf"\x{{{ord(char):02X}}}" for char in text)


def _character(number: int) -> str:
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise MalformedXtext("no character has this number")
    return chr(number)
