"""The contract that every backend keeps, as tests: for ours, and for those of third parties.

A plug-in's test file subclasses ``StoreContract`` or ``VerifierContract`` and says how to open the backend::

    class TestMine(StoreContract):
        right = {"joe@example.org": "secret"}       # users of the store, with their passwords
        def settings(self, folder: Path) -> dict[str, object]:
            return {"type": "mine", "path": "…"}    # the keys of its [backend.NAME]; folder is empty, for this test

Needs pytest and pytest-trio (``trio_mode = true``). The backend is opened just as the daemon opens it, from a
configuration file, behind the core's guard.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import trio

from .assemble import authenticator, link
from .authenticator import Authenticator
from .chain import Link
from .health import Health
from .model import Accept, Account, Defer, Login, Origin, Reason, Refusal, Reject, Verdict
from .observe.log import Log
from .observe.sink import Sink
from .settings import Settings, from_table

ORIGIN = Origin("test", "smtp")

ODD_NAMES = (
    "'",
    '"',
    "\\",
    "%",
    "%%",
    "%s",
    "_",
    "*",
    "?",
    "(",
    ")",
    "*)(uid=*",
    "' OR '1'='1",
    "' OR 1=1 -- ",
    "; DROP TABLE users",
    "0",
    "1",
    "NULL",
    "../../etc/passwd",
    "{login}",
    "%(login)s",
    "$(id)",
    "`id`",
    "joe,joe",
    "joe\u00a0",
    "ｊｏｅ",
    "x" * 1000,
    "é" * 400,
)
"""Names that belong to nobody, each of which some backend somewhere has taken for somebody or for an error."""


def settings_of(folder: Path, backend: Mapping[str, object], **auth: object) -> Settings:
    """The settings of one backend, as the daemon would read them from a file in ``folder``."""
    tables: dict[str, object] = {
        "auth": {"chain": ["mine"], "min_seconds": 0.0, **auth},
        "backend": {"mine": dict(backend)},
        "listen": [{"protocol": "saslauthd", "path": "mux"}],
    }
    return from_table(tables, folder / "saslpy.toml")


class _Contract:
    """What both kinds have in common."""

    right: ClassVar[Mapping[str, str]]
    """Logins of the store, by their canonical names, with their passwords: one at least."""

    aliases: ClassVar[Mapping[str, str]] = {}
    """Other names that are the same user: what is typed, and the canonical name."""

    def settings(self, folder: Path) -> dict[str, object]:
        """The keys of the backend's section. ``folder`` is there for the files of one test, and the same within it."""
        raise NotImplementedError

    @pytest.fixture
    async def door(self, tmp_path: Path) -> AsyncIterator[Authenticator]:
        """The whole way of a login, with the backend at its end."""
        async with authenticator(settings_of(tmp_path, self.settings(tmp_path)), _quiet()) as door:
            yield door

    @pytest.fixture
    def login(self) -> str:
        """A user of the store."""
        return next(iter(self.right))

    async def test_the_right_password_is_accepted(self, door: Authenticator) -> None:
        for login, password in self.right.items():
            verdict = await door.verify(login, "", password, ORIGIN)
            assert isinstance(verdict, Accept), verdict
            assert verdict.account.login == login

    async def test_every_spelling_has_one_canonical_name(self, door: Authenticator) -> None:
        for typed, login in self.aliases.items():
            verdict = await door.verify(typed, "", self.right[login], ORIGIN)
            assert isinstance(verdict, Accept), verdict
            assert verdict.account.login == login

    async def test_a_wrong_password_is_a_no(self, door: Authenticator, login: str) -> None:
        password = self.right[login]
        for wrong in (password + "x", password[:-1] or "x", password.swapcase() + "y", " " + password, "x" * 4000, "ж"):
            assert_no(await door.verify(login, "", wrong, ORIGIN), Reason.WRONG_PASSWORD)

    async def test_what_no_backend_may_be_asked(self, door: Authenticator, login: str) -> None:
        assert_no(await door.verify(login, "", "", ORIGIN), Reason.EMPTY_PASSWORD)
        assert_no(await door.verify(login, "", self.right[login] + "\0", ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify(login + "\0", "", self.right[login], ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify("", "", self.right[login], ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify(login + " ", "", self.right[login], ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify("x" * 4000, "", self.right[login], ORIGIN), Reason.MALFORMED)

    async def test_nobody_is_a_no(self, door: Authenticator, login: str) -> None:
        assert_no(await door.verify("nobody-of-this-name", "", self.right[login], ORIGIN))

    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_odd_names_are_a_no(self, door: Authenticator, login: str, name: str) -> None:
        """Never somebody else, and never an error: an error would be a Defer."""
        domain = login.rpartition("@")[2] if "@" in login else ""
        for given in (name, f"{name}@{domain}" if domain else name):
            assert_no(await door.verify(given, "", self.right[login], ORIGIN))

    async def test_many_at_a_time_get_each_its_own_answer(self, door: Authenticator) -> None:
        wrong: list[str] = []

        async def one(login: str, password: str, expected: type[Verdict]) -> None:
            verdict = await door.verify(login, "", password, ORIGIN)
            right = isinstance(verdict, expected)
            if not right or (isinstance(verdict, Accept) and verdict.account.login != login):
                wrong.append(f"{login}: {verdict}")

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                for login, password in self.right.items():
                    nursery.start_soon(one, login, password, Accept)
                    nursery.start_soon(one, login, password + "x", Reject)
                    nursery.start_soon(one, "nobody-" + login, password, Reject)
        assert wrong == []

    async def test_a_cancelled_login_leaves_nothing_broken(self, door: Authenticator, login: str) -> None:
        for seconds in (0.0, 0.0001, 0.001, 0.01):
            with trio.move_on_after(seconds):
                await door.verify(login, "", self.right[login], ORIGIN)
        assert isinstance(await door.verify(login, "", self.right[login], ORIGIN), Accept)

    async def test_the_configuration_prints_no_secret(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path, self.settings(tmp_path))
        text = repr(settings)
        for secret in self.secrets(self.settings(tmp_path)):
            assert secret not in text

    def secrets(self, table: Mapping[str, object]) -> list[str]:
        """What must never be printed: the users' passwords and the backend's own."""
        own = [str(value) for key, value in table.items() if key in ("password", "bind_password")]
        return [*own, *(password for password in self.right.values() if len(password) > 3)]


class StoreContract(_Contract):
    """For a ``Store``: it hands out stored secrets."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Link]:
        """The store behind the guard, without the door."""
        settings = settings_of(tmp_path, self.settings(tmp_path))
        async with link(settings.backends["mine"], Health(None)) as opened:
            yield opened

    async def test_lookup_gives_secrets_and_shows_none(self, store: Link, login: str) -> None:
        account = await store.backend.lookup(Login.of(login))
        assert isinstance(account, Account)
        assert account.secrets
        for secret in account.secrets:
            assert secret not in repr(account)

    async def test_nobody_is_none(self, store: Link) -> None:
        assert await store.backend.lookup(Login.of("nobody-of-this-name")) is None

    async def test_lookups_at_a_time_keep_their_order(self, store: Link) -> None:
        found: dict[str, Account | None] = {}

        async def one(name: str) -> None:
            found[name] = await store.backend.lookup(Login.of(name))

        names = [name for login in self.right for name in (login, "no-" + login)]
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(one, name)
        assert {name: account.login if account else None for name, account in found.items()} == {
            name: name if name in self.right else None for name in names
        }

    async def test_the_sample_is_a_secret(self, store: Link) -> None:
        sample = await store.backend.sample()
        assert sample is None or (isinstance(sample, str) and sample)


class VerifierContract(_Contract):
    """For a ``Verifier``: it can only check a password."""

    @pytest.fixture
    async def verifier(self, tmp_path: Path) -> AsyncIterator[Link]:
        """The verifier behind the guard, without the door."""
        settings = settings_of(tmp_path, self.settings(tmp_path))
        async with link(settings.backends["mine"], Health(None)) as opened:
            yield opened

    async def test_a_refusal_says_why(self, verifier: Link, login: str) -> None:
        answer = await verifier.backend.verify(Login.of(login), self.right[login] + "x")
        assert isinstance(answer, Refusal)
        answer = await verifier.backend.verify(Login.of("nobody-of-this-name"), "x")
        assert isinstance(answer, Refusal)


class OutageContract(_Contract):
    """For a backend with a server: mixed into the contract of its kind. ``stop`` and ``start`` end and bring it back."""

    def stop(self, folder: Path) -> None:
        """The server is gone."""
        raise NotImplementedError

    def start(self, folder: Path) -> None:
        """The server answers again."""
        raise NotImplementedError

    async def test_an_outage_is_never_a_no(self, door: Authenticator, login: str, tmp_path: Path) -> None:
        assert isinstance(await door.verify(login, "", self.right[login], ORIGIN), Accept)
        await trio.to_thread.run_sync(self.stop, tmp_path)
        try:
            for given, password in ((login, self.right[login]), (login, "wrong"), ("nobody-of-this-name", "x")):
                verdict = await door.verify(given, "", password, ORIGIN)
                assert isinstance(verdict, Defer), verdict
        finally:
            await trio.to_thread.run_sync(self.start, tmp_path)
        await back_within(3.0, lambda: door.verify(login, "", self.right[login], ORIGIN))


async def back_within(seconds: float, ask: Callable[[], Awaitable[Verdict]]) -> None:
    """Ask until the answer is Accept, which must come within so many seconds."""
    with trio.fail_after(seconds):
        while not isinstance(await ask(), Accept):
            await trio.sleep(0.05)


def assert_no(verdict: Verdict, reason: Reason | None = None) -> None:
    """A definite no; for one reason, where only one will do."""
    assert isinstance(verdict, Reject), verdict
    # a verifier may be unable to tell an unknown user from a wrong password
    if reason not in (None, Reason.WRONG_PASSWORD) or verdict.reason is not Reason.UNKNOWN_USER:
        assert reason is None or verdict.reason is reason, verdict


def _quiet() -> Log:
    return Log(Sink(2), level="error", audits=False)
