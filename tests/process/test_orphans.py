"""What a backend's worker has started ends with it: killed at the deadline, dead by itself, or at the daemon's own end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy.process.ending import children_of, kill_tree

from ..real import need
from ..real import saslpy as real
from ..real.saslpy import ask, back_within, configured, folder, serving
from .evil import changed, evil, plugged, sleepers
from .test_supervisor import RECOVERY

SECONDS = f"61.{os.getpid()}"
"""What this run's processes sleep: tells them from all others."""


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        yield path
    for pid in sleepers(SECONDS):
        os.kill(pid, signal.SIGKILL)


def wait_for(count: int) -> None:
    deadline = time.monotonic() + 5
    while len(found := sleepers(SECONDS)) != count:
        assert time.monotonic() < deadline, f"{found}, and not {count}"
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["doublefork-hang", "threadfork"])
def test_with_a_worker_that_is_killed_at_its_deadline(place: Path, how: str) -> None:
    environment = plugged(place)
    config = configured(place, evil(timeout=0.7, sleep=SECONDS), 'chain = ["evil"]')
    with serving(config, environment) as daemon:
        assert ask(place, how, "x") == "defer"
        wait_for(0)
        assert daemon.lines("killed")
        back_within(RECOVERY, place, "joe", "secret")


def test_with_a_worker_that_dies_by_itself(place: Path) -> None:
    environment = plugged(place)
    config = configured(place, evil(sleep=SECONDS), 'chain = ["evil"]')
    with serving(config, environment) as daemon:
        ask(place, "doublefork", "x")
        wait_for(1)
        (worker,) = daemon.children("backend.evil")
        os.kill(worker, signal.SIGKILL)
        wait_for(0)
        back_within(RECOVERY, place, "joe", "secret")


def test_with_the_daemon(place: Path) -> None:
    environment = plugged(place)
    config = configured(place, evil(sleep=SECONDS), 'chain = ["evil"]')
    with serving(config, environment):
        ask(place, "doublefork", "x")
        wait_for(1)
    wait_for(0)


def test_what_was_there_before_is_not_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's background job, when the shell becomes the daemon."""
    changed(monkeypatch, f"import subprocess\nkept = subprocess.Popen(['sleep', '{SECONDS}'])")
    environment = plugged(place)
    config = configured(place, evil(), 'chain = ["evil"]')
    with serving(config, environment) as daemon:
        ask(place, "exit-3", "x")
        back_within(RECOVERY, place, "joe", "secret")
        daemon.wait_for("process-ended")
        wait_for(1)
    wait_for(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_where_proc_hides_other_processes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the unit has it, with ProtectProc=invisible and without CAP_SYS_PTRACE."""
    unshare, setpriv = need("unshare", package="util-linux"), need("setpriv", package="util-linux")
    mounted = 'mount -t proc -o hidepid=invisible proc /proc && exec "$0" "$@"'
    command = (unshare, "--mount", "sh", "-c", mounted, setpriv, "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespace can be made here")
    monkeypatch.setattr(real, "COMMAND", (*command, *real.COMMAND))
    environment = plugged(place)
    config = configured(place, evil(timeout=0.7, sleep=SECONDS), 'chain = ["evil"]')
    with serving(config, environment):
        assert ask(place, "doublefork-hang", "x") == "defer"
        wait_for(0)
        back_within(RECOVERY, place, "joe", "secret")


def test_a_tree_with_threads_is_found_whole() -> None:
    code = f"""
import subprocess, threading, time
threading.Thread(target=lambda: (subprocess.Popen(['sleep', '{SECONDS}']), time.sleep(900)), daemon=True).start()
subprocess.Popen(['sh', '-c', 'sleep {SECONDS} & wait'], start_new_session=True)
time.sleep(900)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        wait_for(2)
        assert len(children_of(process.pid)) == 2
        kill_tree(process.pid)
        assert process.wait(5) == -signal.SIGKILL
    wait_for(0)
    assert children_of(process.pid) == []
