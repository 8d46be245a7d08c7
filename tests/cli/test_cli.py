"""The command line as a person or a script meets it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..real.saslpy import Daemon, configured, run, serving

LOADED = """
import sys
from saslpy.cli import main
try:
    main()
except SystemExit:
    pass
print("loaded:", *sys.modules)
"""
LOCAL = '[backend.local]\ntype = "sqlite"\npath = "users.db"\n'


@pytest.fixture
def config(place: Path) -> str:
    path = configured(place, LOCAL, "min_seconds = 0")
    return str(path)


def add(config: str, login: str, password: str, *options: str) -> None:
    done = run("user", "add", login, "--password-stdin", "--config", config, *options, password=password)
    assert done.returncode == 0, done.stderr


def test_help_teaches_and_nothing_slow_is_loaded() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("serve", "check", "test", "user", "hash", "init", "SASLPY_CONFIG"):
        assert word in done.stdout
    slow = {"trio", "msgspec", "passlib", "pymysql", "asyncio", "ssl", "sqlite3", "logging"}
    for arguments in (["--help"], ["hash", "--list"]):
        done = subprocess.run(
            [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True, timeout=30
        )
        assert not slow & set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("command", [[], ["nonsense"], ["user"], ["test"], ["user", "add"]])
def test_usage_errors(command: list[str]) -> None:
    done = run(*command)
    assert done.returncode == 2
    assert "usage: saslpy" in done.stderr


def test_a_users_life(config: str, place: Path) -> None:
    add(config, "Joe@EXAMPLE.org", "secret\n")
    add(config, "bare", "x")
    assert stat.S_IMODE((place / "users.db").stat().st_mode) == 0o600
    again = run("user", "add", "joe@example.org", "--password-stdin", "--config", config, password="x")
    assert again.returncode == 1
    assert "already; `saslpy user passwd`" in again.stderr
    listed = json.loads(run("user", "list", "--json", "--config", config).stdout)
    assert [user["login"] for user in listed] == ["bare", "Joe@example.org"]
    assert listed[0]["schemes"] == ["ARGON2ID"]
    assert "$argon2" not in run("user", "show", "bare", "--config", config).stdout
    verdict = run("test", "joe@example.org", "--password-stdin", "--json", "--config", config, password="secret")
    assert verdict.returncode == 0, verdict.stderr
    told = json.loads(verdict.stdout)
    assert (told["verdict"], told["login"], told["backend"]) == ("accept", "Joe@example.org", "local")
    changed = run("user", "passwd", "bare", "--password-stdin", "--config", config, "--scheme", "ssha512", password="y")
    assert changed.returncode == 0
    assert run("test", "bare", "--password-stdin", "--config", config, password="x").returncode == 1
    assert run("test", "bare", "--password-stdin", "--config", config, password="y").returncode == 0
    assert run("user", "delete", "bare", "--config", config).returncode == 0
    assert "there is no user 'bare'" in run("user", "delete", "bare", "--config", config).stderr
    assert "unknown-user" in run("test", "bare", "--password-stdin", "--config", config, password="y").stdout


def test_could_not_find_out_is_75(place: Path) -> None:
    config = configured(place, LOCAL)
    done = run("test", "joe", "--password-stdin", "--config", str(config), password="x")
    assert done.returncode == 75
    assert "users.db: there is no such file; `saslpy user add` makes it" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("password", "fault"), [("", "is empty"), ("\n", "is empty"), ("a\0b", "holds no NUL")])
def test_passwords_that_cannot_be_stored(config: str, password: str, fault: str) -> None:
    done = run("user", "add", "joe", "--password-stdin", "--config", config, password=password)
    assert done.returncode == 1
    assert fault in done.stderr


def test_hash_prints_what_check_accepts() -> None:
    from saslpy import passwords

    for scheme in ("ARGON2ID", "sha512-crypt", "SCRAM-SHA-256"):
        done = run("hash", "--scheme", scheme, "--password-stdin", password="secret\n")
        assert done.returncode == 0
        assert passwords.parse(done.stdout.strip()).check(b"secret")
    done = run("hash", "--password-stdin", password="e\u0301te\u0301\n")  # as a Mac has it
    assert passwords.parse(done.stdout.strip()).check("été".encode())
    assert not passwords.parse(done.stdout.strip()).check(b"ete")
    done = run("hash", "--scheme", "ROT13", "--password-stdin", password="secret")
    assert done.returncode == 1
    assert "cannot make 'ROT13'; there are ARGON2ID" in done.stderr


def test_check_tells_every_fault_and_serve_opens_nothing(place: Path) -> None:
    config = configured(place, LOCAL.replace("path", "pth"), 'chain = ["lokal"]')
    for command in ("check", "serve"):
        done = run(command, "--config", str(config))
        assert done.returncode == 1
        assert f"saslpy: {config}: backend.local.pth: unknown key; did you mean 'path'?" in done.stderr
        assert "auth.chain[0]: there is no [backend.lokal]; did you mean 'local'?" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (place / "mux").exists()
    told = json.loads(run("check", "--json", "--config", str(config)).stdout)
    assert told["ok"] is False
    missing = run("check", "--config", str(place / "nothing.toml"))
    assert missing.returncode == 1
    assert "`saslpy init` writes one" in missing.stderr


def test_check_tries_the_backends(config: str, place: Path) -> None:
    missing = run("check", "--offline", "--config", config)
    assert missing.returncode == 1
    assert "there is no such file" in missing.stdout
    add(config, "joe", "x")
    done = run("check", "--config", config)
    assert done.returncode == 0, done.stdout
    assert "1 user, schema version" in done.stdout


def test_json_means_every_line(place: Path) -> None:
    config = configured(place, LOCAL, "min_seconds = 0")
    config.write_text(config.read_text().replace("[daemon]", '[daemon]\nlog_format = "json"', 1))
    add(str(config), "joe", "secret")
    daemon = Daemon(config, place / "log")
    try:
        deadline = time.monotonic() + 10
        while '"event": "ready"' not in daemon.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        asked = run("test", "joe", "--password-stdin", "--via", str(place / "mux"), password="secret")
        assert asked.returncode == 0, asked.stdout
    finally:
        assert daemon.stop() == 0
    events = [json.loads(line)["event"] for line in daemon.log.read_text().splitlines()]
    assert events == ["starting", "ready", "login", "stopping", "stopped"]
    config.write_text(config.read_text().replace("chain", "chian") + "\nodd = 1\n")
    done = run("serve", "--config", str(config))
    assert done.returncode == 1
    assert all(json.loads(line)["level"] == "error" for line in done.stderr.splitlines())


def test_a_second_daemon_respects_the_first(config: str, place: Path) -> None:
    add(config, "joe", "secret")
    with serving(Path(config)):
        done = run("serve", "--config", config)
        assert done.returncode == 1
        assert "another process listens there" in done.stderr
        assert run("test", "joe", "--password-stdin", "--via", str(place / "mux"), password="secret").returncode == 0
    assert not (place / "mux").exists()


def test_a_daemon_that_was_killed_leaves_a_socket_that_the_next_one_replaces(config: str, place: Path) -> None:
    add(config, "joe", "secret")
    daemon = Daemon(Path(config), place / "log")
    daemon.wait_for("ready")
    daemon.stop(signal.SIGKILL)
    assert (place / "mux").exists()
    with serving(Path(config)):
        assert run("test", "joe", "--password-stdin", "--via", str(place / "mux"), password="secret").returncode == 0


def test_init_writes_what_check_likes(place: Path) -> None:
    target = place / "new"
    user = ["--user", "root"] if os.geteuid() == 0 else []
    done = run("init", str(target), *user)
    assert done.returncode == 0, done.stderr
    config = str(target / "saslpy.toml")
    add(config, "joe@example.org", "secret")
    checked = run("check", "--config", config)
    assert checked.returncode == 0, checked.stdout
    again = run("init", str(target), *user)
    assert again.returncode == 1
    assert "is there already; nothing was changed" in again.stderr
