"""``saslpy init`` in places where something is there already, or where it cannot work; and what root may not break."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import saslpy
import saslpy_sqlite

from ..real.saslpy import run, serving

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root's init is not the ordinary user's")
USER = "nobody"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tree(path: Path) -> dict[str, tuple[int, int, int]]:
    """Everything in a folder, and the folder: mode, owner, time of the last change."""
    return {
        str(item): (item.stat().st_mode, item.stat().st_uid, item.stat().st_mtime_ns)
        for item in (path, *path.rglob("*"))
    }


def init(target: Path, *options: str, user: str = USER) -> subprocess.CompletedProcess[str]:
    return run("init", str(target), *(("--user", user) if os.geteuid() == 0 else ()), *options)


@as_root
@pytest.mark.parametrize("before", [0o1777, 0o711, 0o755])
def test_a_folder_that_is_there_keeps_its_mode(place: Path, before: int) -> None:
    target = place / "there"
    target.mkdir()
    target.chmod(before)
    os.chown(target, pwd.getpwnam("daemon").pw_uid, -1)
    (target / "run").mkdir(mode=0o750)
    done = init(target)
    assert done.returncode == 0, done.stderr
    assert mode(target) == before
    assert target.stat().st_uid == pwd.getpwnam("daemon").pw_uid
    assert (mode(target / "run"), (target / "run").stat().st_uid) == (0o750, 0)


@as_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_what_it_makes(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        done = init(place / "a" / "b")
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    target, who = place / "a" / "b", pwd.getpwnam(USER).pw_uid
    found = {
        name: (mode(target / name), (target / name).stat().st_uid) for name in ("", "run", "data", "data/users.db")
    }
    assert found == {"": (0o755, 0), "run": (0o755, who), "data": (0o700, who), "data/users.db": (0o600, who)}
    assert mode(target.parent) == 0o755
    assert (target / "saslpy.toml").stat().st_uid == 0


@as_root
def test_the_group_of_a_socket_may_connect(place: Path) -> None:
    assert init(place / "d").returncode == 0
    config = place / "d" / "saslpy.toml"
    config.write_text(config.read_text().replace('# group = "sasl"', 'group = "daemon"'))
    ask = "import os, socket, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(65500)\n"
    ask += "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with serving(config):
        for group, status in (("daemon", 0), ("games", 1)):
            number = str(grp.getgrnam(group).gr_gid)
            done = subprocess.run(
                [sys.executable, "-I", "-c", ask, str(place / "d" / "run" / "mux"), number],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
            assert done.returncode == status, done.stderr


@as_root
@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_a_home_that_the_daemons_user_cannot_enter(place: Path, inside: str) -> None:
    home = place / "home"
    home.mkdir(mode=0o700)
    before = tree(home)
    for _ in range(2):
        done = init(home / "saslpy" / inside)
        assert done.returncode == 1
        assert f"saslpy: the daemon will run as nobody, who may not enter {home}; nothing was changed" in done.stderr
        assert "another folder, such as /srv/saslpy" in done.stderr
        assert "Traceback" not in done.stderr
        assert tree(home) == before
    home.chmod(0o711)
    done = init(home / "saslpy" / inside)
    assert done.returncode == 0, done.stderr


@as_root
def test_a_folder_for_the_store_that_belongs_to_somebody_else(place: Path) -> None:
    (place / "data").mkdir(mode=0o755)
    before = tree(place)
    done = init(place)
    assert done.returncode == 1
    assert f"who may not write to {place}/data; nothing was changed" in done.stderr
    assert tree(place) == before


@pytest.mark.parametrize("user", ['a"b', "", "a b", "a\nb", "-x", "a:b", "../x"])
def test_a_user_that_nobody_can_be(place: Path, user: str) -> None:
    before = tree(place)
    done = run("init", str(place / "new"), f"--user={user}")
    assert done.returncode == 1
    assert "is no name of a user" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(place) == before


def test_a_folder_too_deep_for_a_socket(place: Path) -> None:
    before = tree(place)
    done = init(place / ("x" * 100))
    assert done.returncode == 1
    assert "listen[0].path" in done.stderr
    assert "choose another folder" in done.stderr
    assert tree(place) == before


def test_what_it_began_is_undone_when_the_store_cannot_be_made(place: Path) -> None:
    (place / "data").mkdir()
    (place / "data" / "users.db").write_bytes(b"not a database at all " * 100)
    if os.geteuid() == 0:
        for item in (place / "data", place / "data" / "users.db"):
            shutil.chown(item, USER)
    before = set(tree(place))
    for _ in range(2):
        done = init(place)
        assert done.returncode == 75
        assert "backend.local cannot be used: SchemaError" in done.stderr
        assert "users.db: file is not a database" in done.stderr
        assert set(tree(place)) == before
    (place / "data" / "users.db").unlink()
    assert init(place).returncode == 0


def test_a_link_to_nowhere_is_there_already(place: Path) -> None:
    (place / "saslpy.toml").symlink_to(place / "elsewhere")
    done = init(place)
    assert done.returncode == 1
    assert "is there already; nothing was changed" in done.stderr
    assert not (place / "elsewhere").exists()
    assert not (place / "data").exists()


@as_root
def test_listing_makes_no_folder(place: Path) -> None:
    assert init(place / "d").returncode == 0
    shutil.rmtree(place / "d" / "data")
    done = run("user", "list", "--config", str(place / "d" / "saslpy.toml"))
    assert done.returncode == 75
    assert "there is no such file" in done.stderr
    assert not (place / "d" / "data").exists()


@as_root
def test_everything_works_from_a_checkout_that_the_daemons_user_cannot_read(place: Path) -> None:
    """What is loaded after root's rights were given up would be missing."""
    closed = place / "checkout"
    closed.mkdir(mode=0o700)
    for package in (saslpy, saslpy_sqlite):
        source = Path(package.__path__[0])
        shutil.copytree(source, closed / source.name, ignore=shutil.ignore_patterns("__pycache__"))

    def command(*arguments: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "saslpy", *arguments],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(closed)},
            input=password,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert "ModuleNotFound" not in done.stderr + done.stdout
        return done

    target = place / "d"
    config = ("--config", str(target / "saslpy.toml"))
    assert command("init", str(target), "--user", USER).returncode == 0
    assert command("check", *config).returncode == 0
    for scheme in ("ARGON2ID", "SCRAM-SHA-256", "PBKDF2", "YESCRYPT"):
        login = f"{scheme}@example.org"
        added = command("user", "add", login, "--password-stdin", "--scheme", scheme, *config, password="secret")
        assert added.returncode == 0, added.stderr
        for password, status in (("secret", 0), ("wrong", 1)):
            tested = command("test", login, "--password-stdin", *config, password=password)
            assert tested.returncode == status, tested.stdout + tested.stderr
    assert "4 users" in command("check", *config).stdout
    assert command("user", "passwd", login, "--password-stdin", *config, password="new").returncode == 0
    assert "YESCRYPT@example.org" in command("user", "list", *config).stdout
    assert "ARGON2ID" in command("user", "show", login, *config).stdout
    assert command("user", "delete", login, *config).returncode == 0
    assert "there is no user" in command("user", "delete", login, *config).stderr
    (target / "data" / "users.db").write_bytes(b"")
    broken = command("test", login, "--password-stdin", *config, password="secret")
    assert broken.returncode == 75
    assert "is empty, and no store" in broken.stdout
    assert "is empty, and no store" in command("user", "list", *config).stderr
    assert "is empty, and no store" in command("check", *config).stdout


def test_the_daemon_in_a_folder_can_be_asked_how_it_is(place: Path) -> None:
    """Whoever else runs a daemon here: its control socket is in the folder, too."""
    assert init(place / "mine").returncode == 0
    config = place / "mine" / "saslpy.toml"
    with serving(config):
        done = run("status", "--config", str(config))
        assert done.returncode == 0, done.stderr
        assert str(place / "mine" / "run" / "control") in done.stdout
