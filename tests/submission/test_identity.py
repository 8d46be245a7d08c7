"""As whom a message is sent: what is claimed, what must be asked, what the answers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.model import Accept, Account, Defer, Reason, Reject, Verdict
from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.replies import Reply
from saslpy.submission import shown
from saslpy.submission.headers import HeaderFault, parse
from saslpy.submission.identity import (
    Claim,
    Claims,
    judge,
    of_envelope,
    of_header,
    own_address,
    questions,
    wants_sender,
)

JOE = Account("joe@example.org", aliases=("sales@example.org", "joe@bücher.example"))
YES = Accept(JOE)
NO = Reject(Reason.AUTHZ_DENIED)
DOUBT = Defer(Reason.TIMEOUT)


def claims(header: bytes, own: str | None = "joe@example.org") -> Claims:
    found = of_header("strict", parse(header), own)
    assert not isinstance(found, Reply)
    return found


def refusal(header: bytes, account: Account = JOE) -> str | None:
    """The reply to a message with this header whose sender may send as nobody else; None when it is taken."""
    found = of_header("strict", parse(header), own_address(account))
    if isinstance(found, Reply):
        return str(found)
    said = judge(found, account, dict.fromkeys(questions(found, account), NO))
    return None if said is None else str(said)


@pytest.mark.parametrize(
    "header",
    [
        b"From: joe@example.org\r\n",
        b"from:JOE@EXAMPLE.ORG\r\n",
        b"FROM:\r\n Joe\r\n\t<joe+lists@example.org>\r\n",
        b"From: Sales <sales@example.org>, joe@b\xc3\xbccher.example\r\n",
        b"From: joe@xn--bcher-kva.example\r\nSender: joe@example.org\r\n",
        b"From: Team: joe@example.org, sales@example.org;\r\n",
        b"Subject: no author\r\n",
        b"",
        b"From: joe@example.org\r\nReply-To: ann@elsewhere.example\r\nResent-From: ann@elsewhere.example\r\n",
        b"From: joe@example.org\r\nX-From: ann@elsewhere.example\r\n",
    ],
)
def test_his_own(header: bytes) -> None:
    assert refusal(header) is None


ANN = "ann@elsewhere.example is no address of joe@example.org"


@pytest.mark.parametrize(
    ("header", "reply"),
    [
        (b"From: ann@elsewhere.example\r\n", f"550 5.7.1 From: {ANN}"),
        (b"From: Joe <ann@elsewhere.example>\r\n", f"550 5.7.1 From: {ANN}"),
        (b"From: joe@example.org, ann@elsewhere.example\r\n", f"550 5.7.1 From: {ANN}"),
        (b"From: Joe: joe@example.org, ann@elsewhere.example;\r\n", f"550 5.7.1 From: {ANN}"),
        (b"From: joe@example.org\r\nSender: ann@elsewhere.example\r\n", f"550 5.7.1 Sender: {ANN}"),
        (b"Sender: ann@elsewhere.example\r\n", f"550 5.7.1 Sender: {ANN}"),
        (b"From: \xc3\xa4@b\xc3\xb6se.example\r\n", "550 5.7.1 From: \\xe4@xn--bse-sna.example is no address of joe@"),
        (b"From:\r\n", "550 5.7.1 From: no address, or not a clear one: an @ is missing"),
        (b"From:\r\nSender: joe@example.org\r\n", "550 5.7.1 From: no address, or not a clear one: an @ is missing"),
        (b"From: undisclosed:;\r\n", "550 5.7.1 From: no address"),
        (b"From: joe@example.org\r\nFrom: joe@example.org\r\n", "550 5.7.1 more than one From field"),
        (b"From: joe@example.org\r\nfROM: ann@elsewhere.example\r\n", "550 5.7.1 more than one From field"),
        (b"From: joe@example.org\r\nSender: joe@example.org\r\nSender: x\r\n", "550 5.7.1 more than one Sender field"),
        (
            b"From: joe@example.org\r\nSender: joe@example.org, sales@example.org\r\n",
            "550 5.7.1 Sender: not one address",
        ),
        (b"From: joe@example.org\r\nSender:\r\n", "550 5.7.1 Sender: no address"),
        (
            b"From: joe@example.org (ann@elsewhere.example)\r\n",
            "550 5.7.1 From: no address, or not a clear one: a comment",
        ),
        (b"From: =?utf-8?q?joe=40example.org?=\r\n", "550 5.7.1 From: no address, or not a clear one: an encoded"),
        (b"From: joe@example.org\r\n From: ann@x.example\r\n", "550 5.7.1 From: no address, or not a clear one"),
        (b"From: joe@example.org@elsewhere.example\r\n", "550 5.7.1 From: no address, or not a clear one"),
    ],
)
def test_not_his(header: bytes, reply: str) -> None:
    said = refusal(header)
    assert said is not None
    assert said.startswith(reply)
    assert len(said) < 500
    assert all(" " <= char <= "~" for char in said)


@pytest.mark.parametrize("start", [b"From : ", b"From\t: ", b"From\0: ", b"Fr\r\n om: ", b"A: b\r\n \r\nFrom: "])
def test_there_is_no_second_spelling_of_from(start: bytes) -> None:
    with pytest.raises(HeaderFault):
        parse(b"From: joe@example.org\r\n" + start + b"ann@elsewhere.example\r\n")


def test_a_long_address_is_cut_in_the_reply() -> None:
    said = refusal(b"From: " + b"a" * 60 + b"@" + b"b" * 60 + b".example\r\n")
    assert said is not None
    assert said.endswith(f"{'b' * 36}... is no address of joe@example.org")


def test_what_the_envelope_claims() -> None:
    ann = Mailbox("ann", "elsewhere.example")
    assert of_envelope("strict", ann) == of_envelope("envelope", ann) == (Claim("MAIL FROM", "ann@elsewhere.example"),)
    assert of_envelope("off", ann) == ()
    assert of_envelope("strict", None) == ()  # a read receipt's


def test_what_is_not_looked_at() -> None:
    for binding in ("envelope", "off"):
        assert of_header(binding, parse(b"From: x\r\nFrom: y\r\n"), None) == ()


def test_who_has_no_address_must_give_one() -> None:
    system = Account("joe")
    assert own_address(system) is None
    assert str(refusal(b"Subject: x\r\n", system)).startswith("550 5.7.1 the message has no From field")
    assert own_address(Account("joe", aliases=("joe", "joe@host.example"))) == "joe@host.example"
    assert own_address(Account("JOE@Bücher.example")) == "JOE@xn--bcher-kva.example"
    assert own_address(Account("joe user@example.org")) is None


def test_each_address_is_asked_about_once() -> None:
    found = claims(b"From: ann@x.example, joe@example.org, ben@x.example\r\nSender: Ann <ann@X.example>\r\n")
    assert questions(found, JOE) == ("ann@x.example", "ben@x.example")


@pytest.mark.parametrize(
    ("answers", "reply"),
    [
        ({"a@x.example": YES, "b@x.example": YES}, None),
        ({"a@x.example": YES, "b@x.example": NO}, "550 5.7.1 From: b@x.example is no address of joe@example.org"),
        ({"a@x.example": DOUBT, "b@x.example": NO}, "550 5.7.1 From: b@x.example is no address of joe@example.org"),
        ({"a@x.example": DOUBT, "b@x.example": YES}, "451 4.3.0 From: could not find out whether a@x.example is yours"),
        ({"a@x.example": YES}, "451 4.3.0 From: could not find out whether b@x.example is yours"),
        ({}, "451 4.3.0 From: could not find out whether a@x.example is yours"),
    ],
)
def test_what_the_answers_mean(answers: dict[str, Verdict], reply: str | None) -> None:
    said = judge(claims(b"From: a@x.example, joe@example.org, b@x.example\r\n"), JOE, answers)
    assert said is None if reply is None else str(said).startswith(reply)


def test_several_authors_want_a_sender() -> None:
    two = b"From: joe@example.org, sales@example.org\r\n"
    assert wants_sender(parse(two))
    assert not wants_sender(parse(two + b"Sender: joe@example.org\r\n"))
    assert not wants_sender(parse(b"From: joe@example.org\r\n"))
    assert not wants_sender(parse(b"From: nonsense\r\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("joe@x", "joe@x"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x7f\xe9\u20ac", "\\x7f\\xe9\\u20ac"),
        ("x" * 101, "x" * 97 + "..."),
    ],
)
def test_what_is_shown(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert all(" " <= char <= "~" for char in shown(text))
    assert len(shown(text)) <= 100


@given(
    st.lists(
        st.sampled_from([b"From: ", b"Sender: ", b"joe@example.org", b"\r\n", b" ", b",", b"<", b">", b"a@b.example"])
    )
)
def test_what_is_taken_is_all_his(parts: list[bytes]) -> None:
    """Of a header that is taken, no From or Sender field holds another's address."""
    section = b"".join(parts)
    try:
        header = parse(section)
    except HeaderFault:
        return
    if refusal(section) is None:
        shown_there = header.named(b"from") + header.named(b"sender")
        assert not any(b"a@b.example" in field.raw for field in shown_there)
        assert len(shown_there) <= 2
