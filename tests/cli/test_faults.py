"""What a command says, and with which status it ends, where it cannot do what it should."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ..real.saslpy import COMMAND, configured, run

LOCAL = '[backend.local]\ntype = "sqlite"\npath = "users.db"\n'
PLUGIN = """
import os, sys
from contextlib import contextmanager
from dataclasses import dataclass
from saslpy import Plugin

@dataclass(frozen=True, kw_only=True)
class Config:
    how: str

class Pets:
    def lookup(self, login):
        return None

@contextmanager
def open(config):
    exec(config.how)
    yield Pets()

def opened(config):
    return open(config) if config.how != "no manager" else 5

plugin = Plugin(Config, opened)
"""


@pytest.fixture
def config(place: Path) -> Path:
    config = configured(place, LOCAL, "min_seconds = 0")
    added = run("user", "add", "joe", "--password-stdin", "--config", str(config), password="secret")
    assert added.returncode == 0, added.stderr
    return config


def shell(line: str, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for sh, in which ``saslpy`` is the command."""
    line = line.replace("saslpy", shlex.join(COMMAND), 1)
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# --- `saslpy test` ends with 1 for a rejected login, and for nothing else

COULD_NOT = {
    "no configuration": ("--config nothing.toml", "`saslpy init` writes one"),
    "an empty one": ("--config /dev/null", "listen"),
    "a folder": ("--config .", "Is a directory"),
    "no TOML": ("--config users.db", ""),
    "nobody listens": ("--via ./mux", "cannot ask ./mux"),
}


@pytest.mark.parametrize("kind", list(COULD_NOT))
def test_a_login_that_could_not_be_tried_is_not_rejected(config: Path, place: Path, kind: str) -> None:
    options, message = COULD_NOT[kind]
    done = shell(f"printf secret | saslpy test joe --password-stdin {options}", place, SASLPY_CONFIG=str(config))
    assert done.returncode == 75
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_file_that_is_not_there(place: Path) -> None:
    mysql = (
        '[backend.local]\ntype = "mysql"\nuser = "x"\ndatabase = "x"\nschema = "postfixadmin"\npassword_file = "no"\n'
    )
    config = configured(place, mysql)
    done = run("test", "joe", "--password-stdin", "--config", str(config), password="x")
    assert done.returncode == 75
    assert str(place / "no") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", ["<&-", "</dev/null", ">&- 2>&- <&-"])
def test_no_password_at_all(config: Path, place: Path, line: str) -> None:
    done = shell(f"saslpy test joe --password-stdin --config {config} {line}", place)
    assert done.returncode == 75
    assert "Traceback" not in done.stderr
    assert "2>" in line or "the password is empty" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--mechanism NTLM", "invalid choice: 'NTLM'"),
        ("--mechanism LOGIN", "--mechanism: no [[listen]] of saslpy.toml allows LOGIN"),
        ("--mechanism PLAIN --via ./mux", "--mechanism: a saslauthd socket is not told the mechanism"),
        ("--protocol saslauthd", "--protocol: says what the socket of --via speaks"),
        ("--protocol http --via ./mux", "invalid choice: 'http'"),
    ],
)
def test_options_that_would_do_nothing_are_errors(config: Path, place: Path, options: str, message: str) -> None:
    config.write_text(config.read_text() + 'mechanisms = ["PLAIN"]\n')
    done = shell(f"printf secret | saslpy test joe --password-stdin --config saslpy.toml {options}", place)
    assert done.returncode == 2
    assert message in done.stderr
    done = run("test", "joe", "--password-stdin", "--config", str(config), "--mechanism", "PLAIN", password="secret")
    assert done.returncode == 0, done.stderr


def test_an_answer_that_cannot_be_written_is_no_rejection(config: Path, place: Path) -> None:
    line = f"printf secret | saslpy test joe --password-stdin --config {config}"
    full = shell(f"{line} >/dev/full", place)
    assert full.returncode == 74
    assert full.stderr == "saslpy: cannot write the answer: No space left on device\n"
    gone = shell(f"({line}; echo $? >status) | true; cat status", place)
    assert gone.stdout in ("141\n", "0\n")  # `true` may end before the answer is written, or after
    assert gone.stderr == ""
    for saslpy in ("saslpy", "env -u PYTHONUNBUFFERED saslpy"):
        nobody = shell(
            f"({saslpy} test joe --config no.toml 2>&1 >/dev/null; echo $? >status) | true; cat status", place
        )
        assert nobody.stdout == "75\n"


# --- files that are closed


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_commands_with_closed_files(config: Path, place: Path, closed: str) -> None:
    for command in ("hash --password-stdin", f"check --config {config}", f"user list --config {config}", "hash --list"):
        done = shell(f"saslpy {command} {closed}", place)
        assert done.returncode == (1 if "stdin" in command else 0), done
        assert "Traceback" not in done.stderr
        assert "Traceback" not in done.stdout


