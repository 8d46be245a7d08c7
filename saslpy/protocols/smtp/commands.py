"""A command's line (RFC 5321, 4.1.1) becomes a typed command, or is refused.

::

    line    := verb [SP argument]                    a verb's case does not count
    EHLO    hostname                                 also HELO
    AUTH    mechanism [initial-response]             base64; "=" is an empty one (RFC 4954)
    MAIL    FROM:path [parameters]                   a blank behind the colon is let pass, as by all
    RCPT    TO:path [parameters]
    BDAT    size [LAST]                              RFC 3030
    XCLIENT attribute=value …                        Postfix's XCLIENT_README
    STARTTLS, DATA, RSET, QUIT                       without argument; NOOP, HELP, VRFY, EXPN with any
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Container
from dataclasses import dataclass, field

from . import addresses, parameters, replies, xtext
from .addresses import Mailbox, NonAscii
from .extensions import XCLIENT_ATTRIBUTES
from .parameters import MailParameters, RcptParameters, Refused

MAX_LINE = 512
"""Octets of a command's line with its CRLF (RFC 5321, 4.5.3.1.4)."""

MAX_LONG_LINE = 2048
"""Of MAIL, RCPT and XCLIENT: 512 and what the extensions add, 500 for AUTH= and for ORCPT= the most of it."""

MAX_AUTH_LINE = 12288 + 2
"""Of AUTH and of what answers a challenge (RFC 4954, 4)."""

LONGEST = {b"AUTH": MAX_AUTH_LINE, b"MAIL": MAX_LONG_LINE, b"RCPT": MAX_LONG_LINE, b"XCLIENT": MAX_LONG_LINE}
"""Octets of a line by its verb, where they are more than ``MAX_LINE``."""

