"""Reading on, one step at a time: a line, some content, or the end of it."""

from __future__ import annotations

from . import commands, replies, verbs
from .events import ContentEnd, ContentPiece
from .lines import LineFault, MalformedLine
from .receiving import Chunk, Content, Overflow
from .replies import Reply
from .session import Session
from .states import State

_NOTHING_TO_READ = frozenset((State.CONNECTED, State.TLS, State.CLOSED))


def step(session: Session) -> bool:
    """One step. False where more bytes are needed."""
    if session.state is State.DATA:
        return _read_data(session)
    if session.chunk is not None:
        return _read_chunk(session, session.chunk)
    return session.state not in _NOTHING_TO_READ and _read_line(session)


def _read_line(session: Session) -> bool:
    if not len(session.buffer):
        return False
    in_auth = session.state is State.AUTH
    most = commands.MAX_AUTH_LINE if in_auth else _most(session)
    try:
        line = session.buffer.line(most)
    except MalformedLine as malformed:
        _end_lines(session, malformed.fault, most)
        return True
    if line is None:
        return False
    (verbs.respond if in_auth else verbs.run)(session, line)
    return True


def _most(session: Session) -> int:
    """Octets of a command's line, by its verb."""
    verb, blank, _ = session.buffer.peek(8).partition(b" ")
    return commands.LONGEST.get(verb.upper(), commands.MAX_LINE) if blank else commands.MAX_LINE


def _end_lines(session: Session, fault: LineFault, most: int) -> None:
    if fault is not LineFault.TOO_LONG:
        session.close(replies.BAD_LINE, fault.value)
    else:
        session.close(replies.AUTH_LINE_TOO_LONG if most == commands.MAX_AUTH_LINE else replies.LINE_TOO_LONG)


def _read_data(session: Session) -> bool:
    content = session.content
    assert content is not None
    if content.ended:
        _end_content(session, content)
        return True
    if not len(session.buffer):
        return False
    try:
        _tell(session, content.data(session.buffer))
    except Overflow:
        session.close(replies.TOO_LARGE)
    return True


def _read_chunk(session: Session, chunk: Chunk) -> bool:
    if not chunk.left:
        session.chunk = None
        _end_chunk(session, chunk)
        return True
    data = session.buffer.take(chunk.left)
    chunk.left -= len(data)
    if data and chunk.refusal is None and session.content is not None:
        try:
            _tell(session, session.content.chunk(data))
        except Overflow:
            session.close(replies.TOO_LARGE)
    return bool(data)


def _end_chunk(session: Session, chunk: Chunk) -> None:
    content = session.content
    if chunk.refusal is not None or content is None:
        session.say(chunk.refusal or replies.MAIL_FIRST)
    elif chunk.last:
        _end_content(session, content)
    elif content.verdict is not None:
        _refuse(session, content, content.verdict)
    elif chunk.size or not session.idled():
        session.move("chunk", replies.chunk_taken(chunk.size))


def _end_content(session: Session, content: Content) -> None:
    # a step of its own, so that who was given a piece has had the time to refuse the rest
    summary = content.end()
    if content.verdict is not None:
        _refuse(session, content, content.verdict)
    else:
        session.ask(ContentEnd(summary))


def _refuse(session: Session, content: Content, reply: Reply) -> None:
    if content.hostile:
        session.close(reply, content.faults)
    else:
        session.drop(reply.text)
        session.say(reply)


def _tell(session: Session, piece: bytes) -> None:
    if piece:
        session.events.append(ContentPiece(piece))
