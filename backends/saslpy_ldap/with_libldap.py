"""Sessions with python-ldap, which is OpenLDAP's own C library: faster, where it is installed.

The library has one end of a pair of sockets, we have the other, and carry whole messages between it and the server. So it
never waits for anything: its own connections wait for ever in the middle of a message, and with ``ldaps://`` in the TLS
handshake (2.5.13 with GnuTLS), whatever timeouts are set.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

from .answers import Change, Entry, Fault, Found, Lost, Question, Result, refuse_empty
from .dial import Wire, left, reading
from .messages import (
    BIND_ANSWERS,
    MODIFY_ANSWERS,
    PAGED,
    POLICY,
    SEARCH_ANSWERS,
    Gathering,
    check,
    page_cookie,
    page_request,
    policy_error,
)

try:
    import ldap
    import ldap.controls

    ldap._trace_level = 0  # an environment variable could make it print every call, the passwords too
    WHY_NOT = ""
except ImportError as error:  # the other driver is there
    ldap, WHY_NOT = None, str(error)

NAME = "python-ldap"
GOODBYE_SECONDS = 0.05


class LibldapSession:
    """One connection. Its methods are those of ``answers.Session``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._ours, theirs = socket.socketpair()
        try:
            self._ours.setblocking(False)
            # the library closes it
            self._library = ldap.initialize("ldap://127.0.0.1", fileno=theirs.detach())
            self._library.set_option(ldap.OPT_REFERRALS, 0)  # it would bind there again, and hand the password over
            self._library.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
        except BaseException:
            self._ours.close()
            raise

    def bind(self, name: str, password: bytes, until: float) -> Result:
        """A simple bind."""
        refuse_empty(name, password)
        control = ldap.controls.RequestControl(POLICY, False, None)
        with _faults():
            number = self._library.simple_bind(name, password, serverctrls=[control])
        try:
            _, _, controls = self._answer(number, BIND_ANSWERS, until)
        except ldap.LDAPError as error:
            return _result(error)
        return Result(0, "", next((policy_error(control.raw) for control in controls), None))

    def search(self, question: Question, until: float) -> Found:
        """A search; aliases are not followed either."""
        seconds = int(left(until)) + 1  # for a server that would go on searching when we have gone
        with _faults():
            number = self._library.search_ext(
                question.base,
                question.scope,
                question.filter,
                list(question.attributes),
                serverctrls=_pages(question),
                timeout=seconds,
                sizelimit=question.size_limit,
            )
        gathering = Gathering(question.limit)
        result: Result | None = None
        cookie = b""
        while result is None:
            try:
                kind, items, controls = self._answer(number, SEARCH_ANSWERS, until)
            except ldap.LDAPError as error:
                result = _result(error)
                continue
            for name, values in items or ():
                if name is None:
                    gathering.references(values)
                else:
                    gathering.entry(_entry(name, values))
            if kind == ldap.RES_SEARCH_RESULT:
                result, cookie = Result(0), _cookie(controls)
        return gathering.found(result, cookie)

    def modify(self, change: Change, until: float) -> Result:
        """A change of one attribute."""
        steps = [(ldap.MOD_DELETE, change.old), (ldap.MOD_ADD, change.new)]
        with _faults():
            number = self._library.modify_ext(
                change.dn, [(step, change.attribute, list(values)) for step, values in steps if values]
            )
        try:
            self._answer(number, MODIFY_ANSWERS, until)
        except ldap.LDAPError as error:
            return _result(error)
        return Result(0)

    def quiet(self) -> bool:
        """Whether nothing came in since the last answer."""
        return self._wire.quiet()

    def close(self) -> None:
        """Send an unbind, which has no answer, and close."""
        with contextlib.suppress(Exception):
            self._library.unbind_ext()
            self._wire.send(self._ours.recv(1000), monotonic() + GOODBYE_SECONDS)
        self._ours.close()
        self._wire.close()

    def _answer(self, number: int, kinds: frozenset[int], until: float) -> tuple[int, Any, Any]:
        """Kind, items and controls of the next message. Raises ``Fault``, and LDAPError for a result that is an error."""
        if request := self._outgoing():
            self._wire.send(request, until)
        message = self._wire.answer(number, kinds, until)
        with reading():
            check(message.kind, message.operation, message.controls)
        try:
            if self._ours.send(message.data) < len(message.data):
                raise Lost("a message that is too long")
        except OSError as error:
            raise Lost(str(error)) from None
        with _faults():
            kind, items, _, controls, *_ = self._library.result4(number, all=0, timeout=0, resp_ctrl_classes=_CONTROLS)
        if kind is None:
            raise Lost("what the server sends is no answer")
        return kind, items, controls

    def _outgoing(self) -> bytes:
        """What the library has written: a whole message, since it writes before it returns."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := self._ours.recv(65536):
                data += part
        return data


def available() -> bool:
    """Whether python-ldap is installed, and works; ``WHY_NOT`` tells what is wrong with it."""
    return ldap is not None


class _RawControl:
    """A control of an answer as it came. ``controlType`` is set by python-ldap."""

    controlType = ""
    raw: bytes | None = None

    def decodeControlValue(self, value: bytes | None) -> None:
        """Called by python-ldap."""
        self.raw = value


_CONTROLS = {POLICY: _RawControl, PAGED: _RawControl}


def _pages(question: Question) -> list[Any] | None:
    if question.page is None:
        return None
    return [ldap.controls.RequestControl(PAGED, False, page_request(question.page))]


def _cookie(controls: Any) -> bytes:
    with reading():
        return next((page_cookie(control.raw) for control in controls if control.controlType == PAGED), b"")


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """The library's own errors, which have negative numbers, in our words; a server's result stays an LDAPError."""
    try:
        yield
    except ldap.LDAPError as error:
        if _code(error) < 0:
            raise Lost(f"python-ldap: {_told(error)}") from None
        raise
    except (ValueError, TypeError) as error:
        # what it cannot put into a message: a NUL in a name
        raise Fault(f"python-ldap: {type(error).__name__}") from None


def _code(error: Any) -> int:
    told = error.args[0] if error.args else {}
    return int(told.get("result", -1)) if isinstance(told, dict) else -1


def _result(error: Any) -> Result:
    """The result in an LDAPError."""
    told = error.args[0]
    controls = [value for oid, _, value in told.get("ctrls", ()) if oid == POLICY]
    return Result(_code(error), str(told.get("info", "")), policy_error(controls[0]) if controls else None)


def _told(error: Any) -> str:
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(told.get("desc", type(error).__name__))


def _entry(name: str, values: dict[str, list[bytes]]) -> Entry:
    return Entry(name, {key.lower(): tuple(found) for key, found in values.items()})
