"""What attackers send, by its exact bytes, and what becomes of it. Headings name the classes."""

from __future__ import annotations

import pytest

from saslpy.protocols.smtp import replies
from saslpy.protocols.smtp.events import AuthBegin, ContentBegin, ContentEnd, Ended, MailFrom, RcptTo, StartTls
from saslpy.protocols.smtp.replies import Reply
from saslpy.protocols.smtp.states import State

from .host import AUTH, DATA, MAIL, OPTIONS, RCPT, RIGHT, Host, at_content, codes, greeted, options, ready
from .test_content import NO_ENDS, SMUGGLED, bytewise

CLOSED = "closed"


def says(host: Host, data: bytes, *expected: Reply | str) -> None:
    """The replies to these bytes, and nothing else; whether the connection ends."""
    end = CLOSED in expected
    assert host.send(data) == b"".join(reply.encode() for reply in expected if isinstance(reply, Reply))
    assert host.closed is end
    if end:
        assert host.of(Ended) == host.events[-1:]


# --- the end of data (SMTP smuggling: CVE-2023-51764, -51765, -51766, CVE-2024-27305)


@pytest.mark.parametrize("variant", NO_ENDS, ids=repr)
@pytest.mark.parametrize("repair", [False, True], ids=["refused", "repair"])
def test_smuggling(variant: bytes, repair: bool) -> None:
    sent = b"Subject: x\r\n\r\nbody" + variant + SMUGGLED + b".\r\n"
    for segments in ([sent + b"NOOP\r\n"], [*bytewise(sent), b"NOOP\r\n"]):
        host = at_content(options(repair_line_ends=repair))
        assert host.send(*segments) == replies.BAD_CONTENT.encode()
        assert host.closed
        assert host.messages == []
        assert len(host.of(MailFrom)) == 1
        assert "without" in host.ended or "NUL" in host.ended


@pytest.mark.parametrize("variant", NO_ENDS, ids=repr)
def test_nothing_is_said_before_the_true_end(variant: bytes) -> None:
    host = at_content()
    assert host.send(b"body" + variant + SMUGGLED) == b""
    assert host.connection.state is State.DATA


def test_an_empty_body_and_one_that_only_looks_so() -> None:
    assert codes(at_content().send(b".\r\n")) == [250]
    host = at_content()
    assert host.send(b".\n") == b""
    says(host, b"\r\n.\r\n", replies.BAD_CONTENT, CLOSED)


def test_repair_hands_on_what_was_repaired() -> None:
    host = at_content(options(repair_line_ends=True))
    assert codes(host.send(b"Subject: x\n\nDone.\nBye\r\n.\r\n")) == [250]
    assert host.messages[0][2] == b"Subject: x\r\n\r\nDone.\r\nBye\r\n"


def test_repair_is_for_data_alone() -> None:
    host = ready(options(repair_line_ends=True))
    host.send(MAIL, RCPT)
    says(host, b"BDAT 4 LAST\r\na\nb\n", replies.BAD_CONTENT, CLOSED)


# --- BDAT (desynchronisation: the octets would run as commands)

PAYLOAD = b"MAIL FROM:<x@y.test>\r\nRSET\r\n12"
assert len(PAYLOAD) == 30


@pytest.mark.parametrize("line", [b"BDAT 30\r\n", b"BDAT 30 LAST\r\n"])
@pytest.mark.parametrize(
    ("before", "reply"),
    [
        ((), replies.MAIL_FIRST),
        ((MAIL,), replies.NO_RECIPIENTS),
        ((MAIL, b"RCPT TO:<>\r\n"), replies.NO_RECIPIENTS),
    ],
)
def test_octets_are_read_whatever_is_wrong(before: tuple[bytes, ...], reply: Reply, line: bytes) -> None:
    host = ready()
    host.send(*before)
    says(host, line + PAYLOAD + b"NOOP\r\n", reply, replies.OK)
    assert host.connection.transaction is None
    assert codes(host.send(RCPT)) == [503]


