"""The protocol of nginx's mail proxy (ngx_mail_auth_http_module): "may this user log in, and where is his server?"

The request is a GET of HTTP/1.0 whose header fields are the question, the answer stands in the response's fields; its
status and its body are not looked at::

    Auth-Method: plain | apop | cram-md5 | external | none     none: SMTP without a login
    Auth-User, Auth-Pass: percent-encoded (control characters, the blank, %); with cram-md5 the digest
    Auth-Salt: the challenge (apop, cram-md5)
    Auth-Protocol: imap | pop3 | smtp
    Auth-Login-Attempt: 1, 2 …                                 in this connection
    Client-IP: the mail client's address
    Auth-SSL: on, Auth-SSL-Verify: SUCCESS | FAILED:… | NONE, Auth-SSL-Subject: CN=joe,O=Example

    Auth-Status: OK | what the user is told                    "[AUTHENTICATIONFAILED] …" behind IMAP's NO, and so on
    Auth-Server: an IP address, Auth-Port, Auth-User: the canonical name, Auth-Pass: for the server behind nginx
    Auth-Error-Code: 535 5.7.8                                 SMTP alone
    Auth-Wait: 3                                               seconds until the user hears it

Without Auth-Wait nginx closes the connection. Each attempt takes memory there until the connection ends, so the last ones
get none. nginx reads no more than 1024 bytes of a response.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from . import ProtocolError
from .distinguished import common_name

Method: TypeAlias = Literal["plain", "apop", "cram-md5", "external", "none"]
Service: TypeAlias = Literal["imap", "pop3", "smtp"]
Fields: TypeAlias = list[tuple[bytes, bytes]]

_METHODS: tuple[Method, ...] = ("plain", "apop", "cram-md5", "external", "none")
_SERVICES: tuple[Service, ...] = ("imap", "pop3", "smtp")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})?")


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """What nginx asks. ``password`` is the digest in the case of cram-md5, ``certificate`` the name in a verified one."""

    method: Method
    service: Service
    user: bytes = b""
    password: bytes = field(default=b"", repr=False)
    salt: bytes = b""
    attempt: int = 1
    client: str = ""
    secured: bool = False
    certificate: str = ""


def read(one: Callable[[bytes], bytes]) -> AuthRequest:
    """The question in a request. ``one`` gives the value of a field by its name, empty for none, or raises.

    Raises ``ProtocolError``.
    """
    method, service = _text(one(b"auth-method")), _text(one(b"auth-protocol"))
    if method not in _METHODS:
        raise ProtocolError("Auth-Method is none of " + ", ".join(_METHODS))
    if service not in _SERVICES:
        raise ProtocolError("Auth-Protocol is none of " + ", ".join(_SERVICES))
    verified = one(b"auth-ssl-verify") == b"SUCCESS"
    return AuthRequest(
        method,
        service,
        decoded(one(b"auth-user")),
        decoded(one(b"auth-pass")),
        one(b"auth-salt"),
        _attempt(one(b"auth-login-attempt")),
        _text(one(b"client-ip")),
        one(b"auth-ssl") == b"on",
        common_name(_text(one(b"auth-ssl-subject"))) if verified else "",
    )


def decoded(value: bytes) -> bytes:
    """A percent-encoded value as it is meant. Raises ``ProtocolError``: nginx encodes every % that is none of its own."""
    return _ENCODED.sub(_byte, value)


def _byte(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise ProtocolError("a % that encodes nothing")
    return bytes.fromhex(found[1].decode())


def _attempt(value: bytes) -> int:
    if not value:
        return 1
    if not value.isdigit() or len(value) > 9:
        raise ProtocolError("Auth-Login-Attempt is no number")
    return int(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


# --- answers


def accepted(host: str, port: int, user: str = "", password: str = "") -> Fields:
    """Go to this server, an IP address. ``user`` is the canonical name, ``password`` one in the place of the user's.

    Raises ``ProtocolError`` for a name that nginx would not read as it is.
    """
    data = user.encode()
    if data != data.strip() or any(byte < 0x20 for byte in data):
        raise ProtocolError("the canonical name begins or ends with a blank, which nginx would cut")
    fields = [(b"Auth-Status", b"OK"), (b"Auth-Server", host.encode()), (b"Auth-Port", str(port).encode())]
    if data:
        fields.append((b"Auth-User", data))
    if password:
        fields.append((b"Auth-Pass", password.encode()))
    return fields


@dataclass(frozen=True, slots=True)
class Told:
    """What a user hears: a text, with the response code of his protocol before it (RFC 5530, RFC 2449), or SMTP's."""

    text: str
    imap: str
    pop3: str
    smtp: str


REJECTED = Told("Invalid login or password", "[AUTHENTICATIONFAILED]", "[AUTH]", "535 5.7.8")
DEFERRED = Told("Temporary server problem, try again later", "[UNAVAILABLE]", "[SYS/TEMP]", "451 4.3.0")
UNSERVED = Told("This way to log in is not available here", "", "", "504 5.5.4")
LOGIN_FIRST = Told("Authentication required", "", "", "530 5.7.0")


def refused(request: AuthRequest, told: Told, wait: int, attempts: int) -> Fields:
    """It is a no, or could not be found out. ``wait`` seconds until the user hears it, and may try again.

    The last one of so many ``attempts`` ends the connection.
    """
    fields = []
    if request.service == "smtp":
        fields += [(b"Auth-Status", told.text.encode()), (b"Auth-Error-Code", told.smtp.encode())]
    else:
        code = told.imap if request.service == "imap" else told.pop3
        fields.append((b"Auth-Status", f"{code} {told.text}".strip().encode()))
    if request.attempt < attempts:
        fields.append((b"Auth-Wait", str(wait).encode()))
    return fields
