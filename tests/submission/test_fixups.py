"""What is changed in a header, to the byte; all other bytes are the client's."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.submission.fixups import Fixed, Missing, Rules, fix
from saslpy.submission.headers import HeaderFault, parse

RULES = Rules(("mail.example.org", "mx.example.org"))
ALL = Missing("Sat, 3 Jan 1970 00:00:00 +0000", "<1@mail.example.org>", "joe@example.org", "")
WHOLE = b"Date: x\r\nMessage-ID: y\r\nFrom: z\r\n"


def fixed(header: bytes, missing: Missing = ALL, received: bytes = b"") -> Fixed:
    return fix(parse(header), RULES, missing, received)


def test_what_is_missing_is_added() -> None:
    made = fixed(b"To: ann@example.org\r\n")
    assert made.header == (
        b"To: ann@example.org\r\n"
        b"Date: Sat, 3 Jan 1970 00:00:00 +0000\r\n"
        b"Message-ID: <1@mail.example.org>\r\n"
        b"From: <joe@example.org>\r\n"
    )
    assert (made.added, made.removed, made.renamed) == (("date", "message-id", "from"), (), ())


def test_what_is_there_stays() -> None:
    header = b"dAtE:\r\n\t\xff,  odd\r\nMESSAGE-ID:\r\nFrom:nobody\r\nSender: \xc3\xb6\r\n"
    assert fixed(header, Missing("a", "b", "c", "d")) == Fixed(header)


def test_an_empty_header_gets_all() -> None:
    assert fixed(b"").added == ("date", "message-id", "from")


def test_nothing_is_added_where_nothing_is_given() -> None:
    assert fixed(b"", Missing()) == Fixed(b"")


def test_a_sender_is_added() -> None:
    made = fixed(WHOLE, Missing(sender='"joe user"@example.org'))
    assert made.header == WHOLE + b'Sender: <"joe user"@example.org>\r\n'


def test_ours_goes_before_all() -> None:
    assert fixed(WHOLE, received=b"Received: by us\r\n").header == b"Received: by us\r\n" + WHOLE


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: secret@example.org\r\n",
        b"BCC:\r\n secret@example.org,\r\n\tother@example.org\r\n",
        b"Resent-Bcc: \xff\r\n",
        b"Return-Path: <ceo@bank.example>\r\n",
        b"Content-Length: 5\r\n",
        b"X-Auth-User: root\r\n",
        b"X-Mailer-Auth-User: root\r\n",
        b"X-AuthUser: root\r\n",
        b"X-Authenticated-Sender: root\r\n",
        b"X-Authentication-Warning: x\r\n",
        b"Authentication-Results: mail.example.org; spf=pass\r\n",
        b"authentication-results: MAIL.Example.ORG.; spf=pass\r\n",
        b"Authentication-Results:\r\n mx.example.org 1; dkim=pass\r\n",
        b"Authentication-Results: mail.example.org\r\n",
        b"Authentication-Results: (bank.example;) mail.example.org; spf=pass\r\n",
        b'Authentication-Results: "mail.example.org"; spf=pass\r\n',
        b"Authentication-Results: mail.(x)example.org; spf=pass\r\n",
        b"Authentication-Results: mail.example.org(x); spf=pass\r\n",
        b"Authentication-Results: =?utf-8?q?mail.example.org?=; spf=pass\r\n",
        b"Authentication-Results: i=1; mail.example.org; spf=pass\r\n",
        b"Authentication-Results: \xef\xbc\xad; spf=pass\r\n",
        b"Authentication-Results:\r\n",
    ],
)
def test_what_nobody_may_see_or_believe_is_removed(field: bytes) -> None:
    name = field.partition(b":")[0].lower().decode()
    made = fixed(b"A: b\r\n" + field + WHOLE + field)
    assert made == Fixed(b"A: b\r\n" + WHOLE, (), (name, name), ())


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: other.example; spf=pass\r\n",
        b"Authentication-Results:\r\n\tother.example 1;\r\n spf=pass smtp.mailfrom=mail.example.org\r\n",
        b"ARC-Authentication-Results: i=1; mail.example.org; spf=pass\r\n",
        b"X-Bcc: x\r\n",
        b"Bcc-: x\r\n",
        b"Received: from mail.example.org by other.example with ESMTP; x\r\n",
        b"Received: by mail.example.org.other.example; x\r\n",
        b"Received: by other.example (by mail.example.org) id x; x\r\n".replace(b"(by mail", b"(seen as mail"),
        b"Received: \xff\r\n",
        b"Resent-From: x\r\n",
        b"DKIM-Signature: v=1; h=bcc:from;\r\n\tb=\xff\x80\r\n",
    ],
)
def test_what_is_not_ours_stays(field: bytes) -> None:
    assert fixed(field + WHOLE) == Fixed(field + WHOLE)


@pytest.mark.parametrize(
    "field",
    [
        b"Received: by mail.example.org with ESMTPSA id 1; now\r\n",
        b"received: from x (x [192.0.2.1])\r\n\tBY\r\n MX.EXAMPLE.org. with SMTP; now\r\n",
        b"Received: from a by (hidden (well)) mail.example.org; now\r\n",
        b"Received: from a (by) by mail.example.org(x); now\r\n".replace(b"org(x)", b"org (x)"),
        b"Received: from a (unclosed by mail.example.org; now\r\n",
        b"Received: from a ) by mail.example.org; now\r\n",
        b"Received:by mail.example.org\r\n",
    ],
)
def test_a_trace_in_our_name_is_kept_under_another(field: bytes) -> None:
    assert fixed(field + WHOLE) == Fixed(b"X-" + field + WHOLE, (), (), ("received",))


def test_another_name_makes_no_line_too_long() -> None:
    text = b" by mail.example.org " + b"x" * 968
    made = fixed(b"Received:" + text + b"\r\n\ty\r\n" + WHOLE)
    assert made.header == b"X-Received:\r\n " + text + b"\r\n\ty\r\n" + WHOLE
    assert max(map(len, made.header.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    "missing",
    [
        Missing(date="a\r\nBcc: x"),
        Missing(message_id="a\nb"),
        Missing(author="a\0b@x"),
        Missing(sender="a\u2028b@x"),
        Missing(date="x" * 1000),
    ],
)
def test_nothing_but_a_line_is_added(missing: Missing) -> None:
    with pytest.raises(ValueError, match="not one line"):
        fixed(b"", missing)


def test_rules_of_ones_own() -> None:
    rules = Rules(("h",), dropped=("X.Y",), forged=("x-*-spam", "*z"))
    header = parse(b"X.y: 1\r\nXaY: 2\r\nX-a-b-Spam: 3\r\nBuzz: 4\r\nBcc: 5\r\n")
    assert fix(header, rules, Missing()).header == b"XaY: 2\r\nBcc: 5\r\n"
    assert fix(header, Rules(("h",), (), ()), Missing()).header == header.raw


@pytest.mark.parametrize("piece", [b"(", b"()", b"by ", b"by(", b" ", b"(by mail.example.org"])
def test_long_values_take_no_longer(piece: bytes) -> None:
    for name in (b"Received: x", b"Authentication-Results: a"):
        lines = b"\r\n ".join([(piece * 900)[:900] + b"."] * 250)
        start = time.monotonic()
        fixed(name + lines + b"\r\n")
        assert time.monotonic() - start < 2


pieces = [
    b"Bcc: x\r\n",
    b"bcc:\r\n y\r\n",
    b"A: \xff\r\n\t b\r\n",
    b"From: x\r\n",
    b"Received: by mail.example.org\r\n",
]
pieces += [
    b"Received: from x by y\r\n",
    b"Date:z\r\n",
    b"Authentication-Results: mail.example.org;\r\n",
    b"X:\r\n",
    b" c\r\n",
]


@given(st.one_of(st.lists(st.sampled_from(pieces), max_size=8).map(b"".join), st.binary(max_size=60)))
def test_all_other_bytes_are_the_clients(section: bytes) -> None:
    try:
        header = parse(section)
    except HeaderFault:
        return
    made = fix(header, RULES, ALL, b"Received: ours\r\n")
    again = parse(made.header)
    untouched = [field.raw for field in header.fields if field.name.decode() not in made.removed + made.renamed]
    kept = [field.raw for field in again.fields if field.raw in untouched]
    assert kept == untouched
    assert len(again.fields) == 1 + len(header.fields) - len(made.removed) + len(made.added)
    assert b"bcc" not in again
    assert b"date" in again
    assert fix(again, RULES, ALL).header == made.header  # once is enough
