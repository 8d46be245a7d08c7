"""What the supervisor does with processes that hang, talk nonsense, end without a word, or cannot be started."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from saslpy.observe.log import Log
from saslpy.observe.sink import Sink
from saslpy.process import family, heartbeat, starting
from saslpy.process.children import Child
from saslpy.process.family import Family
from saslpy.process.heartbeat import Heartbeat
from saslpy.process.roles import Role
from saslpy.process.seldom import Seldom
from saslpy.process.signals import Signals, drain
from saslpy.process.starting import Starting
from saslpy.process.supervisor import MOST_ODD
from saslpy.protocols.saslauthd import encode_request

from ..real.saslpy import ask, back_within, configured, serving
from .evil import changed, evil, plugged, without_forks
from .test_supervisor import RECOVERY, connected, users, wait_gone, wait_lines


def test_stuck_workers_take_no_place_from_those_of_the_next_auth_process(place: Path) -> None:
    environment = plugged(place)
    backends = evil(timeout=30.0) + users(sam="{PLAIN}secret")
    config = configured(place, backends, 'chain = ["local", "evil"]\ndeadline = 60')
    with serving(config, environment) as daemon:
        stuck: set[int] = set()
        for _ in range(2):
            with ExitStack() as stack:
                for _ in range(8):
                    stack.enter_context(connected(place / "mux")).sendall(encode_request(b"hang", b"x"))
                deadline = time.monotonic() + 5
                while len(new := set(daemon.children("backend.evil")) - stuck) < 8:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                stuck |= new
                os.kill(daemon.children("auth")[0], signal.SIGKILL)
                back_within(RECOVERY, place, "sam", "secret")
        back_within(RECOVERY, place, "joe", "secret")
        for pid in stuck:
            wait_gone(pid)


def test_a_machine_that_gives_no_more_processes_is_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_forks(monkeypatch, place / "flag")
    environment = plugged(place)
    config = configured(place, evil() + users(sam="{PLAIN}secret"), 'chain = ["local", "evil"]')
    with serving(config, environment) as daemon:
        (place / "flag").touch()
        for role in ("backend.evil", "hash"):
            for pid in daemon.children(role):
                os.kill(pid, signal.SIGKILL)
        wait_lines(daemon, "cannot-start")
        assert ask(place, "joe", "secret") == "defer"
        os.kill(daemon.children("auth")[0], signal.SIGKILL)
        time.sleep(1.5)
        assert daemon.process.poll() is None
        told = daemon.lines("cannot-start")
        assert 2 <= len(told) <= 3, told  # one for each role
        assert "Resource temporarily unavailable" in told[0]
        (place / "flag").unlink()
        back_within(RECOVERY, place, "sam", "secret")
        back_within(RECOVERY, place, "joe", "secret")


PACKETS = {  # and how often they are repeated in one: a password is not so long
    "deep": (b"\x91" * 100, 1000),
    "map": (b"\x81\x90\x01", 1),
    "text": (b"\xa2\xff\xfe", 1),
    "number": (b"\x93\xa5start\xcf" + b"\xff" * 8 + b"\xa6hash#0", 1),
    "role": (b"\x93\xa5start\x01\xa3\xed\xa0\x80", 1),
    "pid": (b"\x93\xa3end\xff\xa1x", 1),
    "adopted": (b"\x91\xa7adopted", 1),
    "date": (b"\xc7\x0c\xff" + b"\xff" * 12, 1),
}


@pytest.mark.parametrize(("packet", "times"), PACKETS.values(), ids=PACKETS.keys())
def test_an_auth_process_that_was_taken_over_cannot_end_the_supervisor(place: Path, packet: bytes, times: int) -> None:
    environment = plugged(place)
    config = configured(place, evil("evil") + users(sam="{PLAIN}secret"), 'chain = ["local", "evil"]\nmin_seconds = 0')
    with serving(config, environment) as daemon:
        auth = daemon.children("auth")
        for _ in range(2):
            ask(place, f"shout-{times}", packet.hex())
        back_within(RECOVERY, place, "sam", "secret")
        assert daemon.children("auth") == auth


def test_an_auth_process_that_talks_nonsense_is_replaced(place: Path) -> None:
    environment = plugged(place)
    config = configured(place, evil("evil") + users(sam="{PLAIN}secret"), 'chain = ["local", "evil"]\nmin_seconds = 0')
    with serving(config, environment) as daemon:
        (auth,) = daemon.children("auth")
        for _ in range(MOST_ODD):
            ask(place, "shout", "c1")
        wait_gone(auth)
        back_within(RECOVERY, place, "sam", "secret")
        assert len(daemon.lines("odd-request")) == MOST_ODD
        assert "make no sense" in next(line for line in daemon.lines("killed") if "process=auth" in line)


@pytest.mark.parametrize("kind", ["evil", "evil-apart"])
def test_an_end_with_status_0_that_nobody_asked_for_is_told(place: Path, kind: str) -> None:
    environment = plugged(place)
    config = configured(place, evil(kind), 'chain = ["evil"]')
    with serving(config, environment) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        assert ask(place, "exit-0", "x") == "defer"
        (line,) = wait_lines(daemon, "process-ended")
        assert 'detail="status 0"' in line
        back_within(RECOVERY, place, "joe", "secret")


class Plan:
    """Two generations of a role with one place each."""

    roles = {role.key: role for role in (Role("w", lambda _: None, 1, generation=number) for number in (1, 2))}
    drain_seconds = 0.0
    once = False
    watched = ()

    def auth(self, _channel: socket.socket) -> int:
        return 0

    def close(self, _role: Role) -> None:
        return

    def reload(self) -> tuple[int, Sequence[int]]:
        raise NotImplementedError

    def commit(self) -> None:
        return

    def rollback(self) -> None:
        return

    def stop_listening(self) -> None:
        return


def test_each_generation_has_its_own_places_and_together_they_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = itertools.count(1)
    monkeypatch.setattr(starting, "fork", lambda role, *_: Child(role, next(pids)))
    monkeypatch.setattr(family, "adopt_orphans", lambda: None)
    log = Log(Sink(os.open(os.devnull, os.O_WRONLY)))
    children = Family(log)
    under_test = Starting(Plan(), None, log, children, lambda: None)

    def starts(key: str) -> bool:
        match under_test.worker(key):
            case (child, sock):
                sock.close()
                assert child.role == "w"
                return True
        return False

    assert [starts(key) for key in ("w#1", "w#1", "w#2", "w#2", "w#3", "w")] == [True, False, True, False, False, False]
    children.end_later(children, 60)  # they leave their places, and are there still
    assert [starts(key) for key in ("w#1", "w#2")] == [True, True]
    children.end_later(children, 60)
    assert [starts(key) for key in ("w#1", "w#2")] == [False, False]


# --- the heartbeat


def test_an_auth_process_that_hangs_is_replaced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "from saslpy.process import heartbeat\nheartbeat.EVERY = 0.1")
    with serving(configured(place, users(joe="{PLAIN}secret"))) as daemon:
        (auth,) = daemon.children("auth")
        time.sleep(1.0)
        assert daemon.children("auth") == [auth]
        os.kill(auth, signal.SIGSTOP)
        wait_gone(auth)
        back_within(RECOVERY, place, "joe", "secret")
        (line,) = daemon.lines("killed")
        assert "does not answer" in line
        # all of us asleep: nobody has missed anything
        (auth,) = daemon.children("auth")
        for pid in (daemon.process.pid, auth):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1.0)
        for pid in (daemon.process.pid, auth):
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        assert daemon.children("auth") == [auth]


def test_an_auth_process_may_take_its_time_to_open_backends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "from saslpy.process import heartbeat\nheartbeat.EVERY = 0.1")
    environment = plugged(place)
    config = configured(place, evil("evil-blocking", blocks=1.5), 'chain = ["evil"]')
    with serving(config, environment) as daemon:
        auth = daemon.children("auth")
        configured(place, evil("evil-blocking", blocks=1.6), 'chain = ["evil"]')
        daemon.process.send_signal(signal.SIGHUP)
        wait_lines(daemon, "reloaded")
        assert daemon.children("auth") == auth
        assert not daemon.lines("killed")


def test_pings_are_counted_and_not_seconds() -> None:
    heart = Heartbeat()
    assert heart.wait(0.0) == float("inf")
    heart.begin(0.0)
    assert heart.wait(1.0) == heartbeat.EVERY - 1
    now = 0.0
    for _ in range(heartbeat.MOST_MISSED):
        now += 10_000  # the machine slept
        assert heart.wait(now) == 0
        assert heart.ping(now)
        assert heart.wait(now) == heartbeat.EVERY
    heart.heard()
    for _ in range(heartbeat.MOST_MISSED):
        now += heartbeat.EVERY
        assert heart.ping(now)
    assert not heart.ping(now + heartbeat.EVERY)
    heart.end()
    assert heart.wait(now) == float("inf")


# --- signals and lines


def test_no_signal_is_lost_however_many_come() -> None:
    assert threading.current_thread() is threading.main_thread()
    signals = Signals()
    with signals.caught() as (woken, _):
        for _ in range(5000):  # more than fit into the socket
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert woken.recv(1)
        drain(woken)
        assert signals.take() == {signal.SIGHUP, signal.SIGTERM}
        assert signals.take() == set()
        os.kill(os.getpid(), signal.SIGCHLD)
        assert woken.recv(1)
        assert signals.take() == {signal.SIGCHLD}


def test_a_line_that_would_be_a_flood_is_written_once() -> None:
    seldom = Seldom()
    assert [seldom.now("a"), seldom.now("b"), seldom.now("a")] == [True, True, False]
