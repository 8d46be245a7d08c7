"""What holds for every dialogue with the whole server: the machine, the core, the judge, the limits, the next hop.

*Segmentation*: however a dialogue is cut, the replies, the messages and what was counted are the same. *State machine*: a
message is accepted only if since the last reset its connection saw a login, one accepted MAIL, an accepted RCPT, and every
policy said yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from trio.testing import wait_all_tasks_blocked

from saslpy.protocols.smtp.replies import LOCAL_ERROR, NO_RELAY, RECIPIENT_OK, Reply, message_taken
from saslpy.protocols.smtp.transaction import Recipient
from saslpy.submission.limits import Limits

from ..protocols.smtp.host import split
from .submission import AUTH, BODY, DATA, EHLO, HEADER, MAIL, RCPT, Desk, Taken, desk, plain

BAD_RCPT, OTHER = b"RCPT TO:<bad@x.test>\r\n", b"MAIL FROM:<ann@example.org>\r\n"
FORGED = b"From: ann@example.org\r\n"
WRONG = plain("joe@example.org", "wrong")


def judged(recipient: Recipient) -> Reply:
    return NO_RELAY if recipient.mailbox.local == "bad" else RECIPIENT_OK


def ended(taken: Taken) -> Reply:
    return LOCAL_ERROR if b"poison" in taken.content else message_taken("x")


GROUPED = [
    *(MAIL, RCPT, BAD_RCPT, OTHER, b"MAIL FROM:<>\r\n", b"RSET\r\n", b"NOOP\r\n", b"FOO\r\n", b"RCPT TO:<a@b@c>\r\n"),
    *(
        b"BDAT 5\r\na: b\r",
        b"\nBDAT 1 LAST\r\n\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 60 LAST\r\n" + HEADER + b"\r\n" + b"x" * 20,
    ),
    *(
        b"BDAT 25\r\nFrom: <ann@example.org>\r\n",
        b"BDAT x\r\n",
        b"VRFY a\r\n",
        b"MAIL FROM:<joe@example.org> SIZE=9999\r\n",
        b"MAIL FROM:<joe@example.org> BY=60;R MT-PRIORITY=-3\r\n",
        b"MAIL FROM:<joe@example.org> BY=0;R HOLDFOR=1\r\n",
    ),
]
LAST = [
    *(EHLO, AUTH, WRONG, b"AUTH LOGIN\r\n", b"*\r\n", b"STARTTLS\r\n", DATA, b"QUIT\r\n", b"NOOP\n"),
    *(HEADER + BODY + b".\r\n", FORGED + BODY + b".\r\n", b".\r\n", b"poison\r\n.\r\n", b"x: poison\r\n\r\n.\r\n"),
    *(b"a: b\n.\r\n.\r\n", b"a: b\0\r\n.\r\n", b"x" * 300 + b"\r\n.\r\n", b"Received: x\r\n" * 60 + b"\r\n.\r\n"),
]
TURN = st.builds(
    lambda group, last: b"".join(group) + last, st.lists(st.sampled_from(GROUPED), max_size=4), st.sampled_from(LAST)
)
DIALOGUE = st.lists(TURN | st.just(MAIL + RCPT + DATA) | st.sampled_from(LAST), max_size=8)
SMALL: dict[str, Any] = {
    "size": 250,
    "swallow": 500,
    "recipients": 3,
    "errors": 5,
    "idle_commands": 9,
    "messages": 3,
    "refused": 4,
}


@dataclass
class Outcome:
    """``said``: turn by turn."""

    said: list[bytes] = field(default_factory=list)
    messages: list[tuple[str | None, list[str], bytes]] = field(default_factory=list)
    counted: int = 0
    ended: str = ""


async def converse(turns: Sequence[bytes], cuts: Sequence[int], logged_in: bool) -> Outcome:
    found = Outcome()
    async with desk(sending=Limits(2, 4), **SMALL) as here, here.connected() as client:
        here.hop.rcpt, here.hop.end = judged, ended
        for turn in ([b"", EHLO, AUTH] if logged_in else [b""]) + list(turns):
            waits = found.said and found.said[-1][:3] == b"334"
            for piece in split(turn.partition(b"\r\n")[0] + b"\r\n" if waits else turn, cuts):
                try:
                    await client.say(piece)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    break
                await settled(here)
            await settled(here)
            found.said.append(await heard(client.stream))
        found.messages = [(one.sender, one.recipients, blurred(one.content)) for one in here.messages]
        found.counted = counted(here)
        found.ended = "".join(line.partition("detail=")[2] for line in here.log("session-ended"))
    return found


async def settled(here: Desk) -> None:
    """Until it is the client's turn, or the end: passwords are looked at in threads, of which trio knows nothing."""
    await wait_all_tasks_blocked()
    while any(session.working for session in here.server.sessions):
        await trio.sleep(0.001)


async def heard(stream: trio.abc.Stream) -> bytes:
    """What has been said by now."""
    assert isinstance(stream, trio.SocketStream)
    try:
        return stream.socket._sock.recv(1 << 20)  # type: ignore[attr-defined, no-any-return]
    except BlockingIOError:
        return b""
    except OSError:
        return b"(reset)"


