"""The running daemon, and a store that is changed and replaced under it by others."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..real.saslpy import ask, configured, folder, run, serving

LOCAL = '[backend.local]\ntype = "sqlite"\npath = "users.db"\n'


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        configured(path, LOCAL, "min_seconds = 0")
        user(path, "add", "right")
        with serving(path / "saslpy.toml"):
            yield path


def user(place: Path, action: str, password: str) -> None:
    done = run("user", action, "joe", "--password-stdin", "--config", f"{place}/saslpy.toml", password=password)
    assert done.returncode == 0, done.stderr


def asked(place: Path, *passwords: str) -> list[str]:
    return [ask(place, "joe", password) for password in passwords]


def test_a_restored_backup_is_in_force_at_once(place: Path) -> None:
    assert asked(place, "right", "stolen") == ["accept", "reject"]
    shutil.copy(place / "users.db", place / "backup")
    user(place, "passwd", "stolen")
    assert asked(place, "right", "stolen") == ["reject", "accept"]
    shutil.copy(place / "backup", place / "users.tmp")
    (place / "users.tmp").rename(place / "users.db")
    assert asked(place, "right", "stolen") == ["accept", "reject"]
    assert {file.name for file in place.glob("users*")} == {"users.db"}


@pytest.mark.parametrize("how", ["moved", "truncated", "gone"])
def test_a_store_that_is_lost_is_no_no(place: Path, how: str) -> None:
    assert asked(place, "right", "wrong") == ["accept", "reject"]
    shutil.copy(place / "users.db", place / "backup")
    if how == "moved":
        (place / "empty").touch()
        (place / "empty").rename(place / "users.db")
    elif how == "truncated":
        os.truncate(place / "users.db", 0)
    else:
        (place / "users.db").unlink()
    assert asked(place, "right", "wrong") == ["defer", "defer"]
    assert how == "gone" or (place / "users.db").stat().st_size == 0
    (place / "backup").rename(place / "users.db")
    assert asked(place, "right", "wrong") == ["accept", "reject"]


def test_a_date_that_nobody_can_read(place: Path) -> None:
    for date, verdict in (("2020-12-31", "reject"), ("31/12/2020", "defer"), ("2999-12-31", "accept")):
        with closing(sqlite3.connect(place / "users.db")) as connection, connection:
            connection.execute("DROP TRIGGER IF EXISTS expires_of_changed")
            connection.execute("UPDATE users SET expires = ?", (date,))
        assert asked(place, "right") == [verdict]
