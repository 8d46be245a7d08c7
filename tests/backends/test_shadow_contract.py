"""The shared contract, for shadow: files of our own, and the system's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy import passwords
from saslpy.testing import IsolatedContract, OutageContract, StoreContract

from ..real.shadow import settle
from ..real.system import SystemUsers


class TestFiles(StoreContract, OutageContract):
    """The outage: the file is moved away, and back."""

    right = {"joe": "s3cret joe", "ann": "pässwörd", "x_1": "x1y2"}
    aliases = {"joe@Example.org": "joe"}

    def settings(self, folder: Path) -> dict[str, object]:
        if not (folder / "passwd").exists():
            shadow, passwd = "", ""
            for uid, (name, password) in enumerate(self.right.items(), 1000):
                shadow += f"{name}:{passwords.make('SHA512-CRYPT', password).partition('}')[2]}:20000:0:99999:7:::\n"
                passwd += f"{name}:x:{uid}:100::/home/{name}:/usr/sbin/nologin\n"
            (folder / "shadow").write_text(shadow)
            (folder / "passwd").write_text(passwd)
            settle(folder)  # a listing waits for files that are just being written
        return {"type": "shadow", "path": "shadow", "passwd": "passwd", "domains": ["example.org"]}

    moved = "shadow"

    def stop(self, folder: Path) -> None:
        (folder / self.moved).rename(folder / "away")

    def start(self, folder: Path) -> None:
        (folder / "away").rename(folder / self.moved)


class TestMissingPasswd(TestFiles):
    """The outage: the other file is moved away, and back."""

    moved = "passwd"


class TestEmptied(TestFiles):
    """The outage: the file is there and empty, as in the moment when somebody writes it anew."""

    def stop(self, folder: Path) -> None:
        (folder / "away").write_bytes((folder / "shadow").read_bytes())
        (folder / "shadow").write_bytes(b"")

    def start(self, folder: Path) -> None:
        (folder / "away").replace(folder / "shadow")


@pytest.mark.real
class TestSystem(StoreContract, IsolatedContract):
    right = {
        SystemUsers.name("one"): "s3cret one",
        SystemUsers.name("two"): "pässwörd",
        SystemUsers.name("six"): "x1y2",
    }

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def users(cls) -> Iterator[None]:
        with SystemUsers() as users:
            users.add("one", "s3cret one", "YESCRYPT")
            users.add("two", "pässwörd", "SHA512")
            users.add("six", "x1y2", "MD5")
            yield

    def settings(self, folder: Path) -> dict[str, object]:
        return {"type": "shadow"}
