"""Tokens that an isolated backend checks, in a worker process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from saslpy import Account, Login, Reason, Refusal
from saslpy.exchange import Challenge, Done
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.mechanisms import named
from saslpy.model import Accept, Origin, Reject
from saslpy.process import questions, wire
from saslpy.process.link import Link
from saslpy.process.remote import Remote

from ..doors import door_before
from ..fakes import Users, list_log

ISSUER = """
import socket, sys
from contextlib import nullcontext
from saslpy import Account, Plugin, Reason, Refusal
from saslpy.process.backendworker import serve
from saslpy.settings import BackendOptions, BackendSettings

class Issuer:
    def verify_token(self, login, token):
        if token.startswith("raise"):
            raise OSError(f"the issuer says {token}")
        if token == "none":
            return None
        if token == "of-joe":
            return Account("joe", options={"asked": login.name})
        return Refusal(Reason.INVALID_TOKEN, "expired")

plugin = Plugin(object, lambda config: nullcontext(Issuer()), isolated=True)
serve(BackendSettings("it", BackendOptions(type="it"), plugin, None), socket.socket(fileno=int(sys.argv[1])))
"""


@asynccontextmanager
async def issuer() -> AsyncIterator[Any]:
    """The backend in a worker process."""
    processes = []

    async def start() -> Link:
        ours, theirs = wire.pair()
        with theirs:
            process = subprocess.Popen([sys.executable, "-c", ISSUER, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        processes.append(process)
        return Link(ours, lambda _why: process.kill())

    try:
        async with Remote.opened(start, 1) as remote:
            yield remote
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def test_an_isolated_backend_checks_tokens() -> None:
    log, lines = list_log()
    async with issuer() as remote, Guarded.around("b", remote, 10.0, Health(log), workers=1) as guard:
        assert guard.has_tokens
        assert not guard.has_verify
        joe = Account("joe", options={"asked": "joe"})
        assert await guard.verify_token(Login.of("joe"), "of-joe") == joe
        assert await guard.verify_token(Login("", ""), "of-joe") == Account("joe", options={"asked": ""})
        assert await guard.verify_token(Login.of("joe"), "x") == Refusal(Reason.INVALID_TOKEN, "expired")
        with pytest.raises(BackendFailed, match="answered None"):
            await guard.verify_token(Login.of("joe"), "none")
        with pytest.raises(BackendFailed) as caught:
            await guard.verify_token(Login.of("joe"), "raise-hunter2")
        assert await guard.verify_token(Login.of("joe"), "y" * 65_000) == Refusal(Reason.INVALID_TOKEN, "expired")
    assert caught.value.detail == "OSError (its text shows what is secret)"
    assert not any("hunter2" in line for line in lines)
    assert "hunter2" not in repr(questions.Question(1, "verify_token", Login.of("joe"), b"hunter2"))


async def test_a_login_with_a_token_that_an_isolated_backend_knows() -> None:
    mechanism = named("OAUTHBEARER")
    assert mechanism is not None
    async with issuer() as remote, door_before(Users({"joe": "{PLAIN}pencil"}), remote, timeout=10.0) as at:
        step = await at.door.begin(mechanism, Origin("dovecot", "imap")).start(b"n,a=joe,\x01auth=Bearer x\x01\x01")
        assert isinstance(step, Challenge)
        assert step.verdict == Reject(Reason.INVALID_TOKEN, "b1", "expired")
        step = await at.door.begin(mechanism, Origin("dovecot", "imap")).start(b"n,,\x01auth=Bearer of-joe\x01\x01")
        assert isinstance(step, Done)
        assert isinstance(step.verdict, Accept)
        assert step.verdict.account.login == "joe"
