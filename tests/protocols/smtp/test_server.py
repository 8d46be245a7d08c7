"""The machine in dialogues: what is offered, the usual ways, and every rule of the state tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from saslpy.protocols.smtp import replies
from saslpy.protocols.smtp.content import Summary
from saslpy.protocols.smtp.events import (
    AuthBegin,
    AuthCancelled,
    AuthResponse,
    ContentBegin,
    ContentEnd,
    ContentPiece,
    Ended,
    Hello,
    MailFrom,
    RcptTo,
    Reset,
    StartTls,
    Xclient,
)
from saslpy.protocols.smtp.options import EXTENSIONS, FutureRelease
from saslpy.protocols.smtp.server import Connection
from saslpy.protocols.smtp.states import ALLOWED, NEXT, OUT_OF_SEQUENCE, State

from .host import AUTH, DATA, GREETING, MAIL, OPTIONS, RCPT, RIGHT, Host, at_content, codes, greeted, options, ready

# --- what is offered


def offered(host: Host) -> list[str]:
    return [line[4:].decode() for line in host.send(b"EHLO x\r\n").splitlines()]


def test_what_is_offered_before_tls() -> None:
    assert offered(greeted(tls=False)) == [
        "mail.example.org",
        "PIPELINING",
        "SIZE 52428800",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
        "LIMITS RCPTMAX=1000",
        "STARTTLS",
    ]


def test_what_is_offered_with_tls() -> None:
    assert offered(greeted())[-3:] == ["LIMITS RCPTMAX=1000", "AUTH PLAIN LOGIN", "REQUIRETLS"]
    host = greeted(options(require_tls=False), tls=False)
    assert {"STARTTLS", "AUTH PLAIN LOGIN"} <= set(offered(host))


def test_what_is_offered_where_it_is_configured() -> None:
    release = FutureRelease(3600, lambda: datetime(2030, 1, 2, 2, 4, 5, tzinfo=UTC))
    host = greeted(options(future_release=release, deliver_by=60, priorities="MIXER", xclient=True, messages=9))
    assert offered(host)[-4:] == [
        "FUTURERELEASE 3600 2030-01-02T03:04:05Z",
        "DELIVERBY 60",
        "MT-PRIORITY MIXER",
        "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
    ]
    assert "LIMITS MAILMAX=9 RCPTMAX=1000" in offered(host)
    assert "DELIVERBY" in offered(greeted(options(deliver_by=0)))
    assert "MT-PRIORITY" in offered(greeted(options(priorities="")))


def test_what_is_not_offered() -> None:
    host = greeted(options(extensions=EXTENSIONS - {"CHUNKING", "SIZE"}, mechanisms=(), recipients=0))
    assert not {"CHUNKING", "BINARYMIME", "SIZE 52428800", "LIMITS", "AUTH"} & set(offered(host))
    assert codes(host.send(b"AUTH PLAIN\r\n", b"BDAT 2\r\nxx", b"HELO x\r\n")) == [502, 530, 250]


def test_helo_has_no_extensions() -> None:
    host = greeted()
    assert host.send(b"HELO x\r\n") == b"250 mail.example.org\r\n"
    assert (host.connection.hello, host.connection.esmtp) == ("x", False)
    assert host.events == [Hello("x", False)]


# --- the usual ways


def test_a_message_step_by_step() -> None:
    host = ready()
    assert host.send(b"MAIL FROM:<Joe@Example.org> SIZE=12 BODY=8BITMIME\r\n") == b"250 2.1.0 Sender ok\r\n"
    assert host.send(b'RCPT TO:<"ann"@EXAMPLE.net> NOTIFY=NEVER\r\n') == b"250 2.1.5 Recipient ok\r\n"
    assert host.send(DATA) == b"354 End data with <CR><LF>.<CR><LF>\r\n"
    assert host.send(b"Subject: x\r\n\r\n..\xc3\xa9\r\n.\r\n") == b"250 2.0.0 Message accepted\r\n"
    assert host.send(b"QUIT\r\n") == b"221 2.0.0 Goodbye\r\n"
    [(sender, to, content)] = host.messages
    assert (str(sender), to, content) == ("Joe@example.org", ["ann@example.net"], b"Subject: x\r\n\r\n.\xc3\xa9\r\n")
    assert host.of(ContentEnd) == [ContentEnd(Summary(19, 14, 0, 10, True))]
    assert [type(event) for event in host.events] == [
        *(Hello, AuthBegin, MailFrom, RcptTo, ContentBegin, ContentPiece, ContentEnd, Ended)
    ]
    assert (host.ended, host.closed) == ("", True)


def test_all_in_one_segment() -> None:
    # RFC 2920, 5: the end of data and QUIT may come together
    host = ready()
    said = host.send(MAIL + RCPT + RCPT + DATA + b"x\r\n.\r\n" + MAIL + RCPT + DATA + b"y\r\n.\r\nQUIT\r\n")
    assert codes(said) == [250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    assert [content for _, _, content in host.messages] == [b"x\r\n", b"y\r\n"]


def test_the_null_sender() -> None:
    host = ready()
    assert codes(host.send(b"MAIL FROM:<>\r\n", RCPT, DATA, b".\r\n")) == [250, 250, 354, 250]
    assert host.messages == [(None, ["ann@example.net"], b"")]


def test_what_is_answered_without_telling() -> None:
    host = greeted(tls=False)
    assert host.send(b"NOOP\r\n", b"NOOP hello there\r\n") == replies.OK.encode() * 2
    assert host.send(b"VRFY joe@example.org\r\n", b"VRFY j\xc3\xa9\r\n") == replies.CANNOT_VERIFY.encode() * 2
    assert host.send(b"EXPN staff\r\n") == replies.NOT_IMPLEMENTED.encode()
    assert host.send(b"HELP\r\n", b"HELP MAIL\r\n") == replies.HELP.encode() * 2
    assert host.send(b"RSET\r\n") == replies.OK.encode()
    assert host.send(b"ETRN x\r\n", b"BURL imap://x\r\n", b"\r\n") == replies.UNKNOWN_COMMAND.encode() * 3
    assert host.events == []


@pytest.mark.parametrize("verb", [b"DATA", b"RSET", b"QUIT", b"STARTTLS"])
def test_commands_without_arguments(verb: bytes) -> None:
    host = ready() if verb != b"STARTTLS" else greeted(tls=False)
    host.send(b"EHLO x\r\n", MAIL, RCPT) if verb == b"DATA" else host.send(b"EHLO x\r\n")
    host.send(MAIL, RCPT)
    assert host.send(verb + b" x\r\n") == replies.NO_ARGUMENT.encode()


def test_lower_case() -> None:
    host = greeted()
    host.send(b"ehlo x\r\n", b"auth plain AGpvZQBzZWNyZXQ=\r\n")
    said = host.send(b"mail from:<>\r\n", b"rcpt to:<a@b.test>\r\n", b"data\r\n", b".\r\n", b"quit\r\n")
    assert codes(said) == [250, 250, 354, 250, 221]


def test_the_servers_own_words() -> None:
    connection = ready().connection
    connection.receive(MAIL)
    connection.next_event()
    connection.accept(replies.reply(250, "2.1.0", "fine"))
    assert connection.data_to_send() == b"250 2.1.0 fine\r\n"


def test_the_server_says_no() -> None:
    later = replies.reply(451, "4.3.0", "later")
    policy = {RcptTo: lambda event: later if event.mailbox.local == "bad" else None}
    host = ready(policy=policy)
    said = host.send(MAIL, b"RCPT TO:<bad@x.test>\r\n", RCPT, b"RCPT TO:<bad@x.test>\r\n", DATA, b".\r\n")
    assert codes(said) == [250, 451, 250, 451, 354, 250]
    assert host.messages[0][1] == ["ann@example.net"]


@pytest.mark.parametrize("kind", [MailFrom, ContentBegin, ContentEnd])
def test_a_refused_message_is_gone(kind: type) -> None:
    host = ready(policy={kind: lambda event: replies.NO_RELAY})
    host.send(MAIL, RCPT)
    host.send(DATA)
    if kind is ContentEnd:
        assert codes(host.send(b"x\r\n.\r\n")) == [550]
    assert host.connection.transaction is None
    assert codes(host.send(RCPT, DATA)) == [503, 503]
    assert host.messages == []


def test_content_is_refused_on_its_way_and_told_at_its_end() -> None:
    host = at_content(policy={ContentPiece: lambda event: replies.LOCAL_ERROR})
    assert host.send(b"x\r\n", b"\r\n.x\r\n", b"MAIL FROM:<>\r\n") == b""
    assert len(host.of(ContentPiece)) == 1
    assert host.send(b".\r\n") == replies.LOCAL_ERROR.encode()
    assert codes(host.send(RCPT, MAIL)) == [503, 250]
    assert host.of(ContentEnd) == []


def test_content_that_came_at_once_can_be_refused_as_well() -> None:
    host = at_content(policy={ContentPiece: lambda event: replies.LOCAL_ERROR})
    assert host.send(b"x\r\n.\r\nRSET\r\n") == replies.LOCAL_ERROR.encode() + replies.OK.encode()


def test_the_server_closes() -> None:
    host = at_content()
    host.send(b"x\r\n")
    host.connection.close(replies.TIMED_OUT)
    assert host.run() == replies.TIMED_OUT.encode()
    assert host.ended == replies.TIMED_OUT.text
    host.connection.close()
    host.connection.receive(b"NOOP\r\n")
    assert host.run() == b""


def test_a_refusal_with_421_closes() -> None:
    host = ready(policy={MailFrom: lambda event: replies.CLOSING})
    assert host.send(MAIL + RCPT) == replies.CLOSING.encode()
    assert host.closed


def test_faults_of_the_server_around_are_told() -> None:
    connection = Connection(OPTIONS)
    with pytest.raises(RuntimeError, match="no event"):
        connection.accept()
    with pytest.raises(RuntimeError, match="no event"):
        connection.refuse(replies.NO_RELAY)
    with pytest.raises(RuntimeError, match="for TLS"):
        connection.tls_started()
    connection.greet()
    with pytest.raises(RuntimeError, match="CONNECTED"):
        connection.greet()
    with pytest.raises(ValueError, match="no refusal"):
        connection.refuse(replies.OK)
    connection.receive(b"EHLO x\r\n")
    assert connection.next_event() == Hello("x", True)
    with pytest.raises(RuntimeError, match="not answered"):
        connection.next_event()
    with pytest.raises(ValueError, match="a refusal"):
        connection.accept(replies.NO_RELAY)


def test_nothing_secret_is_shown() -> None:
    shown = f"{AuthBegin('PLAIN', RIGHT)} {AuthResponse(RIGHT)} {ContentPiece(b'secret')}"
    assert "secret" not in shown


# --- sequence (2b to 2f of what attackers do is in test_server_attacks)

TO_STATE: dict[State, list[bytes]] = {
    State.GREETED: [],
    State.READY: [b"EHLO x\r\n"],
    State.MAIL: [b"EHLO x\r\n", MAIL],
    State.RCPT: [b"EHLO x\r\n", MAIL, RCPT],
    State.CHUNKS: [b"EHLO x\r\n", MAIL, RCPT, b"BDAT 1\r\nx"],
}
LINES = {
    "EHLO": b"EHLO x\r\n",
    "HELO": b"HELO x\r\n",
    "STARTTLS": b"STARTTLS\r\n",
    "AUTH": AUTH,
    "XCLIENT": b"XCLIENT ADDR=192.0.2.1\r\n",
    "MAIL": MAIL,
    "RCPT": RCPT,
    "DATA": DATA,
    "BDAT": b"BDAT 1\r\nx",
    "RSET": b"RSET\r\n",
    "NOOP": b"NOOP\r\n",
    "QUIT": b"QUIT\r\n",
    "HELP": b"HELP\r\n",
    "VRFY": b"VRFY x\r\n",
    "EXPN": b"EXPN x\r\n",
}


@pytest.mark.parametrize("verb", LINES)
@pytest.mark.parametrize("state", TO_STATE, ids=lambda state: state.name)
def test_every_command_in_every_state(state: State, verb: str) -> None:
    host = greeted(options(require_tls=False, require_auth=False, xclient=True), tls=False)
    host.send(*TO_STATE[state])
    assert host.connection.state is state
    [code] = codes(host.send(LINES[verb]))
    if verb in ALLOWED[state]:
        assert code < 400 or (verb, code) == ("EXPN", 502)
        assert host.connection.state in {
            NEXT.get(verb, state),
            NEXT["message"],
            NEXT["handshake"],
            NEXT["chunk"],
            state,
        }
    else:
        reply = OUT_OF_SEQUENCE[state].get(verb, replies.BAD_SEQUENCE)
        assert code == reply.code
        dropped = reply is replies.NO_RECIPIENTS or (verb == "BDAT" and state is not State.GREETED)
        assert host.connection.state is (State.READY if dropped else state)


@pytest.mark.parametrize(
    "state", [state for state in TO_STATE if state is not State.GREETED], ids=lambda state: state.name
)
@pytest.mark.parametrize("verb", ["RSET", "EHLO", "HELO"])
def test_what_resets(state: State, verb: str) -> None:
    host = greeted(options(require_tls=False, require_auth=False), tls=False)
    host.send(*TO_STATE[state])
    assert codes(host.send(LINES[verb])) == [250]
    assert host.connection.state is State.READY
    assert host.connection.transaction is None
    assert host.resets == (state is not State.READY)
    assert host.of(Reset) == [] or host.of(Reset) == [Reset("RSET" if verb == "RSET" else "EHLO")]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "BDAT"])
@pytest.mark.parametrize("state", [State.GREETED, State.READY], ids=lambda state: state.name)
def test_nothing_without_tls_and_authentication(state: State, verb: str) -> None:
    host = greeted(tls=False)
    host.send(*TO_STATE[state])
    assert host.send(LINES[verb]) == replies.TLS_REQUIRED.encode()
    host = greeted()
    host.send(*TO_STATE[state])
    assert host.send(LINES[verb]) == replies.AUTH_REQUIRED.encode()
    assert host.connection.state is state


def test_authentication_lasts_over_ehlo_and_rset() -> None:
    host = ready()
    assert codes(host.send(b"EHLO x\r\n", b"RSET\r\n", MAIL)) == [250, 250, 250]


# --- XCLIENT


def test_xclient_is_for_whom_it_is_allowed() -> None:
    host = greeted()
    assert host.send(b"EHLO x\r\n", b"XCLIENT LOGIN=root\r\n").endswith(replies.XCLIENT_REFUSED.encode())
    assert not host.connection.authenticated
    host = greeted(options(xclient=True))
    host.send(b"EHLO proxy\r\n")
    assert host.send(b"XCLIENT ADDR=192.0.2.1 LOGIN=joe\r\n") == GREETING
    assert host.of(Xclient) == [Xclient({"ADDR": "192.0.2.1", "LOGIN": "joe"})]
    assert (host.connection.hello, host.connection.authenticated) == ("", True)
    assert codes(host.send(MAIL, b"EHLO x\r\n", MAIL, b"XCLIENT ADDR=192.0.2.2\r\n")) == [503, 250, 250, 503]


def test_xclient_without_a_login_forgets_who_it_was() -> None:
    host = ready(options(xclient=True))
    host.send(b"XCLIENT ADDR=192.0.2.1\r\n")
    assert codes(host.send(b"EHLO x\r\n", MAIL)) == [250, 530]


def test_xclient_has_an_answer_of_its_own() -> None:
    connection = Connection(options(xclient=True), True)
    connection.greet()
    connection.receive(b"XCLIENT ADDR=1\r\n")
    connection.next_event()
    with pytest.raises(RuntimeError, match="of its own"):
        connection.accept()


# --- AUTH


def test_auth_in_steps() -> None:
    host = greeted()
    host.send(b"EHLO x\r\n")
    assert host.send(b"AUTH LOGIN\r\n") == b"334 \r\n"
    assert host.send(b"AGpvZQBzZWNyZXQ=\r\n") == replies.AUTHENTICATED.encode()
    assert host.events[1:] == [AuthBegin("LOGIN", None), AuthResponse(RIGHT)]


def test_auth_cancelled() -> None:
    host = greeted()
    host.send(b"EHLO x\r\n", b"AUTH LOGIN\r\n")
    assert host.send(b"*\r\n") == b"501 5.7.0 Authentication cancelled\r\n"
    assert host.events[-1] == AuthCancelled()
    assert host.send(b"NOOP\r\n") == replies.OK.encode()
    assert host.connection.state is State.READY


def test_an_empty_response_and_an_empty_initial_response() -> None:
    host = greeted()
    host.send(b"EHLO x\r\n", b"AUTH PLAIN =\r\n", b"AUTH PLAIN\r\n", b"\r\n")
    assert host.events[1:] == [AuthBegin("PLAIN", b""), AuthBegin("PLAIN", None), AuthResponse(b"")]


def test_a_store_that_is_away_is_no_failure() -> None:
    host = greeted(policy={AuthBegin: lambda event: replies.AUTH_LATER})
    host.send(b"EHLO x\r\n")
    assert host.send(*[AUTH] * 9) == replies.AUTH_LATER.encode() * 9
    assert not host.closed


def test_mechanisms_may_be_others_with_tls() -> None:
    connection = Connection(OPTIONS)
    connection.greet()
    connection.receive(b"EHLO x\r\n")
    connection.next_event()
    connection.accept()
    connection.receive(b"STARTTLS\r\n")
    assert connection.next_event() == StartTls()
    connection.accept()
    with pytest.raises(RuntimeError, match="handshake"):
        connection.receive(b"x")
    assert connection.next_event() is None
    connection.tls_started(("EXTERNAL",))
    connection.data_to_send()
    connection.receive(b"EHLO x\r\n")
    connection.next_event()
    connection.accept()
    assert b"250-AUTH EXTERNAL\r\n" in connection.data_to_send()


# --- sizes and counts


def test_a_declared_size_over_the_limit() -> None:
    host = ready(options(size=1000))
    assert host.send(b"MAIL FROM:<> SIZE=1001\r\n") == replies.TOO_LARGE.encode()
    assert codes(host.send(b"MAIL FROM:<> SIZE=1000\r\n")) == [250]


def test_recipients_over_the_limit() -> None:
    host = ready(options(recipients=2))
    assert host.send(MAIL, RCPT, RCPT, RCPT).endswith(b"452 4.5.3 Too many recipients\r\n")
    assert codes(host.send(DATA, b".\r\n")) == [354, 250]
    assert len(host.messages[0][1]) == 2


def test_messages_over_the_limit() -> None:
    host = ready(options(messages=1))
    assert codes(host.send(MAIL, RCPT, DATA, b".\r\n", MAIL)) == [250, 250, 354, 250, 421]
    assert host.closed


def test_a_release_beyond_the_limit() -> None:
    release = FutureRelease(3600, lambda: datetime(2029, 12, 31, 23, tzinfo=UTC))
    host = ready(options(future_release=release))
    said = host.send(
        *(b"MAIL FROM:<> HOLDFOR=3601\r\n", b"MAIL FROM:<> HOLDUNTIL=2030-01-01T00:00:01Z\r\n"),
        *(b"MAIL FROM:<> HOLDUNTIL=0001-01-01T00:00:00Z\r\n", b"RSET\r\n", b"MAIL FROM:<> HOLDFOR=3600\r\n"),
    )
    assert codes(said) == [501, 501, 250, 250, 250]
    assert said.startswith(b"501 5.5.4 The release time is beyond the limit\r\n")


def test_the_latest_release_moves_on() -> None:
    times = [datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC)]
    host = greeted(options(future_release=FutureRelease(3600, lambda: times[0])))
    assert "FUTURERELEASE 3600 2030-01-01T01:00:00Z" in offered(host)
    del times[0]
    assert "FUTURERELEASE 3600 2030-01-02T01:00:00Z" in offered(host)


def test_requiretls_is_for_tls() -> None:
    host = greeted(options(require_tls=False, require_auth=False), tls=False)
    assert codes(host.send(b"EHLO x\r\n", b"MAIL FROM:<> REQUIRETLS\r\n")) == [250, 555]
    assert codes(ready().send(b"MAIL FROM:<> REQUIRETLS\r\n")) == [250]
