"""The daemon with plug-ins that block, hang and fail at their opening and closing, and with too few files to open."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from saslpy import passwords
from saslpy.process import control
from saslpy.process.supervisor import GRACE

from ..real import saslpy as real
from ..real.saslpy import Daemon, ask, back_within, configured, serving
from .test_supervisor import connected, wait_lines

PLUGIN = """
import time
from contextlib import contextmanager
from dataclasses import dataclass
from saslpy import Account, Plugin

@dataclass(frozen=True, kw_only=True)
class Config:
    password: str = "secret"
    at_open: float = 0
    at_close: float = 0
    fails: bool = False

class Store:
    def __init__(self, password):
        self.password = password

    def lookup(self, login):
        return Account(login.name, ("{PLAIN}" + self.password,))

@contextmanager
def open_store(config):
    time.sleep(config.at_open)
    yield Store(config.password)
    time.sleep(config.at_close)
    if config.fails:
        raise RuntimeError("the moon is wrong")

plugin = Plugin(Config, open_store)
"""


@pytest.fixture
def environment(place: Path) -> dict[str, str]:
    """Where the plug-in is installed."""
    info = place / "plug" / "hostile_plug-1.dist-info"
    info.mkdir(parents=True)
    (place / "plug" / "hostile_plug.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile-plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[saslpy.backends]\nhostile = hostile_plug:plugin\n")
    return {"PYTHONPATH": str(place / "plug")}


def hostile(place: Path, **keys: object) -> Path:
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return configured(place, f'[backend.it]\ntype = "hostile"\n{lines}\n', auth='chain = ["it"]\nmin_seconds = 0')


def reload(daemon: Daemon) -> None:
    daemon.process.send_signal(signal.SIGHUP)


def longest_login(place: Path, seconds: float) -> float:
    """Log in again and again for a while; the longest that it took."""
    longest, until = 0.0, time.monotonic() + seconds
    while (before := time.monotonic()) < until:
        assert ask(place, "joe", "secret") == "accept"
        longest = max(longest, time.monotonic() - before)
    return longest


def test_a_backend_whose_closing_fails_is_told_and_costs_nothing(place: Path, environment: dict[str, str]) -> None:
    with serving(hostile(place, fails=True), environment) as daemon:
        (auth,) = daemon.children("auth")
        for count in (1, 2):
            reload(daemon)
            assert "backend=it" in wait_lines(daemon, "close-failed", count)[-1]
            assert "the moon is wrong" in daemon.lines("close-failed")[-1]
            assert ask(place, "joe", "secret") == "accept"
        assert daemon.children("auth") == [auth]
        assert not daemon.lines("internal-error")


def test_a_backend_that_does_not_close_is_told_and_a_stop_is_no_longer_for_it(
    place: Path, environment: dict[str, str]
) -> None:
    daemon = Daemon(hostile(place, at_close=600), place / "log", environment)
    try:
        daemon.wait_for("ready")
        reload(daemon)
        assert "not closed in" in wait_lines(daemon, "close-failed")[0]
        assert longest_login(place, 0.2) < 1.0
        before = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - before < GRACE
        assert len(daemon.lines("close-failed")) == 2
        assert not daemon.lines("killed")
    finally:
        daemon.stop(signal.SIGKILL)


def test_a_backend_that_takes_its_time_to_open_holds_up_nobody(place: Path, environment: dict[str, str]) -> None:
    with serving(hostile(place), environment) as daemon:
        hostile(place, at_open=1.5)
        reload(daemon)
        assert longest_login(place, 1.2) < 0.5
        assert not daemon.lines("reloaded")
        wait_lines(daemon, "reloaded")


def test_a_backend_that_never_opens_is_a_refused_reload(place: Path, environment: dict[str, str]) -> None:
    with serving(hostile(place), environment) as daemon:
        (auth,) = daemon.children("auth")
        hostile(place, password="other", at_open=600)
        reload(daemon)
        assert longest_login(place, 1.0) < 0.5
        time.sleep(8.5)
        assert "backend.it: cannot be opened: it was not open in 10 s" in wait_lines(daemon, "reload-failed")[0]
        assert ask(place, "joe", "secret") == "accept"
        hostile(place, password="third")
        reload(daemon)
        wait_lines(daemon, "reloaded")
        assert ask(place, "joe", "third") == "accept"
        assert daemon.children("auth") == [auth]


def test_hash_workers_are_replaced_though_connections_take_all_files(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "COMMAND", ("sh", "-c", 'ulimit -n 48; exec "$@"', "sh", *real.COMMAND))
    stored = passwords.make("MD5-CRYPT", "secret")
    users = f'[backend.local]\ntype = "static"\nusers = {{ joe = "{stored}" }}\n'
    config = configured(place, users, auth="[auth.passwords]\nprocesses = 2")
    with serving(config) as daemon, contextlib.ExitStack() as stack:
        (auth,) = daemon.children("auth")
        assert "max_files=48" in daemon.lines("few-files")[0]
        idle = [stack.enter_context(connected(place / "mux")) for _ in range(60)]
        time.sleep(0.3)
        before = daemon.children("hash")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 3
        while len(set(daemon.children("hash")) - set(before)) < len(before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for connection in idle:
            connection.close()
        time.sleep(0.3)  # until that is seen, one more is too many
        back_within(3.0, place, "joe", "secret")
        assert daemon.children("auth") == [auth]


def test_a_reload_with_more_sockets_than_fit(place: Path) -> None:
    users = '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n'
    with serving(configured(place, users)) as daemon:
        (auth,) = daemon.children("auth")
        more = [f'[[listen]]\nprotocol = "saslauthd"\npath = "more{number}"\n' for number in range(100)]
        configured(place, users, listen="".join(more))
        reload(daemon)
        wait_lines(daemon, "reloaded")
        with connected(place / "more99") as last:
            assert last.family == socket.AF_UNIX
        assert ask(place, "joe", "secret") == "accept"
        assert daemon.children("auth") == [auth]
        assert control.MAX_FILES > 101