def test_octets_are_read_before_authentication_and_before_ehlo() -> None:
    says(greeted(), b"BDAT 30\r\n" + PAYLOAD + b"NOOP\r\n", replies.AUTH_REQUIRED, replies.OK)
    says(greeted(tls=False), b"BDAT 30\r\n" + PAYLOAD + b"NOOP\r\n", replies.TLS_REQUIRED, replies.OK)
    host = greeted(options(require_auth=False))
    says(host, b"BDAT 30\r\n" + PAYLOAD + b"NOOP\r\n", replies.HELLO_FIRST, replies.OK)
    assert host.connection.state is State.GREETED


def test_octets_are_read_where_policy_refuses() -> None:
    host = ready(policy={ContentBegin: lambda event: replies.NO_RELAY})
    host.send(MAIL, RCPT)
    says(host, b"BDAT 30\r\n" + PAYLOAD + b"NOOP\r\n", replies.NO_RELAY, replies.OK)
    says(host, b"BDAT 30 LAST\r\n" + PAYLOAD, replies.MAIL_FIRST)


@pytest.mark.parametrize(
    "line",
    [
        *(b"BDAT 30 LAST x\r\n", b"BDAT -1\r\n", b"BDAT 99999999999999999999\r\n", b"BDAT 0x10\r\n", b"BDAT +5\r\n"),
        *(b"BDAT\r\n", b"BDAT LAST\r\n", b"BDAT 5 LASTING\r\n", b"BDAT 5\tLAST\r\n", b"BDAT 1e3\r\n"),
    ],
)
@pytest.mark.parametrize("before", [(), (MAIL, RCPT)], ids=["before MAIL", "behind RCPT"])
def test_a_size_that_is_none(line: bytes, before: tuple[bytes, ...]) -> None:
    host = ready()
    host.send(*before)
    says(host, line + PAYLOAD, replies.BAD_CHUNK, CLOSED)


def test_a_message_in_chunks() -> None:
    host = ready()
    said = host.send(MAIL + RCPT + b"BDAT 6\r\n.\r\n..\rBDAT 0\r\nBDAT 1\r\n\nBDAT 0 LAST\r\n" + MAIL)
    assert codes(said) == [250, 250, 250, 250, 250, 250, 250]
    assert [content for _, _, content in host.messages] == [b".\r\n..\r\n"]
    assert host.of(ContentBegin) == [ContentBegin(chunked=True)]
    assert len(host.of(ContentEnd)) == 1


def test_data_and_bdat_do_not_mix() -> None:
    host = ready()
    host.send(MAIL, RCPT, b"BDAT 1\r\nx")
    says(host, DATA, replies.CHUNKS_BEGUN)
    says(host, b"BDAT 3 LAST\r\ny\r\n", replies.message_taken(""))
    assert host.messages[0][2] == b"xy\r\n"


def test_binarymime_needs_bdat() -> None:
    host = ready()
    host.send(b"MAIL FROM:<> BODY=BINARYMIME\r\n", RCPT)
    says(host, DATA, replies.CHUNKS_ONLY)
    says(host, b"BDAT 5 LAST\r\na\rb\n\0", replies.message_taken(""))
    assert host.messages[0][2] == b"a\rb\n\0"


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rbc\r\n", b"a\0bcd\r\n", b"abcde\r"])
def test_chunks_of_text_hold_no_bare_line_end(body: bytes) -> None:
    for sent in (
        b"BDAT %d LAST\r\n%b" % (len(body), body),
        b"BDAT 2\r\n%bBDAT %d LAST\r\n%b" % (body[:2], len(body) - 2, body[2:]),
    ):
        host = ready()
        host.send(MAIL, RCPT)
        said = host.send(sent + b"NOOP\r\n")
        assert said.endswith(replies.BAD_CONTENT.encode())
        assert host.closed
        assert host.messages == []


def test_a_chunk_over_the_limit_is_read_and_the_rest_of_the_message_is_none() -> None:
    host = ready(options(size=10))
    host.send(MAIL, RCPT)
    says(host, b"BDAT 8\r\n12345678BDAT 3\r\n123BDAT 5 LAST\r\nRSET\nNOOP\r\n", *_over())
    assert host.messages == []


def _over() -> tuple[Reply, ...]:
    return replies.chunk_taken(8), replies.TOO_LARGE, replies.MAIL_FIRST, replies.OK


