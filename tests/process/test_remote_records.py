"""A record of an isolated backend that cannot be told: one login's trouble, and neither the store's nor its worker's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from saslpy import Account, Login
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.process import wire
from saslpy.process.link import Link
from saslpy.process.remote import Remote

from ..fakes import list_log

STORE = """
import socket, sys
from contextlib import nullcontext
from saslpy import Account, Plugin
from saslpy.process.backendworker import serve
from saslpy.settings import BackendOptions, BackendSettings

class Store:
    def lookup(self, login):
        return {
            "joe": Account("joe"),
            "large": Account("large", options={"much": "x" * 300_000}),
            "latin": Account("latin", name="Jos\\udce9"),
            "unsound": Account("unsound", uid=-1),
            "odd": 1,
        }[login.name]

plugin = Plugin(object, lambda config: nullcontext(Store()), isolated=True)
serve(BackendSettings("it", BackendOptions(type="it"), plugin, None), socket.socket(fileno=int(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("name", "why"),
    [("large", "answered over"), ("latin", "no text"), ("unsound", "whose uid"), ("odd", "answered int")],
)
async def test_others_are_answered_by_the_same_worker(name: str, why: str) -> None:
    log, lines = list_log()
    processes = []

    async def start() -> Link:
        ours, theirs = wire.pair()
        with theirs:
            process = subprocess.Popen([sys.executable, "-c", STORE, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        processes.append(process)
        return Link(ours, lambda _why: process.kill())

    try:
        async with (
            Remote.opened(start, 1) as remote,
            Guarded.around("b", remote, 10.0, Health(log), workers=1) as guard,
        ):
            with pytest.raises(BackendFailed, match=why) as caught:
                await guard.lookup(Login.of(name))
            assert caught.value.one_login
            assert await guard.lookup(Login.of("joe")) == Account("joe")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert len(processes) == 1
    assert lines == []
