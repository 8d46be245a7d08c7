"""Parameters of MAIL and RCPT by their text, and what other commands' arguments may be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp import commands, parameters, replies
from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.commands import Auth, Bdat
from saslpy.protocols.smtp.options import EXTENSIONS
from saslpy.protocols.smtp.parameters import DeliverBy, MailParameters, OriginalRecipient, RcptParameters, Refused
from saslpy.protocols.smtp.replies import Reply

ALL = EXTENSIONS | {"FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"}


def refusal(call: object, *given: object) -> Reply:
    assert callable(call)
    with pytest.raises(Refused) as refused:
        call(*given)
    return refused.value.reply


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", MailParameters()),
        ("SIZE=1000", MailParameters(size=1000)),
        ("size=0  body=8bitmime", MailParameters(size=0, body="8BITMIME")),
        ("BODY=BINARYMIME", MailParameters(body="BINARYMIME")),
        ("SMTPUTF8 REQUIRETLS", MailParameters(smtputf8=True, requiretls=True)),
        ("AUTH=<>", MailParameters(auth="")),
        ("AUTH=e+3Dmc2@example.COM", MailParameters(auth="e=mc2@example.com")),
        ("RET=HDRS ENVID=QQ314159", MailParameters(ret="HDRS", envid="QQ314159")),
        ("ENVID=a+20b", MailParameters(envid="a b")),
        ("HOLDFOR=86400", MailParameters(hold_for=86400)),
        ("HOLDUNTIL=2030-01-02T03:04:05Z", MailParameters(hold_until=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))),
        ("holduntil=2030-01-02t03:04:05.25z", MailParameters(hold_until=datetime(2030, 1, 2, 3, 4, 5, 250_000, UTC))),
        ("BY=+999999999;R", MailParameters(deliver_by=DeliverBy(999_999_999, True))),
        ("BY=120;R", MailParameters(deliver_by=DeliverBy(120, True))),
        ("BY=-40;nt", MailParameters(deliver_by=DeliverBy(-40, False, True))),
        ("MT-PRIORITY=-9", MailParameters(priority=-9)),
        ("MT-PRIORITY=0", MailParameters(priority=0)),
    ],
)
def test_mail(text: str, expected: MailParameters) -> None:
    assert parameters.mail(text, ALL) == expected


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("FOO", replies.UNKNOWN_PARAMETER),
        ("FOO=bar", replies.UNKNOWN_PARAMETER),
        ("NOTIFY=NEVER", replies.UNKNOWN_PARAMETER),
        ("SIZE=1 size=2", replies.REPEATED_PARAMETER),
        ("HOLDFOR=1 HOLDUNTIL=2030-01-02T03:04:05Z", replies.REPEATED_PARAMETER),
        ("BY=1;N by=1;N", replies.REPEATED_PARAMETER),
        ("MT-PRIORITY=1 mt-priority=2", replies.REPEATED_PARAMETER),
        ("HOLDFOR=1 holdfor=1", replies.REPEATED_PARAMETER),
        *(
            (text, replies.BAD_PARAMETER)
            for text in (
                "SIZE",
                "SIZE=",
                "SIZE=x",
                "SIZE=-1",
                "SIZE=²",
                "SIZE=" + "9" * 21,
                "BODY=9BIT",
                "BODY",
                "SMTPUTF8=1",
                "REQUIRETLS=yes",
                "AUTH",
                "AUTH=joe",
                "AUTH=a+0Ab@example.org",
                "AUTH=a@example.org+0D+0A",
                "RET=ALL",
                "ENVID=a+0D+0AEvil:+20y",
                "ENVID=" + "x" * 101,
                "HOLDFOR=1234567890",
                "HOLDFOR=-1",
                "HOLDUNTIL=2030-01-02",
                "HOLDUNTIL=2030-13-02T03:04:05Z",
                "HOLDUNTIL=2030-01-02T03:04:05",
                "HOLDUNTIL=2030-01-02T03:04:05+00:00",
                "HOLDUNTIL=2030-01-02T03:04:60Z",
                "HOLDUNTIL",
                "HOLDFOR=",
                "HOLDFOR=+1",
                "BY",
                "BY=;R",
                "BY=1;RTT",
                "BY=1;TR",
                "BY=--1;N",
                "BY=1.5;N",
                "MT-PRIORITY",
                "MT-PRIORITY=01",
                "MT-PRIORITY=-10",
                "BY=120",
                "BY=0;R",
                "BY=-1;R",
                "BY=1234567890;N",
                "BY=1;X",
                "MT-PRIORITY=10",
                "MT-PRIORITY=-0",
                "MT-PRIORITY=+1",
                "=x",
                "-A=x",
                "A=b=c",
                "A\t=b",
                "SIZE=1\t2",
            )
        ),
    ],
)
def test_mail_refused(text: str, reply: Reply) -> None:
    assert refusal(parameters.mail, text, ALL) == reply


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("SIZE=1", "SIZE"),
        ("BODY=8BITMIME", "8BITMIME"),
        ("BODY=BINARYMIME", "BINARYMIME"),
        ("SMTPUTF8", "SMTPUTF8"),
        ("AUTH=<>", "AUTH"),
        ("RET=FULL", "DSN"),
        ("REQUIRETLS", "REQUIRETLS"),
        ("HOLDFOR=1", "FUTURERELEASE"),
        ("BY=1;N", "DELIVERBY"),
        ("MT-PRIORITY=1", "MT-PRIORITY"),
    ],
)
def test_what_is_not_offered_is_not_ignored(text: str, without: str) -> None:
    assert refusal(parameters.mail, text, ALL - {without}) == replies.UNKNOWN_PARAMETER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RcptParameters()),
        ("NOTIFY=NEVER", RcptParameters(("NEVER",))),
        ("NOTIFY=success,Failure,DELAY", RcptParameters(("SUCCESS", "FAILURE", "DELAY"))),
        ("ORCPT=rfc822;Bob+2Bx@example.org", RcptParameters(None, OriginalRecipient("rfc822", "Bob+x@example.org"))),
        ("ORCPT=UTF-8;jos\\x{E9}@example.org", RcptParameters(None, OriginalRecipient("utf-8", "josé@example.org"))),
    ],
)
def test_rcpt(text: str, expected: RcptParameters) -> None:
    found = parameters.rcpt(text, ALL)
    assert found == expected
    if found.orcpt:
        assert parameters.rcpt(f"ORCPT={found.orcpt}", ALL) == found


@pytest.mark.parametrize(
    "text",
    [
        "NOTIFY",
        "NOTIFY=",
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=SUCCESS,SUCCESS",
        "NOTIFY=SUCCESS,",
        "NOTIFY=OFTEN",
        "ORCPT=rfc822",
        "ORCPT=rfc822;",
        "ORCPT=;x",
        "ORCPT=rfc822;v@x+0D+0AEvil:+20y",
        "ORCPT=rfc822;" + "x" * 500,
        "ORCPT=utf-8;a\\x{A}",
    ],
)
def test_rcpt_refused(text: str) -> None:
    assert refusal(parameters.rcpt, text, ALL) == replies.BAD_PARAMETER


def test_how_values_are_written() -> None:
    assert str(DeliverBy(-40, False, True)) == "-40;NT"
    assert str(OriginalRecipient("rfc822", "a+b=c@x")) == "rfc822;a+2Bb+3Dc@x"
    assert str(OriginalRecipient("utf-8", "é@x")) == "utf-8;\\x{E9}@x"


# --- commands


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"NOOP", ("NOOP", b"")),
        (b"noop ", ("NOOP", b"")),
        (b"MAIL  FROM:<>", ("MAIL", b"FROM:<>")),
        (b"NOOP\tx", ("", b"")),
        (b"", ("", b"")),
        (b" NOOP", ("", b"")),
        (b"N\xe9", ("", b"")),
        (b"MAIL:x", ("", b"")),
    ],
)
def test_verbs(line: bytes, expected: tuple[str, bytes]) -> None:
    assert commands.split(line) == expected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"plain", Auth("PLAIN", None)),
        (b"PLAIN =", Auth("PLAIN", b"")),
        (b"PLAIN AGEAYg==", Auth("PLAIN", b"\0a\0b")),
        (b"PLAIN AGEAYg== x", replies.BAD_AUTH),
        (b"", replies.BAD_AUTH),
        (b"PLAIN\tx", replies.BAD_AUTH),
        (b"X" * 21, replies.BAD_AUTH),
        (b"GSSAPI", replies.UNKNOWN_MECHANISM),
        (b"PLAIN AGEAYg=", replies.BAD_BASE64),
        (b"PLAIN AGEAYg", replies.BAD_BASE64),
        (b"PLAIN AGEAYg===", replies.BAD_BASE64),
        (b"PLAIN A=GEAYg=", replies.BAD_BASE64),
        (b"PLAIN ====", replies.BAD_BASE64),
        (b"PLAIN *", replies.BAD_BASE64),
        (b"PLAIN AGE\xe9", replies.BAD_BASE64),
    ],
)
def test_auth(argument: bytes, expected: Auth | Reply) -> None:
    if isinstance(expected, Reply):
        assert refusal(commands.auth, argument, ("PLAIN",)) == expected
    else:
        assert commands.auth(argument, ("PLAIN",)) == expected


def test_a_response_is_not_shown() -> None:
    assert "secret" not in repr(Auth("PLAIN", b"\0joe\0secret"))


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"30", Bdat(30, False)),
        (b"30 LAST", Bdat(30, True)),
        (b"0 last", Bdat(0, True)),
        (b"30 LAST x", None),
        (b"30 FIRST", None),
        (b"-1", None),
        (b"+5", None),
        (b"0x10", None),
        (b"1_0", None),
        (b"1.5", None),
        (b"", None),
        (b"LAST", None),
        (b"99999999999999999999", None),
        (b"\xb2", None),
    ],
)
def test_bdat(argument: bytes, expected: Bdat | None) -> None:
    assert commands.bdat(argument) == expected


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        (b"FROM:<j\xc3\xa9@x.test>", replies.NON_ASCII),
        (b"FROM:<j\xe9@x.test>", replies.NON_ASCII),
        (b"FROM:<x@\xc3\xa9.test>", replies.NON_ASCII),
        (b"FROM:<j\xe9@x.test> SMTPUTF8", replies.BAD_UTF8),
        (b"FROM:<j\xed\xa0\x80@x.test> SMTPUTF8", replies.BAD_UTF8),
        (b"FROM:joe@x.test", replies.BAD_SENDER_ADDRESS),
        (b"FROM:<joe@x.test>SIZE=1", replies.BAD_SENDER_ADDRESS),
        (b"FROM:<joe@x.test>\tSIZE=1", replies.BAD_SENDER_ADDRESS),
        (b"FROM:<joe>", replies.BAD_SENDER_ADDRESS),
        (b"FROM:<postmaster>", replies.BAD_SENDER_ADDRESS),
        (b"FROM<joe@x.test>", replies.BAD_MAIL),
        (b"TO:<joe@x.test>", replies.BAD_MAIL),
        (b"FROM :<joe@x.test>", replies.BAD_MAIL),
        (b"", replies.BAD_MAIL),
    ],
)
def test_mail_arguments_refused(argument: bytes, reply: Reply) -> None:
    assert refusal(commands.mail, argument, ALL) == reply


def test_mail_arguments() -> None:
    assert commands.mail(b"from: <joe@x.test> SIZE=1", ALL).sender == Mailbox("joe", "x.test")
    assert commands.mail(b"FROM:<>", ALL).sender is None
    assert commands.mail("FROM:<jé@é.test> SMTPUTF8".encode(), ALL).sender == Mailbox("jé", "xn--9ca.test")


@pytest.mark.parametrize(
    ("argument", "utf8", "reply"),
    [
        (b"TO:<>", False, replies.BAD_ADDRESS),
        (b"TO:<v@a.test@b.test>", False, replies.BAD_ADDRESS),
        (b"TO:<v@a.test> ", False, None),
        (b"TO:<postmaster>", False, None),
        (b"TO:<j\xc3\xa9@a.test>", True, None),
        (b"TO:<j\xc3\xa9@a.test>", False, replies.NON_ASCII),
        (b"TO:<j\xe9@a.test>", True, replies.BAD_UTF8),
        (b"TO:<j@a.test> ORCPT=utf-8;\xc3\xa9@x", False, replies.NON_ASCII),
        (b"FROM:<v@a.test>", False, replies.BAD_RCPT),
        (b"TO:<v@a.test> SIZE=1", False, replies.UNKNOWN_PARAMETER),
    ],
)
def test_rcpt_arguments(argument: bytes, utf8: bool, reply: Reply | None) -> None:
    if reply is None:
        commands.rcpt(argument, ALL, utf8)
    else:
        assert refusal(commands.rcpt, argument, ALL, utf8) == reply


@pytest.mark.parametrize("name", [b"client.example.org", b"[127.0.0.1]", b"my_pc", b"[IPv6:::1]", b"localhost"])
def test_client_names(name: bytes) -> None:
    assert commands.hello(name) == name.decode()


def test_client_names_that_are_odd() -> None:
    assert commands.hello(b"b\xfcro-pc") == "b?ro-pc"
    for name in (b"", b"a b", b"a\tb", b"a\x7f", b"\x1b[2J", b"x" * 256):
        assert refusal(commands.hello, name) == replies.BAD_HELLO


def test_xclient() -> None:
    assert commands.xclient(b"ADDR=192.0.2.1 name=[UNAVAILABLE] LOGIN=joe+40x") == {
        "ADDR": "192.0.2.1",
        "NAME": None,
        "LOGIN": "joe@x",
    }
    for argument in (b"", b"ADDR", b"ADDR=1 addr=2", b"FOO=1", b"LOGIN=a+0Ab", b"LOGIN=a+00b", b"NAME=\xff"):
        assert refusal(commands.xclient, argument) == replies.BAD_XCLIENT


@given(
    st.binary(max_size=60)
    | st.builds(bytes.__add__, st.sampled_from([b"FROM:<a@b.c> ", b"TO:<"]), st.binary(max_size=40))
)
def test_nothing_else_escapes(argument: bytes) -> None:
    calls = (
        lambda: commands.mail(argument, ALL),
        lambda: commands.rcpt(argument, ALL, True),
        lambda: commands.auth(argument, ("PLAIN",)),
        lambda: commands.xclient(argument),
        lambda: commands.hello(argument),
        lambda: commands.bdat(argument),
        lambda: commands.split(argument),
    )
    for call in calls:
        try:
            call()
        except Refused as refused:
            assert refused.reply.permanent
