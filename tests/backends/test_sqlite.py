"""The SQLite store where its file changes under it: replaced, emptied, cut short, written by several at a time."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from saslpy.model import Login
from saslpy_sqlite.schema import SchemaError
from saslpy_sqlite.store import SqliteStore

JOE = Login.of("joe@example.org")

# writes so much in one transaction that pages reach the file before the end, and ends as by kill -9
KILLED_WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE secrets SET secret = '{PLAIN}stolen' || substr(secret, 14)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def raw(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """What an administrator types into sqlite3; the rows of the last statement."""
    rows: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def move_in(source: Path, target: Path) -> None:
    """A backup takes a file's place, in one step."""
    copy = target.with_suffix(".tmp")
    shutil.copy(source, copy)
    copy.rename(target)


def password(store: SqliteStore) -> str | None:
    account = store.lookup(JOE)
    return account.secrets[0] if account else None


def files(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_a_restored_backup_has_its_own_passwords(path: Path, store: SqliteStore) -> None:
    other = SqliteStore(path)  # as the daemon and the command line are two
    other.add(JOE.name, ["{PLAIN}right"])
    assert password(store) == "{PLAIN}right"
    shutil.copy(path, path.parent / "backup")
    other.set_secrets(JOE.name, ["{PLAIN}stolen"])
    assert password(store) == "{PLAIN}stolen"
    move_in(path.parent / "backup", path)
    assert password(store) == "{PLAIN}right"
    assert password(other) == "{PLAIN}right"
    other.set_secrets(JOE.name, ["{PLAIN}new"])
    assert password(store) == "{PLAIN}new"
    other.close()
    assert files(path) == {"users.db", "backup"}


def killed(path: Path, store: SqliteStore) -> None:
    """A store whose last writer was killed in the middle of its work."""
    store.add(JOE.name, ["{PLAIN}right" + "y" * 500])
    for number in range(200):
        raw(path, f"INSERT INTO secrets VALUES (1, '{{PLAIN}}old{number:03}' || hex(zeroblob(400)))")
    shutil.copy(path, path.parent / "backup")
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert (path.parent / "users.db-journal").stat().st_size > 512
    assert b"{PLAIN}stolen" in path.read_bytes()


def test_what_a_killed_writer_began_is_undone(path: Path, store: SqliteStore) -> None:
    killed(path, store)
    assert str(password(store)).startswith("{PLAIN}righty")
    assert files(path) == {"users.db", "backup"}
    fresh = SqliteStore(path)
    assert str(password(fresh)).startswith("{PLAIN}righty")
    fresh.close()


@pytest.mark.parametrize("running", [True, False])
def test_what_a_killed_writer_left_is_not_done_to_another_file(path: Path, store: SqliteStore, running: bool) -> None:
    killed(path, store)
    backup = path.parent / "backup"
    raw(backup, "UPDATE secrets SET secret = '{PLAIN}backup'")
    move_in(backup, path)
    asked = store if running else SqliteStore(path)
    with pytest.raises(SchemaError, match=r"users\.db-journal is of a write that was cut short, and in another file"):
        asked.lookup(JOE)
    with pytest.raises(SchemaError, match="remove the journal"):
        asked.set_secrets(JOE.name, ["{PLAIN}x"])
    assert path.read_bytes() == backup.read_bytes()
    (path.parent / "users.db-journal").unlink()
    assert password(asked) == "{PLAIN}backup"
    asked.set_secrets(JOE.name, ["{PLAIN}x"])  # and from now on it is this file's
    assert raw(path, "SELECT inode FROM written") == [(str(path.stat().st_ino),)]
    asked.close()


def test_a_creation_that_was_cut_short_is_not_finished_by_a_lookup(path: Path, store: SqliteStore) -> None:
    path.touch()
    with pytest.raises(SchemaError, match=r"users\.db: is empty, and no store of users"):
        store.lookup(JOE)
    store.create()
    assert store.lookup(JOE) is None


@pytest.mark.parametrize(
    "action",
    [
        lambda store: store.lookup(JOE),
        lambda store: store.lookup_many([JOE]),
        lambda store: store.sample(),
        lambda store: store.probe(),
        lambda store: store.accounts(),
        lambda store: store.delete("joe"),
        lambda store: store.set_secrets("joe", ["{PLAIN}x"]),
    ],
)
@pytest.mark.parametrize("empty", ["no bytes", "no tables"])
def test_nothing_but_add_makes_a_store_of_an_empty_file(
    path: Path, store: SqliteStore, empty: str, action: Callable[[SqliteStore], object]
) -> None:
    path.touch()
    if empty == "no tables":
        raw(path, "VACUUM")
        assert path.stat().st_size > 0
    before = path.read_bytes()
    with pytest.raises(SchemaError, match=r"users\.db: is empty"):
        action(store)
    assert path.read_bytes() == before
    store.add(JOE.name, ["{PLAIN}right"])
    assert password(store) == "{PLAIN}right"


@pytest.mark.parametrize("how", ["moved", "truncated", "gone"])
def test_an_empty_file_under_a_running_daemon_is_no_answer(path: Path, store: SqliteStore, how: str) -> None:
    store.add(JOE.name, ["{PLAIN}right"])
    assert password(store) == "{PLAIN}right"
    content = path.read_bytes()
    if how == "moved":
        (path.parent / "empty").touch()
        (path.parent / "empty").rename(path)
    elif how == "truncated":
        path.write_bytes(b"")
    else:
        path.unlink()
    for _ in range(2):
        with pytest.raises((SchemaError, sqlite3.DatabaseError, FileNotFoundError)):
            store.lookup(JOE)
    assert how == "gone" or path.stat().st_size == 0
    path.write_bytes(content)
    assert password(store) == "{PLAIN}right"


def test_short_lived_threads_leave_no_files_open(path: Path, store: SqliteStore) -> None:
    store.add(JOE.name, ["{PLAIN}right"])
    before = len(_open_files())
    found: list[str | None] = []
    for number in range(100):
        if number % 10 == 0:
            move_in(path, path)
        thread = threading.Thread(target=lambda: found.append(password(store)))
        thread.start()
        thread.join()
    assert found == ["{PLAIN}right"] * 100
    assert len(_open_files()) <= before + 4


def test_a_few_connections_are_kept_and_none_after_the_end(path: Path, store: SqliteStore) -> None:
    store.add(JOE.name, ["{PLAIN}right"])
    barrier = threading.Barrier(8)

    def hold() -> None:
        with store._reading():
            barrier.wait(20)

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store._connections._idle) == 4
    store.close()
    assert not any(name.startswith(str(path)) for name in _open_files())
    with store._reading():  # a thread that was abandoned at a deadline may still come
        pass
    assert not any(name.startswith(str(path)) for name in _open_files())


