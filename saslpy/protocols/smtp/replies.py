"""Replies of SMTP (RFC 5321, 4.2) with enhanced status codes (RFC 2034, RFC 3463).

::

    reply := *(code "-" text CRLF) code SP text CRLF      code is three digits; a last line may be the code alone
    text  := [class "." subject "." detail SP] words      class is the first digit of the code

Every reply that the server sends stands here, once. No text repeats what a client has sent. Where policy or the next hop
has words of its own, ``encode`` makes them safe.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .lines import LineBuffer, MalformedLine

MAX_LINE = 512
"""Octets of a reply's line with its CRLF, as we send it (RFC 5321, 4.5.3.1.5)."""

MAX_PEER_LINE = 4096
"""Octets of a peer's line. Some write novels."""

MAX_PEER_LINES = 128

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?= |\Z)")
_UNSAFE = re.compile(r"[^ -~]")


class MalformedReply(ValueError):
    """What a peer sent is no reply. The message does not hold it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``enhanced`` is empty where there is none: in 220, 334, 354 and in EHLO's answer."""

    code: int
    enhanced: str
    lines: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599 or not self.lines:
            raise ValueError("no reply has such a code, or no text")
        if self.enhanced and not self.enhanced.startswith(f"{self.code // 100}."):
            raise ValueError("the enhanced code is of another class")

    @property
    def positive(self) -> bool:
        """2xx and 3xx."""
        return self.code < 400

    @property
    def temporary(self) -> bool:
        """4xx: the same may work later."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5xx."""
        return self.code >= 500

    @property
    def closing(self) -> bool:
        """421: the connection ends with it."""
        return self.code == 421

    @property
    def text(self) -> str:
        """All lines as one."""
        return " ".join(self.lines)

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"

    def encode(self) -> bytes:
        """The bytes: printable ASCII (anything else is a question mark), no line longer than ``MAX_LINE``."""
        return _encoded(self.code, self.enhanced, self.lines)


@lru_cache(maxsize=256)
def _encoded(code: int, enhanced: str, lines: tuple[str, ...]) -> bytes:
    head = f"{enhanced} " if enhanced else ""
    cut = [_UNSAFE.sub("?", head + line)[: MAX_LINE - 6] for line in lines]
    before = "".join(f"{code}-{line}\r\n" for line in cut[:-1])
    return f"{before}{code} {cut[-1]}\r\n".encode("ascii")


def reply(code: int, enhanced: str, *lines: str) -> Reply:
    """A reply in one line of code."""
    return Reply(code, enhanced, lines)


# --- yes

OK = reply(250, "2.0.0", "Ok")
SENDER_OK = reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = reply(250, "2.1.5", "Recipient ok")
GOODBYE = reply(221, "2.0.0", "Goodbye")
READY_FOR_TLS = reply(220, "2.0.0", "Ready to start TLS")
AUTHENTICATED = reply(235, "2.7.0", "Authentication succeeded")
SEND_CONTENT = reply(354, "", "End data with <CR><LF>.<CR><LF>")
HELP = reply(214, "2.0.0", "See RFC 5321 and RFC 6409")
# RFC 5321, 3.5.3: whether the mailbox exists is not told, and cannot be held against the server
CANNOT_VERIFY = reply(252, "2.5.0", "Send some mail, I will try")


def greeting(hostname: str) -> Reply:
    """The first word, and XCLIENT's answer."""
    return reply(220, "", f"{hostname} ESMTP")


def hello(hostname: str, extensions: Sequence[str] = ()) -> Reply:
    """EHLO's answer; HELO's, without extensions."""
    return Reply(250, "", (hostname, *extensions))


def encode_challenge(data: bytes) -> bytes:
    """A step of AUTH. Its line may have 12288 octets (RFC 4954, 4), where ``Reply.encode`` cuts."""
    return b"334 " + b2a_base64(data, newline=False) + b"\r\n"


def message_taken(name: str) -> Reply:
    """The message is somebody else's responsibility now. ``name`` is how a postmaster finds it."""
    return reply(250, "2.0.0", f"Message accepted as {name}" if name else "Message accepted")


