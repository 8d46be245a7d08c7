"""Keys that change while the daemon runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from saslpy_oauth import keysfile
from saslpy_oauth.keys import ASYMMETRIC, BadKeys, Keys, read
from saslpy_oauth.keysfile import Content, KeysFile, content
from tests.real.idp import Signer

OLD = 1_700_000_000
"""A time when a file may have been written that nobody has touched since."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def put(file: Path, text: str, when: int = OLD) -> None:
    """A file in the place of the old one, as ``mv`` puts it there."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.utime(new, (when, when))
    new.rename(file)


def opened(file: Path, clock: Clock, reads: Callable[[bytes], Keys] | None = None) -> KeysFile:
    return KeysFile(file, content(file), reads or (lambda data: read(data, ASYMMETRIC)), clock)


def kids(keys: KeysFile) -> set[str | None]:
    return {key.kid for key in keys.current().keys}


def one(signer: Signer, kid: str) -> str:
    """A set with one key of this name."""
    return signer.jwks().replace('"ec"', f'"{kid}"')


def test_a_new_file_counts_after_a_second(file: Path, signer: Signer, clock: Clock) -> None:
    put(file, one(signer, "first"))
    keys = opened(file, clock)
    put(file, one(signer, "second"))
    assert kids(keys) == {"rsa", "first"}
    clock.now = 0.99
    assert kids(keys) == {"rsa", "first"}
    clock.now = 1.0
    assert kids(keys) == {"rsa", "second"}


def test_the_same_inode_size_and_time_but_for_one(file: Path, signer: Signer, clock: Clock) -> None:
    put(file, one(signer, "a1"))
    keys = opened(file, clock)
    for number, change in enumerate(("replaced", "written", "grown"), 1):
        text = one(signer, f"b{number}") + (" " if change == "grown" else "")
        if change == "replaced":
            put(file, text)  # of the same size and time
        else:
            file.write_text(text)
            os.utime(file, (OLD + number, OLD + number))
        clock.now += 1
        assert f"b{number}" in kids(keys), change


def test_a_file_that_has_not_changed_is_not_read(file: Path, signer: Signer, clock: Clock) -> None:
    put(file, signer.jwks())
    readings: list[bytes] = []

    def reads(data: bytes) -> Keys:
        readings.append(data)
        return read(data, ASYMMETRIC)

    keys = opened(file, clock, reads)
    for _ in range(5):
        clock.now += 1
        keys.current()
    assert len(readings) == 1


def test_one_that_was_just_written_is_looked_at_again(file: Path, signer: Signer, clock: Clock) -> None:
    """Its time may stay the same when it is written to once more."""
    file.write_text(one(signer, "aa"))
    keys = opened(file, clock)
    before = file.stat()
    file.write_text(one(signer, "bb"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.now += 1
    assert kids(keys) == {"rsa", "bb"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is neither PEM nor a JWK Set, or cut short"),
        ('{"keys": [', "is not JSON"),
        ('{"keys": []}', "holds no key to check tokens with (it is empty)"),
        (" " * (keysfile.MAX_BYTES + 1), f"is longer than {keysfile.MAX_BYTES} bytes"),
        (None, "No such file or directory"),
    ],
)
def test_a_broken_file_leaves_the_old_keys(
    file: Path, signer: Signer, clock: Clock, caplog: pytest.LogCaptureFixture, text: str | None, told: str
) -> None:
    put(file, one(signer, "good"))
    keys = opened(file, clock)
    if text is None:
        file.unlink()
    else:
        put(file, text)
    for _ in range(3):
        clock.now += 1
        assert kids(keys) == {"rsa", "good"}
    # told once
    assert [(record.name, record.levelno) for record in caplog.records] == [("saslpy.oauth", logging.WARNING)]
    assert caplog.messages == [f"keys_file: {file}: {told}; the keys that were read before stay in force"]
    put(file, one(signer, "new"))
    clock.now += 1
    assert kids(keys) == {"rsa", "new"}
    assert len(caplog.records) == 1
    file.write_text("")
    clock.now += 1
    assert kids(keys) == {"rsa", "new"}
    assert len(caplog.records) == 2  # once more: it was well in between


def test_nobody_waits_for_anothers_look(file: Path, signer: Signer, clock: Clock) -> None:
    put(file, one(signer, "first"))
    entered, go = threading.Event(), threading.Event()

    def slowly(data: bytes) -> Keys:
        if b"second" in data:
            entered.set()
            assert go.wait(10)
        return read(data, ASYMMETRIC)

    keys = opened(file, clock, slowly)
    put(file, one(signer, "second"))
    clock.now = 1
    looking = threading.Thread(target=keys.current)
    looking.start()
    assert entered.wait(10)
    assert kids(keys) == {"rsa", "first"}
    go.set()
    looking.join(10)
    assert kids(keys) == {"rsa", "second"}


def test_what_a_reader_raises_does_not_end_the_looking(file: Path, signer: Signer, clock: Clock) -> None:
    put(file, one(signer, "first"))
    failing = True

    def reads(data: bytes) -> Keys:
        if b"second" in data and failing:
            raise BadKeys("odd")
        return read(data, ASYMMETRIC)

    keys = opened(file, clock, reads)
    put(file, one(signer, "second"))
    clock.now = 1
    assert kids(keys) == {"rsa", "first"}
    failing = False
    clock.now = 2
    assert kids(keys) == {"rsa", "second"}


def test_its_content_is_not_shown() -> None:
    assert repr(Content(b"secret", keysfile.NEVER)) == "Content(6 bytes)"
