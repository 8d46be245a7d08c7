"""The contract that every backend keeps, as tests: for ours, and for those of third parties.

A plug-in's test file subclasses ``StoreContract`` or ``VerifierContract`` and says how to open the backend::

    class TestMine(StoreContract):
        right = {"joe@example.org": "secret"}       # users of the store, with their passwords
        def settings(self, folder: Path) -> dict[str, object]:
            return {"type": "mine", "path": "…"}    # the keys of its [backend.NAME]; folder is empty, for this test

Needs pytest and pytest-trio, and no configuration of either; the plug-in's distribution must be installed, since its
type is looked up among the entry points. ``pytest.register_assert_rewrite("saslpy.testing")`` in ``conftest.py`` shows
more of what differs. The backend is opened just as the daemon opens it, from a configuration file, behind the core's
guard; an isolated one in this process, and by ``IsolatedContract`` in a worker process. The fixtures ``door``, ``store``
and ``verifier`` are there for tests of one's own, too (``trio_mode = true`` spares them their marks)::

        async def test_a_locked_user(self, door: Authenticator) -> None:
            assert_no(await door.verify("locked@example.org", "", "secret", ORIGIN), Reason.DISABLED)

``contrib/plugin-template`` is a whole distribution with such tests, to be copied.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import trio

from .assemble import authenticator, link, opened
from .authenticator import Authenticator
from .chain import Link
from .guard import BackendFailed, Guarded
from .health import Health
from .model import Accept, Account, Defer, Login, Origin, Reason, Refusal, Reject, Verdict
from .observe.log import Log
from .observe.sink import Sink
from .process import wire
from .process.link import Link as Channel
from .process.remote import Remote
from .settings import Settings, from_table

__all__ = [
    "ODD_NAMES",
    "ORIGIN",
    "Authenticator",
    "IsolatedContract",
    "Link",
    "OutageContract",
    "StoreContract",
    "VerifierContract",
    "assert_no",
    "back_within",
    "settings_of",
]

ORIGIN = Origin("test", "smtp")
"""Who asks, in a test."""

NOBODY = "nobody-of-this-name"

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
    return from_table(_tables(backend, **auth), folder / "saslpy.toml")


def _tables(backend: Mapping[str, object], **auth: object) -> dict[str, object]:
    return {
        "auth": {"chain": ["mine"], "min_seconds": 0.0, **auth},
        "backend": {"mine": dict(backend)},
        "listen": [{"protocol": "saslauthd", "path": "mux"}],
    }


class _Contract:
    """What both kinds have in common."""

    right: ClassVar[Mapping[str, str]]
    """Logins of the store, by their canonical names, with their passwords: one at least."""

    aliases: ClassVar[Mapping[str, str]] = {}
    """Other names that are the same user: what is typed, and the canonical name."""

    complete: ClassVar[bool] = True
    """Whether all who can log in are found and listed, too: not where passwords and users are in different places."""

    def settings(self, folder: Path) -> dict[str, object]:
        """The keys of the backend's section. ``folder`` is there for the files of one test, and the same within it."""
        raise NotImplementedError

    @pytest.fixture
    def configuration(self, tmp_path: Path) -> Settings:
        """What ``settings`` says. Not async: to an async fixture, pytest-trio gives another ``self`` than the test's."""
        return settings_of(tmp_path, self.settings(tmp_path))

    @pytest.fixture
    async def door(self, configuration: Settings) -> AsyncIterator[Authenticator]:
        """The whole way of a login, with the backend at its end."""
        async with authenticator(configuration, _quiet()) as door:
            yield door

    @pytest.fixture
    def login(self) -> str:
        """A user of the store."""
        return next(iter(self.right))

    @pytest.mark.trio
    async def test_the_right_password_is_accepted(self, door: Authenticator) -> None:
        for login, password in self.right.items():
            verdict = await door.verify(login, "", password, ORIGIN)
            assert isinstance(verdict, Accept), verdict
            assert verdict.account.login == login, f"asked for {login}, got {verdict.account.login}"

    @pytest.mark.trio
    async def test_every_spelling_has_one_canonical_name(self, door: Authenticator) -> None:
        for typed, login in self.aliases.items():
            verdict = await door.verify(typed, "", self.right[login], ORIGIN)
            assert isinstance(verdict, Accept), verdict
            assert verdict.account.login == login, f"{typed} is {verdict.account.login}, not {login}"

    @pytest.mark.trio
    async def test_a_wrong_password_is_a_no(self, door: Authenticator, login: str) -> None:
        password = self.right[login]
        for wrong in (password + "x", password[:-1] or "x", password.swapcase() + "y", " " + password, "x" * 4000, "ж"):
            assert_no(await door.verify(login, "", wrong, ORIGIN), Reason.WRONG_PASSWORD)

    @pytest.mark.trio
    async def test_what_no_backend_may_be_asked(self, door: Authenticator, login: str) -> None:
        assert_no(await door.verify(login, "", "", ORIGIN), Reason.EMPTY_PASSWORD)
        assert_no(await door.verify(login, "", self.right[login] + "\0", ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify(login + "\0", "", self.right[login], ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify("", "", self.right[login], ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify(login + " ", "", self.right[login], ORIGIN), Reason.MALFORMED)
        assert_no(await door.verify("x" * 4000, "", self.right[login], ORIGIN), Reason.MALFORMED)

    @pytest.mark.trio
    async def test_nobody_is_a_no(self, door: Authenticator, login: str) -> None:
        assert_no(await door.verify(NOBODY, "", self.right[login], ORIGIN))

    @pytest.mark.trio
    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_odd_names_are_a_no(self, door: Authenticator, login: str, name: str) -> None:
        """Never somebody else, and never an error: an error would be a Defer."""
        domain = login.rpartition("@")[2] if "@" in login else ""
        for given in (name, f"{name}@{domain}" if domain else name):
            assert_no(await door.verify(given, "", self.right[login], ORIGIN))

    @pytest.mark.trio
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

    @pytest.mark.trio
    async def test_a_cancelled_login_leaves_nothing_broken(self, door: Authenticator, login: str) -> None:
        for seconds in (0.0, 0.0001, 0.001, 0.01):
            with trio.move_on_after(seconds):
                await door.verify(login, "", self.right[login], ORIGIN)
        assert isinstance(await door.verify(login, "", self.right[login], ORIGIN), Accept)

    @pytest.mark.trio
    async def test_who_exists_is_found_without_a_password(self, door: Authenticator) -> None:
        """For a store, and for a verifier with ``find``."""
        backend = door.rules.backends[0]
        if not backend.can_find:
            return
        if self.complete:
            for typed, login in ({login: login for login in self.right} | dict(self.aliases)).items():
                account = await backend.find(door.rules.names.login(typed))
                assert isinstance(account, Account), f"{typed} is not found"
                assert account.login == login, f"{typed} is {account.login}, not {login}"
        _, at, domain = next(iter(self.right)).rpartition("@")
        for name in (NOBODY, *ODD_NAMES):
            found = await backend.find(Login.of(f"{name}@{domain}" if at else name))
            assert found is None, f"{name!r} is {found}"

    @pytest.mark.trio
    async def test_all_users_are_listed(self, door: Authenticator, configuration: Settings) -> None:
        """For a backend with ``accounts``: behind the guard, and as the commands call it, without."""
        backend = door.rules.backends[0]
        if not backend.can_list:
            return
        names = {account.login for account in await backend.accounts()}
        async with opened(configuration.backends["mine"]) as bare:
            answer = bare.accounts()
            assert {account.login for account in (await answer if isinstance(answer, Awaitable) else answer)} == names
        missing = set(self.right) - names if self.complete else set()
        assert not missing, f"not listed: {missing}"
        for name in sorted(names)[:20]:
            found = await backend.find(Login.of(name))
            assert isinstance(found, Account), f"{name} is listed, and not found"
            assert found.login == name, f"{name} is listed, and found as {found.login}"

    @pytest.mark.trio
    async def test_nobody_sends_as_somebody_else(self, door: Authenticator, login: str) -> None:
        backend = door.rules.backends[0]
        account = Account(login)
        assert await backend.may_send(account, login) is True
        for address in ("nobody-of-this-name@saslpy.invalid", f"{NOBODY}+x@saslpy.invalid"):
            assert await backend.may_send(account, address) is False, f"{login} may send as {address}"

    @pytest.mark.trio
    async def test_the_configuration_prints_no_secret(self, configuration: Settings, tmp_path: Path) -> None:
        text = repr((configuration, configuration.backends["mine"].config))
        for secret in self.secrets(self.settings(tmp_path)):
            assert secret not in text, "a secret is shown; is its field made with field(repr=False)?"

    @pytest.mark.trio
    async def test_the_probe_says_one_line(self, configuration: Settings) -> None:
        """What ``saslpy check`` shows, without the ability too."""
        async with link(configuration.backends["mine"], Health(None)) as opened:
            said = await opened.backend.probe()
        assert said.strip(), "it says nothing"
        assert len(said.splitlines()) == 1, said

    def secrets(self, table: Mapping[str, object]) -> list[str]:
        """What must never be printed: the users' passwords and the backend's own."""
        own = [str(value) for key, value in table.items() if key in ("password", "bind_password")]
        return [*own, *(password for password in self.right.values() if len(password) > 3)]


class StoreContract(_Contract):
    """For a ``Store``: it hands out stored secrets."""

    @pytest.fixture
    async def store(self, configuration: Settings) -> AsyncIterator[Link]:
        """The store behind the guard, without the door."""
        async with link(configuration.backends["mine"], Health(None)) as opened:
            yield opened

    @pytest.mark.trio
    async def test_lookup_gives_secrets_and_shows_none(self, store: Link, login: str) -> None:
        account = await store.backend.lookup(Login.of(login))
        assert isinstance(account, Account), account
        assert account.secrets, "the account has no stored secret, so nobody can log in to it"
        for secret in account.secrets:
            assert secret not in repr(account)

    @pytest.mark.trio
    async def test_nobody_is_none(self, store: Link) -> None:
        assert await store.backend.lookup(Login.of(NOBODY)) is None

    @pytest.mark.trio
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

    @pytest.mark.trio
    async def test_the_sample_is_a_secret(self, store: Link) -> None:
        sample = await store.backend.sample()
        assert sample is None or (isinstance(sample, str) and sample), "a sample is a stored secret, or None"


class VerifierContract(_Contract):
    """For a ``Verifier``: it can only check a password."""

    @pytest.fixture
    async def verifier(self, configuration: Settings) -> AsyncIterator[Link]:
        """The verifier behind the guard, without the door."""
        async with link(configuration.backends["mine"], Health(None)) as opened:
            yield opened

    @pytest.mark.trio
    async def test_a_refusal_says_why(self, verifier: Link, login: str) -> None:
        answer = await verifier.backend.verify(Login.of(login), self.right[login] + "x")
        assert isinstance(answer, Refusal), answer
        answer = await verifier.backend.verify(Login.of(NOBODY), "x")
        assert isinstance(answer, Refusal), answer


class OutageContract(_Contract):
    """For a backend with a server: mixed into the contract of its kind. ``stop`` and ``start`` end and bring it back."""

    def stop(self, folder: Path) -> None:
        """The server is gone."""
        raise NotImplementedError

    def start(self, folder: Path) -> None:
        """The server answers again."""
        raise NotImplementedError

    @pytest.mark.trio
    async def test_an_outage_is_never_a_no(self, door: Authenticator, login: str, tmp_path: Path) -> None:
        assert isinstance(await door.verify(login, "", self.right[login], ORIGIN), Accept)
        await trio.to_thread.run_sync(self.stop, tmp_path)
        try:
            for given, password in ((login, self.right[login]), (login, "wrong"), (NOBODY, "x")):
                verdict = await door.verify(given, "", password, ORIGIN)
                assert isinstance(verdict, Defer), verdict
            await self._nothing_else_is_known(door.rules.backends[0])
        finally:
            await trio.to_thread.run_sync(self.start, tmp_path)
        await back_within(3.0, lambda: door.verify(login, "", self.right[login], ORIGIN))

    async def _nothing_else_is_known(self, backend: Guarded) -> None:
        """Mail to a user who "does not exist" bounces, and a mailbox that is "nobody's" may be removed."""
        if self.complete and backend.can_find:
            with pytest.raises(BackendFailed):
                await backend.find(Login.of(NOBODY))
        if self.complete and backend.can_list:
            with pytest.raises(BackendFailed):
                await backend.accounts()


class IsolatedContract(_Contract):
    """For a plug-in with ``isolated = True``: mixed into the contract of its kind.

    The other tests call its methods in this process; here a worker process calls them, as it does for the daemon.
    """

    @pytest.mark.trio
    async def test_a_worker_process_gives_the_same_answers(
        self, configuration: Settings, tmp_path: Path, login: str
    ) -> None:
        """It can be opened there, and what it answers survives the way back."""
        table, settings = self.settings(tmp_path), configuration.backends["mine"]
        assert settings.plugin.isolated, "the plug-in is not isolated"
        asked = [*self.right.items(), (login, self.right[login] + "x"), (NOBODY, "x")]
        async with link(settings, Health(None)) as here, _in_workers(tmp_path, table) as there:
            for name, password in asked:
                expected, found = await _answer(here.backend, name, password), await _answer(there, name, password)
                assert found == expected, f"{name}: {found} from a worker process, and {expected} from this one"
            assert (there.can_find, there.can_list) == (here.backend.can_find, here.backend.can_list)
            for name in (*self.right, NOBODY) if there.can_find else ():
                assert await there.find(Login.of(name)) == await here.backend.find(Login.of(name))
            if there.can_list:
                assert await there.accounts() == await here.backend.accounts()


async def _answer(backend: Guarded, name: str, password: str) -> Account | Reason | None:
    if backend.has_secrets:
        return await backend.lookup(Login.of(name))
    answer = await backend.verify(Login.of(name), password)
    return answer.reason if isinstance(answer, Refusal) else answer


_WORKER = """
import json, socket, sys
from pathlib import Path
from saslpy.process.backendworker import serve
from saslpy.settings import from_table
tables, path, number = sys.argv[1:]
settings = from_table(json.loads(tables), Path(path))
serve(settings.backends["mine"], socket.socket(fileno=int(number)))
"""


@asynccontextmanager
async def _in_workers(folder: Path, backend: Mapping[str, object]) -> AsyncIterator[Guarded]:
    """The backend in worker processes. They begin by exec: a test's process has threads, and must not fork."""
    processes: list[subprocess.Popen[bytes]] = []
    arguments = [sys.executable, "-c", _WORKER, json.dumps(_tables(backend)), str(folder / "saslpy.toml")]

    async def start() -> Channel:
        ours, theirs = wire.pair()
        with theirs:
            process = _started([*arguments, str(theirs.fileno())], theirs.fileno())
        processes.append(process)
        return Channel(ours, lambda _why: process.kill())

    try:
        async with Remote.opened(start, 1) as remote, Guarded.around("mine", remote, 10.0, Health(None)) as guarded:
            yield guarded
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _started(arguments: list[str], file: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, pass_fds=[file])  # noqa: S603 (our own program)


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
