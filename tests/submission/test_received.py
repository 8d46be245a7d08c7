"""The Received field and our other values: their form, their folding, and that nothing gets out of them."""

from __future__ import annotations

import email.utils
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.submission.headers import parse
from saslpy.submission.received import Trace, circling, date, field, message_id, protocol, trace_id

NOW = "Tue, 24 Nov 2026 17:11:03 +0000"
TRACE = Trace("mail.example.org", "ESMTPSA", "abcdefgh23456722", NOW)


def test_who_it_was_is_told_to_nobody() -> None:
    assert field(TRACE) == (
        b"Received: by mail.example.org with ESMTPSA id abcdefgh23456722; Tue, 24 Nov\r\n    2026 17:11:03 +0000\r\n"
    )


def test_all_that_can_be_told() -> None:
    trace = Trace(
        "mail.example.org",
        "ESMTPSA",
        "i",
        NOW,
        "laptop.lan",
        "2001:db8:0::7",
        "joe@example.org",
        "TLS_AES_128_GCM_SHA256",
    )
    assert (
        parse(field(trace)).fields[0].value.split()
        == (
            b"from laptop.lan ([IPv6:2001:db8::7]) by mail.example.org (Authenticated sender: joe@example.org) "
            b"with ESMTPSA id i tls TLS_AES_128_GCM_SHA256; " + NOW.encode()
        ).split()
    )


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        ("laptop.lan", b"from laptop.lan ([192.0.2.7])"),
        ("", b"from unknown ([192.0.2.7])"),
        ("[192.0.2.9]", b"from [192.0.2.9] ([192.0.2.7])"),
        ("[IPv6:2001:db8::1]", b"from [IPv6:2001:db8::1] ([192.0.2.7])"),
        ("[192.0.2.9] (x", b"from +5B192.0.2.9+5D+20+28x ([192.0.2.7])"),
        ("x\r\nFrom: ceo@bank.example", b"from x+0D+0AFrom+3A+20ceo+40bank.example ([192.0.2.7])"),
        ("x) by mail.example.org (y", b"from x+29+20by+20mail.example.org+20+28y ([192.0.2.7])"),
        ("bücher", b"from b+C3+BCcher ([192.0.2.7])"),
        ("x" * 300, b"from " + b"x" * 255 + b" ([192.0.2.7])"),
        ("ö" * 200, b"from " + b"+C3+B6" * 42 + b"+C3 ([192.0.2.7])"),
        ("a+0D", b"from a+2B0D ([192.0.2.7])"),
    ],
)
def test_what_a_client_calls_itself(helo: str, shown: bytes) -> None:
    made = field(Trace("mail.example.org", "ESMTPSA", "i", NOW, helo, "192.0.2.7"))
    assert b" ".join(made.split()).startswith(b"Received: " + shown + b" by mail.example.org with ")


@pytest.mark.parametrize(
    ("esmtp", "tls", "authenticated", "utf8", "name"),
    [
        (True, True, True, False, "ESMTPSA"),
        (True, False, True, False, "ESMTPA"),
        (True, True, False, False, "ESMTPS"),
        (True, False, False, False, "ESMTP"),
        (True, True, True, True, "UTF8SMTPSA"),
        (True, False, True, True, "UTF8SMTPA"),
        (False, True, False, False, "SMTP"),
    ],
)
def test_the_protocols_name(esmtp: bool, tls: bool, authenticated: bool, utf8: bool, name: str) -> None:
    assert protocol(esmtp, tls, authenticated, utf8) == name


def test_an_id_is_found_again_by_who_has_the_key() -> None:
    ids = {trace_id(key, session, number) for key in (b"k", b"l") for session in ("s", "t") for number in (1, 2)}
    assert len(ids) == 8
    assert all(re.fullmatch("[a-z2-7]{16}", one) for one in ids)
    assert trace_id(b"k", "s", 1) == trace_id(b"k", "s", 1)
    assert trace_id(b"k", "s1", 1) != trace_id(b"k", "s", 11)


def test_a_message_id() -> None:
    assert message_id("a.b", "mail.example.org") == "<a.b@mail.example.org>"
    assert message_id("a>\r\n", "x y") == "<a+3E+0D+0A@x+20y>"


@pytest.mark.parametrize("seconds", [0, 86399.9, 951782400, 1795540263, 4102444800])
def test_dates_are_pythons(seconds: float) -> None:
    assert date(seconds) == email.utils.format_datetime(email.utils.parsedate_to_datetime(date(seconds)))
    assert email.utils.parsedate_to_datetime(date(seconds)).timestamp() == int(seconds)


def test_a_message_that_goes_in_circles() -> None:
    hop = b"Received: by x\r\nX-Received: by y\r\n"
    assert circling(parse(hop * 25)) is None
    reply = circling(parse(hop * 25 + b"received: by z\r\n"))
    assert str(reply) == "554 5.4.6 too many hops: the message goes in circles"


texts = st.text(max_size=400)


@given(texts, texts, texts, texts, texts, texts)
def test_nothing_gets_out_of_the_field(by: str, ident: str, helo: str, client: str, login: str, cipher: str) -> None:
    made = field(Trace(by, "ESMTPSA", ident, NOW, helo, client, login, cipher))
    (only,) = parse(made).fields
    assert (only.name, only.raw) == (b"received", made)
    assert made.isascii()
    assert made.count(b";") == 1
    assert made.count(b"(") == made.count(b")") == bool(client) + bool(login)
    assert all(len(line) < 78 or len(line.split()) == 1 for line in made.splitlines())
