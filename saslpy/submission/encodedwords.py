"""Encoded words (RFC 2047) where addresses stand: what they say, looked at for an address that they hide.

``=?charset?Q?text?=`` may stand for a part of a name. Some readers decode before they parse, so an encoded word that says
``<ceo@bank.example>`` is an address to them, and one that is half an encoded word is something to one reader and nothing to
another.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

_WORD = re.compile(r"=\?([!->@-~]+)\?([bBqQ])\?([!->@-~]*)\?=")
_RUN = re.compile(rf"(?:{_WORD.pattern}[ \t]*)+")
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029@<>]|=\?")

# where a byte of ASCII always is that character, the others do not matter here
_SINGLE_BYTE = re.compile(r"(?:us-)?ascii|iso-8859-\d{1,2}|(?:windows-|cp)(?:125\d|874)|koi8-[ru]|tis-620", re.ASCII)
_MULTI_BYTE = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "shift_jis": "cp932",
    "iso-2022-jp": "iso2022_jp",
    "euc-jp": "euc_jp",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
}

# Python loads a codec when it is first asked for, and the daemon can read no modules then
for _codec in _MULTI_BYTE.values():
    codecs.lookup(_codec)


class EncodedWordFault(ValueError):
    """An encoded word that may not stand here. The message says why, without what stands there."""


def check(text: str) -> None:
    """Raises ``EncodedWordFault`` for encoded words that say or may be taken for more than a name, or are half ones."""
    if "=?" not in text:
        return
    if "=?" in _WORD.sub(" ", text):
        raise EncodedWordFault("an encoded word that is none")
    for run in _RUN.finditer(text):
        words = [(charset.partition("*")[0].lower(), _bytes(how, said)) for charset, how, said in _WORD.findall(run[0])]
        if _UNSAFE.search("".join(_together(words))) or any(_UNSAFE.search(_alone(*word)) for word in words):
            raise EncodedWordFault("an encoded word that stands for an address or a control character")


def _together(words: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    """What adjacent words say; of those in one charset the bytes belong together, as most readers have it."""
    for charset, group in groupby(words, itemgetter(0)):
        yield _text(charset, b"".join(data for _, data in group))


def _alone(charset: str, data: bytes) -> str:
    """What a word says to those who read each by itself, as RFC 2047 has it: it begins in ASCII, with a whole character."""
    return data.decode(_MULTI_BYTE.get(charset, "ascii"), "replace")


def _text(charset: str, data: bytes) -> str:
    # UTF-7 and EBCDIC are charsets, too, in which nobody sees an @; and Python's codecs are more than charsets
    if _SINGLE_BYTE.fullmatch(charset):
        return data.decode("ascii", "replace")
    if charset not in _MULTI_BYTE:
        raise EncodedWordFault("an encoded word in an unknown charset")
    try:
        return data.decode(_MULTI_BYTE[charset])
    except UnicodeDecodeError:
        raise EncodedWordFault("an encoded word whose bytes are not in its charset") from None


def _bytes(encoding: str, text: str) -> bytes:
    if encoding in "bB":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise EncodedWordFault("an encoded word that is not base64") from None
    data = text.replace("_", " ").encode()
    if b"=" in _ESCAPE.sub(b"", data):
        raise EncodedWordFault("an encoded word with half an escape")
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), data)
