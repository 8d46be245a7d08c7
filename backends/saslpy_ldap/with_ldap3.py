"""Sessions with ldap3: it writes the questions. The answers are read here, since its decoder trusts what it reads.

Its connections are not used: their timeouts are for one ``recv`` and not for an answer, each makes a TLS context of its
own (50 ms), and they keep the password, in their ``repr`` too.
"""

from __future__ import annotations

import warnings
from time import monotonic
from typing import Any

with warnings.catch_warnings():
    # it uses names that pyasn1 has renamed
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldap3 import MODIFY_ADD, MODIFY_DELETE
    from ldap3.operation.bind import bind_operation
    from ldap3.operation.modify import modify_operation
    from ldap3.operation.search import search_operation
    from ldap3.protocol.convert import build_controls_list
    from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp, UnbindRequest
    from ldap3.utils.asn1 import encode

from .answers import Change, Found, Question, Result, refuse_empty
from .dial import Wire, left, reading
from .messages import (
    BIND_ANSWERS,
    MODIFY_ANSWERS,
    PAGED,
    POLICY,
    SEARCH_ANSWERS,
    SEARCH_DONE,
    SEARCH_REFERENCE,
    Gathering,
    cookie_in,
    entry_of,
    page_request,
    references_of,
    result_of,
)

NAME = "ldap3"
GOODBYE_SECONDS = 0.05


class Ldap3Session:
    """One connection. Its methods are those of ``answers.Session``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._number = 0

    def bind(self, name: str, password: bytes, until: float) -> Result:
        """A simple bind. Bytes: a text would be changed by SASLprep, a soft hyphen alone into an empty password."""
        refuse_empty(name, password)
        self._send("bindRequest", bind_operation(3, "SIMPLE", name, password), until, [(POLICY, False, None)])
        message = self._wire.answer(self._number, BIND_ANSWERS, until)
        with reading():
            return result_of(message.operation, message.controls)

    def search(self, question: Question, until: float) -> Found:
        """A search; aliases are not followed either."""
        pages = None if question.page is None else [(PAGED, False, page_request(question.page))]
        self._send("searchRequest", _request(question, int(left(until)) + 1), until, pages)
        gathering = Gathering(question.limit)
        while True:
            message = self._wire.answer(self._number, SEARCH_ANSWERS, until)
            with reading():
                if message.kind == SEARCH_DONE:
                    return gathering.found(result_of(message.operation), cookie_in(message.controls))
                if message.kind == SEARCH_REFERENCE:
                    gathering.references(references_of(message.operation))
                else:
                    gathering.entry(entry_of(message.operation))

    def modify(self, change: Change, until: float) -> Result:
        """A change of one attribute."""
        steps = [(MODIFY_DELETE, change.old), (MODIFY_ADD, change.new)]
        changes = {change.attribute: [(step, list(values)) for step, values in steps if values]}
        self._send("modifyRequest", modify_operation(change.dn, changes, auto_encode=False), until)
        message = self._wire.answer(self._number, MODIFY_ANSWERS, until)
        with reading():
            return result_of(message.operation)

    def quiet(self) -> bool:
        """Whether nothing came in since the last answer."""
        return self._wire.quiet()

    def close(self) -> None:
        """Send an unbind (RFC 4511, 4.3), which has no answer, and close."""
        try:
            self._wire.send(self._message("unbindRequest", UnbindRequest()), monotonic() + GOODBYE_SECONDS)
        except Exception:  # noqa: S110 (it is closed all the same)
            pass
        finally:
            self._wire.close()

    def _send(self, kind: str, operation: Any, until: float, controls: list[Any] | None = None) -> None:
        self._wire.send(self._message(kind, operation, controls), until)

    def _message(self, kind: str, operation: Any, controls: list[Any] | None = None) -> bytes:
        self._number += 1
        message = LDAPMessage()
        message["messageID"] = MessageID(self._number)
        message["protocolOp"] = ProtocolOp().setComponentByName(kind, operation)
        if controls:
            message["controls"] = build_controls_list(controls)
        return bytes(encode(message))


def _request(question: Question, seconds: int) -> Any:
    """``seconds``: for a server that would go on searching when we have gone."""
    return search_operation(
        question.base,
        question.filter,
        question.scope,
        0,
        list(question.attributes),
        question.size_limit,
        seconds,
        types_only=False,
        auto_escape=False,
        auto_encode=False,
    )
