"""Courier's protocol, by its bytes; and the invariant: whole or byte by byte, the same request or the same refusal."""

from __future__ import annotations

import base64
import hmac
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy import Account
from saslpy.protocols import ProtocolError
from saslpy.protocols.authdaemon import (
    ChangePassword,
    Cram,
    Enumerate,
    Find,
    Password,
    Refused,
    Request,
    RequestReader,
    Unsayable,
    account_reply,
    decode_reply,
    encode_auth,
    encode_login,
    listing_end,
    listing_line,
    listing_start,
    missing,
)

# as authtest 0.71.4 and libsasl2 2.1.28 send it: the second does not count its last line feed
AUTHTEST = b"TCPREMOTEIP=::1\nAUTH 23\nlogin\nlogin\njoe\nsecret\n"
LIBSASL2 = b"AUTH 22\nsmtp\nlogin\njoe\nsecret\n\n"

# the example of RFC 2195
TIM = b"<1896.697170952@postoffice.reston.mci.net>"
CHALLENGE = b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
RESPONSE = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"


def read(data: bytes) -> Request | None:
    return RequestReader().receive(data)


def auth(body: bytes) -> bytes:
    return b"AUTH %d\n%b" % (len(body), body)


def login(body: bytes) -> bytes:
    return auth(b"imap\nlogin\n" + body)


# --- requests


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (AUTHTEST, Password(b"login", b"joe", b"secret")),
        (LIBSASL2, Password(b"smtp", b"joe", b"secret")),
        (login(b"joe\nsecret"), Password(b"imap", b"joe", b"secret")),
        (login(b"joe@example.org\n s e\n"), Password(b"imap", b"joe@example.org", b" s e")),
        (login(b"joe\r\nsecret\r\n"), Password(b"imap", b"joe\r", b"secret\r")),
        (login(b"\nsecret\n"), Password(b"imap", b"", b"secret")),
        (login(b"joe\n\n"), Password(b"imap", b"joe", b"")),
        (login(b"joe"), Password(b"imap", b"joe", b"")),
        (login(b""), Password(b"imap", b"", b"")),
        (auth(b"imap\nlogin"), Password(b"imap", b"", b"")),
        (auth(b"\nlogin\njoe\nsecret\n"), Password(b"", b"joe", b"secret")),
        (b"AUTH 022 x\nimap\nlogin\njoe\nsecret\n", Password(b"imap", b"joe", b"secret")),
        (b"AUTH   +22\nimap\nlogin\njoe\nsecret\nAUTH 1\n", Password(b"imap", b"joe", b"secret")),
        (b"PRE . login joe\n", Find(b".", b"login", b"joe")),
        (b"PRE   authpam  imap   joe doe \n", Find(b"authpam", b"imap", b"joe doe ")),
        (b"PRE . login joe\r\n", Find(b".", b"login", b"joe\r")),
        (b"PRE . login \n", Find(b".", b"login", b"")),
        (b"PRE . log=in j=e\n", Find(b".", b"log=in", b"j=e")),
        (b"PASSWD login\tjoe\tsecret\tnew\n", ChangePassword(b"login", b"joe", b"secret", b"new")),
        (b"PASSWD login\tjoe doe\ts t\tn w\t\n", ChangePassword(b"login", b"joe doe", b"s t", b"n w")),
        (b"PASSWD \t\t\t\n", ChangePassword(b"", b"", b"", b"")),
        (b"ENUMERATE\n", Enumerate()),
        (b"ENUMERATE of what\n", Enumerate()),
    ],
)
def test_requests(data: bytes, request_: Request) -> None:
    assert read(data) == request_


@pytest.mark.parametrize(
    ("kind", "name", "digest"),
    [
        (b"cram-md5", "md5", b"b913a602c7eda7a495b4e6e7334d3890"),
        (b"cram-sha1", "sha1", b"8cb10ed0a8b764ab0e05125dd6eaa295f19b5943"),
        (b"cram-sha256", "sha256", b"f0011bbf7c1618ef90e3f18148e5eda4e15631c9c38ebef062bf7143ff72e944"),
    ],
)
def test_cram(kind: bytes, name: str, digest: bytes) -> None:
    assert hmac.digest(b"tanstaaftanstaaf", TIM, name).hex().encode() == digest
    response = base64.b64encode(b"tim " + digest)
    assert read(encode_auth(b"imap", kind, CHALLENGE + b"\n" + response + b"\n")) == Cram(
        b"imap", name, TIM, b"tim " + digest
    )
    assert response == RESPONSE or name != "md5"


