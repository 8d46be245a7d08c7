"""What an exchange keeps while it waits for its client, who may have a thousand of them: little, whatever was sent."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType
from typing import Any

import pytest

from saslpy import passwords
from saslpy.exchange import Challenge, Client, Done, Flow, MalformedResponse
from saslpy.mechanisms import named
from saslpy.model import Account, Reason, Reject

from ..doors import door_before
from ..fakes import Users
from ..test_conversation import ORIGIN
from ..transcript import Core

LONG = b"x" * 12_000
USERS = {"joe": passwords.make("SCRAM-SHA-256", "pencil", rounds=4096)}


def waiting(name: str, *responses: bytes | None) -> Flow | None:
    """An exchange that has had an initial response (None: without one) and others; None when it is over."""
    mechanism = named(name)
    assert mechanism is not None
    client, *left = responses
    flow = mechanism.run(Client(client))
    core: Any = Core(USERS)
    value: Any = None
    while True:
        try:
            step = flow.send(value)
        except (StopIteration, MalformedResponse):
            return None
        if not isinstance(step, Challenge):
            value = core.perform(step)
            core.asked.clear()
        elif not left:
            return flow
        else:
            value = left.pop(0)


def kept(flow: Flow) -> int:
    """Bytes and characters of all that hangs on an exchange."""
    seen: dict[int, Any] = {}
    left: list[Any] = [flow]
    while left:
        one = left.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType | FunctionType):
            seen[id(one)] = one
            left += gc.get_referents(one)
    return sum(len(one) for one in seen.values() if isinstance(one, bytes | str) and b"xxxx" in _raw(one))


def _raw(one: bytes | str) -> bytes:
    return one.encode() if isinstance(one, str) else one


TOKEN = b"\x01auth=Bearer " + LONG + b"\x01\x01"

CASES: dict[str, tuple[str, list[bytes | None]]] = {
    "a name for LOGIN": ("LOGIN", [LONG]),
    "a name for LOGIN, asked for": ("LOGIN", [None, LONG]),
    "the longest name for LOGIN": ("LOGIN", [b"x" * 1024]),
    "a name for SCRAM": ("SCRAM-SHA-256", [b"n,,n=" + LONG + b",r=nonce"]),
    "an identity for SCRAM": ("SCRAM-SHA-256", [b"n,a=" + LONG + b",n=joe,r=nonce"]),
    "an extension for SCRAM": ("SCRAM-SHA-256", [b"n,,n=joe,r=nonce,e=" + LONG]),
    "a nonce for SCRAM": ("SCRAM-SHA-256", [b"n,,n=joe,r=" + LONG]),
    "all of the longest for SCRAM": ("SCRAM-SHA-256", [b"n,,n=joe,r=nonce,e=" + b"x" * 2000]),
    "an initial response to CRAM-MD5": ("CRAM-MD5", [LONG]),
    "a bad token": ("OAUTHBEARER", [b"n,a=joe," + TOKEN]),
    "a bad token for XOAUTH2": ("XOAUTH2", [b"user=joe" + TOKEN]),
    "a name for OAUTHBEARER": ("OAUTHBEARER", [b"n,a=" + LONG + b"," + TOKEN]),
    "a name for XOAUTH2": ("XOAUTH2", [b"user=" + LONG + TOKEN]),
    "something beside no token": ("OAUTHBEARER", [b"n,,\x01auth=\x01host=" + LONG + b"\x01\x01"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_kept_for_a_client_who_lets_us_wait(case: str) -> None:
    name, responses = CASES[case]
    flow = waiting(name, *responses)
    assert flow is None or kept(flow) <= 4096


def test_the_look_at_it_finds_what_there_is() -> None:
    def keeps(client: Client) -> Flow:
        said = client.initial
        yield Challenge(b"")
        raise AssertionError(said)

    flow = keeps(Client(LONG))
    next(flow)
    assert kept(flow) == len(LONG)


@pytest.mark.parametrize("initial", [LONG, None])
async def test_a_name_that_is_too_long_is_refused_before_its_password_comes(initial: bytes | None) -> None:
    async with door_before(Users({"joe": Account("joe", ("{PLAIN}pencil",))})) as at:
        login = named("LOGIN")
        assert login is not None
        conversation = at.door.begin(login, ORIGIN)
        step = await conversation.start(initial)
        if isinstance(step, Challenge):
            step = await conversation.respond(LONG)
        assert isinstance(step, Done)
        assert step.verdict == Reject(Reason.MALFORMED, detail="a name of over 1024 bytes")
    assert sum("event=login verdict=reject reason=malformed" in line for line in at.lines) == 1
