"""Reloads: isolated backends that come and change, configurations that nobody can read, moments that do not suit."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from saslpy.cli import daemon as asking
from saslpy.cli import reload as cli_reload
from saslpy.observe.log import Log
from saslpy.observe.sink import Sink
from saslpy.process import control, reloading
from saslpy.process.plan import BUSY
from saslpy.process.reloading import SIGNAL, Reloading
from saslpy.process.roles import Role
from saslpy.settings import MAX_LISTENERS, load

from ..real.saslpy import ask, back_within, configured, run, serving
from .evil import changed, evil, plugged, without_forks
from .test_supervisor import JOE, OK, connected, users, wait_lines

APART = 'chain = ["evil"]'


def told(config: Path, command: str) -> dict[str, Any]:
    """What the daemon answers, whatever is in its configuration by now."""
    good = config.with_suffix(".asker")
    listen = "[[listen]]\nprotocol = 'saslauthd'\npath = 'mux'\n"
    good.write_text(f"[daemon]\nrun_dir = 'run'\n{users(joe='{PLAIN}x')}\n{listen}")
    return asking.ask(load(good), command)


def reload(config: Path) -> list[str]:
    """The faults that the daemon finds."""
    faults: list[str] = told(config, "reload")["faults"]
    return faults


# --- isolated backends


def test_an_isolated_backend_can_be_added(place: Path) -> None:
    environment = plugged(place)
    config = configured(place, users(joe="{PLAIN}other"))
    with serving(config, environment) as daemon:
        configured(place, evil(), APART)
        start = time.monotonic()
        assert reload(config) == []
        assert time.monotonic() - start < 5
        assert ask(place, "joe", "secret") == "accept"
        assert len(daemon.children("backend.evil")) == 1
        assert "backend.evil" in {one["role"] for one in told(config, "status")["processes"]}


def test_a_changed_isolated_backend_is_in_force_at_once(place: Path) -> None:
    environment = plugged(place)
    config = configured(place, evil(), APART)
    with serving(config, environment) as daemon:
        for password in ("second", "third", "fourth"):
            configured(place, evil(password=password), APART)
            assert reload(config) == []
            assert ask(place, "joe", password) == "accept"
            assert ask(place, "joe", "secret") == "reject"
        os.kill(daemon.children("auth")[0], signal.SIGKILL)
        back_within(3, place, "joe", "fourth")
        assert not daemon.lines("process-ended")[1:]  # the auth process: workers that are not needed any more just end


def test_what_began_by_the_old_configuration_gets_workers_of_it(place: Path) -> None:
    environment = plugged(place)
    slow, chain = evil("evil", "slow", delay=1.0), 'chain = ["slow", "evil"]'
    config = configured(place, slow + evil(), chain)
    with serving(config, environment) as daemon, connected(place / "mux") as waiting:
        waiting.sendall(JOE)
        time.sleep(0.2)
        for pid in daemon.children("backend.evil"):
            os.kill(pid, signal.SIGKILL)
        configured(place, slow + evil(password="other"), chain)
        assert reload(config) == []
        assert waiting.recv(100) == OK
        assert ask(place, "joe", "other") == "accept"


def test_a_worker_holds_nothing_but_its_channel(place: Path) -> None:
    """Not even what is opened for a configuration that is still being tried."""
    environment = plugged(place)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config, environment) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        configured(place, evil(), APART, f'[[listen]]\nprotocol = "saslauthd"\naddress = "127.0.0.1:{port}"')
        assert reload(config) == []
        assert ask(place, "joe", "secret") == "accept"
        deadline = time.monotonic() + 5
        while not any(holds := [held(pid) for pid in daemon.children("backend.evil") + daemon.children("hash")]):
            assert time.monotonic() < deadline
        for files in filter(None, holds):  # those of the old configuration may just have ended
            others = [what.partition(":")[0] for number, what in files if number > 2]
            assert others == ["socket"], files


def held(pid: int) -> list[tuple[int, str]]:
    """The open files of a process; none of one that has ended."""
    with contextlib.suppress(FileNotFoundError):
        return [(int(path.name), str(path.readlink())) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return []


# --- configurations


DEEP = "a = " + "[" * 3000
LONG_NUMBER = "a = " + "1" * 5000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (DEEP, "nested"),
        (LONG_NUMBER, "too many digits"),
        ("USER", "there is no user"),
        ("GROUP", "there is no group"),
        ("FIFO", "is no file"),
        ("FOLDER", "is no file"),
        ("a = 2026-99-99", "line 1"),
    ],
    ids=["deep", "number", "user", "group", "fifo", "folder", "date"],
)
def test_a_configuration_that_cannot_be_read_changes_nothing(place: Path, text: str, told: str) -> None:
    if text in ("USER", "GROUP") and os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    config = configured(place, users(joe="{PLAIN}secret"))
    good = config.read_text()
    with serving(config) as daemon:
        auth = daemon.children("auth")
        config.unlink()
        if text == "FIFO":
            os.mkfifo(config)
        elif text == "FOLDER":
            config.mkdir()
        else:
            odd = {
                "USER": good.replace('user = "root"', 'user = "no\\u0000body"'),
                "GROUP": good.replace("[daemon]", '[daemon]\ngroup = "no\\u0000body"'),
            }
            config.write_text(odd.get(text, text))
        daemon.process.send_signal(signal.SIGHUP)
        assert told in wait_lines(daemon, "reload-failed", 2)[0]
        assert told in reload(config)[0]
        assert ask(place, "joe", "secret") == "accept"
        assert daemon.children("auth") == auth


@pytest.mark.parametrize("text", [DEEP, LONG_NUMBER])
def test_check_tells_it_in_words(place: Path, text: str) -> None:
    config = place / "odd.toml"
    config.write_text(text)
    done = run("check", "--config", str(config))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(config) in done.stderr


def test_whatever_goes_wrong_in_reading_the_supervisor_lives(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "import saslpy.daemon as d\ndef load(path): raise LookupError('x')\nd.load = load")
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config) as daemon:
        auth = daemon.children("auth")
        assert reload(config) == ["cannot be read: LookupError"]
        assert reload(config) == ["cannot be read: LookupError"]
        assert ask(place, "joe", "secret") == "accept"
        assert daemon.children("auth") == auth


def test_thousands_of_faults_are_told_in_short(place: Path) -> None:
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config) as daemon:
        auth = daemon.children("auth")
        odd = "".join(f"key_{number} = 1\n" for number in range(5200))
        config.write_text(odd + config.read_text() + f'"{"long" * 1000}" = 1\n')
        daemon.process.send_signal(signal.SIGHUP)
        lines = wait_lines(daemon, "reload-failed", reloading.MOST_FAULTS + 2)
        assert "more faults" in lines[-2]
        faults = reload(config)
        assert len(faults) == reloading.MOST_FAULTS + 1
        assert faults[-1].startswith("and 515")
        assert daemon.children("auth") == auth


def test_no_more_listeners_than_can_be_handed_over(place: Path) -> None:
    assert MAX_LISTENERS + len(("settings", "control")) <= control.MAX_FILES
    config = configured(place, users(joe="{PLAIN}secret"))
    one = '[[listen]]\nprotocol = "saslauthd"\npath = "m{}"\n'
    with serving(config) as daemon:
        auth = daemon.children("auth")
        configured(place, users(joe="{PLAIN}secret"), listen="".join(one.format(n) for n in range(MAX_LISTENERS - 1)))
        assert reload(config) == []
        configured(place, users(joe="{PLAIN}secret"), listen="".join(one.format(n) for n in range(MAX_LISTENERS)))
        assert reload(config) == [f"listen: there are {MAX_LISTENERS + 1}; a daemon has {MAX_LISTENERS} at most"]
        assert daemon.children("auth") == auth


# --- moments


def test_a_signal_between_two_lives_of_the_auth_process_counts_later(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_forks(monkeypatch, place / "flag")
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config) as daemon:
        (place / "flag").touch()
        os.kill(daemon.children("auth")[0], signal.SIGKILL)
        wait_lines(daemon, "process-ended")
        configured(place, users(ann="{PLAIN}other"))
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        (place / "flag").unlink()
        wait_lines(daemon, "reloaded")
        assert ask(place, "ann", "other") == "accept"
        configured(place, users(bob="{PLAIN}third"))
        assert reload(config) == []
        assert ask(place, "bob", "third") == "accept"


def test_an_auth_process_that_never_says_what_it_thinks_of_it_is_replaced(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, "from saslpy.process import reloading\nreloading.PATIENCE = 1.0")
    environment = plugged(place)
    config = configured(place, evil("evil-blocking"), APART)
    with serving(config, environment) as daemon:
        (auth,) = daemon.children("auth")
        configured(place, evil("evil-blocking", blocks=60.0, password="other"), APART)
        daemon.process.send_signal(signal.SIGHUP)
        assert "in time" in wait_lines(daemon, "reload-failed", 2)[0]
        back_within(3, place, "joe", "secret")
        assert daemon.children("auth") != [auth]
        configured(place, evil("evil-blocking", password="third"), APART)
        assert reload(config) == []
        assert ask(place, "joe", "third") == "accept"


def test_the_auth_process_gives_up_before_that(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "from saslpy.process import auth\nauth.ADOPTING = 0.5")
    environment = plugged(place)
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config, environment) as daemon:
        auth = daemon.children("auth")
        configured(place, evil("evil-blocking", waits=60.0), APART)
        assert "in 0.5 s" in reload(config)[0]
        assert daemon.children("auth") == auth
        assert ask(place, "joe", "secret") == "accept"


class Fake:
    """A plan without a configuration."""

    roles: dict[str, Any] = {}
    drain_seconds = 0.0
    once = False
    watched = ()

    def __init__(self) -> None:
        self.done: list[str] = []

    def reload(self) -> tuple[int, Sequence[int]]:
        self.file = os.memfd_create("test")
        return self.file, []

    def auth(self, _channel: socket.socket) -> int:
        return 0

    def close(self, _role: Role) -> None:
        return

    def commit(self) -> None:
        self.done.append("commit")

    def rollback(self) -> None:
        self.done.append("rollback")

    def stop_listening(self) -> None:
        return


def test_a_configuration_that_does_not_arrive_is_forgotten() -> None:
    plan = Fake()
    told: list[Any] = []

    def tell(message: Any, _files: Sequence[int]) -> str:
        told.append(message)
        return "Invalid argument" if message == ["adopt"] else ""

    under_test = Reloading(plan, Log(Sink(os.open(os.devnull, os.O_WRONLY))), tell)
    under_test.ask(7, able=True)
    assert plan.done == ["rollback"]
    assert not under_test.under_way
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(plan.file)
    assert told[-1] == ["reload", 7, ["it cannot be handed to the auth process: Invalid argument"]]
    under_test.ask(SIGNAL, able=False)
    assert under_test.take_again()
    assert not under_test.take_again()


def test_a_socket_that_cannot_be_given_is_told_by_its_own_name(place: Path) -> None:
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config) as daemon:
        (place / "mux").rename(place / "away")
        (place / "mux").write_text("")
        assert reload(config) == []
        wait_lines(daemon, "socket-not-given")
        assert not daemon.lines("reload-failed")


def test_who_asks_while_a_reload_is_under_way_waits_for_his_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = plugged(place)
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config) as daemon:
        configured(place, evil("evil-blocking", waits=1.0), APART)
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        assert reload(config) == [BUSY]
        configured(place, evil("evil-blocking", password="other"), APART)
        done = run("reload", "--config", str(config))
        assert (done.returncode, done.stdout) == (0, "the new configuration is in force\n"), done.stderr
        assert ask(place, "joe", "other") == "accept"


def test_a_daemon_that_has_no_time_is_no_faulty_configuration(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(place, users(joe="{PLAIN}secret"))
    monkeypatch.setattr(cli_reload, "ask", lambda *_: {"faults": [BUSY]})
    monkeypatch.setattr(cli_reload, "PATIENCE", 0.3)
    assert cli_reload.run(argparse.Namespace(config=str(config))) == 75
    said = capsys.readouterr().err
    assert "nothing was read" in said
    assert "stays in force" not in said
