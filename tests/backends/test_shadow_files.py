"""Shadow without the system's own files: lines that are none, changes under way."""

from __future__ import annotations

import gc
import logging
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.model import NEVER_HERE, Account, Login
from saslpy_shadow.entries import MalformedLine, passwd_entry, shadow_entry
from saslpy_shadow.lines import NamedLines, UnreadableFile
from saslpy_shadow.store import ShadowStore

from ..real.shadow import MD5, SHADOW, settle, store

# --- lines that are none


@pytest.mark.parametrize(
    "line",
    [
        "joe",
        f"joe:{MD5}",
        f"joe:{MD5}:1:::::",
        f"joe:{MD5}:1:::::::",
        f"joe:{MD5}:x::::::",
        f"joe:{MD5}:1:::::1x:",
        f"joe:{MD5}é:1::::::",
        f"joe:{MD5}:{'9' * 5000}::::::",
    ],
)
def test_a_user_whose_line_cannot_be_read_is_not_unknown(tmp_path: Path, line: str) -> None:
    with pytest.raises(MalformedLine) as fault:
        shadow_entry(line.encode())
    assert MD5 not in str(fault.value)
    asked = store(tmp_path, f"{line}\nann:!:1::::::\n")
    if ":" in line:
        with pytest.raises(MalformedLine, match=r"shadow: this user's line: ") as fault:
            asked.lookup(Login.of("joe"))
        assert MD5 not in str(fault.value)
    assert asked.lookup(Login.of("ann")) is not None


@pytest.mark.parametrize("line", ["joe:x:1000:100::", "joe:x:a:1::/h:/s", "joe:x:-1:1::/h:/s", "joe:x:1::::/s"])
def test_nor_one_whose_passwd_line_cannot(tmp_path: Path, line: str) -> None:
    with pytest.raises(MalformedLine, match=r"passwd: this user's line: "):
        store(tmp_path, passwd=line + "\n").lookup(Login.of("joe"))


def test_other_encodings(tmp_path: Path) -> None:
    entry = passwd_entry(b"joe:x:1:1:Jos\xe9:/home/joe:/s")
    assert entry.name == "Jos\ufffd"
    with pytest.raises(MalformedLine):
        passwd_entry(b"joe:x:1:1::/home/jos\xe9:/s")


def test_what_is_skipped_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = f"# a comment\n\n   \n+::::::::\n-bad::::::::\n:{MD5}:1::::::\nno colon\nbob:{MD5}:1\n\xff\n"
    with caplog.at_level(logging.WARNING):
        asked = store(tmp_path, noise + SHADOW)
        assert asked.lookup(Login.of("joe")) is not None
        settle(tmp_path)
        assert asked.lookup(Login.of("ann")) is not None
        assert asked.lookup(Login.of("ann")) is not None
    assert asked.probe() == f"{tmp_path}/shadow: 4 users, 4 malformed lines in {tmp_path}/shadow, without root"
    assert set(caplog.messages) == {f"{tmp_path}/shadow: 4 malformed lines"}
    assert len(caplog.messages) == 2  # once for each state of the file
    for name in ("+", "-bad", "#", "# a comment"):
        assert asked.lookup(Login(name, name)) in (None, NEVER_HERE)


def test_probe(tmp_path: Path) -> None:
    assert store(tmp_path, min_uid=1000).probe() == f"{tmp_path}/shadow: 4 users, without uids below 1000"
    assert store(tmp_path, allow_root=True).probe() == f"{tmp_path}/shadow: 4 users"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_garbage_is_an_error_or_nobody(tmp_path_factory: pytest.TempPathFactory, shadow: bytes, passwd: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "garbage"
    folder.mkdir(exist_ok=True)
    asked = store(folder, shadow, passwd + b"\njoe:x:1:1::/h:/s\n")
    for name in ("joe", "x", "é"):
        try:
            found = asked.lookup(Login.of(name))
        except (UnreadableFile, MalformedLine):
            continue
        assert found is None or name.encode() in shadow


# --- files that are not there, and files that change


def test_a_missing_file_is_no_unknown_user(tmp_path: Path) -> None:
    for name in ("shadow", "passwd"):
        asked = store(tmp_path)
        (tmp_path / name).unlink()
        for ask in (lambda asked=asked: asked.lookup(Login.of("joe")), asked.probe):
            with pytest.raises(FileNotFoundError, match=name):
                ask()


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "nonsense\n"])
def test_nor_is_one_without_users(tmp_path: Path, content: str) -> None:
    asked = store(tmp_path, content)
    with pytest.raises(UnreadableFile, match="holds no users"):
        asked.lookup(Login.of("joe"))
    with pytest.raises(UnreadableFile):
        asked.probe()


def test_nor_something_else_of_this_name(tmp_path: Path) -> None:
    asked = store(tmp_path)
    (tmp_path / "shadow").unlink()
    os.mkfifo(tmp_path / "shadow")
    with pytest.raises(UnreadableFile, match="is not a file"):
        asked.lookup(Login.of("joe"))
    (tmp_path / "shadow").unlink()
    (tmp_path / "shadow").mkdir()
    with pytest.raises(OSError, match="shadow: is not a file"):
        asked.lookup(Login.of("joe"))


