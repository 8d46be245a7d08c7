"""The store: saslpy's contract, and what is its own."""

from __future__ import annotations

import json
from pathlib import Path

from saslpy import Defer, Reason, passwords
from saslpy.testing import ORIGIN, Authenticator, OutageContract, StoreContract, assert_no


def _user(password: str, **more: object) -> dict[str, object]:
    return {"password": passwords.make("SSHA512", password), **more}


class TestUsers(StoreContract, OutageContract):
    right = {"joe@example.org": "s3cret joe", "ann@example.org": "pässwörd", "bare": "x1y2"}
    aliases = {"sales@example.org": "joe@example.org"}

    def settings(self, folder: Path) -> dict[str, object]:
        path = folder / "users.json"
        if not path.exists():
            users = {login: _user(password) for login, password in self.right.items()}
            users["locked"] = _user("secret", disabled=True)
            path.write_text(json.dumps({"users": users, "aliases": self.aliases}), encoding="utf-8")
        return {"type": "example", "path": str(path)}

    def stop(self, folder: Path) -> None:
        """The outage that every login must survive as "try again later"."""
        (folder / "users.json").rename(folder / "away.json")

    def start(self, folder: Path) -> None:
        (folder / "away.json").rename(folder / "users.json")

    async def test_a_half_written_file_is_never_a_no(self, door: Authenticator, login: str, tmp_path: Path) -> None:
        path = tmp_path / "users.json"
        whole = path.read_text(encoding="utf-8")
        for half in ("", whole[: len(whole) // 2], whole[:-1], "[]", '{"users": {}}', '{"users": [], "aliases": {}}'):
            path.write_text(half, encoding="utf-8")
            verdict = await door.verify(login, "", self.right[login], ORIGIN)
            assert isinstance(verdict, Defer), (half, verdict)

    async def test_a_disabled_user_is_a_no(self, door: Authenticator) -> None:
        assert_no(await door.verify("locked", "", "secret", ORIGIN), Reason.DISABLED)
