"""The shared contract, for PAM: virtual users by pam_userdb (no root needed), and the system's own by pam_unix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy.testing import IsolatedContract, OutageContract, VerifierContract

from ..real.pam import userdb_stack
from ..real.system import SystemUsers

pytestmark = pytest.mark.real


class TestUserdb(VerifierContract, OutageContract):
    """The outage: the database is moved away, and back."""

    complete = False  # it is passwd that says who exists
    right = {"joe@example.org": "s3cret joe", "ann@example.org": "pässwörd", "bare": "x1y2"}

    def settings(self, folder: Path) -> dict[str, object]:
        if not (folder / "users.db").exists():
            userdb_stack(folder, dict(self.right))
        return {"type": "pam", "service": "smtp", "confdir": str(folder)}

    def stop(self, folder: Path) -> None:
        (folder / "users.db").rename(folder / "away")

    def start(self, folder: Path) -> None:
        (folder / "away").rename(folder / "users.db")


class TestMissingService(TestUserdb):
    """The outage: the service file is moved away, and back."""

    def stop(self, folder: Path) -> None:
        (folder / "smtp").rename(folder / "away")

    def start(self, folder: Path) -> None:
        (folder / "away").rename(folder / "smtp")


class TestUnix(VerifierContract, IsolatedContract):
    right = {SystemUsers.name("one"): "s3cret one", SystemUsers.name("two"): "pässwörd"}
    aliases = {f"{SystemUsers.name('one')}@Example.org": SystemUsers.name("one")}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def users(cls) -> Iterator[None]:
        with SystemUsers() as users:
            users.add("one", "s3cret one", "SHA512")
            users.add("two", "pässwörd", "YESCRYPT")
            yield

    def settings(self, folder: Path) -> dict[str, object]:
        shipped = Path(__file__).parents[2] / "contrib/pam.d"
        return {"type": "pam", "confdir": str(shipped), "domains": ["example.org"]}
