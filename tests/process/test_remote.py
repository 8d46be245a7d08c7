"""Worker processes of isolated backends that say what nobody has asked them: no answer becomes another user's."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from saslpy import Account, Login, Reason, Refusal
from saslpy.guard import BackendFailed
from saslpy.process import questions, wire
from saslpy.process.link import Link
from saslpy.process.remote import Remote

FORKY = """
import os, socket, sys, time
from saslpy import Account, Plugin, Reason, Refusal
from saslpy.process.backendworker import serve
from saslpy.settings import BackendOptions, BackendSettings
from contextlib import nullcontext

class Forky:
    '''As a PAM module whose exec of a helper has failed: the child returns, too.'''

    def verify(self, login, password):
        if os.fork() == 0:
            time.sleep(float(sys.argv[2]))
            return Account("somebody")
        return Account(login.name) if password == "right" else Refusal(Reason.WRONG_PASSWORD)

plugin = Plugin(object, lambda config: nullcontext(Forky()), isolated=True)
serve(BackendSettings("it", BackendOptions(type="it"), plugin, None), socket.socket(fileno=int(sys.argv[1])))
"""


@pytest.mark.parametrize("later", ["0", "0.05"])
async def test_a_backend_that_forks_and_comes_back_twice(later: str) -> None:
    ours, theirs = wire.pair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", FORKY, str(theirs.fileno()), later], pass_fds=[theirs.fileno()]
        )
    try:
        async with remote(ours, process.kill) as backend:
            for number in range(10):
                name = f"user{number}"
                assert await backend.verify(Login.of(name), "right") == Account(name)
                assert await backend.verify(Login.of(name), "wrong") == Refusal(Reason.WRONG_PASSWORD)
                await trio.sleep(0.02)
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def remote(*workers: Any) -> AsyncIterator[Any]:
    """A backend in workers, each given as our end of its channel and what kills it."""
    left = list(zip(workers[::2], workers[1::2], strict=True))

    async def start() -> Link:
        ours, end = left.pop(0)
        return Link(ours, lambda _why: end())

    async with Remote.opened(start, 1) as backend:
        yield backend


Reply = Callable[[int], list[bytes]]
ACCEPT = Account("joe")

ODD: dict[str, Reply] = {
    "two answers": lambda number: [questions.answer(number, ACCEPT), questions.answer(number, ACCEPT)],
    "one before": lambda number: [questions.answer(number - 1, ACCEPT), questions.answer(number, ACCEPT)],
    "another's": lambda number: [questions.answer(number + 1, ACCEPT)],
    "garbage": lambda number: [b"garbage", questions.answer(number, ACCEPT)],
    "an answer without a number": lambda number: [wire.encode([None, ["joe"]])],
}


@pytest.mark.parametrize("case", ODD)
async def test_a_worker_that_answers_what_it_was_not_asked_is_ended(case: str) -> None:
    """By the one after it, users are answered right; what the odd one has sent counts for nobody else."""
    ended: list[int] = []
    ours, odd = wire.pair()
    others, good = wire.pair()
    for end in (odd, good):
        end.send(wire.encode(["can", "verify"]))
    async with remote(ours, lambda: ended.append(1), others, lambda: ended.append(2)) as backend:
        first = await _asked(backend, "joe", odd, ODD[case])
        assert first in (ACCEPT, None)
        second = await _asked(backend, "ann", good, lambda number: [questions.answer(number, WRONG)])
        assert second == WRONG
    assert ended == [1]
    odd.close()
    good.close()


WRONG = Refusal(Reason.WRONG_PASSWORD)


async def _asked(backend: Any, name: str, worker: socket.socket, reply: Reply) -> Account | Refusal | None:
    """The verdict on a login that a worker's end of a channel answers; None for "could not find out"."""
    answers: list[Account | Refusal | None] = []

    async def ask() -> None:
        try:
            answers.append(await backend.verify(Login.of(name), "x"))
        except BackendFailed:
            answers.append(None)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.lowlevel.wait_readable(worker)
            asked = questions.read_question(worker.recv(wire.MAX_PACKET))
            for packet in reply(asked.number):
                worker.send(packet)
    return answers[0]