@pytest.mark.parametrize(
    ("data", "why", "user"),
    [
        (login(b"joe\nsec\nret\n"), "a line feed in the name or the password", b"joe"),
        (login(b"joe\nsecret\n\n"), "a line feed in the name or the password", b"joe"),
        (auth(b"imap\npam\njoe\nsecret\n"), "an unknown type of AUTH", b""),
        (auth(b"imap\nLOGIN\njoe\nsecret\n"), "an unknown type of AUTH", b""),
        (auth(b"imap\n\nlogin\njoe\nsecret\n"), "an unknown type of AUTH", b""),
        (auth(b"im\0ap\nlogin\njoe\nsecret\n"), "a control character in the service", b""),
        (auth(b"imap\ncram-md5\n" + CHALLENGE + b"\n!!!!\n"), "a challenge or a response that is not base64", b""),
        (auth(b"imap\ncram-md5\n" + CHALLENGE + b"\n" + RESPONSE[:-1] + b"\n"), "is not base64", b""),
        (auth(b"imap\ncram-md5\n" + CHALLENGE + b"\n"), "is not base64", b""),
        (auth(b"imap\ncram-md5\n\n" + RESPONSE + b"\n"), "is not base64", b""),
        (auth(b"imap\ncram-md5\n" + CHALLENGE + b"\n" + RESPONSE + b"\n\n"), "is not base64", b""),
        (b"PASSWD login\tjoe\tsec\x01ret\tnew\n", "a control character in a field of PASSWD", b"joe"),
        (b"PASSWD login\tjoe\tsecret\tnew\r\n", "a control character in a field of PASSWD", b"joe"),
        (b"PASSWD login\tjoe\tsecret\tn\0w\n", "a control character in a field of PASSWD", b"joe"),
        (b"PASSWD login\tjoe\tsecret\tnew\tx\n", "a control character in a field of PASSWD", b"joe"),
        (b"PRE . lo\x7fgin joe\n", "a control character in the service", b"joe"),
    ],
)
def test_what_is_a_no_whoever_it_is(data: bytes, why: str, user: bytes) -> None:
    refused = read(data)
    assert isinstance(refused, Refused)
    assert refused.why.endswith(why)
    assert refused.user == user
    assert "secret" not in repr(refused)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\n", "an unknown command"),
        (b"QUIT\n", "an unknown command"),
        (b"pre . login joe\n", "an unknown command"),
        (b" PRE . login joe\n", "an unknown command"),
        (b"PRE\t.\tlogin\tjoe\n", "an unknown command"),
        (b"A B=1\nPRE . login joe\n", "an unknown command"),
        (b"PRE\n", "PRE without a user"),
        (b"PRE .\n", "PRE without a user"),
        (b"PRE . login\n", "PRE without a user"),
        (b"PASSWD login\tjoe\tsecret\n", "PASSWD with fewer than four fields"),
        (b"PASSWD login joe secret new\n", "PASSWD with fewer than four fields"),
        (b"AUTH\n", "AUTH without a type"),
        (b"AUTH 0\n", "AUTH without a type"),
        (b"AUTH -0\n", "AUTH without a type"),
        (b"AUTH many\n", "AUTH without a type"),
        (auth(b"imap\n"), "AUTH without a type"),
        (b"AUTH -1\n", "AUTH with a number of bytes below 0"),
        (b"AUTH 8192\n", "AUTH with over 8191 bytes"),
        (b"AUTH " + b"9" * 5000 + b"\n", "AUTH with over 8191 bytes"),
        (auth(b"x" * 8191), "AUTH without a type"),
        (b"PRE . login " + b"x" * 8179 + b"\n", "a line of over 8190 bytes"),
        (b"x" * 8191, "a line of over 8190 bytes"),
        (b"X=\n" * 33 + b"ENUMERATE\n", "over 32 lines of metadata"),
    ],
)
def test_what_is_no_request(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=f"^{why}$"):
        read(data)


