"""Isolated backends in the real daemon: PAM and shadow in worker processes that are killed, hang, leak and crash."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy import passwords
from saslpy.process import remote

from ..real.pam import YES, stack, userdb_stack
from ..real.saslpy import ask, back_within, configured, folder, serving

STATIC = '[backend.quick]\ntype = "static"\nusers = { ann = "{PLAIN}secret" }\n'


LONG = f"60.{os.getpid()}"
"""Seconds that this run's modules sleep: tells its processes from all others."""


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        (path / "pam.d").mkdir()
        yield path


def pam(place: Path, more: str = "") -> str:
    return f'[backend.system]\ntype = "pam"\nservice = "smtp"\nconfdir = "{place}/pam.d"\n{more}\n'


def timed(place: Path, login: str, password: str) -> tuple[str, float]:
    start = time.monotonic()
    return ask(place, login, password), time.monotonic() - start


def test_pam_answers_from_a_worker_that_keeps_its_rights(place: Path) -> None:
    userdb_stack(place / "pam.d", {"joe": "secret"})
    config = configured(place, pam(place), auth='chain = ["system"]')
    if os.geteuid() == 0:
        config.write_text(config.read_text().replace('user = "root"', 'user = "nobody"'))
    with serving(config) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        assert ask(place, "joe", "wrong") == "reject"
        assert ask(place, "nobody-of-this-name", "secret") == "reject"
        (worker,) = daemon.children("backend.system")
        assert Path(f"/proc/{worker}").stat().st_uid == os.geteuid()


def test_shadow_answers_from_a_worker_and_hashes_are_computed_elsewhere(place: Path) -> None:
    stored = passwords.make("SHA512-CRYPT", "secret").removeprefix("{SHA512-CRYPT}")
    (place / "shadow").write_text(f"joe:{stored}:19000:0:99999:7:::\nlocked:!{stored}:19000:0:99999:7:::\n")
    (place / "passwd").write_text("joe:x:1000:1000:Joe:/home/joe:/bin/sh\nlocked:x:1001:1001::/:/bin/sh\n")
    (place / "shadow").chmod(0o600)
    backend = f'[backend.system]\ntype = "shadow"\npath = "{place}/shadow"\npasswd = "{place}/passwd"\n'
    config = configured(place, backend, auth='chain = ["system"]')
    if os.geteuid() == 0:
        config.write_text(config.read_text().replace('user = "root"', 'user = "nobody"'))
    with serving(config):
        assert ask(place, "joe", "secret") == "accept"
        assert ask(place, "joe", "wrong") == "reject"
        assert ask(place, "locked", "secret") == "reject"
        (place / "shadow").rename(place / "away")
        assert ask(place, "joe", "secret") == "defer"
        (place / "away").rename(place / "shadow")
        back_within(3, place, "joe", "secret")


def test_a_worker_that_is_killed_costs_nothing_when_it_was_idle(place: Path) -> None:
    userdb_stack(place / "pam.d", {"joe": "secret"})
    with serving(configured(place, pam(place), auth='chain = ["system"]')) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        for _ in range(2):
            for pid in daemon.children("backend.system"):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
            assert ask(place, "joe", "secret") == "accept"


def test_a_worker_that_crashes_or_hangs_is_one_defer_and_is_replaced(place: Path) -> None:
    stack(place / "pam.d", "smtp", f"auth sufficient pam_exec.so quiet /bin/sleep {LONG}", YES)
    config = configured(place, pam(place, "timeout = 1.0"), auth='chain = ["system"]')
    with serving(config) as daemon:
        verdict, seconds = timed(place, "joe", "secret")
        assert verdict == "defer"
        assert 0.9 < seconds < 3
        deadline = time.monotonic() + 5
        while sleepers := _sleepers(place):
            assert time.monotonic() < deadline, f"left behind: {sleepers}"
            time.sleep(0.05)
        assert daemon.lines("killed")

        answers: list[str] = []
        asker = threading.Thread(target=lambda: answers.append(ask(place, "joe", "secret")))
        asker.start()
        time.sleep(0.4)
        for pid in daemon.children("backend.system"):
            os.kill(pid, signal.SIGSEGV)
        asker.join()
        assert answers == ["defer"]
        for sleeper in _sleepers(place):  # a worker that dies by itself leaves what it has started
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(sleeper), signal.SIGKILL)
        userdb_stack(place / "pam.d", {"joe": "secret"})
        back_within(3, place, "joe", "secret")


def _sleepers(place: Path) -> list[str]:
    """Processes that a module has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"/bin/sleep\0{LONG}\0".encode():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_a_slow_backend_does_not_delay_the_users_of_another(place: Path) -> None:
    """PAM sleeps for 2 s; meanwhile the others' logins take what they always take."""
    stack(place / "pam.d", "smtp", "auth required pam_exec.so quiet /bin/sleep 2", "auth required pam_permit.so", YES)
    route = '[[auth.route]]\ndomains = ["slow.example"]\nchain = ["system"]\n'
    config = configured(place, pam(place) + STATIC, auth=f'chain = ["quick"]\n{route}')
    with serving(config) as daemon:
        alone = [timed(place, "ann", "secret") for _ in range(50)]
        slow = [threading.Thread(target=ask, args=(place, f"u{number}@slow.example", "x")) for number in range(20)]
        for thread in slow:
            thread.start()
        time.sleep(0.5)
        beside = [timed(place, "ann", "secret") for _ in range(50)]
        assert any(thread.is_alive() for thread in slow)
        for thread in slow:
            thread.join()
        assert {verdict for verdict, _ in alone + beside} == {"accept"}
        quiet, busy = (statistics.median(seconds for _, seconds in times) for times in (alone, beside))
        print(f"median {quiet * 1000:.1f} ms alone, {busy * 1000:.1f} ms beside the slow ones")
        assert busy < 0.5, (quiet, busy)  # far from the 2 s that the others wait for
        assert len(daemon.children("backend.system")) <= 16  # 8, and those that end


def test_a_worker_is_recycled(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    userdb_stack(place / "pam.d", {"joe": "secret"})
    with serving(configured(place, pam(place), auth='chain = ["system"]')) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        first = daemon.children("backend.system")
        for _ in range(remote.RECYCLE):
            assert ask(place, "joe", "secret") == "accept"
        assert ask(place, "joe", "secret") == "accept"
        assert daemon.children("backend.system") != first


def test_a_plug_in_that_cannot_be_opened_is_told(place: Path) -> None:
    userdb_stack(place / "pam.d", {"joe": "secret"})
    (place / "pam.d" / "smtp").unlink()
    with serving(configured(place, pam(place), auth='chain = ["system"]')):
        assert ask(place, "joe", "secret") == "defer"
