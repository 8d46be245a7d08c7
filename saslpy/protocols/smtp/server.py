"""The server's side of SMTP for submission (RFC 5321, RFC 6409): a machine that takes bytes and gives events.

::

    connection = Connection(options)
    connection.receive(what has come too early)
    connection.greet()
    while True:
        match connection.next_event():
            case None:         send(connection.data_to_send()), connection.receive(more)
            case MailFrom():   connection.accept(), or connection.refuse(reply)
            case StartTls():   connection.accept(), send(...), shake hands, connection.tls_started()
            case Ended():      send(...), close

Where an event wants an answer (``events`` says which), nothing is read before it has it. So no command runs before those
ahead of it are decided, and what follows AUTH or STARTTLS in one segment is seen when nothing of it has run. ``receive``
may be called before the answer: what is there by then has come too early as well.

Answered here, without an event: NOOP, HELP, VRFY, EXPN; what is malformed, out of sequence, over a limit or unknown.

The parts: ``states`` are the tables, ``session`` is what is known, ``intake`` reads on, ``verbs`` are the commands,
``answers`` the other way.
"""

from __future__ import annotations

from . import answers, intake, replies
from .events import Event
from .options import Options
from .replies import Reply
from .session import Session
from .states import NEXT, State
from .transaction import Transaction


class Connection:
    """One connection. ``tls`` says whether it began with TLS."""

    __slots__ = ("_session",)

    def __init__(self, options: Options, tls: bool = False) -> None:
        self._session = Session(options, tls)

    # --- bytes and events

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.state is State.TLS:
            raise RuntimeError("the handshake is not over")
        if data and self.state is not State.CLOSED:
            self._session.buffer.receive(data)

    def next_event(self) -> Event | None:
        """What has happened; None where more bytes are needed, and when all is over."""
        session = self._session
        while not session.events:
            if session.question is not None:
                raise RuntimeError("an event was not answered")
            if not intake.step(session):
                return None
        return session.events.popleft()

    def data_to_send(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._session.out)
        self._session.out.clear()
        return data

    # --- what the server around has to say

    def greet(self) -> None:
        """The first word. Who has spoken before is not talked to (RFC 5321, 4.3.1)."""
        self._expect(State.CONNECTED)
        if not self._session.out_of_step():
            self._session.move("220", replies.greeting(self._session.options.hostname))

    def accept(self, reply: Reply | None = None) -> None:
        """Yes to the event. ``reply`` is said instead of the usual words."""
        if reply is not None and not reply.positive:
            raise ValueError("a refusal")
        question = answers.answered(self._session)
        if question is not None:
            answers.accept(self._session, question, reply)

    def refuse(self, reply: Reply) -> None:
        """No to the event; or to content on its way, which the client hears at its end. With 421 the connection ends."""
        session = self._session
        if reply.positive:
            raise ValueError("no refusal")
        if reply.closing:
            self.close(reply)
        elif session.question is None:
            answers.refuse_rest(session, reply)
        elif (question := answers.answered(session)) is not None:
            answers.refuse(session, question, reply)

    def challenge(self, data: bytes) -> None:
        """AUTH goes on with this; what follows is ``AuthResponse``, or ``AuthCancelled``."""
        if answers.answered(self._session) is not None:
            self._session.out.append(replies.encode_challenge(data))
            self._session.state = NEXT["AUTH"]

    def accept_xclient(self, authenticated: bool = False) -> None:
        """Yes to XCLIENT: all begins anew. ``authenticated``: its LOGIN is believed."""
        session = self._session
        if answers.answered(session) is not None:
            session.forget(session.tls, session.mechanisms, authenticated)
            session.move("XCLIENT", replies.greeting(session.options.hostname))

    def tls_started(self, mechanisms: tuple[str, ...] | None = None) -> None:
        """The handshake behind ``StartTls`` is over. All that was known is forgotten (RFC 3207, 4.2).

        ``mechanisms`` are those that may be offered now, where they are others.
        """
        self._expect(State.TLS)
        session = self._session
        session.forget(True, session.options.mechanisms if mechanisms is None else mechanisms)
        session.state = NEXT["handshake"]

    def close(self, reply: Reply = replies.CLOSING) -> None:
        """End the connection from our side, whatever is under way."""
        if self.state is not State.CLOSED:
            self._session.close(reply)

    # --- what is known

    @property
    def state(self) -> State:
        """Where it is: what a deadline may go by."""
        return self._session.state

    @property
    def tls(self) -> bool:
        """Whether there is TLS."""
        return self._session.tls

    @property
    def authenticated(self) -> bool:
        """Whether an AUTH was accepted."""
        return self._session.authenticated

    @property
    def hello(self) -> str:
        """What the client calls itself; empty where it has not said it."""
        return self._session.hello

    @property
    def esmtp(self) -> bool:
        """Whether it said EHLO."""
        return self._session.esmtp

    @property
    def transaction(self) -> Transaction | None:
        """What MAIL and RCPT have brought so far. Not to be changed."""
        return self._session.transaction

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise RuntimeError(f"this is for {state.name}, not for {self.state.name}")
