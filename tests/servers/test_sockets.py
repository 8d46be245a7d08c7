"""The sockets that we listen on: one daemon a path, whatever the other does, and whatever died before."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from saslpy.servers import claiming
from saslpy.servers.claiming import ListenError
from saslpy.servers.sockets import UnixPlace, give, group_id, listening, try_out, user_id
from saslpy.systemd import notify, passed_sockets

from ..real.saslpy import folder

CONTENDER = """
import os, sys, time
from dataclasses import replace
from pathlib import Path
from saslpy.servers import claiming, sockets

class Slow(sockets.socket.socket):
    def listen(self, backlog):
        time.sleep(0.005)  # bound, and not yet listening: what the other may take for a dead socket
        super().listen(backlog)

sockets.socket.socket = Slow
claiming.PATIENCE = float(sys.argv[2])
while sys.stdin.buffer.read(1):
    try:
        with sockets.listening(sockets.UnixPlace(Path(sys.argv[1]))):
            os.write(1, b"+")
            sys.stdin.buffer.read(1)
    except claiming.ListenError as error:
        os.write(1, b"-" if "another process listens there" in str(error) else b"?")
        sys.stdin.buffer.read(1)
    os.write(1, b".")
"""

HOLDER = """
import os, sys, time
from dataclasses import replace
from pathlib import Path
from saslpy.servers.sockets import UnixPlace, listening

with listening(UnixPlace(Path(sys.argv[1]))):
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.01)
        time.sleep(float(sys.argv[2]))  # it holds the socket, and lives on for a moment
        os._exit(0)
    print("listening", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        yield path / "mux"


@contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[bytes]) -> str:
    """One byte of what a contender says."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 20)[0], "it says nothing"
    return os.read(process.stdout.fileno(), 1).decode()


def step(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"x")


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


@pytest.mark.parametrize("before", ["nothing", "stale"])
def test_of_two_that_start_together_one_listens(place: Path, before: str) -> None:
    results: Counter[str] = Counter()
    with python(CONTENDER, place, 0.01) as one, python(CONTENDER, place, 0.01) as other:
        for _ in range(100):
            if before == "stale":
                with socket.socket(socket.AF_UNIX) as stale:
                    stale.bind(str(place))
            step(one, other)
            said = sorted((told(one), told(other)))
            results["".join(said)] += 1
            if "+" in said:
                assert answers(place)
            step(one, other)
            assert {told(one), told(other)} == {"."}
            assert not place.exists()
    assert results == {"+-": 100}


def test_many_that_wait_have_it_one_after_the_other(place: Path) -> None:
    """Each leaves as soon as it has it: the lock's file is made and removed all the time, and never held by two."""
    script = CONTENDER.replace(
        'os.write(1, b"+")\n            sys.stdin.buffer.read(1)',
        'number = os.open(sys.argv[1] + ".one", os.O_CREAT | os.O_EXCL); os.close(number); time.sleep(0.002);'
        ' os.unlink(sys.argv[1] + ".one"); os.write(1, b"+")',
    )
    assert "O_EXCL" in script
    with python(script, place, 20) as a, python(script, place, 20) as b, python(script, place, 20) as c:
        for _ in range(30):
            step(a, b, c)
            assert [told(a), told(b), told(c)] == ["+"] * 3
            assert [told(a), told(b), told(c)] == ["."] * 3
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_killed_one_is_followed_within_a_second(place: Path, seconds: float) -> None:
    for _ in range(3):
        with python(HOLDER, place, seconds) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
            begun = time.monotonic()
            with listening(UnixPlace(place)) as sock:
                assert time.monotonic() - begun < 1.0
                assert answers(place)
                sock.accept()[0].close()
    assert list(place.parent.iterdir()) == []