def blurred(content: bytes) -> bytes:
    """Without what is another one each time: Received, and what was added."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(line for line in lines[2:] if not line.startswith((b"Date:", b"Message-ID:")))


def counted(here: Desk) -> int:
    usage = here.counters._usage.get("joe@example.org")
    return 0 if usage is None else usage.messages.total + 100 * usage.recipients.total


def outcome(turns: Sequence[bytes], cuts: Sequence[int], logged_in: bool) -> Outcome:
    return trio.run(converse, turns, cuts, logged_in)


@settings(max_examples=120)
@given(DIALOGUE, st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_however_it_is_cut_the_same(turns: list[bytes], cuts: list[int], logged_in: bool) -> None:
    assert outcome(turns, [], logged_in) == outcome(turns, cuts, logged_in)


WHOLE = [
    EHLO,
    AUTH,
    MAIL + RCPT + BAD_RCPT + DATA,
    HEADER + b"\r\n..a\r\n.\r\nMAIL FROM:<>\r\n",
    RCPT + b"BDAT 4\r\na: bBDAT 6 LAST\r\n\r\n\r\nxyRSET\r\nQUIT\r\n",
]


def test_a_whole_session_byte_by_byte() -> None:
    whole = outcome(WHOLE[:4], [], False)
    assert len(whole.messages) == 1
    assert whole == outcome(WHOLE[:4], list(range(200)), False)
    for at in range(1, max(map(len, WHOLE)), 7):
        assert outcome(WHOLE, [at], False) == outcome(WHOLE, [], False)


# --- the state machine


class Model:
    """What a connection may know: kept apart from the server's own idea of it, by the replies alone."""

    def __init__(self) -> None:
        self.logged_in = False
        self.mail = ""
        self.recipients: list[str] = []
        self.chunks = b""

    def reset(self) -> None:
        self.mail, self.recipients, self.chunks = "", [], b""


class Conversations(RuleBasedStateMachine):
    """Commands in any order; they are run when all are known, since the server lives in one event loop."""

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.turns: list[bytes] = [EHLO]
        self.expected: list[tuple[str, list[str]]] = []

    @rule(line=st.sampled_from([AUTH, WRONG, EHLO, b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"FOO\r\n", b"HELO x\r\n"]))
    def command(self, line: bytes) -> None:
        self.turns.append(line)

    @rule(line=st.sampled_from([MAIL, OTHER, b"MAIL FROM:<>\r\n", RCPT, BAD_RCPT, b"RCPT TO:<b@x.test>\r\n"]))
    def envelope(self, line: bytes) -> None:
        self.turns.append(line)

    @rule(header=st.sampled_from([HEADER, FORGED, b"x: poison\r\n", b"Received: x\r\n" * 60]), chunked=st.booleans())
    def message(self, header: bytes, chunked: bool) -> None:
        letter = header + BODY
        if chunked:
            self.turns += [b"BDAT 5\r\n" + letter[:5], b"BDAT %d LAST\r\n" % (len(letter) - 5) + letter[5:]]
        else:
            self.turns += [DATA, letter + b".\r\n"]

    @rule()
    def half_a_message(self) -> None:
        self.turns += [b"BDAT 6\r\na: b\r\n"]

    @rule()
    def empty(self) -> None:
        self.turns += [b"BDAT 0 LAST\r\n"]

    def teardown(self) -> None:
        if hasattr(self, "turns"):
            trio.run(self.run_all)

    async def run_all(self) -> None:
        async with (
            desk(errors=10_000, idle_commands=10_000, auth_failures=10_000, refused=10_000, size=2000) as here,
            here.connected() as client,
        ):
            here.hop.rcpt, here.hop.end = judged, ended
            await client.hear()
            model, content = Model(), False
            for turn in self.turns:
                if content:  # 354 was said
                    self.concluded(model, turn.removesuffix(b".\r\n"), await client.ask(turn), here)
                    content = False
                    continue
                if turn.endswith(b".\r\n"):
                    continue  # DATA was refused: nobody sends it
                said = await client.ask(turn)
                content = said[:3] == b"354"
                assert not content or (model.logged_in and model.mail and model.recipients)
                self.seen(model, turn, said, here)
            assert [(one.sender or "<>", one.recipients) for one in here.messages] == self.expected

    def seen(self, model: Model, turn: bytes, said: bytes, here: Desk) -> None:
        ok, verb = said[:1] == b"2", turn[:4]
        if verb in (b"EHLO", b"HELO", b"RSET") and ok:
            model.reset()
        elif verb == b"AUTH" and said[:3] == b"235":
            model.logged_in = True
        elif verb == b"MAIL" and ok:
            assert model.logged_in
            assert not model.mail
            assert turn != OTHER
            model.mail = "<>" if turn == b"MAIL FROM:<>\r\n" else "joe@example.org"
        elif verb == b"RCPT" and ok:
            assert model.mail
            assert turn != BAD_RCPT
            model.recipients.append(turn[9:-3].decode())
        elif verb == b"DATA" and said[:3] == b"554":
            model.reset()
        elif verb == b"BDAT":
            line, _, chunk = turn.partition(b"\r\n")
            model.chunks += chunk
            if line.endswith(b"LAST"):
                self.concluded(model, model.chunks, said, here)
            elif not ok:
                model.reset()

    def concluded(self, model: Model, letter: bytes, said: bytes, here: Desk) -> None:
        """The last reply to a message."""
        if said[:1] == b"2":
            assert model.logged_in
            assert model.mail
            assert model.recipients
            assert FORGED not in letter
            assert b"poison" not in letter
            assert letter.count(b"Received") < 60
            self.expected.append((model.mail, list(model.recipients)))
        assert len(here.messages) == len(self.expected)
        model.reset()


Conversations.TestCase.settings = settings(max_examples=100, stateful_step_count=25)
test_a_message_is_accepted_only_after_all_that_it_needs = Conversations.TestCase
