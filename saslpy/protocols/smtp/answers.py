"""What becomes of an event that was answered."""

from __future__ import annotations

from . import extensions, replies, verbs
from .events import (
    SYNCHRONOUS,
    AuthBegin,
    AuthResponse,
    ContentBegin,
    ContentEnd,
    Hello,
    MailFrom,
    Question,
    RcptTo,
    StartTls,
)
from .receiving import Content
from .replies import Reply
from .session import Session
from .states import NEXT, State
from .transaction import Recipient, Transaction


def answered(session: Session) -> Question | None:
    """The event that is answered; None where the connection is over, by what came behind it for one."""
    if session.state is State.CLOSED:
        return None
    question, session.question = session.question, None
    if question is None:
        raise RuntimeError("there is no event to answer")
    if isinstance(question, SYNCHRONOUS) and session.out_of_step():
        return None
    return question


def accept(session: Session, question: Question, reply: Reply | None) -> None:
    """Yes."""
    match question:
        case Hello():
            _greet(session, question, reply)
        case StartTls():
            session.move("STARTTLS", reply or replies.READY_FOR_TLS)
        case AuthBegin() | AuthResponse():
            session.authenticated = True
            session.move("authenticated", reply or replies.AUTHENTICATED)
        case MailFrom(sender, given):
            session.transaction = Transaction(sender, given)
            session.move("MAIL", reply or replies.SENDER_OK)
        case RcptTo(mailbox, given_):
            _transaction(session).recipients.append(Recipient(mailbox, given_))
            session.move("RCPT", reply or replies.RECIPIENT_OK)
        case ContentBegin(chunked):
            session.content = Content(session.options, _transaction(session))
            session.move("BDAT" if chunked else "DATA", None if chunked else reply or replies.SEND_CONTENT)
        case ContentEnd():
            _take_message(session, reply or replies.message_taken(""))
        case _:
            raise RuntimeError("this event has an answer of its own")


def refuse(session: Session, question: Question, reply: Reply) -> None:
    """No."""
    match question:
        case AuthBegin() | AuthResponse():
            session.state = NEXT["authenticated"]
            session.auth_failed(reply)
        case ContentBegin(chunked):
            session.end_transaction()
            if chunked and session.chunk is not None:
                session.chunk.refusal = reply
            else:
                session.say(reply)
                verbs.data_refused(session)
        case ContentEnd():
            session.end_transaction()
            session.say(reply)
        case RcptTo():
            session.say_no_recipient(reply)
        case _:
            session.say(reply)


def refuse_rest(session: Session, reply: Reply) -> None:
    """No, to content that is on its way."""
    if session.content is not None:
        session.content.refusal = reply
        session.transaction = None
    elif session.state is not State.CLOSED:
        raise RuntimeError("there is no event to answer")


def _greet(session: Session, hello: Hello, reply: Reply | None) -> None:
    session.hello, session.esmtp = hello.name, hello.extended
    lines = extensions.lines(session.options, session.offered) if hello.extended else []
    session.move("EHLO", reply or replies.hello(session.options.hostname, lines))


def _take_message(session: Session, reply: Reply) -> None:
    session.end_transaction()
    counts = session.counts
    counts.errors = counts.idle = counts.refused = counts.put_off = 0
    counts.messages += 1
    session.say(reply)


def _transaction(session: Session) -> Transaction:
    assert session.transaction is not None
    return session.transaction
