"""The client's side: every word of a dialogue, hops that do what no hop may, and what can never be sent."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.mechanisms.client import Credentials
from saslpy.protocols.smtp import envelope as envelopes
from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.authenticating import choose
from saslpy.protocols.smtp.capabilities import Capabilities, capabilities
from saslpy.protocols.smtp.client import Client, Terms
from saslpy.protocols.smtp.content import Unsendable
from saslpy.protocols.smtp.envelope import Envelope, mail_line, rcpt_line
from saslpy.protocols.smtp.parameters import DeliverBy, MailParameters, OriginalRecipient, RcptParameters
from saslpy.protocols.smtp.parameters import mail as mail_parameters
from saslpy.protocols.smtp.replies import Reply
from saslpy.protocols.smtp.sending import MAX_GROUP, Sending
from saslpy.protocols.smtp.steps import Step, Steps, Unusable
from saslpy.protocols.smtp.transaction import Recipient

T = TypeVar("T")

JOE, ANN, BEN = Mailbox("joe", "example.org"), Mailbox("ann", "example.net"), Mailbox("ben", "example.net")
TO_ANN, TO_BEN = Recipient(ANN, RcptParameters()), Recipient(BEN, RcptParameters())
FROM_JOE = Envelope(JOE)
CLEAR, SECURE = Terms("me.test", "none"), Terms("me.test", "require")
GREETING = b"220 hop.test ESMTP\r\n"
WHO = Credentials("joe", "secret")


def hello(*extensions: str) -> bytes:
    lines = ("hop.test", *extensions)
    return "".join(f"250{' ' if n == len(lines) - 1 else '-'}{text}\r\n" for n, text in enumerate(lines)).encode()


class Ended(Exception):
    """The script has no more, which is a connection that was closed."""


class Wire:
    """Drives generators: what they say is in ``said``, one entry for each time that they wait."""

    def __init__(self, client: Client, *segments: bytes) -> None:
        self.client = client
        self.segments = list(segments)
        self.said: list[bytes] = []
        self.handshakes = 0

    def run(self, steps: Steps[T], verified: bool = True) -> T:
        try:
            step = next(steps)
            while True:
                self._flush()
                if step is Step.HANDSHAKE:
                    self.handshakes += 1
                    self.client.tls_started(verified)
                    step = next(steps)
                else:
                    step = steps.send(self._reply())
        except StopIteration as end:
            self._flush()
            value: T = end.value
            return value

    def _flush(self) -> None:
        data = self.client.data_to_send()
        if data:
            self.said.append(data)

    def _reply(self) -> Reply:
        while (reply := self.client.next_reply()) is None:
            if not self.segments:
                raise Ended
            self.client.receive(self.segments.pop(0))
        return reply

    @property
    def all(self) -> bytes:
        return b"".join(self.said)


def ready(*extensions: str, lmtp: bool = False, local: bool = False, tls: bool = False) -> Wire:
    """A connection on which messages may be sent."""
    wire = Wire(Client(lmtp, local, tls, verified=tls), GREETING, hello(*extensions))
    wire.run(wire.client.opening(CLEAR))
    wire.said.clear()
    return wire


def send(wire: Wire, sending: Sending, *pieces: bytes) -> list[Reply]:
    if wire.run(sending.begin()):
        for piece in pieces:
            if not wire.run(sending.piece(piece)):
                break
        else:
            wire.run(sending.end())
    return sending.answers


def told(replies: Iterable[Reply]) -> list[str]:
    return [str(reply) for reply in replies]


# --- opening


def test_hello() -> None:
    wire = Wire(Client(), GREETING, hello("SIZE 100", "8bitmime", "AUTH PLAIN LOGIN", "AUTH=CRAM-MD5", "X Y", "!"))
    wire.run(wire.client.opening(CLEAR))
    assert wire.said == [b"EHLO me.test\r\n"]
    offers = wire.client.capabilities
    assert set(offers.keywords) == {"SIZE", "8BITMIME", "AUTH", "X"}
    assert (offers.size, offers.mechanisms) == (100, ("PLAIN", "LOGIN", "CRAM-MD5"))
    assert wire.client.idle


def test_a_hop_that_has_only_helo() -> None:
    wire = Wire(Client(), GREETING, b"502 what?\r\n", b"250 hop.test\r\n")
    wire.run(wire.client.opening(CLEAR))
    assert wire.said == [b"EHLO me.test\r\n", b"HELO me.test\r\n"]
    with pytest.raises(Unusable, match="STARTTLS"):
        again = Wire(Client(), GREETING, b"502 what?\r\n", b"250 hop.test\r\n")
        again.run(again.client.opening(SECURE))


def test_lmtp_has_lhlo_alone() -> None:
    wire = Wire(Client(lmtp=True), GREETING, b"500 what?\r\n")
    with pytest.raises(Unusable, match="500 what"):
        wire.run(wire.client.opening(CLEAR))
    assert wire.said == [b"LHLO me.test\r\n"]


@pytest.mark.parametrize(
    "segments",
    [
        [b"554 5.7.1 go away\r\n"],
        [b"421 busy\r\n"],
        [b"250 not a greeting\r\n"],
        [b"HTTP/1.1 400 Bad Request\r\n"],
        [b"220 a\n"],
        [b"\0"],
        [b"100 wait\r\n"],
        [b"220-a\r\n" * 200],
        [b"220 " + b"x" * 5000],
        [GREETING, b"421 no\r\n"],
        [GREETING, b"451 later\r\n"],
        [GREETING, b"354 what\r\n"],
        [GREETING, b"250-a\r\n220 b\r\n"],
        [GREETING + b"250 too early\r\n"],
    ],
)
def test_openings_that_fail(segments: list[bytes]) -> None:
    for cut in (segments, [data[i : i + 1] for data in segments for i in range(len(data))]):
        wire = Wire(Client(), *cut)
        with pytest.raises((Unusable, Ended)) as caught:
            wire.run(wire.client.opening(CLEAR))
            wire.run(wire.client.ask("NOOP"))
        if isinstance(caught.value, Unusable):
            assert caught.value.reply.temporary


# --- STARTTLS


def test_starttls_forgets_what_was_told() -> None:
    wire = Wire(
        Client(), GREETING, hello("STARTTLS", "SIZE 1", "XCLIENT"), b"220 go\r\n", hello("SIZE 7", "REQUIRETLS")
    )
    wire.run(wire.client.opening(SECURE))
    assert wire.said == [b"EHLO me.test\r\n", b"STARTTLS\r\n", b"EHLO me.test\r\n"]
    assert dict(wire.client.capabilities.keywords) == {"SIZE": "7", "REQUIRETLS": ""}
    assert (wire.handshakes, wire.client.secure, wire.client.confidential) == (1, True, True)


def test_starttls_forgets_even_where_nothing_is_told_behind_it() -> None:
    told = hello("STARTTLS", "PIPELINING", "AUTH PLAIN")
    wire = Wire(Client(), GREETING, told, b"220 go\r\n", b"502 no EHLO\r\n", b"250 hop.test\r\n")
    wire.run(wire.client.opening(SECURE))
    assert dict(wire.client.capabilities.keywords) == {}


@pytest.mark.parametrize("tls", ["require", "opportunistic"])
@pytest.mark.parametrize("more", [b"250-evil\r\n250 AUTH PLAIN\r\n", b"2", b"\x16\x03\x01", b"\r\n"])
def test_what_stands_behind_220_is_an_attack(tls: Any, more: bytes) -> None:
    """CVE-2011-0411, towards a client: an answer that somebody has put into the clear part of the connection."""
    wire = Wire(Client(), GREETING, hello("STARTTLS"), b"220 go\r\n" + more)
    with pytest.raises(Unusable, match="behind its answer to STARTTLS"):
        wire.run(wire.client.opening(Terms("me.test", tls)))
    assert wire.handshakes == 0


def test_no_tls_where_it_is_required() -> None:
    for segments in ([hello("SIZE")], [hello("STARTTLS"), b"454 not now\r\n"], [hello("STARTTLS"), b"354 hm\r\n"]):
        wire = Wire(Client(), GREETING, *segments)
        with pytest.raises(Unusable):
            wire.run(wire.client.opening(Terms("me.test", "require", WHO)))
        assert (wire.handshakes, b"AUTH" in wire.all) == (0, False)


def test_opportunistic_goes_without_only_where_nothing_is_offered() -> None:
    wire = Wire(Client(), GREETING, hello("SIZE"))
    wire.run(wire.client.opening(Terms("me.test", "opportunistic")))
    refused = Wire(Client(), GREETING, hello("STARTTLS"), b"454 not now\r\n")
    with pytest.raises(Unusable, match="STARTTLS: 454"):
        refused.run(refused.client.opening(Terms("me.test", "opportunistic")))


def test_unverified_tls_is_not_secure() -> None:
    wire = Wire(Client(), GREETING, hello("STARTTLS"), b"220 go\r\n", hello("AUTH PLAIN", "REQUIRETLS"))
    with pytest.raises(Unusable, match="in the clear"):
        wire.run(wire.client.opening(Terms("me.test", "opportunistic", WHO)), verified=False)
    assert not wire.client.confidential


# --- AUTH


def authenticated(offered: str, *answers: bytes, who: Credentials = WHO, local: bool = True, **more: Any) -> Wire:
    wire = Wire(Client(local=local), GREETING, hello(f"AUTH {offered}"), *answers)
    wire.run(wire.client.opening(Terms("me.test", "none", who, **more)))
    return wire


def test_the_strongest_that_both_know() -> None:
    everything = ("LOGIN", "XOAUTH2", "PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "GSSAPI", "SCRAM-SHA-256", "OAUTHBEARER")
    order = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "XOAUTH2"]
    left = list(everything)
    for name in order:
        assert choose(left, (), secure=True) == name
        left.remove(name)
    assert choose(left, (), secure=True) is None
    assert choose(everything, ("OAUTHBEARER",), secure=True) == "OAUTHBEARER"
    assert choose(("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"), ("OAUTHBEARER", "PLAIN"), secure=False) is None
    assert choose(everything, (), secure=False) == "SCRAM-SHA-256"


def test_plain_and_login() -> None:
    wire = authenticated("PLAIN", b"235 2.7.0 yes\r\n")
    assert wire.said[1:] == [b"AUTH PLAIN " + base64.b64encode(b"\0joe\0secret") + b"\r\n"]
    wire = authenticated("LOGIN", b"334 VXNlcm5hbWU6\r\n", b"334 Password:\r\n", b"235 yes\r\n")
    assert wire.said[1:] == [b"AUTH LOGIN\r\n", b"am9l\r\n", b"c2VjcmV0\r\n"]


def test_cram_md5_example_of_rfc_2195() -> None:
    challenge = base64.b64encode(b"<1896.697170952@postoffice.reston.mci.net>")
    wire = authenticated(
        "CRAM-MD5", b"334 " + challenge + b"\r\n", b"235 ok\r\n", who=Credentials("tim", "tanstaaftanstaaf")
    )
    assert base64.b64decode(wire.said[-1]) == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_a_long_initial_response_waits_to_be_asked_for() -> None:
    token = Credentials("joe", "t" * 2000)
    wire = authenticated("XOAUTH2", b"334 \r\n", b"235 ok\r\n", who=token)
    assert wire.said[1] == b"AUTH XOAUTH2\r\n"
    assert base64.b64decode(wire.said[2]).startswith(b"user=joe\x01auth=Bearer ttt")


def test_no_password_in_the_clear() -> None:
    for offered in ("PLAIN", "LOGIN", "XOAUTH2", "PLAIN LOGIN XOAUTH2"):
        wire = Wire(Client(), GREETING, hello(f"AUTH {offered}"), b"235 ok\r\n")
        with pytest.raises(Unusable, match="in the clear"):
            wire.run(wire.client.opening(Terms("me.test", "none", WHO)))
        assert wire.said == [b"EHLO me.test\r\n"]


@pytest.mark.parametrize(
    ("offered", "answers", "why"),
    [
        ("GSSAPI", [], "GSSAPI"),
        ("PLAIN", [b"535 5.7.8 no\r\n"], "535"),
        ("PLAIN", [b"454 later\r\n"], "454"),
        ("PLAIN", [b"250 ok\r\n"], "250 ok"),
        ("PLAIN", [b"334 \r\n", b"501 cancelled\r\n"], "on and on"),
        ("PLAIN", [b"334 \r\n", b"334 \r\n"], "on and on"),
        ("CRAM-MD5", [b"334 ***\r\n", b"501 cancelled\r\n"], "base64"),
        ("SCRAM-SHA-256", [b"235 welcome\r\n"], "first message"),
        ("SCRAM-SHA-256", [b"334 cj14\r\n", b"501 x\r\n"], "first message"),
        ("PLAIN", [b"421 bye\r\n"], "421"),
    ],
)
def test_logins_that_fail(offered: str, answers: list[bytes], why: str) -> None:
    with pytest.raises(Unusable, match=re.escape(why)) as caught:
        authenticated(offered, *answers)
    assert caught.value.reply.temporary, "the configuration is wrong, not a message"
    assert "secret" not in str(caught.value)


# --- a message


def test_pipelining() -> None:
    wire = ready("PIPELINING")
    sending = Sending(wire.client, FROM_JOE)
    wire.segments = [b"250 ok\r\n250 ok\r\n550 5.1.1 nobody\r\n354 go\r\n", b"250 2.0.0 queued\r\n"]
    assert told(wire.run(sending.recipients([TO_ANN, TO_BEN], data=True))) == ["250 ok", "550 5.1.1 nobody"]
    assert told(send(wire, sending, b"a: b\r\n\r\n", b".dot\r\n.", b"\r\n")) == ["250 2.0.0 queued"]
    assert wire.said[0] == (
        b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<ann@example.net>\r\nRCPT TO:<ben@example.net>\r\nDATA\r\n"
    )
    assert b"".join(wire.said[1:]) == b"a: b\r\n\r\n..dot\r\n..\r\n.\r\n"
    assert (wire.client.idle, wire.client.dirty, sending.open) == (True, False, False)


def test_one_by_one() -> None:
    wire = ready()
    wire.segments = [b"250 ok\r\n", b"250 ok\r\n", b"450 later\r\n", b"354 go\r\n", b"250 queued\r\n"]
    sending = Sending(wire.client, Envelope(None))
    assert told(wire.run(sending.recipients([TO_ANN, TO_BEN], data=True))) == ["250 ok", "450 later"]
    assert told(send(wire, sending, b"x")) == ["250 queued"]
    assert wire.said[:4] == [
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<ann@example.net>\r\n",
        b"RCPT TO:<ben@example.net>\r\n",
        b"DATA\r\n",
    ]
    assert b"".join(wire.said[4:]) == b"x\r\n.\r\n"


def test_a_thousand_recipients_go_out_in_groups() -> None:
    wire = ready("PIPELINING")
    many = [Recipient(Mailbox(f"r{n}", "example.net"), RcptParameters()) for n in range(1000)]
    wire.segments = [b"250 ok\r\n" * MAX_GROUP] * (1000 // MAX_GROUP) + [b"250 ok\r\n"]
    sending = Sending(wire.client, FROM_JOE)
    assert len(wire.run(sending.recipients(many))) == len(sending.accepted) == 1000
    assert max(said.count(b"\r\n") for said in wire.said) == MAX_GROUP


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_a_sender_that_is_refused_is_every_recipients_answer(extensions: Sequence[str]) -> None:
    wire = ready(*extensions)
    wire.segments = [b"553 5.7.1 not you\r\n", b"503 x\r\n", b"503 x\r\n"]
    sending = Sending(wire.client, FROM_JOE)
    assert told(wire.run(sending.recipients([TO_ANN, TO_BEN]))) == ["553 5.7.1 not you"] * 2
    assert (sending.accepted, wire.client.dirty) == ([], False)
    wire.segments = [b"503 x\r\n"] if extensions else []
    assert told(wire.run(sending.recipients([TO_ANN]))) == ["553 5.7.1 not you"]


def test_a_hop_that_takes_content_for_nobody_gets_none() -> None:
    """RFC 2920, 3.1: it may say 354 when all recipients were refused."""
    wire = ready("PIPELINING")
    wire.segments = [b"250 ok\r\n550 no\r\n354 go\r\n", b"554 nobody\r\n"]
    sending = Sending(wire.client, FROM_JOE)
    assert told(wire.run(sending.recipients([TO_ANN], data=True))) == ["550 no"]
    assert wire.said[-1] == b".\r\n"
    assert (wire.client.idle, sending.open) == (True, False)


def test_what_was_not_sent_is_reset() -> None:
    wire = ready("PIPELINING")
    wire.segments = [b"250 ok\r\n250 ok\r\n", b"250 reset\r\n250 ok\r\n250 ok\r\n"]
    wire.run(Sending(wire.client, FROM_JOE).recipients([TO_ANN]))
    wire.run(Sending(wire.client, FROM_JOE).recipients([TO_BEN]))
    assert wire.said[1] == b"RSET\r\nMAIL FROM:<joe@example.org>\r\nRCPT TO:<ben@example.net>\r\n"


def test_a_hop_that_does_not_reset() -> None:
    for answer in (b"500 what?\r\n", b"421 bye\r\n"):
        wire = ready("PIPELINING")
        wire.segments = [b"250 ok\r\n250 ok\r\n", answer + b"250 ok\r\n250 ok\r\n"]
        wire.run(Sending(wire.client, FROM_JOE).recipients([TO_ANN]))
        with pytest.raises(Unusable) as caught:
            wire.run(Sending(wire.client, FROM_JOE).recipients([TO_BEN]))
        assert caught.value.reply.temporary


def test_lmtp_answers_for_each_recipient() -> None:
    wire = ready("PIPELINING", lmtp=True)
    wire.segments = [b"250 ok\r\n250 ok\r\n250 ok\r\n", b"354 go\r\n", b"250 2.0.0 for ann\r\n552 5.2.2 full\r\n"]
    sending = Sending(wire.client, FROM_JOE)
    wire.run(sending.recipients([TO_ANN, TO_BEN]))
    assert told(send(wire, sending, b"x\r\n")) == ["250 2.0.0 for ann", "552 5.2.2 full"]


def test_lmtp_that_ends_half_way_has_answered_for_some() -> None:
    wire = ready("PIPELINING", lmtp=True)
    wire.segments = [b"250 ok\r\n250 ok\r\n250 ok\r\n", b"354 go\r\n", b"250 for ann\r\n"]
    sending = Sending(wire.client, FROM_JOE)
    wire.run(sending.recipients([TO_ANN, TO_BEN]))
    with pytest.raises(Ended):
        send(wire, sending, b"x\r\n")
    assert told(sending.answers) == ["250 for ann"]
    assert sending.complete


def prepared(*answers: bytes, lmtp: bool = False) -> tuple[Wire, Sending]:
    wire = ready("PIPELINING", lmtp=lmtp)
    wire.segments = [b"250 ok\r\n250 ok\r\n", *answers]
    sending = Sending(wire.client, FROM_JOE)
    wire.run(sending.recipients([TO_ANN]))
    return wire, sending


@pytest.mark.parametrize(
    ("answers", "told_to_client"),
    [
        ([b"451 4.3.0 disk\r\n"], "451 4.3.0 disk"),
        ([b"554 5.5.1 no\r\n"], "554 5.5.1 no"),
        ([b"354 go\r\n", b"554 5.7.1 spam\r\n"], "554 5.7.1 spam"),
        ([b"354 go\r\n", b"421 4.3.2 closing\r\n"], "421 4.3.2 closing"),
        ([b"354 go\r\n", b"250 2.0.0 ok\r\n421 bye\r\n"], "250 2.0.0 ok"),
    ],
)
def test_answers_to_the_content(answers: list[bytes], told_to_client: str) -> None:
    wire, sending = prepared(*answers)
    assert told(send(wire, sending, b"x\r\n")) == [told_to_client]


@pytest.mark.parametrize(
    "answers",
    [
        [b"250 ok\r\n"],
        [b"334 ok\r\n"],
        [b"354 go\r\n250 already\r\n"],
        [b"354 go\r\n", b"354 go on\r\n"],
        [b"354 go\r\n", b"garbage\r\n"],
        [b"354-go\r\n250 on\r\n"],
    ],
)
def test_answers_to_the_content_that_make_no_sense(answers: list[bytes]) -> None:
    wire, sending = prepared(*answers)
    with pytest.raises(Unusable) as caught:
        send(wire, sending, b"x\r\n")
    assert caught.value.reply.temporary
    assert not sending.answers


def test_421_answers_all_that_is_open() -> None:
    wire = ready("PIPELINING")
    wire.segments = [b"250 ok\r\n421 4.3.2 closing\r\n"]
    sending = Sending(wire.client, FROM_JOE)
    assert told(wire.run(sending.recipients([TO_ANN, TO_BEN]))) == ["421 4.3.2 closing"] * 2
    with pytest.raises(Unusable):
        wire.run(sending.recipients([TO_ANN]))
    assert not wire.client.idle


def test_421_to_mail_is_the_connections_end() -> None:
    wire = ready("PIPELINING")
    wire.segments = [b"421 too many messages\r\n"]
    with pytest.raises(Unusable, match="421"):
        wire.run(Sending(wire.client, FROM_JOE).recipients([TO_ANN]))


def test_answers_to_nothing() -> None:
    wire = ready("PIPELINING")
    wire.client.receive(b"250 hello\r\n")
    assert not wire.client.idle
    with pytest.raises(Unusable, match="not asked"):
        wire.run(Sending(wire.client, FROM_JOE).recipients([TO_ANN]))


# --- what a hop offers


ALL_MAIL = MailParameters(
    size=7, body="8BITMIME", smtputf8=True, auth="", ret="HDRS", envid="a+b", priority=3, deliver_by=DeliverBy(9, False)
)
ALL_RCPT = RcptParameters(("NEVER",), OriginalRecipient("rfc822", "ann=x@example.net"))


def offering(*lines: str) -> Capabilities:
    return capabilities(Reply(250, "", ("hop.test", *lines)))


@pytest.mark.parametrize(
    ("offered", "mail", "rcpt"),
    [
        ((), "", ""),
        (("SIZE",), " SIZE=7", ""),
        (("8BITMIME", "SMTPUTF8"), " BODY=8BITMIME SMTPUTF8", ""),
        (("DSN",), " RET=HDRS ENVID=a+2Bb", " NOTIFY=NEVER ORCPT=rfc822;ann+3Dx@example.net"),
        (("MT-PRIORITY", "DELIVERBY 5"), " BY=9;N MT-PRIORITY=3", ""),
        (("AUTH PLAIN", "XFORWARD", "REQUIRETLS"), "", ""),
    ],
)
def test_parameters_are_those_that_are_offered(offered: Sequence[str], mail: str, rcpt: str) -> None:
    envelope, offers = Envelope(JOE, ALL_MAIL), offering(*offered)
    assert envelopes.fault(envelope, offers, False) is None
    assert mail_line(envelope, offers) == "MAIL FROM:<joe@example.org>" + mail
    assert rcpt_line(Recipient(ANN, ALL_RCPT), offers) == "RCPT TO:<ann@example.net>" + rcpt


@pytest.mark.parametrize(
    ("parameters", "offered", "code"),
    [
        (MailParameters(body="BINARYMIME"), ("8BITMIME", "BINARYMIME"), "5.6.3"),
        (MailParameters(body="BINARYMIME"), ("8BITMIME", "CHUNKING"), "5.6.3"),
        (MailParameters(requiretls=True), ("REQUIRETLS",), "5.7.30"),
        (MailParameters(hold_for=5), (), "5.3.3"),
        (MailParameters(hold_for=0), (), "5.3.3"),
        (MailParameters(deliver_by=DeliverBy(5, True)), (), "5.3.3"),
        (MailParameters(deliver_by=DeliverBy(5, True)), ("DELIVERBY 6,x",), "5.4.7"),
        (MailParameters(deliver_by=DeliverBy(0, True)), ("DELIVERBY",), "5.4.7"),
        (MailParameters(size=101), ("SIZE 100",), "5.3.4"),
    ],
)
def test_what_a_hop_must_offer(parameters: MailParameters, offered: Sequence[str], code: str) -> None:
    wire = ready(*offered)
    answers = wire.run(Sending(wire.client, Envelope(JOE, parameters)).recipients([TO_ANN, TO_BEN]))
    assert [(reply.permanent, reply.enhanced) for reply in answers] == [(True, code)] * 2
    assert wire.said == []


@pytest.mark.parametrize(
    ("text", "passed", "left"),
    [
        ("HOLDFOR=60 BY=100;RT MT-PRIORITY=-9", 9.9, "HOLDFOR=51 BY=91;RT MT-PRIORITY=-9"),
        ("HOLDFOR=60", 3600.0, "HOLDFOR=1"),
        ("BY=5;N", 7.0, "BY=-2;N"),
        ("BY=-999999999;N", 7.0, "BY=-999999999;N"),
        ("HOLDUNTIL=0001-01-01T00:00:00.5z BY=+6;R", 1.0, "HOLDUNTIL=0001-01-01T00:00:00Z BY=5;R"),
    ],
)
def test_times_run_on_until_a_hop_hears_them(text: str, passed: float, left: str) -> None:
    offers = offering("FUTURERELEASE 1 2030-01-01T00:00:00Z", "DELIVERBY 5", "MT-PRIORITY MIXER")
    asked = Envelope(JOE, mail_parameters(text, {"FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"}), at=10.0)
    later = asked.later(10.0 + passed)
    assert envelopes.fault(later, offers, False) is None
    assert mail_line(later, offers) == f"MAIL FROM:<joe@example.org> {left}"


def test_a_final_delivery_is_in_time_at_once() -> None:
    by = Envelope(JOE, MailParameters(deliver_by=DeliverBy(5, True)))
    assert envelopes.fault(by, offering(), False, final=True) is None
    assert envelopes.fault(by.later(5.0), offering(), False, final=True) == envelopes.TOO_LATE


def test_requiretls_is_honoured() -> None:
    wire = ready("REQUIRETLS", "PIPELINING", tls=True)
    wire.segments = [b"250 ok\r\n250 ok\r\n"]
    wire.run(Sending(wire.client, Envelope(JOE, MailParameters(requiretls=True))).recipients([TO_ANN]))
    assert wire.said[0].startswith(b"MAIL FROM:<joe@example.org> REQUIRETLS\r\n")


def test_addresses_beyond_ascii() -> None:
    utf8, jose = MailParameters(smtputf8=True), Recipient(Mailbox("josé", "example.net"), RcptParameters())
    wire = ready("PIPELINING")
    wire.segments = [b"250 ok\r\n250 ok\r\n"]
    answers = wire.run(Sending(wire.client, Envelope(JOE, utf8)).recipients([jose, TO_ANN]))
    assert [(reply.code, reply.enhanced) for reply in answers] == [(553, "5.6.7"), (250, "")]
    sender = Sending(wire.client, Envelope(Mailbox("josé", "example.org"), utf8))
    assert [reply.enhanced for reply in wire.run(sender.recipients([TO_ANN]))] == ["5.6.7"]
    wire = ready("PIPELINING", "SMTPUTF8")
    wire.segments = [b"250 ok\r\n250 ok\r\n"]
    wire.run(Sending(wire.client, Envelope(JOE, utf8)).recipients([jose]))
    assert wire.said == ["MAIL FROM:<joe@example.org> SMTPUTF8\r\nRCPT TO:<josé@example.net>\r\n".encode()]


@pytest.mark.parametrize(
    ("content", "fits"),
    [
        ("Subject: é\r\n\r\nx", False),
        ("Subject: e\r\n\r\né", True),
        ("\r\né", True),
        ("Subject: e\r\nX: é", False),
        ("é", False),
    ],
)
def test_headers_beyond_ascii(content: str, fits: bool) -> None:
    """They need SMTPUTF8, too, and are seen when the content has begun: its end is never said then."""
    for size in (1, 3, 100):
        wire = ready("PIPELINING")
        wire.segments = [b"250 ok\r\n250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"]
        sending = Sending(wire.client, Envelope(JOE, MailParameters(smtputf8=True)))
        wire.run(sending.recipients([TO_ANN]))
        data = content.encode()
        answers = send(wire, sending, *[data[n : n + size] for n in range(0, len(data), size)])
        assert [reply.code for reply in answers] == ([250] if fits else [553])
        assert (sending.open, wire.all.endswith(b"\r\n.\r\n")) == (not fits, fits)


def test_binary_content_goes_in_chunks() -> None:
    wire = ready("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME")
    wire.segments = [b"250 ok\r\n250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 2.0.0 queued\r\n"]
    sending = Sending(wire.client, Envelope(JOE, MailParameters(body="BINARYMIME")))
    wire.run(sending.recipients([TO_ANN], data=True))
    assert told(send(wire, sending, b"\n.\n\r\0", b"\r\n.\r\n")) == ["250 2.0.0 queued"]
    assert wire.said == [
        b"MAIL FROM:<joe@example.org> BODY=BINARYMIME\r\nRCPT TO:<ann@example.net>\r\n",
        b"BDAT 5\r\n\n.\n\r\0",
        b"BDAT 5\r\n\r\n.\r\n",
        b"BDAT 0 LAST\r\n",
    ]


def test_a_chunk_that_is_refused_ends_the_message() -> None:
    wire = ready("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME")
    wire.segments = [b"250 ok\r\n250 ok\r\n", b"552 5.3.4 too large\r\n"]
    sending = Sending(wire.client, Envelope(JOE, MailParameters(body="BINARYMIME")))
    wire.run(sending.recipients([TO_ANN]))
    assert told(send(wire, sending, b"x", b"y")) == ["552 5.3.4 too large"]
    assert (wire.client.dirty, wire.client.idle, sending.open) == (True, True, False)


# --- what is never sent

STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n")
TEXTS = (
    st.sampled_from(["joe", "example.org"])
    | st.text(st.characters(codec=None), max_size=12)
    | st.sampled_from(["a\r\nRCPT TO:<x@y>", "a\rb", "a\nb", "a\0b", "\r\n", "x@y> SIZE=5", "\ud800"])
)
PIECES = st.lists(
    st.sampled_from([b"a: b", b"\r\n", b"\r\n.", b".", b"\r\n.\r\n", b"MAIL FROM:<>\r\n"]), max_size=8
) | st.lists(
    st.binary(max_size=12)
    | st.sampled_from([b"\r\n.\r\n", b"\n.\n", b"\r", b"\n", b".", b"\r\n", b"MAIL FROM:<>\r\n", b"\r\n."]),
    max_size=8,
)


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, PIECES, st.booleans(), st.booleans())
def test_whatever_is_given_nothing_stray_is_sent(
    name: str, local: str, domain: str, envid: str, orcpt: str, pieces: list[bytes], pipelining: bool, lmtp: bool
) -> None:
    extensions = ["SMTPUTF8", "DSN", *(["PIPELINING"] if pipelining else [])]
    wire = Wire(Client(lmtp), GREETING, hello(*extensions), *[b"250 ok\r\n"] * 2, b"354 go\r\n", b"250 ok\r\n")
    envelope = Envelope(Mailbox(local, domain), MailParameters(smtputf8=True, envid=envid))
    recipient = Recipient(Mailbox(local, domain), RcptParameters(None, OriginalRecipient("rfc822", orcpt)))
    sent = False
    try:
        wire.run(wire.client.opening(Terms(name, "none")))
        sending = Sending(wire.client, envelope)
        wire.run(sending.recipients([recipient]))
        send(wire, sending, *pieces)
        sent = True
    except (ValueError, Ended):  # of these are Unsendable and MalformedXtext
        wire.client.data_to_send()
    assert not STRAY.search(wire.all)
    assert b"\0" not in wire.all
    assert wire.all.count(b"\r\n.\r\n") == sent
    if sent:
        commands, _, content = wire.all.partition(b"DATA\r\n")
        assert commands.count(b"\r\n") == 3
        whole = b"".join(pieces)
        meant = (b"\r\n" + content.removesuffix(b".\r\n")).replace(b"\r\n.", b"\r\n")[2:]
        assert meant in (whole, whole + b"\r\n")


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\r\nQUIT", "\x7f", "\x1b"])
def test_a_control_character_is_an_error_before_anything_is_sent(bad: str) -> None:
    wire = ready("PIPELINING")
    with pytest.raises(Unsendable):
        wire.client.say("NOOP", f"NOOP {bad}")
    with pytest.raises(Unsendable):
        wire.run(Sending(wire.client, Envelope(Mailbox(f"j{bad}e", "x.test"))).recipients([TO_ANN]))
    with pytest.raises(Unsendable):
        wire.run(
            Sending(wire.client, FROM_JOE).recipients([TO_ANN, Recipient(Mailbox(f"a{bad}", "b"), RcptParameters())])
        )
    assert (wire.said, wire.client.data_to_send(), wire.client.idle) == ([], b"", True)


# --- fuzz

LINES = st.one_of(
    st.builds(
        lambda code, sign, text: b"%d%c%s\r\n" % (code, sign, text),
        st.sampled_from([100, 220, 235, 250, 251, 334, 354, 421, 450, 500, 503, 550, 554, 600]),
        st.sampled_from([0x20, 0x2D]),
        st.sampled_from([b"", b"ok", b"STARTTLS", b"PIPELINING", b"AUTH PLAIN SCRAM-SHA-1", b"2.0.0 ok", b"cj14"]),
    ),
    st.binary(max_size=20),
    st.just(GREETING),
    st.just(hello("PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN CRAM-MD5")),
)


def course(segments: Sequence[bytes], lmtp: bool, terms: Terms) -> tuple[bytes, object]:
    """What was said to a hop that says this, and how it ended."""
    wire = Wire(Client(lmtp, local=True), *segments)

    try:
        wire.run(wire.client.opening(terms))
        sending = Sending(wire.client, FROM_JOE)
        wire.run(sending.recipients([TO_ANN, TO_BEN]))
        end: object = told(send(wire, sending, b"x\r\n") if sending.accepted else [])
    except (Unusable, Ended) as fault:
        assert isinstance(fault, Ended) or fault.reply.temporary
        end = type(fault).__name__
    return wire.all, end


@given(st.lists(LINES, max_size=12), st.booleans(), st.booleans())
def test_any_hop(answers: list[bytes], lmtp: bool, login: bool) -> None:
    """Nothing but ``Unusable`` comes of it, and what is told is an answer of the hop's."""
    terms = Terms("me.test", "opportunistic", WHO if login else None)
    data = b"".join(answers)
    for segments in (answers, [data[n : n + 1] for n in range(len(data))]):
        said, end = course([piece for piece in segments if piece], lmtp, terms)
        assert not STRAY.search(said)
        for reply in end if isinstance(end, list) else []:
            assert reply.split(" ")[0].encode() in data


@given(st.integers(1, 60), st.booleans())
def test_however_a_hop_cuts_its_answers(size: int, lmtp: bool) -> None:
    answers = [
        GREETING,
        hello("PIPELINING", "SIZE 100"),
        b"250 2.1.0 ok\r\n250-2.1.5 a\r\n250 2.1.5 b\r\n450 4.2.1 later\r\n",
        b"354 go\r\n",
        b"250-2.0.0 taken\r\n250 2.0.0 as 1\r\n",
    ]
    expected = course(answers, lmtp, CLEAR)
    assert expected[1] == ["250 2.0.0 taken as 1"]
    cut = [data[n : n + size] for data in answers for n in range(0, len(data), size)]
    assert course(cut, lmtp, CLEAR) == expected
