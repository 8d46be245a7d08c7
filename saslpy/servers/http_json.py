"""``POST /login`` and ``POST /user`` of the HTTP socket: programs ask in JSON (``protocols.account_json``).

The status says the same as the body, so that a program that looks at one of them alone does no harm: 200 is yes, 403 is no,
503 is "could not find out". A caller's own faults have others: 401 for its secret, 400 and 415 for its question. None of
them is 403: who looks up a user and looks at the status alone would let his mail bounce.

Whoever may ask about users without their password is known by the socket's mode, or by a secret.
"""

from __future__ import annotations

from ..authenticator import Authenticator
from ..model import Accept, Account, Origin, Reject
from ..protocols import ProtocolError
from ..protocols.account_json import Question, answer, not_found, read_question
from ..protocols.http1 import Answer, HttpFault, Request, json_answer
from .http import PROTOCOL, HttpConnection
from .peers import address_of, caller_of

YES, NO, LATER = 200, 403, 503
RETRY = (b"Retry-After", b"3")


class JsonLogins:
    """Answers questions in JSON. ``clear``: passwords in the clear are allowed."""

    def __init__(self, door: Authenticator, clear: bool) -> None:
        self._door = door
        self._clear = clear

    async def login(self, request: Request, connection: HttpConnection) -> Answer:
        """Is this login right? Raises ``HttpFault``."""
        question = _question(request, lookup=False)
        if not self._clear:
            raise HttpFault(404, "no mechanism of this socket takes a password in the clear")
        verdict = await self._door.verify(
            question.login, question.realm, question.password, _origin(question, connection, "PLAIN")
        )
        told = answer(verdict, question.userdb)
        if isinstance(verdict, Accept):
            return json_answer(YES, told)
        return json_answer(NO, told) if isinstance(verdict, Reject) else json_answer(LATER, told, RETRY)

    async def user(self, request: Request, connection: HttpConnection) -> Answer:
        """Whose account is this? Raises ``HttpFault``."""
        if not connection.guarded:
            raise HttpFault(401, "users are looked up over a unix socket, or with a secret (secret_file)")
        question = _question(request, lookup=True)
        found = await self._door.find(question.login, question.realm, _origin(question, connection, ""))
        if isinstance(found, Account):
            return json_answer(YES, answer(found, question.userdb))
        return (
            json_answer(NO, not_found(found)) if isinstance(found, Reject) else json_answer(LATER, answer(found), RETRY)
        )


def _question(request: Request, lookup: bool) -> Question:
    # a form on a page of somebody else's cannot say this type (Fetch standard: CORS-safelisted request-header)
    if request.one(b"content-type").partition(b";")[0].strip().lower() != b"application/json":
        raise HttpFault(415, "the body must be application/json")
    try:
        return read_question(request.body, lookup)
    except ProtocolError as fault:
        raise HttpFault(400, str(fault)) from None


def _origin(question: Question, connection: HttpConnection, mechanism: str) -> Origin:
    caller = caller_of(connection.socket)
    return Origin(PROTOCOL, question.service, mechanism, address_of(question.client), caller)