def chunk_taken(octets: int) -> Reply:
    """A BDAT that was not the last."""
    return reply(250, "2.0.0", f"{octets} octets received")


# --- the connection ends

CLOSING = reply(421, "4.3.2", "Service is shutting down, try again later")
BUSY = reply(421, "4.3.2", "Too many connections, try again later")
NOT_COUNTED = reply(421, "4.3.0", "Cannot tell how many connections you have, try again later")
TIMED_OUT = reply(421, "4.4.2", "Timed out, closing")
TOO_MANY_ERRORS = reply(421, "4.7.0", "Too many errors, closing")
TOO_MANY_COMMANDS = reply(421, "4.7.0", "Too many commands without a message, closing")
TOO_MANY_REFUSED = reply(421, "4.7.0", "Too many refused recipients, closing")
TOO_MANY_FAILURES = reply(421, "4.7.0", "Too many failed authentications, closing")
TOO_MANY_MESSAGES = reply(421, "4.7.0", "Too many messages on one connection, closing")
NOT_HTTP = reply(421, "4.7.0", "This is not an HTTP server, closing")
# RFC 2920, 3.1: these commands are the last ones of a group. What follows unasked may be somebody else's (CVE-2011-0411)
OUT_OF_STEP = reply(554, "5.5.0", "Commands came before the answer that they must wait for, closing")
BAD_LINE = reply(500, "5.5.2", "A line must end with CRLF and hold no other CR, LF or NUL, closing")
LINE_TOO_LONG = reply(500, "5.5.2", "Line too long, closing")
AUTH_LINE_TOO_LONG = reply(500, "5.5.6", "Authentication exchange line is too long, closing")
BAD_CHUNK = reply(501, "5.5.4", "Syntax: BDAT size [LAST], closing")

# --- commands

