"""The daemon's processes: whichever is killed, the rest answers again within 3 s; a reload drops no connection."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import pwd
import signal
import socket
import time
from pathlib import Path

import pytest

from saslpy import passwords
from saslpy.process.children import FIRST_DELAY
from saslpy.protocols.saslauthd import encode_request

from ..real.saslpy import Daemon, ask, back_within, configured, serving

RECOVERY = 3.0
JOE = encode_request(b"joe", b"secret")
OK = b"\0\2OK"


def users(**stored: str) -> str:
    lines = ", ".join(f'{name} = "{secret}"' for name, secret in stored.items())
    return f'[backend.local]\ntype = "static"\nusers = {{ {lines} }}\n'


def wait_gone(pid: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock


def wait_lines(daemon: Daemon, event: str, count: int = 1) -> list[str]:
    deadline = time.monotonic() + 10
    while len(lines := daemon.lines(event)) < count:
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.01)
    return lines


def test_a_killed_auth_process_is_replaced_and_its_callers_hear_that_nothing_could_be_found_out(place: Path) -> None:
    slow = passwords.make("PBKDF2", "secret", rounds=3_000_000)
    with serving(configured(place, users(joe="{PLAIN}secret", slow=slow))) as daemon:
        (auth,) = daemon.children("auth")
        with connected(place / "mux") as waiting:
            waiting.sendall(encode_request(b"slow", b"secret"))
            time.sleep(0.1)
            os.kill(auth, signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):
                assert waiting.recv(100) == b""  # a hang-up: "try again", never a no
        back_within(RECOVERY, place, "joe", "secret")
        assert daemon.children("auth") != [auth]
        assert "process=auth" in wait_lines(daemon, "process-ended")[0]


def test_killed_hash_workers_are_replaced(place: Path) -> None:
    with serving(configured(place, users(joe=passwords.make("MD5-CRYPT", "secret")))) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        before = daemon.children("hash")
        assert before
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        back_within(RECOVERY, place, "joe", "secret")
        assert ask(place, "joe", "wrong") == "reject"
        assert not set(before) & set(daemon.children("hash"))


def told_at(line: str) -> float:
    """When a log line was written, in seconds."""
    return datetime.datetime.fromisoformat(line.split()[0].removeprefix("time=")).timestamp()


def test_a_process_that_ends_again_and_again_is_started_ever_more_rarely(place: Path) -> None:
    with serving(configured(place, users(joe="{PLAIN}secret"))) as daemon:
        until = time.monotonic() + 30.0
        while len(ends := daemon.lines("process-ended")) < 4 and time.monotonic() < until:
            for pid in daemon.children("auth"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        at = [told_at(line) for line in ends]
        assert len(at) >= 4
        for count, (earlier, later) in enumerate(itertools.pairwise(at[:4])):
            assert later - earlier >= FIRST_DELAY * 2**count - 0.01  # a busy machine may take longer, never less
        back_within(RECOVERY, place, "joe", "secret")


def test_nothing_outlives_a_killed_supervisor(place: Path) -> None:
    daemon = Daemon(configured(place, users(joe="{PLAIN}secret")), place / "log")
    try:
        daemon.wait_for("ready")
        assert ask(place, "joe", "secret") == "accept"
        children = daemon.children()
        assert len(children) >= 2
        daemon.process.kill()
        for pid in children:
            wait_gone(pid)
    finally:
        daemon.stop(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_every_process_lets_requests_finish_first(place: Path, number: signal.Signals) -> None:
    slow = passwords.make("PBKDF2", "secret", rounds=1_000_000)
    daemon = Daemon(configured(place, users(joe=slow)), place / "log")
    try:
        daemon.wait_for("ready")
        with connected(place / "mux") as waiting:
            waiting.sendall(JOE)
            time.sleep(0.1)
            for pid in [*daemon.children(), daemon.process.pid]:
                os.kill(pid, number)
            assert waiting.recv(100) == OK
        assert daemon.process.wait(10) == 0
        assert not (place / "mux").exists()
        assert daemon.lines("stopped")
        assert not daemon.lines("process-ended")
    finally:
        daemon.stop(signal.SIGKILL)


def test_a_reload_takes_the_new_configuration_and_drops_no_connection(place: Path) -> None:
    config = configured(place, users(joe="{PLAIN}secret"), listen='[[listen]]\nprotocol = "saslauthd"\npath = "old"')
    with serving(config) as daemon:
        before = daemon.children("auth")
        with connected(place / "mux") as half, connected(place / "old") as old:
            half.sendall(JOE[:5])
            old.sendall(JOE[:5])
            time.sleep(0.1)
            configured(
                place,
                users(joe="{PLAIN}secret", ann="{PLAIN}other"),
                listen='[[listen]]\nprotocol = "saslauthd"\npath = "new"',
            )
            daemon.process.send_signal(signal.SIGHUP)
            wait_lines(daemon, "reloaded")
            for connection in (half, old):
                connection.sendall(JOE[5:])
                assert connection.recv(100) == OK
        assert ask(place, "ann", "other") == "accept"
        with connected(place / "new") as new:
            new.sendall(JOE)
            assert new.recv(100) == OK
        assert not (place / "old").exists()
        assert daemon.children("auth") == before
        # and a process that is started later goes by it, too
        os.kill(before[0], signal.SIGKILL)
        back_within(RECOVERY, place, "ann", "other")


def test_a_backend_that_cannot_be_opened_is_told_at_the_start_and_refused_at_a_reload(place: Path) -> None:
    (place / "plug").mkdir()
    (place / "plug" / "odd_plug.py").write_text(ODD_PLUGIN)
    info = place / "plug" / "odd_plug-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[saslpy.backends]\nodd = odd_plug:plugin\n")
    environment = {"PYTHONPATH": str(place / "plug")}
    odd = users(joe="{PLAIN}secret") + '[backend.odd]\ntype = "odd"\nflag = "fine"\n'
    config = configured(place, odd, auth='chain = ["local", "odd"]')
    daemon = Daemon(config, place / "log", environment)
    try:
        assert daemon.process.wait(10) == 1
        text = daemon.log.read_text()
        assert "backend.odd: cannot be opened: RuntimeError: the moon is wrong" in text
        assert "Traceback" not in text
    finally:
        daemon.stop(signal.SIGKILL)
    (place / "fine").touch()
    with serving(config, environment) as daemon:
        (place / "fine").unlink()
        configured(place, odd.replace("joe", "ann"), auth='chain = ["local", "odd"]')
        daemon.process.send_signal(signal.SIGHUP)
        assert "the moon is wrong" in wait_lines(daemon, "reload-failed", 2)[0]
        assert ask(place, "joe", "secret") == "accept"
        os.kill(daemon.children("auth")[0], signal.SIGKILL)
        (place / "fine").touch()
        back_within(RECOVERY, place, "joe", "secret")  # a new process goes by the old configuration, too


ODD_PLUGIN = """
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from saslpy.backend import Plugin