HTTP = frozenset(("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "TRACE", "PATCH", "PRI"))
"""A browser that somebody has sent here: what follows is not its user's will."""

_VERB = re.compile(rb"([A-Za-z][A-Za-z0-9]*)(?: +(.*))?", re.DOTALL)
_HOST = re.compile(r"[!-~]{1,255}")
_BDAT = re.compile(rb"(\d{1,18})(?: +(LAST))?", re.IGNORECASE)
_MECHANISM = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: +([^ ]+))?")


@dataclass(frozen=True, slots=True)
class Auth:
    """``initial`` is None where there is none, which is not an empty one."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """``sender`` is None for the null sender."""

    sender: Mailbox | None
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class Rcpt:
    """A recipient."""

    mailbox: Mailbox
    parameters: RcptParameters


@dataclass(frozen=True, slots=True)
class Bdat:
    """``size`` octets follow."""

    size: int
    last: bool


def split(line: bytes) -> tuple[str, bytes]:
    """The verb in upper case, and its argument. The verb is empty where there is none."""
    found = _VERB.fullmatch(line.rstrip(b" "))
    return (found[1].decode().upper(), found[2] or b"") if found else ("", b"")


def nothing(argument: bytes) -> None:
    """There is no argument. Raises ``Refused``."""
    if argument:
        raise Refused(replies.NO_ARGUMENT)


def hello(argument: bytes) -> str:
    """The client's name. Raises ``Refused`` for blanks and controls; what is not ASCII becomes a question mark.

    (Windows sends its own name, however it is spelled.)
    """
    name = argument.decode("ascii", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")
    if not _HOST.fullmatch(name):
        raise Refused(replies.BAD_HELLO)
    return name


def auth(argument: bytes, mechanisms: Container[str]) -> Auth:
    """AUTH's argument. Raises ``Refused``."""
    found = _MECHANISM.fullmatch(argument)
    if not found:
        raise Refused(replies.BAD_AUTH)
    mechanism = found[1].decode().upper()
    if mechanism not in mechanisms:
        raise Refused(replies.UNKNOWN_MECHANISM)
    encoded = found[2]
    if encoded is None:
        return Auth(mechanism, None)
    return Auth(mechanism, b"" if encoded == b"=" else base64(encoded))


def base64(text: bytes) -> bytes:
    """What it means. Raises ``Refused``."""
    try:
        if len(text) % 4:  # Python alone would take "AAAA="
            raise binascii.Error("its length is no multiple of 4")
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise Refused(replies.BAD_BASE64) from None


def mail(argument: bytes, offered: Container[str]) -> Mail:
    """MAIL's argument. Raises ``Refused``."""
    text, start = _after(argument, "FROM:", _declares_utf8(argument), replies.BAD_MAIL)
    try:
        path = addresses.path(text, start, utf8=True)
    except addresses.MalformedAddress:
        raise Refused(replies.BAD_SENDER_ADDRESS) from None
    if path.mailbox is not None and not path.mailbox.domain:  # <Postmaster> is a recipient alone (RFC 5321, 4.1.1.3)
        raise Refused(replies.BAD_SENDER_ADDRESS)
    given = parameters.mail(_rest(text, path.end, replies.BAD_SENDER_ADDRESS), offered)
    if not given.smtputf8 and not text.isascii():
        raise Refused(replies.NON_ASCII)
    return Mail(path.mailbox, given)


def rcpt(argument: bytes, offered: Container[str], utf8: bool) -> Rcpt:
    """RCPT's argument; ``utf8`` is whether MAIL has declared SMTPUTF8. Raises ``Refused``."""
    text, start = _after(argument, "TO:", utf8, replies.BAD_RCPT)
    try:
        path = addresses.path(text, start, utf8)
    except NonAscii:
        raise Refused(replies.NON_ASCII) from None
    except addresses.MalformedAddress:
        raise Refused(replies.BAD_ADDRESS) from None
    if path.mailbox is None:
        raise Refused(replies.BAD_ADDRESS)
    given = parameters.rcpt(_rest(text, path.end, replies.BAD_ADDRESS), offered)
    if not utf8 and not text.isascii():
        raise Refused(replies.NON_ASCII)
    return Rcpt(path.mailbox, given)


def bdat(argument: bytes) -> Bdat | None:
    """BDAT's argument; None where nobody can say how many octets follow."""
    found = _BDAT.fullmatch(argument)
    return Bdat(int(found[1]), found[2] is not None) if found else None


def xclient(argument: bytes) -> dict[str, str | None]:
    """XCLIENT's attributes by name; None is one that the peer does not know. Raises ``Refused``."""
    found: dict[str, str | None] = {}
    for word in argument.decode("ascii", "replace").split():
        name, equals, value = word.partition("=")
        if not equals or name.upper() not in XCLIENT_ATTRIBUTES or name.upper() in found:
            raise Refused(replies.BAD_XCLIENT)
        found[name.upper()] = _attribute(value)
    if not found:
        raise Refused(replies.BAD_XCLIENT)
    return found


def _attribute(value: str) -> str | None:
    if value.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
        return None
    try:
        return xtext.decode(value)
    except xtext.MalformedXtext:
        raise Refused(replies.BAD_XCLIENT) from None


def _declares_utf8(argument: bytes) -> bool:
    return b" SMTPUTF8" in argument.upper()


def _after(argument: bytes, word: str, utf8: bool, usage: replies.Reply) -> tuple[str, int]:
    """The argument as text, and where the path begins in it: behind ``word``."""
    try:
        text = argument.decode()
    except UnicodeDecodeError:
        raise Refused(replies.BAD_UTF8 if utf8 else replies.NON_ASCII) from None
    if text[: len(word)].upper() != word:
        raise Refused(usage)
    start = len(word)
    while text.startswith(" ", start):
        start += 1
    return text, start


def _rest(text: str, end: int, fault: replies.Reply) -> str:
    """The parameters behind a path: a blank divides them, or it was no path."""
    if end < len(text) and text[end] != " ":
        raise Refused(fault)
    return text[end + 1 :]
