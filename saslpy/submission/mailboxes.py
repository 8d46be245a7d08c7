"""The addresses in From, Sender and Reply-To (RFC 5322, 3.4; RFC 6532; RFC 6854), read strictly.

::

    list    := address *("," address)
    address := mailbox | phrase ":" [mailbox *("," mailbox)] ";"       a group's mailboxes count like any others
    mailbox := local "@" domain | [phrase] "<" local "@" domain ">"
    phrase  := word *(word | ".")       word := atom | quoted          obsolete dots: everybody writes John Q. Public

Blanks and comments may stand between mailboxes and in phrases, and nowhere inside an address. Readers disagree about more
than that ("Composition Kills", USENIX Security 2020; CVE-2023-27043), so refused is also what would be allowed, where
another reader could find an address that was not found here: an @ in a comment, ``<`` in a quoted string, routes, empty
places in a list, encoded words in or instead of an address, characters that only some take for the end of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..protocols.smtp import addresses
from ..protocols.smtp.addresses import Mailbox
from . import encodedwords

MAX_MAILBOXES = 25
"""In one field. Each is a question to the user's store."""

MAX_VALUE = 10_000
"""Bytes of one field, which is room for so many."""

MAX_DEPTH = 8
"""Of comments in comments."""

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)
    |(?P<atom>[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)
    |(?P<quoted>"[^"\\]*(?:\\.[^"\\]*)*")
    |(?P<special>[<>,:;@.])""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_PART = re.compile(r"[^()]*")
# C0 but for the tab, C1, and what else Python and JavaScript take for the end of a line
_CONTROLS = re.compile(r"[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_UNSAFE_COMMENT = re.compile(r'[@<>"\\]')
_UNSAFE_QUOTED = re.compile(r"[<>]")
# a quoted string with an @ must be no address, however badly its quotes are read
_UNSAFE_WITH_AT = re.compile(r"[,;:()\\]|=\?")
_UNSAFE_LOCAL = re.compile(r'[@<>,;:()\[\]\\]|^"[ ]|[ ]"$')


class AddressFault(ValueError):
    """No list of addresses, or one that can be read in two ways. The message says why, without what stands there."""


class Token(NamedTuple):
    """``kind`` is atom, quoted, or the special character itself; ``apart``: a blank or a comment stands before it."""

    kind: str
    text: str
    apart: bool


END = Token("end", "", False)


def mailboxes(value: bytes, most: int = MAX_MAILBOXES) -> tuple[Mailbox, ...]:
    """The mailboxes of an unfolded field's value, in their order; none for empty groups. Raises ``AddressFault``."""
    if len(value) > MAX_VALUE:
        raise AddressFault(f"longer than {MAX_VALUE} bytes")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise AddressFault("it is not UTF-8") from None
    if _CONTROLS.search(text):
        raise AddressFault("a control character")
    try:
        encodedwords.check(text)
    except encodedwords.EncodedWordFault as fault:
        raise AddressFault(str(fault)) from None
    return tuple(_Reader(_tokens(text), most).addresses())


def _tokens(text: str) -> Iterator[Token]:
    at, apart = 0, False
    while at < len(text):
        if text[at] == "(":
            at, apart = _after_comment(text, at), True
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            raise AddressFault("quotes, parentheses or brackets at the wrong place")
        at = found.end()
        if found.lastgroup == "blank":
            apart = True
            continue
        yield _token(found, apart)
        apart = False


def _token(found: re.Match[str], apart: bool) -> Token:
    kind, text = found.lastgroup or "", found[0]
    if kind == "quoted" and (_UNSAFE_QUOTED.search(text) or ("@" in text and _UNSAFE_WITH_AT.search(text))):
        raise AddressFault("a quoted string that may be taken for an address")
    return Token(text if kind == "special" else kind, text, apart)


def _after_comment(text: str, start: int) -> int:
    """Where the comment that begins at ``start`` has ended."""
    at, depth = start, 0
    while True:
        depth += {"(": 1, ")": -1}[text[at]]
        at += 1
        if depth == 0:
            break
        part = _COMMENT_PART.match(text, at)
        assert part is not None
        at = part.end()
        if at == len(text) or depth > MAX_DEPTH:
            raise AddressFault("a comment without an end, or one too deep")
    if _UNSAFE_COMMENT.search(text, start, at):
        raise AddressFault("a comment that may be taken for more")
    return at


class _Reader:
    """The grammar above, one method for a rule."""

    def __init__(self, tokens: Iterator[Token], most: int) -> None:
        self._tokens = tokens
        self._next = next(tokens, END)
        self._left = most

    def addresses(self) -> Iterator[Mailbox]:
        yield from self._address()
        while self._skip(","):
            yield from self._address()
        if self._next is not END:
            raise AddressFault("more than an address between two commas")

    def _address(self) -> Iterator[Mailbox]:
        words = self._words()
        if not self._skip(":"):
            yield self._mailbox(words)
            return
        _check_phrase(words)
        if not self._skip(";"):
            yield self._mailbox(self._words())
            while self._skip(","):
                yield self._mailbox(self._words())
            self._need(";")

    def _mailbox(self, words: list[Token]) -> Mailbox:
        self._left -= 1
        if self._left < 0:
            raise AddressFault("too many addresses")
        if not self._skip("<"):
            return self._address_of(words, alone=True)
        if words:
            _check_phrase(words)
        found = self._address_of(self._words(), alone=False)
        self._need(">", together=True)
        return found

    def _address_of(self, local: list[Token], alone: bool) -> Mailbox:
        """``local`` is what stands before the @; ``alone``: no brackets are around it, so blanks may stand before it."""
        self._need("@", together=True)
        domain = self._words()
        if any(token.apart for token in (local[1:] if alone else local) + domain):
            raise AddressFault("a blank or a comment in an address")
        return _mailbox_of("".join(token.text for token in local), "".join(token.text for token in domain))

    def _words(self) -> list[Token]:
        words = []
        while self._next.kind in ("atom", "quoted", "."):
            words.append(self._next)
            self._advance()
        return words

    def _advance(self) -> None:
        self._next = next(self._tokens, END)

    def _skip(self, kind: str) -> bool:
        if self._next.kind != kind:
            return False
        self._advance()
        return True

    def _need(self, kind: str, together: bool = False) -> None:
        if self._next.kind != kind:
            raise AddressFault(f"an {kind} is missing" if kind == "@" else f"a {kind} is missing")
        if together and self._next.apart:
            raise AddressFault("a blank or a comment in an address")
        self._advance()


def _check_phrase(words: list[Token]) -> None:
    if not words or words[0].kind == ".":
        raise AddressFault("a name is missing")


def _mailbox_of(local: str, domain: str) -> Mailbox:
    # a whole encoded word ends so, and half a one does not come here
    if "?=" in local or _UNSAFE_LOCAL.search(local):
        raise AddressFault("a local part that may be taken for more")
    try:
        return addresses.mailbox(f"{local}@{domain}")
    except addresses.MalformedAddress as fault:
        raise AddressFault(str(fault)) from None