def test_a_chunk_so_big_that_its_end_is_not_waited_for() -> None:
    host = ready(options(size=10, swallow=10))
    host.send(MAIL, RCPT)
    says(host, b"BDAT 21\r\n", replies.TOO_LARGE, CLOSED)
    host = ready(options(size=10, swallow=10))
    host.send(MAIL, RCPT)
    assert codes(host.send(b"BDAT 10\r\n1234567890BDAT 11\r\n12345678901")) == [250, 552]
    assert host.closed


# --- STARTTLS (CVE-2011-0411, CVE-2021-38371, CVE-2024-34083)


@pytest.mark.parametrize(
    "behind", [b"NOOP injected\r\n", b"MAIL FROM:<a@b>\r\n", b"\x16\x03\x01\x02\x00\x01", b"\r\n", b"x"]
)
def test_what_follows_starttls_in_plain_text(behind: bytes) -> None:
    host = greeted(tls=False)
    host.send(b"EHLO x\r\n")
    says(host, b"STARTTLS\r\n" + behind, replies.OUT_OF_STEP, CLOSED)
    assert host.of(StartTls) == []


def test_what_follows_starttls_before_its_answer() -> None:
    connection = greeted(tls=False).connection
    connection.receive(b"EHLO x\r\n")
    connection.next_event()
    connection.accept()
    connection.data_to_send()
    connection.receive(b"STARTTLS\r\n")
    assert connection.next_event() == StartTls()
    connection.receive(b"NOOP\r\n")
    connection.accept()
    assert connection.data_to_send() == replies.OUT_OF_STEP.encode()
    assert connection.next_event() == Ended(replies.OUT_OF_STEP.text)


def test_starttls_forgets_all() -> None:
    host = greeted(options(require_tls=False, require_auth=False), tls=False)
    host.send(b"EHLO before\r\n")
    says(host, b"STARTTLS\r\n", replies.READY_FOR_TLS)
    assert (host.connection.hello, host.connection.tls) == ("", True)
    says(host, MAIL, replies.HELLO_FIRST)
    says(host, AUTH, replies.HELLO_FIRST)
    host.send(b"EHLO after\r\n")
    says(host, b"STARTTLS\r\n", replies.TLS_ALREADY)


def test_starttls_without_ehlo() -> None:
    """As GNU SASL has it."""
    host = greeted(options(), tls=False)
    says(host, b"STARTTLS\r\n", replies.READY_FOR_TLS)
    says(host, b"STARTTLS\r\n", replies.TLS_ALREADY)
    says(host, AUTH, replies.HELLO_FIRST)


def test_starttls_at_the_wrong_time() -> None:
    host = greeted(options(require_tls=False), tls=False)
    host.send(b"EHLO x\r\n")
    says(host, b"STARTTLS x\r\n", replies.NO_ARGUMENT)
    host.send(AUTH)
    says(host, b"STARTTLS\r\n", replies.TLS_AFTER_AUTH)
    host.send(MAIL)
    says(host, b"STARTTLS\r\n", replies.BAD_SEQUENCE)


# --- AUTH


def test_auth_before_tls_is_not_read() -> None:
    host = greeted(tls=False)
    assert b"AUTH" not in host.send(b"EHLO x\r\n")
    says(host, AUTH, replies.ENCRYPTION_REQUIRED)
    says(host, b"AUTH PLAIN not-base64!\r\n", replies.ENCRYPTION_REQUIRED)
    assert replies.ENCRYPTION_REQUIRED.encode().startswith(b"538 5.7.11 ")
    assert host.of(AuthBegin) == []


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"AUTH PLAIN AGpvZQBzZWNyZXQ= x\r\n", replies.BAD_AUTH),
        (b"AUTH\r\n", replies.BAD_AUTH),
        (b"AUTH GSSAPI\r\n", replies.UNKNOWN_MECHANISM),
        (b"AUTH PLAIN AGpvZQBzZWNyZXQ\r\n", replies.BAD_BASE64),
        (b"AUTH PLAIN AGpv ZQBzZWNyZXQ=\r\n", replies.BAD_AUTH),
        (b"AUTH PLAIN !!!!\r\n", replies.BAD_BASE64),
        (b"AUTH PLAIN =\r\n", replies.AUTH_FAILED),
    ],
)
def test_auth_malformed(line: bytes, reply: Reply) -> None:
    host = greeted()
    host.send(b"EHLO x\r\n")
    says(host, line, reply)
    says(host, AUTH, replies.AUTHENTICATED)