def _open_files() -> list[str]:
    return [str(link.readlink()) for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()]


def test_readers_and_writers_wait_for_each_other(path: Path, store: SqliteStore) -> None:
    store.add(JOE.name, ["{PLAIN}0"])
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                account = store.lookup(JOE)
                assert account is not None
                assert len(account.secrets) == 2 or account.secrets == ("{PLAIN}0",)
                assert len(set(account.secrets)) == 1
        except BaseException as error:
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    writer = SqliteStore(path)
    for number in range(50):
        writer.set_secrets(JOE.name, [f"{{PLAIN}}{number}"] * 2)
    done.set()
    for thread in readers:
        thread.join()
    writer.close()
    assert faults == []


def test_a_writer_that_takes_too_long_is_waited_for_no_longer_than_said(path: Path) -> None:
    store = SqliteStore(path, busy_timeout=0.1)
    store.add(JOE.name, ["{PLAIN}right"])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert password(store) == "{PLAIN}right"  # who only prepares to write keeps nobody from reading
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.set_secrets(JOE.name, ["{PLAIN}x"])
        other.execute("COMMIT")
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(2):
            with pytest.raises((sqlite3.OperationalError, SchemaError), match="locked"):
                store.lookup(JOE)
    assert password(store) == "{PLAIN}right"
    store.close()


def test_the_file_is_opened_by_sqlite_alone(path: Path, store: SqliteStore) -> None:
    """Closing any other file descriptor of it would give up the locks of the connections that are in use."""
    store.add(JOE.name, ["{PLAIN}right"])
    with store._reading() as connection:
        connection.execute("SELECT count(*) FROM users").fetchall()
        other = SqliteStore(path)
        with other._connections.one(create=True):
            pass
        other.close()
        blocked = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN EXCLUSIVE')"
        done = subprocess.run(
            [sys.executable, "-c", blocked, str(path)], capture_output=True, text=True, timeout=30, check=False
        )
    assert "database is locked" in done.stderr