UNKNOWN_COMMAND = reply(500, "5.5.1", "Command not recognized")
NOT_IMPLEMENTED = reply(502, "5.5.1", "Command not implemented")
BAD_UTF8 = reply(500, "5.5.2", "Not UTF-8")
BAD_SEQUENCE = reply(503, "5.5.1", "Bad sequence of commands")
HELLO_FIRST = reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST = reply(503, "5.5.1", "Send MAIL first")
NESTED_MAIL = reply(503, "5.5.1", "Sender already given")
NO_RECIPIENTS = reply(554, "5.5.1", "No valid recipients")
CHUNKS_BEGUN = reply(503, "5.5.1", "The message is coming in chunks, send BDAT")
CHUNKS_ONLY = reply(503, "5.5.1", "BINARYMIME needs BDAT")
NO_ARGUMENT = reply(501, "5.5.4", "No argument allowed")
BAD_HELLO = reply(501, "5.5.4", "Syntax: EHLO hostname")
BAD_MAIL = reply(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
BAD_RCPT = reply(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
BAD_AUTH = reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
BAD_XCLIENT = reply(501, "5.5.4", "Syntax: XCLIENT attribute=value ...")
BAD_PARAMETER = reply(501, "5.5.4", "Malformed parameter")
REPEATED_PARAMETER = reply(501, "5.5.4", "A parameter was given twice")
UNKNOWN_PARAMETER = reply(555, "5.5.4", "Parameter not recognized or not implemented")

# --- TLS and authentication

TLS_REQUIRED = reply(530, "5.7.0", "Must issue a STARTTLS command first")
ENCRYPTION_REQUIRED = reply(538, "5.7.11", "Encryption required for authentication, use STARTTLS")
TLS_ALREADY = reply(503, "5.5.1", "TLS is in use already")
TLS_AFTER_AUTH = reply(503, "5.5.1", "STARTTLS comes before AUTH")
TLS_UNAVAILABLE = reply(454, "4.7.0", "TLS not available now")
AUTH_REQUIRED = reply(530, "5.7.0", "Authentication required")
AUTH_ALREADY = reply(503, "5.5.1", "Already authenticated")
UNKNOWN_MECHANISM = reply(504, "5.5.4", "Mechanism not offered")
BAD_BASE64 = reply(501, "5.5.2", "Malformed base64")
AUTH_CANCELLED = reply(501, "5.7.0", "Authentication cancelled")
AUTH_MALFORMED = reply(501, "5.5.2", "Malformed response")
AUTH_FAILED = reply(535, "5.7.8", "Authentication failed")
AUTH_LATER = reply(454, "4.7.0", "Cannot tell now, try again later")
XCLIENT_REFUSED = reply(550, "5.7.0", "XCLIENT is not for you")

# --- addresses

BAD_ADDRESS = reply(501, "5.1.3", "Bad recipient address")
BAD_SENDER_ADDRESS = reply(501, "5.1.7", "Bad sender address")
NON_ASCII = reply(553, "5.6.7", "Non-ASCII addresses need SMTPUTF8")
TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "Too many recipients")
REFUSED_ENOUGH = reply(452, "4.5.3", "Too many recipients were refused, send the others separately")
NO_RELAY = reply(550, "5.7.1", "Relaying not allowed")
NOT_YOUR_SENDER = reply(553, "5.7.1", "This login may not send as this address")
NOT_YOUR_FROM = reply(550, "5.7.1", "This login may not send with this From header")

# --- content

TOO_LARGE = reply(552, "5.3.4", "Message is larger than the limit")
HEADER_TOO_LARGE = reply(552, "5.3.4", "Message header is larger than the limit")
CONTENT_LINE_TOO_LONG = reply(554, "5.6.0", "A line of the message is longer than the limit")
BAD_CONTENT = reply(550, "5.6.11", "The message has a CR or LF that is not a line end, or a NUL; closing")
TOO_MANY_HOPS = reply(554, "5.4.6", "Too many hops, the mail is going in circles")
HOLD_TOO_LONG = reply(501, "5.5.4", "The release time is beyond the limit")
LOCAL_ERROR = reply(451, "4.3.0", "Something went wrong here, try again later")


# --- a peer's


def decode(lines: Sequence[bytes]) -> Reply:
    """The reply that a peer sent in these lines, which have lost their CRLF. Raises ``MalformedReply``."""
    found = [_LINE.fullmatch(line) for line in lines]
    matches = [match for match in found if match]
    if not matches or len(matches) < len(lines):
        raise MalformedReply("a line without a code")
    code = matches[-1][1]
    if any(match[1] != code for match in matches):
        raise MalformedReply("lines with different codes")
    texts = [(match[3] or b"").decode("utf-8", "replace") for match in matches]
    enhanced = _enhanced(texts[-1], code.decode())
    if enhanced:
        texts = [text.removeprefix(enhanced).removeprefix(" ") for text in texts]
    return Reply(int(code), enhanced, tuple(texts))


@lru_cache(maxsize=64)
def _decode_one(line: bytes) -> Reply:
    """A hop says most of what it says again and again."""
    return decode((line,))


def _enhanced(text: str, code: str) -> str:
    found = _ENHANCED.match(text)
    return found[0] if found and found[1] == code[0] else ""


class ReplyReader:
    """Takes a peer's bytes in pieces of any size, gives its replies."""

    __slots__ = ("_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = LineBuffer()
        self._lines: list[bytes] = []

    def receive(self, data: bytes) -> None:
        """More bytes."""
        self._buffer.receive(data)

    def next_reply(self) -> Reply | None:
        """The next one, None where it is not complete. Raises ``MalformedReply``; the connection must end then."""
        while (line := self._line()) is not None:
            self._lines.append(line)
            if len(self._lines) > MAX_PEER_LINES:
                raise MalformedReply(f"a reply of over {MAX_PEER_LINES} lines")
            if line[3:4] != b"-":
                lines, self._lines = self._lines, []
                return _decode_one(line) if len(lines) == 1 else decode(lines)
        return None

    @property
    def pending(self) -> bool:
        """Whether anything has come that is no part of a reply already given."""
        return bool(self._lines or len(self._buffer))

    def clear(self) -> None:
        """Forget what has come: after STARTTLS (RFC 3207, 4.2), nobody knows who sent it."""
        self._buffer.clear()
        self._lines = []

    def _line(self) -> bytes | None:
        try:
            return self._buffer.line(MAX_PEER_LINE)
        except MalformedLine as fault:
            raise MalformedReply(str(fault)) from None
