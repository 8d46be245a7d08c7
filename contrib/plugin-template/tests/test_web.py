"""The verifier: saslpy's contract in this process and in a worker, and what is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from saslpy import Defer
from saslpy.testing import ORIGIN, Authenticator, IsolatedContract, OutageContract, VerifierContract
from service import TOKEN, USERS, Service

from saslpy_example.web import Config


class TestWeb(VerifierContract, OutageContract, IsolatedContract):
    right = USERS
    aliases = {"JOE@example.org": "joe@example.org"}

    @pytest.fixture(autouse=True)
    def service(self) -> Iterator[Service]:
        """A service for each test. ``settings``, ``stop`` and ``start`` are called when it is there."""
        with Service() as self.running:
            yield self.running

    def settings(self, folder: Path) -> dict[str, object]:
        return {"type": "example-web", "url": self.running.url, "token": TOKEN}

    def secrets(self, table: Mapping[str, object]) -> list[str]:
        """What must never be printed: the key that is a secret is called "token" here."""
        return [*super().secrets(table), TOKEN]

    def stop(self, folder: Path) -> None:
        self.running.stop()

    def start(self, folder: Path) -> None:
        self.running.start()

    @pytest.mark.parametrize("status", [204, 302, 401, 403, 404, 500])
    async def test_only_the_services_own_words_count(
        self, door: Authenticator, login: str, service: Service, status: int
    ) -> None:
        service.status, service.location = status, "/" if status == 302 else ""
        for password in (self.right[login], "wrong"):
            assert isinstance(await door.verify(login, "", password, ORIGIN), Defer)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/login",
        "ftp://example.org/",
        "http://example.org/login",
        "https:///x",
        "https://u:p@x/",
        "https://x:0/",
    ],
)
def test_a_url_that_cannot_be_or_shows_passwords_to_others(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url: expected https://HOST/PATH"):
        Config(url=url)
