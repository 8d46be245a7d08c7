"""``saslpy status`` and ``saslpy reload``, against a running daemon and against none."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from ..real.saslpy import ask, configured, run, serving

USERS = '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n'


def configuration(place: Path, backends: str = USERS, **more: str) -> Path:
    return configured(place, backends, **more)


def test_a_daemon_that_works(place: Path) -> None:
    config = str(configuration(place))
    with serving(Path(config)) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        assert ask(place, "joe", "wrong") == "reject"
        done = run("status", "--json", "--config", config)
        assert (done.returncode, done.stderr) == (0, "")
        status = json.loads(done.stdout)
        assert status["logins"] == {"accept": 1, "reject": 1, "defer": 0}
        assert status["backends"] == [
            {"backend": "local", "state": "up", "seconds": None, "detail": "", "under_way": 0, "circuit": "closed"}
        ]
        assert {one["protocol"] for one in status["listeners"]} == {"saslauthd", "control"}
        pids = {one["role"]: one["pid"] for one in status["processes"]}
        assert pids["supervisor"] == daemon.process.pid
        assert pids["auth"] in daemon.children("auth")
        text = run("status", "--config", config)
        assert text.returncode == 0
        for word in ("accepted", "local", "up", "mux", "supervisor", "hash"):
            assert word in text.stdout
        assert (place / "run" / "control").stat().st_mode & 0o777 == 0o600


def test_a_backend_that_is_down(place: Path) -> None:
    backend = '[backend.local]\ntype = "sqlite"\npath = "users.db"\n'
    config = str(configuration(place, backend))
    with serving(Path(config)):
        assert ask(place, "joe", "secret") == "defer"
        done = run("status", "--config", config)
        assert done.returncode == 1
        assert "down for" in done.stdout
        (one,) = json.loads(run("status", "--json", "--config", config).stdout)["backends"]
        assert one["state"] == "down"
        assert "users.db" in one["detail"]


def test_reload(place: Path) -> None:
    config = configuration(place)
    with serving(config):
        configuration(place, USERS.replace("joe", "ann"))
        done = run("reload", "--config", str(config))
        assert (done.returncode, done.stdout) == (0, "the new configuration is in force\n")
        assert ask(place, "ann", "secret") == "accept"
        (place / "busy").write_text("")
        configuration(place, listen='[[listen]]\nprotocol = "saslauthd"\npath = "busy"')
        done = run("reload", "--config", str(config))
        assert done.returncode == 1
        assert "busy is there already and is no socket" in done.stderr
        assert "stays in force" in done.stderr
        assert ask(place, "ann", "secret") == "accept"
        config.write_text(config.read_text() + "[oddity]\n")
        done = run("reload", "--config", str(config))
        assert done.returncode == 1
        assert "oddity: unknown section" in done.stderr


def test_no_daemon(place: Path) -> None:
    config = str(configuration(place))
    for command in ("status", "reload"):
        done = run(command, "--config", config)
        assert done.returncode == 75
        assert "no daemon answers at" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_daemon_that_hangs_is_not_waited_for_without_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from saslpy.cli import daemon as asking
    from saslpy.settings import load

    config = configuration(place)
    monkeypatch.setattr(asking, "PATIENCE", 0.3)
    with serving(config) as daemon:
        for pid in daemon.children("auth"):
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(asking.NoDaemon):
                asking.ask(load(config), "status")
        finally:
            for pid in daemon.children("auth"):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}\n", b"[]\n", b'{"command": "explode"}\n', b'{"command": []}\n', b"\xff\n", b"x" * 70_000]
)
def test_odd_requests(place: Path, line: bytes) -> None:
    config = configuration(place)
    with serving(config):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(place / "run" / "control"))
            sock.sendall(line)
            sock.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: sock.recv(4096), b""))
        assert "error" in json.loads(answer)
        assert ask(place, "joe", "secret") == "accept"


def test_a_daemon_without_a_control_socket_serves_as_well(place: Path) -> None:
    config = configuration(place)
    (place / "run").write_text("no folder")
    with serving(config) as daemon:
        assert ask(place, "joe", "secret") == "accept"
        assert daemon.lines("no-control-socket")
