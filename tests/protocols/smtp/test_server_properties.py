"""What holds for every dialogue.

*Segmentation*: however a dialogue is cut, the replies and events are the same. *State machine*: a message is taken only if
since the last reset there was authentication, one accepted MAIL and an accepted RCPT; a message that is refused leaves what
RSET leaves. *Garbage*: nothing escapes, and nothing of a client's bytes gets into a reply.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from saslpy.protocols.smtp import replies
from saslpy.protocols.smtp.events import ContentBegin, ContentEnd, ContentPiece, Event, MailFrom, RcptTo, Reset
from saslpy.protocols.smtp.states import State

from .host import AUTH, DATA, MAIL, RCPT, Host, codes, greeted, options, split

POLICY = {
    MailFrom: lambda event: replies.NOT_YOUR_SENDER if event.sender and event.sender.local == "bad" else None,
    RcptTo: lambda event: replies.LOCAL_ERROR if event.mailbox.local == "bad" else None,
    ContentEnd: lambda event: replies.NO_RELAY if event.summary.hops else None,
}
BAD_MAIL, BAD_RCPT = b"MAIL FROM:<bad@x.test>\r\n", b"RCPT TO:<bad@x.test>\r\n"

# what a client may send without waiting, and the groups behind which he must wait (RFC 2920)
GROUPED = [
    *(MAIL, RCPT, BAD_MAIL, BAD_RCPT, b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"FOO bar\r\n", b"MAIL FROM:<>\r\n"),
    *(b"MAIL FROM:<> SIZE=99999\r\n", b"MAIL FROM:<x@y\r\n", b"RCPT TO:<a@b@c>\r\n", b"RCPT TO:<\xc3\xa9@x.test>\r\n"),
    *(
        b"BDAT 5\r\na.\r\nb",
        b"BDAT 3 LAST\r\n.\r\n",
        b"BDAT 0\r\n",
        b"BDAT 2\r\n\r",
        b"\nBDAT 1\r\n",
        b"BDAT 40\r\n" + b"y" * 40,
    ),
    *(b"BDAT x\r\n", b"QUIT\r\n", b"NOOP\n", b"NO\0OP\r\n", b"GET / HTTP/1.1\r\n", b"x" * 520 + b"\r\n", b"\r\n"),
    b"MAIL FROM:<> BODY=BINARYMIME SMTPUTF8\r\n",
]
LAST = [
    *(
        b"EHLO x\r\n",
        b"HELO x\r\n",
        AUTH,
        b"AUTH PLAIN eA==\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH PLAIN =\r\n",
        b"AUTH X\r\n",
        b"*\r\n",
    ),
    *(b"AGpvZQBzZWNyZXQ=\r\n", b"STARTTLS\r\n", b"XCLIENT ADDR=192.0.2.1\r\n", DATA),
    *(
        MAIL + RCPT + DATA,
        b"a\r\n..b\r\n.\r\n",
        b".\r\n",
        b"Received: x\r\n\r\n.\r\n",
        b"a\n.\r\n.\r\n",
        b"a\0\r\n.\r\n",
    ),
    *(b"y" * 40 + b"\r\n.\r\n", b"y" * 90 + b"\r\n.\r\n", b"h: " + b"z" * 30 + b"\r\n\r\n.\r\n", b"a\r\n.\r\nQUIT\r\n"),
]
TURN = st.builds(
    lambda group, last: b"".join(group) + last, st.lists(st.sampled_from(GROUPED), max_size=4), st.sampled_from(LAST)
)
MESSAGE = st.sampled_from([MAIL + RCPT + DATA, MAIL + RCPT + BAD_RCPT + DATA, MAIL + RCPT + b"BDAT 4\r\na\r\n\r"])
DIALOGUE = st.lists(TURN | MESSAGE | st.sampled_from(LAST), max_size=10)

SMALL = options(
    size=30,
    header=25,
    swallow=40,
    line=20,
    recipients=3,
    errors=5,
    idle_commands=9,
    messages=3,
    refused=4,
    put_off=3,
    xclient=True,
)


def joined(events: list[Event]) -> list[Event]:
    """Pieces that follow each other are one; those of content that came to nothing are none."""
    found: list[Event] = []
    content = b""
    for event in events:
        if isinstance(event, ContentPiece):
            content += event.data
            continue
        if isinstance(event, ContentEnd):
            found.append(ContentPiece(content))
        if isinstance(event, ContentBegin):
            content = b""
        found.append(event)
    return found


def outcome(turns: list[bytes], cuts: list[int], secure: bool) -> Any:
    host = greeted(SMALL, tls=secure, policy=POLICY)
    said = []
    if secure:
        host.send(b"EHLO x\r\n", AUTH)
    for turn in turns:
        # behind a line of AUTH the client must wait. Whether one who does not is caught is a matter of when his bytes come
        waiting = host.connection.state is State.AUTH
        said.append(host.send(*split(turn.partition(b"\r\n")[0] + b"\r\n" if waiting else turn, cuts)))
    return said, joined(host.events), host.messages, host.connection.state, host.ended


@given(DIALOGUE, st.lists(st.integers(0, 300), max_size=8), st.booleans())
def test_however_it_is_cut_the_same(turns: list[bytes], cuts: list[int], secure: bool) -> None:
    assert outcome(turns, [], secure) == outcome(turns, cuts, secure)


@given(DIALOGUE, st.booleans())
def test_byte_by_byte_the_same(turns: list[bytes], secure: bool) -> None:
    assert outcome(turns, [], secure) == outcome(turns, list(range(300)), secure)


WHOLE = [
    *(b"EHLO x\r\n", AUTH, b"MAIL FROM:<joe@example.org> SIZE=20\r\n" + RCPT + RCPT + DATA),
    *(b"Subject: x\r\n\r\n..a\r\n.\r\n" + MAIL, RCPT + b"BDAT 4\r\na\r\nbBDAT 2 LAST\r\n\r\nRSET\r\nQUIT\r\n"),
]


def test_a_whole_session_cut_at_every_place() -> None:
    length = max(map(len, WHOLE))
    plain = session([])
    assert len(plain[1]) == 2
    for at in range(length):
        assert session([at]) == plain


def session(cuts: list[int]) -> Any:
    host = greeted(options())
    said = [
        host.send(*[turn[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]) for turn in WHOLE
    ]
    return said, host.messages, joined(host.events)


# --- garbage

REPLY = re.compile(rb"(?:[2-5]\d\d[ -][ -~]*\r\n)*")
NOISE = st.lists(
    st.binary(max_size=30) | st.sampled_from(GROUPED + LAST) | st.sampled_from([b"\r\n", b".", b" "]), max_size=15
)


@given(NOISE, st.booleans(), st.booleans())
def test_nothing_escapes_for_garbage(parts: list[bytes], secure: bool, at_once: bool) -> None:
    host = greeted(SMALL, tls=secure, policy=POLICY)
    said = host.send(b"".join(parts)) if at_once else host.send(*parts)
    assert REPLY.fullmatch(said)


@given(
    st.text("abcxyzABCXYZ0189", min_size=12, max_size=12).map(str.encode),
    st.sampled_from([b"EHLO ", b"MAIL FROM:<", b"VRFY ", b""]),
)
def test_no_reply_repeats_what_was_sent(word: bytes, verb: bytes) -> None:
    assert word not in greeted().send(verb + word + b"\r\n")


# --- the state machine


class Dialogue(RuleBasedStateMachine):
    """Any order of commands, with a model beside it that is as plain as the rule."""

    @initialize(secure=st.booleans())
    def connect(self, secure: bool) -> None:
        self.anew(secure)

    @precondition(lambda self: self.host.closed)
    @rule(secure=st.booleans())
    def connect_again(self, secure: bool) -> None:
        self.anew(secure)

    def anew(self, secure: bool) -> None:
        self.host: Host = greeted(
            options(size=60, errors=10_000, idle_commands=10_000, auth_failures=10_000, refused=10_000), secure, POLICY
        )
        self.authenticated = False
        self.sender = False
        self.recipients = 0
        self.taken = 0

    def open(self) -> bool:
        return not self.host.closed

    def forget(self) -> None:
        self.sender, self.recipients = False, 0

    def say(self, data: bytes) -> list[int]:
        return codes(self.host.send(data))

    def in_step(self) -> bool:
        return self.open() and self.host.connection.state is not State.DATA

    @precondition(in_step)
    @rule(line=st.sampled_from([b"EHLO x\r\n", b"RSET\r\n"]))
    def reset(self, line: bytes) -> None:
        if self.say(line) == [250]:
            self.forget()

    @precondition(in_step)
    @rule()
    def starttls(self) -> None:
        if self.say(b"STARTTLS\r\n") == [220]:
            self.authenticated = False
            self.forget()

    @precondition(in_step)
    @rule(line=st.sampled_from([AUTH, b"AUTH PLAIN eA==\r\n", b"AUTH LOGIN\r\n", b"AGpvZQBzZWNyZXQ=\r\n", b"*\r\n"]))
    def auth(self, line: bytes) -> None:
        self.authenticated |= self.say(line) == [235]

    @precondition(in_step)
    @rule(
        line=st.sampled_from(
            [MAIL, BAD_MAIL, b"MAIL FROM:<>\r\n", b"MAIL FROM:<x\r\n", b"MAIL FROM:<> BODY=BINARYMIME\r\n"]
        )
    )
    def mail(self, line: bytes) -> None:
        if self.say(line) == [250]:
            assert self.authenticated
            assert not self.sender
            self.sender = True

    @precondition(in_step)
    @rule(line=st.sampled_from([RCPT, BAD_RCPT, b"RCPT TO:<>\r\n"]))
    def rcpt(self, line: bytes) -> None:
        if self.say(line) == [250]:
            assert self.sender
            self.recipients += 1

    @precondition(in_step)
    @rule(
        line=st.sampled_from([b"NOOP\r\n", b"VRFY x\r\n", b"FOO\r\n", b"HELP\r\n", b"XCLIENT LOGIN=root\r\n", b"\r\n"])
    )
    def other(self, line: bytes) -> None:
        self.say(line)

    @precondition(in_step)
    @rule()
    def data(self) -> None:
        code = self.say(DATA)[0]
        if code == 354:
            assert self.sender
            assert self.recipients
        elif code == 554:
            self.forget()

    @precondition(lambda self: self.open() and self.host.connection.state is State.DATA)
    @rule(
        content=st.sampled_from(
            [b"x\r\n", b"", b"Received: x\r\n\r\n", b"y" * 70 + b"\r\n", b"a\n.\r\n", b"MAIL FROM:<>\r\n"]
        )
    )
    def content(self, content: bytes) -> None:
        self.judge(self.say(content + b".\r\n"))

    @precondition(in_step)
    @rule(
        body=st.sampled_from([b"", b"x", b"\r\n", b"Received: x\r\n", b"y" * 70, b"\n", DATA, RCPT]), last=st.booleans()
    )
    def bdat(self, body: bytes, last: bool) -> None:
        in_auth = self.host.connection.state is State.AUTH
        said = self.say(b"BDAT %d%b\r\n%b" % (len(body), b" LAST" if last else b"", body))
        if in_auth:
            return
        assert len(said) == 1
        if said[0] != 250 or last:
            self.judge(said)

    def judge(self, said: list[int]) -> None:
        """A message was taken, which needs all that; or refused. Behind both there is nothing."""
        [code] = said
        if code == 250:
            self.taken += 1
            assert self.authenticated
            assert self.sender
            assert self.recipients == len(self.host.messages[-1][1]) > 0
        self.forget()

    @invariant()
    def no_more_is_taken_and_no_less(self) -> None:
        assert len(self.host.messages) == self.taken
        assert len(self.host.of(MailFrom)) >= self.host.resets + self.taken

    @invariant()
    def the_transaction_is_whole_or_gone(self) -> None:
        transaction = self.host.connection.transaction
        assert (transaction is not None) is self.sender or self.host.closed
        if transaction is not None:
            assert len(transaction.recipients) == self.recipients
            assert self.host.connection.authenticated
            assert self.host.connection.tls
        elif self.in_step():
            assert self.host.connection.state in (State.GREETED, State.READY, State.AUTH)

    @invariant()
    def who_is_told_of_a_transaction_is_told_of_its_end(self) -> None:
        under_way = 0
        for event in self.host.events:
            under_way = 0 if isinstance(event, Reset | ContentEnd) else under_way + isinstance(event, ContentBegin)
            assert under_way <= 1


TestDialogue = Dialogue.TestCase
