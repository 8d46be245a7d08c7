"""A store in a worker process can be asked for an upgrade, too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saslpy import Login
from saslpy.backend import Plugin, Upgrading
from saslpy.guard import BackendFailed
from saslpy.process import backendworker, wire
from saslpy.process.link import Link
from saslpy.process.remote import Remote
from saslpy.settings import BackendOptions, BackendSettings
from saslpy_sqlite import Config, open_store
from saslpy_sqlite.store import SqliteStore

OLD, NEW = "{PLAIN}old sécret", "{PLAIN}new sécret"


@contextmanager
def worker(path: Path) -> Iterator[Link]:
    """A worker with the store of a file. A thread of ours stands in for the process."""
    plugin = Plugin(Config, open_store, isolated=True)
    settings = BackendSettings("local", BackendOptions(type="sqlite"), plugin, Config(path=path))
    ours, theirs = wire.pair()
    thread = threading.Thread(target=backendworker.serve, args=(settings, theirs))
    thread.start()
    link = Link(ours)
    try:
        yield link
    finally:
        link.close()
        thread.join(10)
        theirs.close()


async def test_a_store_in_a_worker(tmp_path: Path) -> None:
    path = tmp_path / "users.db"
    store = SqliteStore(path)
    store.add("joe", [OLD])
    with worker(path) as link:

        async def start() -> Link:
            return link

        async with Remote.opened(start, 1) as remote:
            assert isinstance(remote, Upgrading)
            backend: Any = remote
            login = Login.of("joe")
            assert await backend.replace_secrets(login, [NEW], [OLD]) is False
            assert await backend.replace_secrets(login, [OLD], [NEW, "{PLAIN}more"]) is True
            account = await backend.lookup(login)
            assert account is not None
            assert account.secrets == (NEW, "{PLAIN}more")
            path.unlink()
            with pytest.raises(BackendFailed, match="there is no such file"):
                await backend.replace_secrets(login, [NEW], [OLD])
    store.close()