@dataclass(frozen=True)
class Config:
    flag: Path

class Store:
    def lookup(self, login):
        return None

@contextmanager
def open_store(config):
    if not config.flag.exists():
        raise RuntimeError("the moon is wrong")
    yield Store()

plugin = Plugin(Config, open_store)
"""


def test_who_may_connect_can_be_changed_by_a_reload(place: Path) -> None:
    config = configured(place, users(joe="{PLAIN}secret"))
    with serving(config) as daemon:
        before = (place / "mux").stat()
        config.write_text(config.read_text().replace('mode = "0666"', 'mode = "0600"'))
        daemon.process.send_signal(signal.SIGHUP)
        wait_lines(daemon, "reloaded")
        deadline = time.monotonic() + 5
        while (now := (place / "mux").stat()).st_mode & 0o777 != 0o600:
            assert time.monotonic() < deadline
        assert now.st_ino == before.st_ino  # the same socket all the time
        assert ask(place, "joe", "secret") == "accept"


def test_a_request_under_way_ends_by_the_configuration_that_it_began_with(place: Path) -> None:
    slow = passwords.make("PBKDF2", "secret", rounds=1_000_000)
    with serving(configured(place, users(joe=slow))) as daemon:
        with connected(place / "mux") as waiting:
            waiting.sendall(JOE)
            time.sleep(0.05)
            configured(place, users(ann="{PLAIN}other"))
            daemon.process.send_signal(signal.SIGHUP)
            wait_lines(daemon, "reloaded")
            assert ask(place, "joe", "secret") == "reject"
            assert waiting.recv(100) == OK
        for _ in range(20):  # the old workers end with the old configuration
            if len(daemon.children("hash")) <= len(os.sched_getaffinity(0)):
                break
            time.sleep(0.1)
        assert len(daemon.children("hash")) <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ('[backend.local]\ntype = "static"\nuser = {}\n', "backend.local.user: unknown key"),
        ('[backend.local]\ntype = "statistic"\n', "backend.local.type"),
        ("[backend.local\n", "saslpy.toml"),
    ],
)
def test_a_faulty_configuration_is_told_and_changes_nothing(place: Path, fault: str, told: str) -> None:
    with serving(configured(place, users(joe="{PLAIN}secret"))) as daemon:
        configured(place, fault)
        daemon.process.send_signal(signal.SIGHUP)
        lines = wait_lines(daemon, "reload-failed", 2)
        assert told in lines[0]
        assert "stays in force" in lines[-1]
        assert ask(place, "joe", "secret") == "accept"


def test_a_listener_that_cannot_be_opened_leaves_everything_as_it_was(place: Path) -> None:
    with serving(configured(place, users(joe="{PLAIN}secret"))) as daemon:
        (place / "busy").write_text("")
        more = '[[listen]]\nprotocol = "saslauthd"\npath = "{}"\n'
        configured(place, users(ann="{PLAIN}other"), listen=more.format("fine") + more.format("busy"))
        daemon.process.send_signal(signal.SIGHUP)
        assert "is no socket" in wait_lines(daemon, "reload-failed")[0]
        assert ask(place, "joe", "secret") == "accept"
        assert ask(place, "ann", "other") == "reject"
        assert not (place / "fine").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_is_kept_by_the_supervisor_alone(place: Path) -> None:
    config = configured(place, users(joe="{PLAIN}secret"))
    config.write_text(config.read_text().replace('user = "root"', 'user = "nobody"'))
    place.chmod(0o755)
    nobody = pwd.getpwnam("nobody").pw_uid
    with serving(config) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        wanted = 1 + len(os.sched_getaffinity(0))
        deadline = time.monotonic() + 5  # a process has its name once it has become somebody else
        while len(children := daemon.children("auth") + daemon.children("hash")) < wanted:
            assert time.monotonic() < deadline
        assert sorted(children) == sorted(daemon.children())
        for pid in children:
            status = Path(f"/proc/{pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert set(fields["Uid"].split()) == {str(nobody)}
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == 0
            assert "0" not in fields["Groups"].split()
        for pid in daemon.children("hash"):
            kinds = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
            assert sum(kind.startswith("socket:") for kind in kinds) == 1, kinds  # its channel, and no listener
    assert not (place / "mux").exists()  # though the folder is root's