def test_nor_one_that_is_being_written(tmp_path: Path) -> None:
    asked = store(tmp_path, SHADOW[: SHADOW.index("joe") + 2])
    with pytest.raises(UnreadableFile, match="half written"):
        asked.lookup(Login.of("joe"))
    assert asked.lookup(Login.of("news")) is not None
    settle(tmp_path)  # it has been so for a while: that is how it is
    assert asked.lookup(Login.of("joe")) is None


def test_nor_one_that_is_written_anew_in_its_place(tmp_path: Path) -> None:
    asked = store(tmp_path)
    settle(tmp_path)
    assert asked.lookup(Login.of("joe")) is not None
    before, line = SHADOW[: SHADOW.index("joe:")], SHADOW[SHADOW.index("joe:") :]
    (tmp_path / "shadow").write_text(before)  # cut at a line's end
    for _ in range(2):
        with pytest.raises(UnreadableFile, match="half written"):
            asked.lookup(Login.of("joe"))
    assert asked.lookup(Login.of("nobody-of-this-name")) is None
    (tmp_path / "shadow").write_text(before + line)
    assert asked.lookup(Login.of("joe")) is not None
    (tmp_path / "new").write_text(before)  # as userdel does it
    (tmp_path / "new").rename(tmp_path / "shadow")
    assert asked.lookup(Login.of("joe")) is None


def test_a_user_who_was_cut_out_is_unknown_after_a_while(tmp_path: Path) -> None:
    asked = store(tmp_path)
    settle(tmp_path)
    assert asked.lookup(Login.of("joe")) is not None
    (tmp_path / "shadow").write_text(SHADOW[: SHADOW.index("joe:")])
    settle(tmp_path)
    assert asked.lookup(Login.of("joe")) is None


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    assert store(tmp_path, f"joe:{MD5}:1::::::").lookup(Login.of("joe")) is not None


def secrets(asked: ShadowStore, name: str = "joe") -> tuple[str, ...]:
    found = asked.lookup(Login.of(name))
    return found.secrets if isinstance(found, Account) else ()


def test_every_change_counts_at_once(tmp_path: Path) -> None:
    asked = store(tmp_path)
    settle(tmp_path)
    assert secrets(asked) == ("{CRYPT}" + MD5,)
    other = MD5[:-1] + "y"
    path = tmp_path / "shadow"
    # replaced by a new file of the same size and time
    new = tmp_path / "shadow.new"
    new.write_text(SHADOW.replace(MD5, other))
    os.utime(new, (1e9, 1e9))
    new.replace(path)
    assert secrets(asked) == ("{CRYPT}" + other,)
    # written over, with the same size and time
    path.write_text(SHADOW)
    os.utime(path, (1e9, 1e9))
    assert secrets(asked) == ("{CRYPT}" + MD5,)
    # lines in another order, with the same size and time
    path.write_text("".join(reversed(SHADOW.splitlines(keepends=True))))
    os.utime(path, (1e9, 1e9))
    assert secrets(asked) == ("{CRYPT}" + MD5,)
    # one more, and one less
    path.write_text(f"gone:{MD5}:1::::::\n" + SHADOW)
    assert secrets(asked, "gone") == ("{CRYPT}" + MD5,)
    path.write_text(SHADOW)
    assert secrets(asked, "gone") == ()


def test_a_file_that_has_just_changed_is_not_trusted_to_stay(tmp_path: Path) -> None:
    """Within one tick of the clock it may change again and look the same."""
    asked = store(tmp_path)
    now = time.time()
    os.utime(tmp_path / "shadow", (now, now))
    assert secrets(asked, "joe") == ("{CRYPT}" + MD5,)
    (tmp_path / "shadow").write_text(SHADOW.replace("joe:", "bob:"))
    os.utime(tmp_path / "shadow", (now, now))
    assert secrets(asked, "joe") == ()


def test_a_file_that_never_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path)
    lines = NamedLines(tmp_path / "shadow", 9)
    index = lines.index()
    places = {b"joe": index.places[b"joe"] + 1}
    monkeypatch.setattr(lines, "_current", lambda _: type(index)(index.signature, places, 0, True, False))
    with pytest.raises(UnreadableFile, match="changes while it is read"):
        lines.line(b"joe")


def test_no_hash_is_kept(tmp_path: Path) -> None:
    asked = store(tmp_path, SHADOW + "".join(f"u{number}:{MD5[:-1]}{number % 10}:1::::::\n" for number in range(200)))
    assert secrets(asked) == ("{CRYPT}" + MD5,)
    gc.collect()
    held = [thing for thing in gc.get_objects() if isinstance(thing, dict | list | tuple)]
    texts = [item for thing in held for item in (thing.values() if isinstance(thing, dict) else thing)]
    assert not any(isinstance(text, bytes) and b"$1$abcdefgh$xxxx" in text for text in texts)
    assert "$1$" not in repr(asked._shadow._index)


def test_ten_thousand_users(tmp_path: Path) -> None:
    many = range(10_000)
    asked = store(
        tmp_path,
        "".join(f"u{n}:{MD5}:19000:0:99999:7:::\n" for n in many),
        "".join(f"u{n}:x:{n + 1000}:100::/home/u{n}:/bin/sh\n" for n in many),
    )
    settle(tmp_path)
    assert secrets(asked, "u0")
    start = time.monotonic()
    for number in range(0, 10_000, 20):
        found = asked.lookup(Login.of(f"u{number}"))
        assert isinstance(found, Account)
        assert found.uid == number + 1000
    assert time.monotonic() - start < 0.5  # 500 lookups