def test_the_longest_line_and_the_longest_body() -> None:
    found = read(b"PRE . login " + b"x" * 8178 + b"\n")
    assert isinstance(found, Find)
    password = read(login(b"joe\n" + b"x" * (8191 - 15)))
    assert isinstance(password, Password)
    assert len(password.password) == 8191 - 15


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (b"TCPREMOTEIP=192.0.2.7\n", b"192.0.2.7"),
        (b"TCPREMOTEIP=192.0.2.7\nX=1\n=\nTCPREMOTEIP=::1\n", b"::1"),
        (b"TCPREMOTEHOST=a.example\n", b""),
        (b"TCPREMOTEIP=a b=c\n", b"a b=c"),
        (b"", b""),
    ],
)
def test_metadata(lines: bytes, client: bytes) -> None:
    reader = RequestReader()
    assert reader.receive(lines + b"PRE . login joe\n") == Find(b".", b"login", b"joe")
    assert reader.client == client


def test_nothing_of_a_secret_is_printed() -> None:
    for data in (
        AUTHTEST,
        b"PASSWD login\tjoe\tsecret\tsecret\n",
        encode_auth(b"imap", b"cram-md5", CHALLENGE + b"\n" + base64.b64encode(b"joe secret") + b"\n"),
    ):
        assert "secret" not in repr(read(data))


def test_whether_anything_has_come() -> None:
    reader = RequestReader()
    assert not reader.started
    reader.receive(b"X=1\n")
    assert reader.started


def test_what_our_own_client_sends() -> None:
    assert encode_login(b"login", b"joe", b"secret", b"::1") == AUTHTEST
    assert encode_login(b"smtp", b"joe", b"secret") + b"\n" == LIBSASL2


# --- replies

JOE = Account(
    "joe@example.org",
    ("{SHA512-CRYPT}$6$salt$hash", "{PLAIN}secret"),
    uid=1000,
    gid=1001,
    home="/srv/joe",
    maildir="/srv/joe/Maildir",
    quota="10000000S,1000C",
    name="Joe Doe",
    options={"disableimap": "0", "wbnodsn": "1", "userdb_quota_rule": "*:bytes=1,2"},
)
FIRST = b"UID=1000\nGID=1001\nHOME=/srv/joe\nADDRESS=joe@example.org\n"
REST = b"MAILDIR=/srv/joe/Maildir\nQUOTA=10000000S,1000C\n"


def test_the_bytes_of_an_account() -> None:
    assert account_reply(JOE, {}) == FIRST + b"NAME=Joe Doe\n" + REST + b"OPTIONS=disableimap=0,wbnodsn=1\n.\n"
    assert account_reply(Account("joe"), {}) == b"ADDRESS=joe\n.\n"


def test_secrets_are_told_to_nobody_who_did_not_ask() -> None:
    assert b"secret" not in account_reply(JOE, {})
    assert b"$6$" not in account_reply(JOE, {})
    told = account_reply(JOE, {}, secrets=True)
    assert b"QUOTA=10000000S,1000C\nPASSWD=$6$salt$hash\nPASSWD2=secret\nOPTIONS=" in told


@pytest.mark.parametrize(
    ("stored", "line"),
    [
        ("$1$salt$hash", b"PASSWD=$1$salt$hash\n"),
        ("{CRYPT}$1$salt$hash", b"PASSWD=$1$salt$hash\n"),
        ("{MD5-CRYPT}$1$salt$hash", b"PASSWD=$1$salt$hash\n"),
        ("{SSHA}c2FsdA==", b"PASSWD={SSHA}c2FsdA==\n"),
        ("{plain}a}b", b"PASSWD2=a}b\n"),
        ("{CLEARTEXT}a\nUID=0", b""),
    ],
)
def test_how_secrets_are_told(stored: str, line: bytes) -> None:
    assert account_reply(Account("joe", (stored,)), {}, secrets=True) == b"ADDRESS=joe\n" + line + b".\n"