@pytest.mark.parametrize(
    "line", [b"AGpvZQBzZWNyZXQ\r\n", b"AGpv ZQBzZWNyZXQ=\r\n", b"=\r\n", b"**\r\n", b"MAIL FROM:<>\r\n"]
)
def test_a_response_malformed(line: bytes) -> None:
    host = greeted()
    host.send(b"EHLO x\r\n", b"AUTH PLAIN\r\n")
    says(host, line, replies.BAD_BASE64)
    assert host.connection.state is State.READY


def test_auth_twice_and_within_a_transaction() -> None:
    host = ready()
    says(host, AUTH, replies.AUTH_ALREADY)
    says(host, MAIL + AUTH, replies.SENDER_OK, replies.BAD_SEQUENCE)
    host = greeted(options(require_auth=False))
    host.send(b"EHLO x\r\n")
    says(host, MAIL + AUTH, replies.SENDER_OK, replies.BAD_SEQUENCE)


@pytest.mark.parametrize("line", [AUTH, b"AUTH LOGIN\r\n"])
def test_what_follows_auth_before_its_answer_is_never_run(line: bytes) -> None:
    host = greeted()
    host.send(b"EHLO x\r\n")
    says(host, line + MAIL, replies.OUT_OF_STEP, CLOSED)
    assert host.of(AuthBegin) == host.of(MailFrom) == []


def test_what_follows_the_last_response_is_never_run() -> None:
    host = greeted()
    host.send(b"EHLO x\r\n", b"AUTH PLAIN\r\n")
    says(host, b"AGpvZQBzZWNyZXQ=\r\n" + MAIL, replies.OUT_OF_STEP, CLOSED)
    assert host.of(MailFrom) == []


def test_what_comes_while_the_password_is_checked_is_never_run() -> None:
    connection = greeted().connection
    connection.receive(b"EHLO x\r\n")
    connection.next_event()
    connection.accept()
    connection.data_to_send()
    connection.receive(AUTH)
    assert connection.next_event() == AuthBegin("PLAIN", RIGHT)
    connection.receive(MAIL)
    connection.accept()
    assert connection.data_to_send() == replies.OUT_OF_STEP.encode()
    assert not connection.authenticated


@pytest.mark.parametrize("octets", [12288, 12289, 20000])
def test_the_length_of_a_response(octets: int) -> None:
    line = b"A" * octets
    host = greeted()
    host.send(b"EHLO x\r\n", b"AUTH PLAIN\r\n")
    if octets > 12288:
        says(host, line + b"\r\n", replies.AUTH_LINE_TOO_LONG, CLOSED)
        assert replies.AUTH_LINE_TOO_LONG.encode().startswith(b"500 5.5.6 ")
    else:
        says(host, line + b"\r\n", replies.AUTH_FAILED)


def test_a_response_without_end() -> None:
    host = greeted()
    host.send(b"EHLO x\r\n")
    says(host, b"AUTH PLAIN " + b"A" * 12290, replies.AUTH_LINE_TOO_LONG, CLOSED)


def test_three_failures_end_it() -> None:
    host = greeted()
    host.send(b"EHLO x\r\n")
    wrong = b"AUTH PLAIN AGpvZQB3cm9uZw==\r\n"
    says(host, wrong, replies.AUTH_FAILED)
    says(host, b"AUTH PLAIN ?\r\n", replies.BAD_BASE64)
    says(host, wrong, replies.AUTH_FAILED, replies.TOO_MANY_FAILURES, CLOSED)


# --- lines


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"NOOP\rQUIT\r\n", b"NO\0OP\r\n", b"MAIL FROM:<v\0@x.test>\r\n", b"\n", b"NOOP\r\r\n"]
)
def test_lines_that_end_otherwise(line: bytes) -> None:
    for host in (greeted(), ready()):
        says(host, line + b"NOOP\r\n", replies.BAD_LINE, CLOSED)


