"""The file with what logins have sent: read at the start, written now and then, and no reason for anything to stop."""

from __future__ import annotations

import os
import signal
import smtplib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from saslpy.process import counting
from saslpy.process.counting import EVERY, FILE, Counting, steady_clock
from saslpy.submission.limits import Allowed, Counters, Limits, Refused

from ..fakes import list_log
from ..real.saslpy import Daemon, serving
from .evil import changed
from .submitting import MESSAGE, RECIPIENT, SENDER, Site
from .test_supervisor import wait_lines


def made(folder: Path) -> tuple[Counting, Counters, list[str]]:
    log, lines = list_log()
    counters = Counters(Limits(1, 1))
    return Counting(counters, folder, log, time.time), counters, lines


async def test_another_process_goes_on_with_it(tmp_path: Path) -> None:
    one, counters, lines = made(tmp_path / "state")
    await one.read()
    await one.finish()
    assert not (tmp_path / "state").exists()  # nothing was counted
    counters.take("joe", 1, 1, time.time())
    await one.finish()
    path = tmp_path / "state" / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [FILE]
    another, counters, more = made(tmp_path / "state")
    await another.read()
    assert isinstance(counters.take("joe", 1, 1, time.time()), Refused)
    assert lines == more == []


async def test_it_is_written_now_and_then_and_not_where_nothing_changes(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write(path: Path, pieces: list[bytes]) -> None:
        nonlocal written
        written += 1

    async def at_once(function: Callable[..., None], *args: Any, **_options: Any) -> None:
        function(*args)  # while a thread works, this clock jumps

    monkeypatch.setattr(counting, "_write", write)
    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    one, counters, _ = made(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        for number in range(100):
            counters.take(f"user{number}", 1, 1, time.time())
            await trio.sleep(EVERY / 50 + 0.001)
        await trio.sleep(10 * EVERY)
        assert written == 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["garbage", "folder", "pipe", "unreadable"])
async def test_what_cannot_be_read_is_said_and_no_more(tmp_path: Path, what: str) -> None:
    path = tmp_path / FILE
    match what:
        case "garbage":
            path.write_bytes(b"\0" * 100_000)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "unreadable":
            path.symlink_to(path)
    one, counters, lines = made(tmp_path)
    with trio.fail_after(2):
        await one.read()
    assert f"event=counts-not-read file={path}" in lines[0]
    assert isinstance(counters.take("joe", 1, 1, time.time()), Allowed)


async def test_what_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    one, counters, lines = made(tmp_path / "state")
    for _ in range(3):
        counters.take("joe", 1, 1, time.time())
        await one.write()
        counters.give_back("joe", 1, 1, time.time())
    assert len(lines) == 1
    assert "event=counts-not-written" in lines[0]
    (tmp_path / "state").unlink()
    await one.write()
    assert (tmp_path / "state" / FILE).exists()


def test_the_clock_is_that_of_the_wall() -> None:
    assert abs(steady_clock()() - time.time()) < 1


# --- a whole daemon


def sent(site: Site) -> int:
    """The code of one more message of joe's."""
    with site.client(SENDER) as smtp:
        try:
            smtp.sendmail(SENDER, RECIPIENT, MESSAGE)
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
    return 250


def kept(site: Site, daemon: Daemon, count: int) -> None:
    """Wait until so many messages stand in the file."""
    deadline = time.monotonic() + 5
    path = site.place / "state" / FILE
    while not (path.exists() and f",{count}]]" in path.read_text()):
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.02)


def test_counts_outlive_the_auth_process_a_reload_and_the_daemon(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "from saslpy.process import counting\ncounting.EVERY = 0.1\n")
    site = Site(place, workers=1)
    site.write(limits="messages_per_hour = 4")
    with serving(site.config) as daemon:
        assert [sent(site) for _ in range(2)] == [250, 250]
        kept(site, daemon, 2)
        (auth,) = daemon.children("auth")
        os.kill(auth, signal.SIGKILL)
        site.works_within(5)  # the third
        daemon.process.send_signal(signal.SIGHUP)
        wait_lines(daemon, "reloaded")
        assert [sent(site) for _ in range(2)] == [250, 450]
    site.config.with_suffix(".log").unlink()
    with serving(site.config):
        assert sent(site) == 450
    site.config.with_suffix(".log").unlink()
    (place / "state" / FILE).write_text("{}")
    with serving(site.config) as daemon:
        assert sent(site) == 250
        assert "line 1 makes no sense" in daemon.lines("counts-not-read")[0]