@pytest.mark.parametrize(
    ("fields", "lacking", "told"),
    [
        ({}, ("uid", "gid", "home"), b""),
        ({"uid": 1000, "home": "/h"}, ("gid",), b"HOME=/h\n"),
        ({"gid": 1000, "home": "/h"}, ("uid",), b"HOME=/h\n"),
        ({"uid": 1000, "gid": 8}, ("home",), b"UID=1000\nGID=8\n"),
        ({"uid": 0, "gid": 0, "home": "/"}, (), b"UID=0\nGID=0\nHOME=/\n"),
        ({"uid": 1000, "gid": 8, "home": ""}, ("home",), b"UID=1000\nGID=8\n"),
    ],
)
def test_a_uid_never_goes_without_a_gid(fields: dict[str, Any], lacking: tuple[str, ...], told: bytes) -> None:
    """Courier's clients take 0 for a group that they are not told."""
    account = Account("joe", **fields)
    assert missing(account) == lacking
    assert account_reply(account, {}) == told + b"ADDRESS=joe\n.\n"


def test_options_of_the_account_and_of_the_listener() -> None:
    account = Account("joe", options={"disableimap": "0", "x": ""})
    defaults = {"disableimap": "1", "disablepop3": "1"}
    assert b"OPTIONS=disableimap=0,disablepop3=1,x=\n" in account_reply(account, defaults)
    assert b"OPTIONS=disableimap=1,disablepop3=1,x=\n" in account_reply(account, defaults, ("imap", "smtp"))


@pytest.mark.parametrize("length", [100, 4000, 7800, 9000, 20_000])
def test_what_is_left_out_of_a_long_reply(length: int) -> None:
    """The name, then what only a few ask for; never what bars a user, or says where his mail is."""
    account = Account("joe", ("{SSHA}" + "s" * 3000,), 1, 1, "/h", "/h/M", "1S", "n" * length, {"disableimap": "1"})
    reply = account_reply(account, {}, secrets=True)
    assert len(reply) <= 8190
    assert (b"NAME=" in reply) == (length < 5000)
    assert b"PASSWD=" in reply
    assert b"\nMAILDIR=/h/M\nQUOTA=1S\n" in reply
    assert b"\nOPTIONS=disableimap=1\n" in reply


def test_secrets_are_left_out_before_anything_else_is_lost() -> None:
    account = Account("joe", ("{SSHA}" + "s" * 8190, "{PLAIN}x"), 1, 1, "/h", options={"disableimap": "1"})
    told = account_reply(account, {}, secrets=True)
    assert told == b"UID=1\nGID=1\nHOME=/h\nADDRESS=joe\nOPTIONS=disableimap=1\n.\n"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"home": "/" + "h" * 8190}, "a reply of 8211 bytes; the limit is 8190"),
        ({"home": "/h\nUID=0"}, "a control character"),
        ({"maildir": "/h\0"}, "a control character"),
        ({"quota": "\udcff"}, "what is not UTF-8"),
        ({"options": {"a": "1,disableimap=0"}}, "an option with a comma"),
        ({"options": {"a=b": "1"}}, "an option with a comma"),
        ({"options": {"": "1"}}, "an option with a comma"),
        ({"options": {"a": "1\nUID=0"}}, "a control character"),
    ],
)
def test_an_account_that_cannot_be_told(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(Unsayable, match=why):
        account_reply(Account("joe", **fields), {})


def test_a_name_cannot_hurt() -> None:
    assert b"NAME=Joe UID=0  \xc3\x89.\n" in account_reply(Account("joe", name="Joe\nUID=0\0\udcffÉ."), {})


def test_the_bytes_of_a_list() -> None:
    lines = [listing_start(), listing_line(JOE, {"a": "1"}), listing_line(Account("ann", uid=5), {}), listing_end()]
    assert b"".join(lines) == (
        b"# saslpy\n\n"
        b"joe@example.org\t1000\t1001\t/srv/joe\t/srv/joe/Maildir\ta=1,disableimap=0,wbnodsn=1\n"
        b"ann\t\t\t\t\t\n"
        b".\n"
    )


@pytest.mark.parametrize("fields", [{"home": "/h\t"}, {"home": "/a#b"}, {"options": {"a": "\n.\n"}}])
def test_who_cannot_be_listed(fields: dict[str, Any]) -> None:
    with pytest.raises(Unsayable):
        listing_line(Account("joe", **fields), {})


@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        (b"UID=1\nHOME=/h=x\n.\n", {"UID": "1", "HOME": "/h=x"}),
        (b".\n", {}),
        (b"FAIL\n", False),
        (b"OK\n", True),
        (b"", None),
        (b"UID=1\n", None),
        (b"UID=1\n.", None),
        (b"FAIL", None),
    ],
)
def test_what_a_client_makes_of_a_reply(data: bytes, meaning: object) -> None:
    assert decode_reply(data) == meaning


