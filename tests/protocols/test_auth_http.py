"""nginx's questions and our answers, by their bytes. The names of fields come in lower case, as ``http1`` gives them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols import ProtocolError
from saslpy.protocols.auth_http import (
    DEFERRED,
    LOGIN_FIRST,
    REJECTED,
    UNSERVED,
    AuthRequest,
    Service,
    Told,
    accepted,
    decoded,
    read,
    refused,
)
from saslpy.protocols.distinguished import common_name
from saslpy.protocols.http1 import HttpSide

# as nginx 1.22.1 sends it, for a user "joe " with the password "a b%c"
GET = (
    b"GET /nginx HTTP/1.0\r\nHost: 127.0.0.1\r\nAuth-Method: plain\r\nAuth-User: joe%20\r\nAuth-Pass: a%20b%25c\r\n"
    b"Auth-Protocol: imap\r\nAuth-Login-Attempt: 2\r\nClient-IP: 192.0.2.42\r\nClient-Host: client.example.org\r\n\r\n"
)


def test_what_nginx_sends() -> None:
    side = HttpSide()
    side.receive(GET)
    request = side.next()
    assert request is not None
    assert read(request.one) == AuthRequest("plain", "imap", b"joe ", b"a b%c", b"", 2, "192.0.2.42")


def one(fields: Mapping[bytes, bytes]) -> Callable[[bytes], bytes]:
    return lambda name: fields.get(name, b"")


SMTP = {b"auth-method": b"plain", b"auth-protocol": b"smtp"}


def test_tls_and_certificates() -> None:
    tls = {b"auth-ssl": b"on", b"auth-ssl-subject": b"O=Example\\, Ltd.,CN=joe"}
    assert read(one({**SMTP, **tls})) == AuthRequest("plain", "smtp", secured=True), "it is not verified"
    verified = read(one({**SMTP, **tls, b"auth-ssl-verify": b"SUCCESS"}))
    assert (verified.secured, verified.certificate) == (True, "joe")
    assert read(one({**SMTP, **tls, b"auth-ssl-verify": b"FAILED:certificate has expired"})).certificate == ""


@pytest.mark.parametrize(
    "fields",
    [
        {b"auth-method": b""},
        {b"auth-method": b"digest-md5"},
        {b"auth-protocol": b""},
        {b"auth-protocol": b"IMAP"},
        {b"auth-login-attempt": b"x"},
        {b"auth-login-attempt": b"-1"},
        {b"auth-login-attempt": b"9" * 5000},
        {b"auth-user": b"%"},
        {b"auth-user": b"%2"},
        {b"auth-pass": b"100%zz"},
    ],
)
def test_what_is_no_question(fields: Mapping[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError):
        read(one({**SMTP, **fields}))


def test_no_password_is_shown() -> None:
    assert "s3cret" not in repr(read(one({**SMTP, b"auth-pass": b"s3cret"})))


@given(st.binary(max_size=50))
def test_percent_encoding_as_nginx_does_it(data: bytes) -> None:
    """ngx_escape_uri(NGX_ESCAPE_MAIL_AUTH): control characters, the blank and %; all else stays."""
    sent = b"".join(b"%%%02X" % byte if byte <= 0x20 or byte == ord("%") else bytes([byte]) for byte in data)
    assert decoded(sent) == data


@given(st.dictionaries(st.sampled_from([b"auth-method", b"auth-user", b"auth-pass", b"auth-ssl-subject"]), st.binary()))
def test_nothing_else_escapes(fields: dict[bytes, bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        read(one({**SMTP, b"auth-ssl-verify": b"SUCCESS", **fields}))


def test_yes() -> None:
    assert accepted("127.0.0.1", 143) == [
        (b"Auth-Status", b"OK"),
        (b"Auth-Server", b"127.0.0.1"),
        (b"Auth-Port", b"143"),
    ]
    assert accepted("::1", 110, "jos\u00e9", "pw")[3:] == [(b"Auth-User", b"jos\xc3\xa9"), (b"Auth-Pass", b"pw")]
    with pytest.raises(ProtocolError, match="blank"):
        accepted("::1", 110, "joe ")


@pytest.mark.parametrize(
    ("service", "told", "status", "code"),
    [
        ("imap", REJECTED, b"[AUTHENTICATIONFAILED] Invalid login or password", None),
        ("imap", DEFERRED, b"[UNAVAILABLE] Temporary server problem, try again later", None),
        ("pop3", REJECTED, b"[AUTH] Invalid login or password", None),
        ("pop3", DEFERRED, b"[SYS/TEMP] Temporary server problem, try again later", None),
        ("pop3", UNSERVED, b"This way to log in is not available here", None),
        ("smtp", REJECTED, b"Invalid login or password", b"535 5.7.8"),
        ("smtp", DEFERRED, b"Temporary server problem, try again later", b"451 4.3.0"),
        ("smtp", UNSERVED, b"This way to log in is not available here", b"504 5.5.4"),
        ("smtp", LOGIN_FIRST, b"Authentication required", b"530 5.7.0"),
    ],
)
def test_no(service: Service, told: Told, status: bytes, code: bytes | None) -> None:
    codes = [] if code is None else [(b"Auth-Error-Code", code)]
    fields = [(b"Auth-Status", status), *codes]
    assert refused(AuthRequest("plain", service), told, 3, 10) == [*fields, (b"Auth-Wait", b"3")]
    assert refused(AuthRequest("plain", service, attempt=9), told, 3, 10) == [*fields, (b"Auth-Wait", b"3")]
    # nginx closes the connection then
    assert refused(AuthRequest("plain", service, attempt=10), told, 3, 10) == fields


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("CN=joe", "joe"),
        ("O=Example,CN=joe@example.org", "joe@example.org"),
        ("emailAddress=joe@example.org,CN=Joe\\, the first,O=x", "Joe, the first"),
        ("CN=Jos\\C3\\A9+O=x", "jos\u00e9".capitalize()),
        ("cn=joe,DC=example,2.5.4.42=J", "joe"),
        ("CN=joe,CN=root", ""),
        ("CN=a+CN=b", ""),
        ("O=x", ""),
        ("", ""),
        ("CN", ""),
        ("O=x\\,CN=joe", ""),
        ('O="x,CN=joe"', ""),
        ("CN=#0403666f6f", ""),
        ("CN=\\FF", ""),
        ("/CN=joe/O=x", ""),
    ],
)
def test_the_common_name(subject: str, name: str) -> None:
    """RFC 4514, section 2; a value in quotes is the old form (RFC 1779), which OpenSSL does not write."""
    assert common_name(subject) == name


@given(st.text(max_size=40))
def test_a_common_name_as_openssl_writes_it(name: str) -> None:
    escaped = "".join(
        "".join(f"\\{byte:02X}" for byte in char.encode()) if not char.isalnum() else char for char in name
    )
    assert common_name(f"O=x,CN={escaped},C=DE") == name


@given(st.text(max_size=60))
def test_any_subject(subject: str) -> None:
    common_name(subject)