def files_of(pid: int) -> list[str]:
    """The paths that a process has open."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(link.readlink()))
    return links


def test_a_child_does_not_keep_the_lock(place: Path) -> None:
    """One that a module has started and that lives for ever must not hinder the next start."""
    with python(HOLDER.replace("float(sys.argv[2])", "20"), place) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        (child,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        end = time.monotonic() + 5.0  # it is seen before its first step, in which it closes the lock
        while (held := files_of(child)) and any(path.endswith(".lock") for path in held):
            assert time.monotonic() < end, held
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, signal.SIGKILL)


def test_the_lock_is_private_and_gone_at_the_end(place: Path) -> None:
    lock = place.with_name("mux.lock")
    with listening(UnixPlace(place, 0o666)):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        child = os.fork()
        if child == 0:
            os._exit(len(claiming._locks))
        assert os.waitpid(child, 0)[1] == 0
    assert list(place.parent.iterdir()) == []
    for _ in range(3):  # a lock that a dead one has left is no hindrance
        lock.touch(0o600)
        with listening(UnixPlace(place)):
            pass
        assert not lock.exists()


def test_a_lock_that_is_a_link_is_not_followed(place: Path) -> None:
    target = place.with_name("precious")
    place.with_name("mux.lock").symlink_to(target)
    with pytest.raises(ListenError, match=r"mux\.lock: "), listening(UnixPlace(place)):
        pass
    assert not target.exists()


def test_another_kind_of_daemon_without_a_lock_is_respected(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen(64)
        with pytest.raises(ListenError, match="another process listens there"), listening(UnixPlace(place)):
            pass
        assert answers(place)
    assert not place.with_name("mux.lock").exists()


def test_a_socket_that_could_not_be_given_away_is_not_left_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(ListenError, match="Operation not permitted"), listening(UnixPlace(place, owner="0")):
        pass
    assert list(place.parent.iterdir()) == []


def test_what_the_block_raises_is_its_own(place: Path) -> None:
    with pytest.raises(OSError, match="mine"), listening(UnixPlace(place)):
        raise OSError("mine")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/proc/mux", "no socket can be made in /proc: "),
        ("/proc/a/b/mux", "no socket can be made in /proc: "),
        ("/etc/passwd/mux", "/etc/passwd"),
        ("/dev/null/mux", "/dev/null"),
    ],
)
def test_a_place_where_nothing_can_be_made(path: str, message: str) -> None:
    with pytest.raises(ListenError, match=message):
        try_out(UnixPlace(Path(path)))
    with pytest.raises(ListenError, match="cannot listen on "), listening(UnixPlace(Path(path))):
        pass


def test_trying_out_leaves_nothing_behind(place: Path) -> None:
    try_out(UnixPlace(place))
    try_out(UnixPlace(place.parent / "a" / "b" / "mux", owner=str(os.geteuid()), group=str(os.getegid())))
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["²", "-1", "4294967295", "9" * 30, "9" * 5000, "", "nobody\0", "nobody-here"])
def test_numbers_and_names_that_nobody_has(name: str) -> None:
    with pytest.raises(ListenError, match="there is no user"):
        user_id(name)
    with pytest.raises(ListenError, match="there is no group"):
        group_id(name)


def test_numbers_and_names() -> None:
    assert (user_id("0"), user_id("root"), group_id("0"), group_id("root")) == (0, 0, 0, 0)
    assert user_id("4294967294") == 4294967294


# --- whoever may write to the folder


@pytest.fixture
def given(place: Path) -> Iterator[UnixPlace]:
    """A socket that was made and is given away again, as at a reload."""
    mine = UnixPlace(place, 0o620, owner=str(os.getuid()), group=str(os.getgid()))
    with listening(mine):
        yield mine


def test_who_may_connect_can_change(given: UnixPlace) -> None:
    give(replace(given, mode=0o666))
    assert given.path.stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("kind", ["symlink", "file", "link"])
def test_nothing_else_is_given_away(given: UnixPlace, kind: str) -> None:
    other = given.path.with_name("other")
    given.path.rename(given.path.with_name("away"))
    match kind:
        case "symlink":
            other.write_text("secret")
            given.path.symlink_to(other)
        case "file":
            given.path.write_text("secret")
        case "link":
            other = given.path.with_name("away")
            given.path.hardlink_to(other)
    before = [path.lstat() for path in (other, given.path) if path.exists()]
    with pytest.raises(ListenError, match="something else stands there now"):
        give(replace(given, mode=0o777))
    assert [path.lstat() for path in (other, given.path) if path.exists()] == before


def test_one_that_is_gone_is_told(given: UnixPlace) -> None:
    given.path.unlink()
    with pytest.raises(ListenError, match="No such file"):
        give(given)


# --- the service manager


def test_a_service_manager_that_does_not_read_stops_nobody(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        start = time.monotonic()
        for _ in range(1000):  # net.unix.max_dgram_qlen is 10, or 512
            notify("READY=1")
        assert time.monotonic() - start < 5
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("count", ["", "x", "-1", "²", "9" * 5000, "1e3"])
def test_a_count_of_sockets_that_makes_no_sense(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passed_by(monkeypatch, count) == {}


def test_fewer_sockets_than_were_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(passed_by(monkeypatch, "999").get("unknown", [])) < 999


def passed_by(monkeypatch: pytest.MonkeyPatch, count: str) -> dict[str, list[int]]:
    """What a new process would take for passed sockets."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    before = {
        number: os.get_inheritable(number) for number in range(3, 100) if Path(f"/proc/self/fd/{number}").exists()
    }
    try:
        return passed_sockets.__wrapped__()
    finally:
        for number, inheritable in before.items():
            os.set_inheritable(number, inheritable)