# --- garbage


def outcome(pieces: list[bytes]) -> tuple[Request | str | None, bytes]:
    """What comes of the pieces: a request, the refusal's words, or None for "more"; and the client."""
    reader = RequestReader()
    try:
        for piece in pieces:
            if (request := reader.receive(piece)) is not None:
                return request, reader.client
    except ProtocolError as fault:
        return str(fault), reader.client
    return None, reader.client


texts = st.binary(max_size=30)
words = st.sampled_from(
    [b"PRE", b"AUTH", b"PASSWD", b"ENUMERATE", b" ", b"\t", b"\n", b".", b"login", b"cram-md5", b"="]
)
almost = st.one_of(
    st.lists(st.one_of(words, texts), max_size=20).map(b"".join),
    st.builds(lambda body, more: auth(body) + more, st.lists(st.one_of(words, texts)).map(b"".join), texts),
    st.builds(lambda n, body: b"X=1\nAUTH %d\n%b" % (n, body), st.integers(-3, 60), texts),
    st.builds(encode_login, texts, texts, texts, texts),
    st.builds(lambda size: b"PRE . login " + b"x" * size + b"\n", st.integers(8170, 8190)),
)


@given(st.one_of(st.binary(max_size=300), almost))
def test_whole_or_byte_by_byte(data: bytes) -> None:
    """One refusal or one request, the same either way; nothing but ``ProtocolError`` escapes."""
    assert outcome([data]) == outcome([data[i : i + 1] for i in range(len(data))])


@given(almost, st.lists(st.integers(0, 10_000), max_size=6))
def test_any_split(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assert outcome([data]) == outcome([data[start:end] for start, end in itertools.pairwise(places)])


names = st.text(st.characters(exclude_characters="\n\0"), min_size=1, max_size=20)


@given(names, names)
def test_what_a_client_sends_is_what_is_read(user: str, password: str) -> None:
    sent = encode_login(b"imap", user.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass"))
    asked = read(sent)
    assert isinstance(asked, Password)
    assert (asked.user, asked.password) == (
        user.encode("utf-8", "surrogatepass"),
        password.encode("utf-8", "surrogatepass"),
    )


values = st.one_of(st.none(), st.text(max_size=40))
accounts = st.builds(
    Account,
    st.text(min_size=1, max_size=20),
    secrets=st.lists(st.text(max_size=20)).map(tuple),
    uid=st.one_of(st.none(), st.integers(0, 2**32)),
    gid=st.one_of(st.none(), st.integers(0, 2**32)),
    home=values,
    maildir=values,
    quota=values,
    name=st.one_of(values, st.just("n" * 9000)),
    options=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)


@given(accounts, st.booleans())
def test_no_account_makes_a_line_of_its_own(account: Account, secrets: bool) -> None:
    try:
        reply = account_reply(account, {}, secrets=secrets)
    except Unsayable:
        return
    assert len(reply) <= 8190
    told = decode_reply(reply)
    assert isinstance(told, dict)
    assert reply.count(b"\n") == len(told) + 1
    assert told["ADDRESS"] == account.login
    assert told.get("HOME", "") == (account.home or "")
    assert ("UID" in told) == ("GID" in told) == (account.uid is not None and account.gid is not None)
    try:
        line = listing_line(account, {})
    except Unsayable:
        return
    assert line.count(b"\n") == 1
    assert line.count(b"\t") == 5
