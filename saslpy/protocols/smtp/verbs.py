"""What each command does when it has come: it is refused, answered here, or becomes an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from . import commands, replies
from .events import AuthBegin, AuthCancelled, AuthResponse, ContentBegin, Hello, MailFrom, RcptTo, StartTls, Xclient
from .parameters import MailParameters, Refused
from .receiving import Chunk
from .replies import Reply
from .session import Session
from .states import ALLOWED, IDLE, IN_STEP, NEEDS_AUTH, NEEDS_TLS, NEXT, OUT_OF_SEQUENCE, State

_OF_RECIPIENTS = (replies.BAD_ADDRESS, replies.NON_ASCII, replies.TOO_MANY_RECIPIENTS, replies.REFUSED_ENOUGH)
"""Refusals that are no misbehaviour: a long list of addresses has its faults."""


def run(session: Session, line: bytes) -> None:
    """A line that is a command."""
    verb, argument = commands.split(line)
    if verb in commands.HTTP:
        session.close(replies.NOT_HTTP)
    elif (verb in IN_STEP and session.out_of_step()) or (verb in IDLE and session.idled()):
        return
    elif verb == "BDAT":
        _bdat(session, argument)
    else:
        _run(session, verb, argument)


def respond(session: Session, line: bytes) -> None:
    """A line that answers a challenge of AUTH."""
    if session.out_of_step():
        return
    try:
        if line == b"*":
            raise Refused(replies.AUTH_CANCELLED)
        session.ask(AuthResponse(commands.base64(line)))
    except Refused as refusal:
        session.state = NEXT["authenticated"]
        session.events.append(AuthCancelled())
        session.auth_failed(refusal.reply)


def data_refused(session: Session) -> None:
    """DATA was refused. If its content is here, from who did not wait for 354, then it must not run as commands."""
    if len(session.buffer):
        session.close(None, "content behind a DATA that was refused")


def _run(session: Session, verb: str, argument: bytes) -> None:
    try:
        if verb not in _HANDLERS:
            raise Refused(replies.UNKNOWN_COMMAND)
        _check(session, verb)
        _HANDLERS[verb](session, argument)
    except Refused as refusal:
        if refusal.reply is replies.NO_RECIPIENTS:
            session.drop(refusal.reply.text)
        if refusal.reply in _OF_RECIPIENTS and verb == "RCPT":
            session.say_no_recipient(refusal.reply)
        else:
            session.say_error(refusal.reply)
        if verb == "DATA":
            data_refused(session)


def _check(session: Session, verb: str) -> None:
    """Whether the command may come now. Raises ``Refused``."""
    options = session.options
    if options.require_tls and not session.tls and verb in NEEDS_TLS:
        raise Refused(NEEDS_TLS[verb])
    if options.require_auth and not session.authenticated and verb in NEEDS_AUTH:
        raise Refused(replies.AUTH_REQUIRED)
    if verb not in ALLOWED[session.state]:
        raise Refused(OUT_OF_SEQUENCE[session.state].get(verb, replies.BAD_SEQUENCE))


def _bdat(session: Session, argument: bytes) -> None:
    """Its octets are read whatever is wrong with it: else they would run as commands."""
    bdat, limits = commands.bdat(argument), session.options.limits
    if bdat is None:
        return session.close(replies.BAD_CHUNK)
    if limits.size and bdat.size > limits.size + limits.swallow:
        return session.close(replies.TOO_LARGE)
    session.chunk = Chunk(bdat.size, bdat.last, bdat.size)
    try:
        _check(session, "BDAT")
        _offered(session, "CHUNKING")
    except Refused as refusal:
        session.chunk.refusal = refusal.reply
        session.drop(refusal.reply.text)
        session.idled()
        return None
    if session.state is State.RCPT:
        session.ask(ContentBegin(chunked=True))
    session.state = NEXT["BDAT"]
    return None


def _offered(session: Session, extension: str) -> None:
    if extension not in session.offered:
        raise Refused(replies.NOT_IMPLEMENTED)


def _ehlo(session: Session, argument: bytes) -> None:
    _hello(session, commands.hello(argument), True)


def _helo(session: Session, argument: bytes) -> None:
    _hello(session, commands.hello(argument), False)


def _hello(session: Session, name: str, extended: bool) -> None:
    session.drop("EHLO")  # RFC 5321, 4.1.4: it resets, as RSET does
    session.ask(Hello(name, extended))


def _starttls(session: Session, argument: bytes) -> None:
    commands.nothing(argument)
    if session.tls:
        raise Refused(replies.TLS_ALREADY)
    _offered(session, "STARTTLS")
    if session.authenticated:
        raise Refused(replies.TLS_AFTER_AUTH)
    session.ask(StartTls())


def _auth(session: Session, argument: bytes) -> None:
    if session.authenticated:
        raise Refused(replies.AUTH_ALREADY)
    _offered(session, "AUTH")
    try:
        auth = commands.auth(argument, session.mechanisms)
    except Refused as refusal:
        if refusal.reply is not replies.BAD_BASE64:
            raise
        return session.auth_failed(refusal.reply)
    session.state = NEXT["AUTH"]
    return session.ask(AuthBegin(auth.mechanism, auth.initial))


def _xclient(session: Session, argument: bytes) -> None:
    if not session.options.xclient:
        raise Refused(replies.XCLIENT_REFUSED)
    session.ask(Xclient(commands.xclient(argument)))


def _mail(session: Session, argument: bytes) -> None:
    limits = session.options.limits
    if limits.messages and session.counts.messages >= limits.messages:
        return session.close(replies.TOO_MANY_MESSAGES)
    mail = commands.mail(argument, session.offered)
    if limits.size and (mail.parameters.size or 0) > limits.size:
        raise Refused(replies.TOO_LARGE)
    _check_release(session, mail.parameters)
    return session.ask(MailFrom(mail.sender, mail.parameters))


def _check_release(session: Session, given: MailParameters) -> None:
    most = session.options.future_release
    if most is None:
        return
    if (given.hold_for or 0) > most.seconds or (given.hold_until and given.hold_until > most.until):
        raise Refused(replies.HOLD_TOO_LONG)


def _rcpt(session: Session, argument: bytes) -> None:
    transaction = session.transaction
    assert transaction is not None
    if session.refused_enough():
        # a message that has recipients can still be sent, and then all is well; else there is nothing to wait for
        if not transaction.recipients:
            return session.close(replies.TOO_MANY_REFUSED)
        raise Refused(replies.REFUSED_ENOUGH)
    rcpt = commands.rcpt(argument, session.offered, transaction.parameters.smtputf8)
    if 0 < session.options.limits.recipients <= len(transaction.recipients):
        raise Refused(replies.TOO_MANY_RECIPIENTS)
    return session.ask(RcptTo(rcpt.mailbox, rcpt.parameters))


def _data(session: Session, argument: bytes) -> None:
    commands.nothing(argument)
    assert session.transaction is not None
    if session.transaction.binary:
        raise Refused(replies.CHUNKS_ONLY)
    session.ask(ContentBegin(chunked=False))


def _rset(session: Session, argument: bytes) -> None:
    commands.nothing(argument)
    session.drop("RSET")
    session.say(replies.OK)


def _quit(session: Session, argument: bytes) -> None:
    commands.nothing(argument)
    session.close(replies.GOODBYE)


_Handler: TypeAlias = Callable[[Session, bytes], None]


def _says(reply: Reply) -> _Handler:
    return lambda session, argument: session.say(reply)


_HANDLERS: dict[str, _Handler] = {
    "EHLO": _ehlo,
    "HELO": _helo,
    "STARTTLS": _starttls,
    "AUTH": _auth,
    "XCLIENT": _xclient,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "RSET": _rset,
    "QUIT": _quit,
    "NOOP": _says(replies.OK),
    "HELP": _says(replies.HELP),
    "VRFY": _says(replies.CANNOT_VERIFY),
    "EXPN": _says(replies.NOT_IMPLEMENTED),
}
"""Beside BDAT, whose arguments count before anything else does."""
