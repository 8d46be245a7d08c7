"""Addresses: one reading, one spelling. The open relay's tricks stand here by their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp import addresses, domains, xtext
from saslpy.protocols.smtp.addresses import Mailbox, MalformedAddress, NonAscii


def read(text: str, utf8: bool = False) -> Mailbox | None:
    path = addresses.path(text, utf8=utf8)
    assert path.end == len(text)
    return path.mailbox


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<joe@example.org>", "joe@example.org"),
        ("<Joe.Doe+tag@Example.ORG>", "Joe.Doe+tag@example.org"),
        ('<"joe"@example.org>', "joe@example.org"),
        ('<"j\\oe"@example.org>', "joe@example.org"),
        ('<"joe doe"@example.org>', '"joe doe"@example.org'),
        ('<"a\\"b\\\\c"@example.org>', '"a\\"b\\\\c"@example.org'),
        ('<".joe"@example.org>', '".joe"@example.org'),
        ('<"a..b"@example.org>', '"a..b"@example.org'),
        ("<x@[127.0.0.1]>", "x@[127.0.0.1]"),
        ("<x@[IPv6:2001:DB8:0::1]>", "x@[IPv6:2001:db8::1]"),
        ("<x@[ipv6:::1]>", "x@[IPv6:::1]"),
        ("<postmaster>", "postmaster"),
        ("<PostMaster>", "postmaster"),
        ("<x@localhost>", "x@localhost"),
        ("<x@my_host.example.org>", "x@my_host.example.org"),
        ("<x@xn--LCAL-QQA.test>", "x@xn--lcal-qqa.test"),
        # opaque to us: what they mean is for the domain to know
        ("<|/bin/sh@local.test>", "|/bin/sh@local.test"),
        ("</etc/passwd@local.test>", "/etc/passwd@local.test"),
        ("<-oQ/tmp@local.test>", "-oQ/tmp@local.test"),
        ("<${run{x}}@local.test>", "${run{x}}@local.test"),
        ("<" + "l" * 64 + "@local.test>", "l" * 64 + "@local.test"),
        # a route is dropped, the last domain counts
        ("<@local.test:v@evil.test>", "v@evil.test"),
        ("<@a.test,@local.test:v@evil.test>", "v@evil.test"),
        # what somebody else reads another way stands as it was understood: the domain is the one behind the last @
        ("<v%evil.test@local.test>", "v%evil.test@local.test"),
        ("<evil.test!v@local.test>", "evil.test!v@local.test"),
        ('<"v@evil.test"@local.test>', '"v@evil.test"@local.test'),
        ('<"v%evil.test"@local.test>', "v%evil.test@local.test"),
        ('<"a\\"@evil.test>x"@local.test>', '"a\\"@evil.test>x"@local.test'),
    ],
)
def test_one_spelling(text: str, written: str) -> None:
    assert str(read(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "<v@evil.test@local.test>",
        "<v@local.test@evil.test>",
        '<"v@evil.test">',
        "<v%evil.test>",
        "<evil.test!v>",
        "<v@evil.test (@local.test)>",
        "<v(comment)@local.test>",
        "<(comment)v@local.test>",
        "<v@local.test,w@evil.test>",
        "<v@local.test.>",
        "<v@.local.test>",
        "<v@local..test>",
        "<v@-local.test>",
        "<v@local-.test>",
        "<v@>",
        "<@local.test>",
        '<""@local.test>',
        "<.v@local.test>",
        "<v.@local.test>",
        "<v..w@local.test>",
        "<v w@local.test>",
        "< v@local.test>",
        "<v@local.test >",
        "<v@local.test\0@evil.test>",
        '<"v\0"@local.test>',
        '<"v\t"@local.test>',
        '<"v\x7f"@local.test>',
        "<v\x7f@local.test>",
        "<v\x1b@local.test>",
        "<v@127.0.0.1>",
        "<v@2130706433>",
        "<v@[127.0.0.1>",
        "<v@127.0.0.1]>",
        "<v@[127.0.0.256]>",
        "<v@[127.0.0.01]>",
        "<v@[::1]>",
        "<v@[IPv6:fe80::1%eth0]>",
        "<v@[x-tag:whatever]>",
        "<v@[127.0.0.1]x>",
        "<v@local.test",
        "v@local.test>",
        "v@local.test",
        "<<v@local.test>>",
        "",
        "<" + "l" * 65 + "@local.test>",
        "<" + "l" * 300 + "@local.test>",
        '<"' + " " * 63 + '"@local.test>',
        "<v@" + "d" * 64 + ".test>",
        "<v@" + "d.e" * 100 + ".test>",
        "<" + "l" * 64 + "@" + "abcdefg." * 30 + "test>",
        "<local.test:v@evil.test>",
        "<@:v@evil.test>",
        "<@local..test:v@evil.test>",
        "<@local.test:>",
        "<@a.test@b.test:v@evil.test>",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(MalformedAddress):
        read(text)


def test_the_null_sender() -> None:
    assert read("<>") is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<josé@example.org>", "josé@example.org"),
        ("<jose\u0301@example.org>", "josé@example.org"),
        ("<joe@lócal.test>", "joe@xn--lcal-qqa.test"),
        ("<joe@LÓCAL.test>", "joe@xn--lcal-qqa.test"),
        ("<joe@lo\u0301cal.test>", "joe@xn--lcal-qqa.test"),
        ("<joe@straße.test>", "joe@xn--strae-oqa.test"),
        ("<joe@local\u3002test>", "joe@local.test"),
        ("<joe@\u212aelvin.test>", "joe@kelvin.test"),
        ("<用户@例子.测试>", "用户@xn--fsqu00a.xn--0zwm56d"),
        ('<"用 户"@example.org>', '"用 户"@example.org'),
    ],
)
def test_beyond_ascii(text: str, written: str) -> None:
    found = read(text, utf8=True)
    assert str(found) == written
    assert found is not None
    assert found.utf8 is not written.isascii()
    with pytest.raises(NonAscii):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "<v\uff20evil.test@local.test>",  # a full-width @
        "<v\u200b@local.test>",
        "<v\u202e@local.test>",
        "<v\u3000w@local.test>",
        "<v\x85@local.test>",
        "<v\u2028@local.test>",
        "<v@\uff4cocal.test>",  # a full-width l, which only UTS 46 would map
        "<v@l\u200bcal.test>",
        "<v@\ufe52.test>",
        "<v@xn--.\u0301test>",
        "<v@" + "ó" * 300 + ".test>",
        "<" + "ó" * 33 + "@local.test>",
    ],
)
def test_beyond_ascii_and_refused(text: str) -> None:
    with pytest.raises(MalformedAddress):
        read(text, utf8=True)


@pytest.mark.parametrize("local", ["v%evil.test", "evil.test!v", "v@evil.test", "a:b"])
def test_who_asks_to_be_sent_on(local: str) -> None:
    assert Mailbox(local, "local.test").nested
    assert not Mailbox("joe+tag", "local.test").nested


def test_an_address_without_brackets() -> None:
    assert addresses.mailbox("Joe@Example.org") == Mailbox("Joe", "example.org")
    for text in ("joe", "postmaster", "<joe@example.org>", "joe@example.org ", "@a:joe@example.org", ""):
        with pytest.raises(MalformedAddress):
            addresses.mailbox(text)


def test_a_path_ends_where_its_bracket_closes() -> None:
    assert addresses.path('FROM:<"a>b"@c.test> SIZE=1', 5).end == len('FROM:<"a>b"@c.test>')


_LOCALS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30) | st.text(
    min_size=1, max_size=8
)


@given(_LOCALS, st.sampled_from(["example.org", "[127.0.0.1]", "[IPv6:::1]", "xn--lcal-qqa.test"]))
def test_what_is_written_is_read_as_it_was_meant(local: str, domain: str) -> None:
    try:
        meant = read(f"<{addresses.written(local)}@{domain}>", utf8=True)
    except MalformedAddress:
        return
    assert meant is not None
    again = read(f"<{meant}>", utf8=True)
    assert again == meant
    assert meant.domain == domain


@given(st.text() | st.text(alphabet='<>@."\\ a:,[]()é', max_size=40))
def test_nothing_escapes_for_an_address_that_is_none(text: str) -> None:
    try:
        path = addresses.path(text, utf8=True)
    except MalformedAddress:
        return
    if path.mailbox is not None and path.mailbox.domain:
        assert read(f"<{path.mailbox}>", utf8=True) == path.mailbox
        assert str(path.mailbox).isprintable()


@given(st.text(max_size=60))
def test_nothing_escapes_for_a_domain_that_is_none(text: str) -> None:
    try:
        name = domains.canonical(text)
    except domains.MalformedDomain:
        return
    assert name.isascii()
    assert domains.canonical(name) == name


# --- xtext


@pytest.mark.parametrize(
    ("text", "meant"),
    [("joe@example.org", "joe@example.org"), ("a+2Bb+3Dc", "a+b=c"), ("e+3dmc2", "e=mc2"), ("", ""), ("a+20b", "a b")],
)
def test_xtext(text: str, meant: str) -> None:
    assert xtext.decode(text) == meant


@pytest.mark.parametrize(
    "text", ["v@x+0D+0AEvil:+20y", "a+0Ab", "a+00", "a+7F", "a b", "a=b", "a+", "a+2", "a+GG", "é", "a+C3+A9"]
)
def test_xtext_with_controls_or_malformed(text: str) -> None:
    with pytest.raises(xtext.MalformedXtext):
        xtext.decode(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_xtext_there_and_back(text: str) -> None:
    assert xtext.decode(xtext.encode(text)) == text


def test_utf8_xtext() -> None:
    assert xtext.decode_utf8("jos\\x{E9}@example.org") == xtext.decode_utf8("josé@example.org") == "josé@example.org"
    assert xtext.encode_utf8("josé+x@example.org") == "jos\\x{E9}\\x{2B}x@example.org"
    for text in ("a\\x{0A}", "a\\x{D800}", "a\\x{110000}", "a\\x{A", "a\\b", "a+b"):
        with pytest.raises(xtext.MalformedXtext):
            xtext.decode_utf8(text)
    for text in ("a\nb", "\u202e"):
        with pytest.raises(xtext.MalformedXtext):
            xtext.encode_utf8(text)
    with pytest.raises(xtext.MalformedXtext):
        xtext.encode("a\nb")