@pytest.mark.parametrize("closed", [">&- 2>log", "<&- >&- 2>&-", "<&- 2>log"])
def test_the_daemon_with_closed_files(config: Path, place: Path, closed: str) -> None:
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {shlex.join(COMMAND)} serve --config {config} {closed}"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as daemon:
        try:
            asked = shell(
                "for i in $(seq 100); do [ -S mux ] && break; sleep 0.1; done; ls -l /proc/$PID/fd",
                place,
                PID=str(daemon.pid),
            )
            for number in range(3 if os.geteuid() == 0 else 0):  # nobody else may look into a daemon
                assert f" {number} -> " in asked.stdout
                assert f" {number} -> socket:" not in asked.stdout
            tested = shell(f"sleep 0.5; printf secret | saslpy test joe --password-stdin --via {place}/mux", place)
            assert tested.returncode == 0, tested.stdout + tested.stderr
        finally:
            daemon.terminate()
            told, _ = daemon.communicate(timeout=20)
        assert daemon.returncode == 0
        log = (place / "log").read_text() if "log" in closed else ""
        assert "Traceback" not in log + told
        assert "log" not in closed or "event=stopped" in log


# --- the rest


@pytest.mark.parametrize("name", ["100%x", "%s", "%(prog)s", "%%"])
def test_a_percent_sign_in_the_default(name: str, place: Path) -> None:
    for command in ("serve", "user add", "test"):
        done = shell(f"saslpy {command} --help", place, SASLPY_CONFIG=f"/tmp/{name}", COLUMNS="200")
        assert done.returncode == 0, done.stderr
        assert f"the configuration [/tmp/{name}]" in done.stdout


@pytest.mark.parametrize("login", ["a@b@c", "a@@c", '"a@b"@c'])
def test_a_second_at_sign_makes_no_user(config: Path, login: str) -> None:
    done = run("user", "add", login, "--password-stdin", "--config", str(config), password="x")
    assert done.returncode == 1
    assert f"{login!r} has more than one @: what callers make of it is" in done.stderr
    assert "nobody could log in" in done.stderr
    assert json.loads(run("user", "list", "--json", "--config", str(config)).stdout)[0]["login"] == "joe"


def test_a_bare_name_where_a_domain_is_required(place: Path) -> None:
    config = configured(place, LOCAL, 'realm_join = "require"')
    done = run("user", "add", "joe", "--password-stdin", "--config", str(config), password="x")
    assert done.returncode == 1
    assert 'auth.realm_join = "require": nobody could log in; add joe@DOMAIN' in done.stderr
    assert not (place / "users.db").exists()
    assert run("user", "add", "joe@b", "--password-stdin", "--config", str(config), password="x").returncode == 0


def test_delete_has_no_json(config: Path) -> None:
    done = run("user", "delete", "joe", "--json", "--config", str(config))
    assert done.returncode == 2
    assert "unrecognized arguments: --json" in done.stderr


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise RuntimeError('no such thing')", "RuntimeError: no such thing"),
        ("raise OSError(5, 'broken', '/dev/pets')", "broken: '/dev/pets'"),
        ("sys.exit(1)", "SystemExit: 1"),
        ("raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])", "two"),
        ("no manager", "TypeError"),
    ],
)
def test_a_plug_in_that_cannot_be_opened(place: Path, how: str, said: str) -> None:
    (place / "pets.py").write_text(PLUGIN)
    info = place / "pets-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pets\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[saslpy.backends]\npets = pets:plugin\n")
    backends = f'[backend.pets]\ntype = "pets"\nhow = """{how}"""\n{LOCAL}'
    config = configured(place, backends, 'chain = ["pets", "local"]')
    environment = {"PYTHONPATH": os.pathsep.join((str(place), os.environ.get("PYTHONPATH", "")))}

    def told(command: str) -> tuple[int, str]:
        done = shell(f"printf x | saslpy {command} --config {config}", place, **environment)
        assert "Traceback" not in done.stderr + done.stdout
        return done.returncode, done.stdout + done.stderr

    status, text = told("check")
    assert status == 1
    assert re.search(r"^backend\.pets +failed", text, re.MULTILINE)
    assert said in text
    status, text = told("test joe --password-stdin")
    assert status == 75
    assert said in text
    status, text = told("user list")
    assert status == 75
    assert "backend.pets cannot be used: " in text
    assert said in text
    assert "--backend NAME names another one" in text
    status, text = told("user add joe --password-stdin --backend local")
    assert status == 0, text


def test_a_date_that_nobody_can_read(config: Path, place: Path) -> None:
    import sqlite3

    with sqlite3.connect(place / "users.db") as connection:
        connection.execute("DROP TRIGGER expires_of_changed")
        connection.execute("UPDATE users SET expires = '31/12/2020'")
    connection.close()
    said = "the user 'joe' expires '31/12/2020'; expected a date in UTC"
    done = run("test", "joe", "--password-stdin", "--config", str(config), password="secret")
    assert done.returncode == 75
    assert said in done.stdout
    listed = run("user", "list", "--config", str(config))
    assert listed.returncode == 75
    assert said in listed.stderr