def test_eight_bit_commands() -> None:
    host = ready()
    says(host, b"MAIL FROM:<j\xc3\xa9@x.test>\r\n", replies.NON_ASCII)
    says(host, b"MAIL FROM:<j\xe9@x.test> SMTPUTF8\r\n", replies.BAD_UTF8)
    says(host, b"MAIL FROM:<j\xc3\xa9@x.test> SMTPUTF8\r\n", replies.SENDER_OK)
    says(host, b"RCPT TO:<\xc3\xa9@x.test>\r\n", replies.RECIPIENT_OK)
    says(host, b"RSET\r\n" + MAIL + b"RCPT TO:<\xc3\xa9@x.test>\r\n", replies.OK, replies.SENDER_OK, replies.NON_ASCII)


@pytest.mark.parametrize("verb", [b"NOOP ", b"EHLO ", b"FOO ", b"", b"AUTHX "])
def test_a_long_command(verb: bytes) -> None:
    says(greeted(), verb + b"x" * (600 - len(verb)) + b"\r\n", replies.LINE_TOO_LONG, CLOSED)


@pytest.mark.parametrize("verb", [b"MAIL FROM:<", b"RCPT TO:<"])
def test_a_long_command_that_may_be(verb: bytes) -> None:
    host = ready()
    host.send(MAIL)
    assert codes(host.send(verb + b"x" * 1500 + b"\r\n")) in ([501], [503])
    says(host, verb + b"x" * 3000, replies.LINE_TOO_LONG, CLOSED)


def test_200_kilobytes_without_an_end() -> None:
    host = greeted()
    host.send(b"x" * 512)
    assert not host.closed
    says(host, b"x" * 199_488, replies.LINE_TOO_LONG, CLOSED)


def test_a_long_line_of_content() -> None:
    line = b"x" * 5000 + b"\r\n"
    assert codes(at_content().send(line + b".\r\n")) == [250]
    host = at_content(options(line=998))
    assert host.send(line) == b""
    says(host, b".\r\n", replies.CONTENT_LINE_TOO_LONG)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"OPTIONS * HTTP/1.0\r\n", b"PRI * HTTP/2.0\r\n"]
)
def test_browsers(line: bytes) -> None:
    for host in (greeted(), ready()):
        says(host, line + b"Host: x\r\n\r\nEHLO x\r\n", replies.NOT_HTTP, CLOSED)


