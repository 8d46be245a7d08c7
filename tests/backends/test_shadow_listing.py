"""Who is listed from shadow(5) and passwd(5), with what; and never half of a file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from saslpy.model import Account
from saslpy_shadow import Config
from saslpy_shadow.entries import MalformedLine
from saslpy_shadow.lines import UnreadableFile

from ..real.shadow import MD5, PASSWD, SHADOW, settle, store

MORE = PASSWD + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nold:x:2000:100:Old\x09Man::/bin/sh\n"
MORE_SHADOW = SHADOW + f"nobody:*:1::::::\nold:{MD5}:19000:0:99999:7::19500:\n"


def settled(folder: Path, shadow: str = MORE_SHADOW, passwd: str = MORE, **keys: Any) -> dict[str, Account]:
    opened = store(folder, shadow, passwd, **keys)
    settle(folder)
    accounts = list(opened.accounts())
    assert not any(account.secrets for account in accounts)
    return {account.login: account for account in accounts}


def test_who_is_listed(tmp_path: Path) -> None:
    """People, with a password or a lock; nobody without a line in both files, none of the system's own."""
    assert settled(tmp_path) == {
        "joe": Account("joe", uid=1000, gid=100, home="/home/joe", name="Joé Doe"),
        "ann": Account("ann", uid=1001, gid=100, home="/home/ann"),
        "old": Account("old", uid=2000, gid=100, name="Old\tMan", expired=True),
    }


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"list_min_uid": 1001}, {"ann", "old"}),
        ({"list_min_uid": 0}, {"news", "joe", "ann", "old"}),
        ({"list_min_uid": 0, "allow_root": True}, {"root", "news", "joe", "ann", "old"}),
        ({"list_min_uid": 0, "min_uid": 1001}, {"ann", "old"}),
    ],
)
def test_from_which_uid_on(tmp_path: Path, keys: dict[str, Any], expected: set[str]) -> None:
    assert set(settled(tmp_path, **keys)) == expected


def test_names_with_a_domain_are_aliases(tmp_path: Path) -> None:
    assert settled(tmp_path, domains=("example.org",))["joe"].aliases == ("joe@example.org",)


@pytest.mark.parametrize(
    ("shadow", "passwd", "told"),
    [
        (SHADOW, PASSWD + "odd:x:many:1::/:/bin/sh\n", "passwd: the line of 'odd': uid or gid is no number"),
        (SHADOW.replace("joe:", "joe::"), PASSWD, "shadow: the line of 'joe': 10 fields, not 9"),
    ],
)
def test_a_line_that_is_none_fails_the_list(tmp_path: Path, shadow: str, passwd: str, told: str) -> None:
    with pytest.raises(MalformedLine, match=told):
        settled(tmp_path, shadow, passwd)


def test_a_name_that_is_no_text_fails_the_list(tmp_path: Path) -> None:
    opened = store(tmp_path, SHADOW.encode() + b"\xff:*:1::::::\n", PASSWD.encode() + b"\xff:x:1005:1::/:/bin/sh\n")
    settle(tmp_path)
    with pytest.raises(MalformedLine, match="not UTF-8"):
        list(opened.accounts())


def test_what_is_written_just_now_is_waited_for(tmp_path: Path) -> None:
    """A file that grows is listed when it has grown."""
    opened = store(tmp_path, MORE_SHADOW, MORE[: MORE.index("old:")])
    settle(tmp_path)
    half = MORE[: MORE.index("ann:")]
    (tmp_path / "passwd").write_text(half)
    os.utime(tmp_path / "passwd", ns=(0, time.time_ns() - 1_800_000_000))
    writer = threading.Timer(0.1, _finish, (tmp_path,))
    writer.start()
    names = {account.login for account in opened.accounts()}
    writer.join()
    assert names == {"joe", "ann", "old"}


def _finish(folder: Path) -> None:
    (folder / "passwd").write_text(MORE)
    os.utime(folder / "passwd", ns=(0, time.time_ns() - 1_700_000_000))


def test_a_file_that_never_rests(tmp_path: Path) -> None:
    opened = store(tmp_path)
    settle(tmp_path)
    lines = opened._passwd
    lines._clock = lambda: _touched(tmp_path / "passwd")
    with pytest.raises(UnreadableFile, match=r"while it is read|all the time"):
        list(opened.accounts())


def _touched(path: Path) -> int:
    """The clock of one who writes to a file whenever somebody looks at it."""
    with path.open("a") as file:
        file.write("#\n")
    now = path.stat().st_mtime_ns
    return now + 1_999_000_000


def test_a_missing_file(tmp_path: Path) -> None:
    opened = store(tmp_path)
    settle(tmp_path)
    (tmp_path / "shadow").unlink()
    with pytest.raises(FileNotFoundError):
        list(opened.accounts())


def test_the_key() -> None:
    with pytest.raises(ValueError, match="list_min_uid: must be from 0"):
        Config(list_min_uid=-1)
