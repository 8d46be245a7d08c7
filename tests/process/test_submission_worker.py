"""What a submission worker begins with."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trio

from saslpy.process.submission import Worker
from saslpy.settings import load

from ..fakes import list_log
from .submitting import Site


async def test_each_of_its_sockets_has_one_watch(tmp_path: Path) -> None:
    settings = load(Site(tmp_path).config)
    log, _ = list_log()
    nobody: Any = None
    with ExitStack() as stack:
        sockets = {
            listen.place: stack.enter_context(socket.socket()) for listen in settings.listen if listen.in_workers
        }
        async with trio.open_nursery() as nursery:
            Worker(settings, log).open(sockets, nobody, nursery)
            names = [task.name for task in nursery.child_tasks]
            nursery.cancel_scope.cancel()
    assert sum(name.endswith("SubmissionServer.watch") for name in names) == len(sockets) == 2
