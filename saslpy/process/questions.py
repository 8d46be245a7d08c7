"""What may be asked of a backend in a worker process, and how it answers: typed, and checked by whoever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

import msgspec

from ..backend import BadRecord
from ..model import Account, Login, Refusal
from ..soundness import fault_in, fault_in_refusal
from . import wire

Method = Literal[
    "lookup",
    "verify",
    "verify_token",
    "find",
    "accounts",
    "may_send",
    "sample",
    "probe",
    "set_secrets",
    "replace_secrets",
]
METHODS: tuple[Method, ...] = get_args(Method)

PAGE = wire.MAX_PACKET - 1024
"""Bytes of accounts in one answer; the rest is for what stands around them."""


class Question(msgspec.Struct, array_like=True):
    """One call. ``number`` comes back with the answer. ``password`` (or a token) is the bytes that the client sent.

    ``account`` and ``address`` are for ``may_send``.
    """

    number: int
    method: Method
    login: Login | None = None
    password: bytes = b""
    secrets: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    account: Account | None = None
    address: str = ""

    def __repr__(self) -> str:
        return f"Question({self.method!r})"


class Answer(msgspec.Struct, array_like=True):
    """What came of it: an account, a refusal, a text, a yes, or nothing of these; or what was raised, in words.

    ``bad_record``: what was raised is about the login alone (``backend.BadRecord``). The answer to ``accounts`` is several
    of these packets with one number: ``page`` has some of the accounts, and ``more`` says that there is another one.
    """

    number: int
    account: Account | None = None
    refusal: Refusal | None = None
    text: str | None = None
    raised: str | None = None
    yes: bool = False
    bad_record: bool = False
    page: tuple[Account, ...] = ()
    more: bool = False

    def __repr__(self) -> str:
        return "Answer(…)"


read_question: Callable[[bytes], Question] = wire.typed(Question)
"""The question in a packet. Raises ``wire.Malformed`` for anything else."""

read_answer: Callable[[bytes], Answer] = wire.typed(Answer)
"""The answer in a packet. Raises ``wire.Malformed`` for anything else."""


def question(  # noqa: PLR0913, PLR0917
    number: int,
    method: Method,
    login: Login | None = None,
    password: str = "",
    secrets: tuple[str, ...] = (),
    old: tuple[str, ...] = (),
) -> bytes:
    """A packet. Raises ``UnicodeError`` for a name that is no text, which no policy lets through."""
    asked = Question(number, method, login, password.encode("utf-8", "surrogateescape"), secrets, old)
    try:
        return msgspec.msgpack.encode(asked)
    except UnicodeEncodeError:  # in what the caller says of itself: the name has passed the policy
        asked.login = _printable(login)
        return msgspec.msgpack.encode(asked)


def _printable(login: Login | None) -> Login | None:
    """The same login, with what is no text in its origin replaced."""
    if login is None or login.origin is None:
        return login
    origin = login.origin
    cleaned = replace(
        origin,
        protocol=_text(origin.protocol),
        service=_text(origin.service),
        mechanism=_text(origin.mechanism),
        client=_text(origin.client),
        certificate=_text(origin.certificate),
    )
    return replace(login, given=_text(login.given), origin=cleaned)


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def answer(number: int, value: Any) -> bytes:
    """A packet with what a backend's method returned.

    Raises ``BadRecord`` when that is nothing of its contract, or cannot be sent: as with a backend of the process that
    asks, it is the trouble of one login, and others are answered.
    """
    try:
        packet = msgspec.msgpack.encode(_answer(number, value))
    except UnicodeEncodeError:
        raise BadRecord("the backend answered what is no text") from None
    if len(packet) > wire.MAX_PACKET:
        raise BadRecord(f"the backend answered over {wire.MAX_PACKET} bytes")
    return packet


def _answer(number: int, value: Any) -> Answer:
    match value:
        case None | False:
            return Answer(number)
        case True:
            return Answer(number, yes=True)
        case Account():
            if (fault := fault_in(value)) is not None:
                raise BadRecord(f"the backend answered an account whose {fault}")
            return Answer(number, account=value)
        case Refusal():
            if (fault := fault_in_refusal(value)) is not None:
                raise BadRecord(f"the backend answered a refusal whose {fault}")
            return Answer(number, refusal=value)
        case str():
            return Answer(number, text=value)
    raise BadRecord(f"the backend answered {type(value).__name__}")


def may_send(number: int, account: Account, address: str) -> bytes:
    """A packet that asks whether an account, without its secrets, may send as an address."""
    asked = Question(number, "may_send", account=replace(account, secrets=()), address=_text(address))
    return msgspec.msgpack.encode(asked)


def pages(number: int, accounts: Iterable[Account]) -> Iterator[bytes]:
    """Packets with all accounts, without their secrets: a listing is no reason for these to leave the worker.

    Raises ``TypeError`` for what is no sound account.
    """
    page: list[msgspec.Raw] = []
    size = 0
    for account in accounts:
        packed = _packed(account)
        if size + len(packed) > PAGE:
            yield _page(number, page, more=True)
            page, size = [], 0
        page.append(msgspec.Raw(packed))
        size += len(packed)
    yield _page(number, page, more=False)


def _packed(account: object) -> bytes:
    if not isinstance(account, Account):
        raise TypeError(f"the backend lists {type(account).__name__}, not Account")
    told = f"the backend lists an account {str(account.login)[:80]!r}"
    if (fault := fault_in(account)) is not None:
        raise TypeError(f"{told} whose {fault}")
    try:
        packed = msgspec.msgpack.encode(replace(account, secrets=()))
    except UnicodeEncodeError:
        raise TypeError(f"{told} with what is no text") from None
    if len(packed) > PAGE:
        raise TypeError(f"{told} of over {PAGE} bytes")
    return packed


def _page(number: int, page: list[msgspec.Raw], more: bool) -> bytes:
    return msgspec.msgpack.encode(Answer(number, page=tuple(page), more=more))  # type: ignore[arg-type]


def raised(number: int, text: str, bad_record: bool = False) -> bytes:
    """A packet that says that the method has raised."""
    return msgspec.msgpack.encode(Answer(number, raised=wire.text(text), bad_record=bad_record))