def test_tls_where_there_is_none() -> None:
    says(greeted(tls=False), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", replies.BAD_LINE, CLOSED)


# --- early talkers, pipelining


@pytest.mark.parametrize("early", [b"EHLO x\r\nMAIL FROM:<>\r\n", b"E", b"\r\n"])
def test_early_talkers(early: bytes) -> None:
    host = Host()
    host.connection.receive(early)
    host.connection.greet()
    assert host.run() == replies.OUT_OF_STEP.encode()
    assert host.closed


@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
def test_what_follows_ehlo_in_one_segment_is_never_run(verb: bytes) -> None:
    host = greeted(options(require_auth=False))
    says(host, verb + b" x\r\n" + MAIL, replies.OUT_OF_STEP, CLOSED)
    assert host.events == [Ended(replies.OUT_OF_STEP.text)]


BODY = b"MAIL FROM:<evil@evil.test>\r\nRCPT TO:<v@victim.test>\r\nDATA\r\n"


@pytest.mark.parametrize(
    ("before", "reply"),
    [((), replies.MAIL_FIRST), ((MAIL,), replies.NO_RECIPIENTS), ((MAIL, b"RCPT TO:<>\r\n"), replies.NO_RECIPIENTS)],
)
def test_a_body_behind_data_that_was_refused_is_never_run(before: tuple[bytes, ...], reply: Reply) -> None:
    host = ready()
    host.send(*before)
    senders = len(host.of(MailFrom))
    says(host, DATA + BODY, reply, CLOSED)
    assert len(host.of(MailFrom)) == senders


def test_a_body_behind_data_that_policy_refused_is_never_run() -> None:
    host = ready(policy={ContentBegin: lambda event: replies.NO_RELAY})
    host.send(MAIL, RCPT)
    says(host, DATA + BODY, replies.NO_RELAY, CLOSED)
    host = greeted()
    host.send(b"EHLO x\r\n")
    says(host, DATA + BODY, replies.AUTH_REQUIRED, CLOSED)


# --- floods and bounds


@pytest.mark.parametrize("line", [b"FOO\r\n", b"\r\n", b"MAIL\r\n", b"RCPT TO:<a@b.test>\r\n", b"EHLO\r\n"])
def test_twenty_errors(line: bytes) -> None:
    host = greeted(options(require_auth=False))
    host.send(b"EHLO x\r\n")
    assert {code // 100 for code in codes(host.send(*[line] * 19))} == {5}
    assert not host.closed
    says(host, line, replies.TOO_MANY_ERRORS, CLOSED)


def test_the_last_error_is_the_last_word() -> None:
    host = ready(options(errors=1))
    says(host, DATA + BODY, replies.TOO_MANY_ERRORS, CLOSED)


def test_a_list_of_addresses_may_have_its_faults() -> None:
    host = ready()
    host.send(MAIL)
    assert codes(host.send(b"RCPT TO:<no address>\r\n" * 50 + RCPT)) == [501] * 50 + [250]


@pytest.mark.parametrize(
    "line", [b"NOOP\r\n", b"RSET\r\n", b"VRFY x\r\n", b"EXPN x\r\n", b"HELP\r\n", b"EHLO x\r\n", b"BDAT 1\r\nx"]
)
def test_commands_that_bring_no_message(line: bytes) -> None:
    host = ready()  # with one EHLO
    host.send(*[line] * 99)
    assert not host.closed
    host.send(line, line)
    assert host.closed
    assert host.ended == replies.TOO_MANY_COMMANDS.text


def test_chunks_of_nothing() -> None:
    host = ready()
    host.send(MAIL, RCPT, b"BDAT 1\r\nx", b"BDAT 0\r\n" * 110)
    assert host.closed


def test_a_message_makes_up_for_it() -> None:
    host = ready()
    host.send(
        *[b"NOOP\r\n"] * 90, *[b"FOO\r\n"] * 15, MAIL, RCPT, DATA, b".\r\n", *[b"NOOP\r\n"] * 90, *[b"FOO\r\n"] * 15
    )
    assert not host.closed


def test_size() -> None:
    host = at_content(options(size=10))
    assert host.send(b"12345678\r\n1", b"x" * 99) == b""
    says(host, b"\r\n.\r\nRSET\r\n", replies.TOO_LARGE, replies.OK)
    assert codes(at_content(options(size=10)).send(b"..345678\r\n\r\n.\r\n")) == [552]
    # a dot that was added does not count
    assert codes(at_content(options(size=10)).send(b"..2345678\r\n.\r\n")) == [250]


def test_from_lines_without_end_count_like_others() -> None:
    host = at_content(options(size=100))
    says(host, b"From x\r\n" * 99 + b".\r\n", replies.TOO_LARGE)


def test_content_so_big_that_its_end_is_not_waited_for() -> None:
    host = at_content(options(size=10, swallow=10))
    assert host.send(b"x" * 20) == b""
    says(host, b"x", replies.TOO_LARGE, CLOSED)


def test_a_big_header() -> None:
    host = at_content(options(header=20))
    says(host, b"Subject: 12345678901\r\n\r\n.\r\n", replies.HEADER_TOO_LARGE)
    assert codes(host.send(MAIL, RCPT, DATA, b"Subject: 1\r\n\r\n" + b"x" * 99 + b"\r\n.\r\n")) == [250, 250, 354, 250]


def test_hops_are_told() -> None:
    host = at_content()
    host.send(b"Received: x\r\n" * 30 + b"\r\nReceived: x\r\n.\r\n")
    assert host.of(ContentEnd)[0].summary.hops == 30


# --- relaying: without authentication nothing, whatever the spelling (the spellings: test_addresses)


@pytest.mark.parametrize(
    "path",
    [
        b"<v%evil.test@local.test>",
        b'<"v@evil.test"@local.test>',
        b"<evil.test!v@local.test>",
        b"<@local.test:v@evil.test>",
        b"<v@local.test>",
        b"<v@[127.0.0.1]>",
        b"<postmaster>",
        b"<>",
    ],
)
def test_no_recipient_without_authentication(path: bytes) -> None:
    host = greeted()
    host.send(b"EHLO x\r\n")
    says(host, MAIL + b"RCPT TO:" + path + b"\r\n", replies.AUTH_REQUIRED, replies.AUTH_REQUIRED)
    assert host.of(RcptTo) == []


def test_the_domain_that_counts_is_the_one_that_is_told() -> None:
    host = ready()
    host.send(MAIL, b"RCPT TO:<@local.test:v@evil.test>\r\n", b'RCPT TO:<"v@evil.test"@local.test>\r\n')
    assert [(event.mailbox.domain, str(event.mailbox)) for event in host.of(RcptTo)] == [
        ("evil.test", "v@evil.test"),
        ("local.test", '"v@evil.test"@local.test'),
    ]


@pytest.mark.parametrize(
    "path", [b"<v@evil.test@local.test>", b"<>", b"<v@x.test.>", b"<v(c)@x.test>", b"<v>", b"v@x.test"]
)
def test_no_such_recipient(path: bytes) -> None:
    host = ready()
    says(host, MAIL + b"RCPT TO:" + path + b"\r\n", replies.SENDER_OK, replies.BAD_ADDRESS)


# --- xtext (CVE-2020-28021, CVE-2020-28026)


def test_controls_in_xtext() -> None:
    host = ready()
    says(host, b"MAIL FROM:<> AUTH=a@b.test+0D+0AX:+20y\r\n", replies.BAD_PARAMETER)
    says(host, b"MAIL FROM:<> ENVID=a+0Ab\r\n", replies.BAD_PARAMETER)
    host.send(MAIL)
    says(host, b"RCPT TO:<v@x.test> ORCPT=rfc822;v@x+0D+0AEvil:+20y\r\n", replies.BAD_PARAMETER)
    assert replies.BAD_PARAMETER.encode().startswith(b"501 5.5.4 ")


# --- what an error leaves behind: nothing (audits of Postfix and Exim, 2020 to 2026)


@pytest.mark.parametrize("content", [b"x\r\n.\r\n", b"x" * 2000 + b"\r\n.\r\n"], ids=["policy", "size"])
def test_behind_a_message_that_was_refused_there_is_no_transaction(content: bytes) -> None:
    host = at_content(options(size=1000), policy={ContentEnd: lambda event: replies.NO_RELAY})
    assert codes(host.send(content, RCPT, DATA, b"BDAT 1 LAST\r\nx")) in ([550, 503, 503, 503], [552, 503, 503, 503])
    assert host.messages == []


def test_behind_a_chunk_that_was_refused_there_is_no_transaction() -> None:
    host = ready(options(size=10))
    host.send(MAIL, RCPT, b"BDAT 11\r\n12345678901")
    assert codes(host.send(DATA, RCPT, b"BDAT 1 LAST\r\nx")) == [503, 503, 503]
    assert host.messages == []


def test_vrfy_changes_nothing() -> None:
    host = ready()
    host.send(MAIL, RCPT, b"VRFY j\xc3\xa9@x.test\r\n")
    assert codes(host.send(DATA, b".\r\n")) == [354, 250]
    assert str(host.messages[0][0]) == "joe@example.org"


def test_very_many_small_chunks() -> None:
    host = ready()
    host.send(MAIL, RCPT, b"BDAT 1\r\nx" * 5000)
    assert codes(host.send(b"BDAT 2 LAST\r\n\r\n")) == [250]
    assert host.messages[0][2] == b"x" * 5000 + b"\r\n"


def test_a_refused_sender_leaves_none() -> None:
    host = ready(policy={MailFrom: lambda event: None if event.sender else replies.NOT_YOUR_SENDER})
    assert codes(host.send(b"MAIL FROM:<>\r\n", RCPT, MAIL, RCPT)) == [553, 503, 250, 250]
    says(host, MAIL, replies.NESTED_MAIL)
    assert codes(host.send(DATA, b".\r\n")) == [354, 250]


def test_the_hostname_is_ours() -> None:
    assert OPTIONS.hostname.encode() in greeted().send(b"EHLO x\r\n")
