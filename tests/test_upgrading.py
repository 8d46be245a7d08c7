"""Hash upgrades: what is planned, what is written, and what is left alone. Stores and failures are fakes here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from saslpy import Account, Login, passwords, upgrading
from saslpy.chain import Chain, Link
from saslpy.checking import Checker
from saslpy.guard import Guarded
from saslpy.hashing import Hashes, HashThreads, Task
from saslpy.health import Health
from saslpy.passwords.parsing import parse
from saslpy.passwords.tasks import TASKS
from saslpy.upgrading import Plan, Upgrades, plan

from .fakes import list_log
from .upgrades import Site

PASSWORD = "s3cret joe"
MD5 = passwords.make("MD5-CRYPT", PASSWORD)
BOTH = ("ARGON2ID", "SCRAM-SHA-256")
ARGON2 = passwords.make("ARGON2ID", PASSWORD)
CHEAP = passwords.make("ARGON2ID", PASSWORD, m=8, t=1)
SCRAM = passwords.make("SCRAM-SHA-256", PASSWORD)
CHEAP_SCRAM = passwords.make("SCRAM-SHA-256", PASSWORD, rounds=4096)
OTHER_SCRAM = passwords.make("SCRAM-SHA-1", PASSWORD)


@pytest.mark.parametrize(
    ("secrets", "wanted", "several", "expected"),
    [
        # one secret where one may be
        ([MD5], ("ARGON2ID",), False, Plan((), ("ARGON2ID",))),
        ([CHEAP], ("ARGON2ID",), False, Plan((), ("ARGON2ID",))),
        ([ARGON2], ("ARGON2ID",), False, None),
        ([SCRAM], ("ARGON2ID",), False, None),
        ([MD5], ("SCRAM-SHA-256",), False, Plan((), ("SCRAM-SHA-256",))),
        ([ARGON2], ("SCRAM-SHA-256",), False, None),
        ([CHEAP_SCRAM], ("SCRAM-SHA-256",), False, Plan((), ("SCRAM-SHA-256",))),
        ([MD5, SCRAM], ("ARGON2ID",), False, Plan((1,), ("ARGON2ID",))),
        # several
        ([MD5], BOTH, True, Plan((), BOTH)),
        ([ARGON2], BOTH, True, Plan((0,), ("SCRAM-SHA-256",))),
        ([ARGON2, SCRAM], BOTH, True, None),
        ([MD5, SCRAM], BOTH, True, Plan((1,), ("ARGON2ID",))),
        ([ARGON2, CHEAP_SCRAM], BOTH, True, Plan((0,), ("SCRAM-SHA-256",))),
        ([SCRAM], BOTH, True, None),
        ([OTHER_SCRAM], BOTH, True, Plan((0,), BOTH)),
        ([MD5, ARGON2], ("ARGON2ID",), True, Plan((1,), ())),
        ([MD5, CHEAP], ("ARGON2ID",), True, Plan((), ("ARGON2ID",))),
        ([CHEAP_SCRAM, ARGON2], ("ARGON2ID",), True, None),
    ],
)
def test_the_plan(secrets: list[str], wanted: tuple[str, ...], several: bool, expected: Plan | None) -> None:
    assert plan([parse(text) for text in secrets], wanted, several) == expected


class Stored:
    """A store with one user, who may have anything, and with failures to order."""

    def __init__(self, *secrets: str, **more: Any) -> None:
        self.account = Account("joe@example.org", secrets, **more)
        self.writes: list[tuple[Login, Sequence[str], Sequence[str]]] = []
        self.before: Callable[[], None] = lambda: None

    async def lookup(self, login: Login) -> Account | None:
        return self.account

    async def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        self.writes.append((login, old, new))
        self.before()
        if not set(old) <= set(self.account.secrets):
            return False
        rest = [secret for secret in self.account.secrets if secret not in old]
        self.account = replace(self.account, secrets=(*rest, *new))
        return True

    @property
    def schemes(self) -> list[str]:
        return [parse(secret).scheme for secret in self.account.secrets]


@asynccontextmanager
async def site(
    *stores: Stored, wanted: tuple[str, ...] = ("ARGON2ID",), hashes: Hashes | None = None
) -> AsyncIterator[Site]:
    log, lines = list_log(level="debug")
    hashes = hashes or HashThreads()
    async with trio.open_nursery() as nursery, Upgrades.running(hashes, log) as upgrades:
        links = []
        for number, store in enumerate(stores):
            guarded = Guarded(f"store{number}", store, 1.0, Health(log), nursery)
            links.append(Link(guarded, upgrader=upgrades.of(guarded, wanted, True)))
        yield Site(Chain(links, Checker(hashes, log)), upgrades, lines)


async def test_a_right_password_in_a_weak_hash_is_hashed_anew() -> None:
    store = Stored(MD5)
    async with site(store) as one:
        assert await one.login("Joe@example.org", PASSWORD) == "accept"
        assert store.schemes == ["MD5-CRYPT"]  # the answer does not wait
        await one.upgrades.finished()
        assert store.schemes == ["ARGON2ID"]
        assert store.writes[0][0].name == "Joe@example.org"
        assert await one.upgraded("joe@example.org", PASSWORD) == "accept"
        assert await one.upgraded("joe@example.org", PASSWORD + "x") == "reject"
        assert len(store.writes) == one.upgrades.counts["written"] == 1
        (line,) = one.told("upgraded")
        assert line.endswith("backend=store0 login=joe@example.org old=MD5-CRYPT new=ARGON2ID")
        text = "\n".join(one.lines)
        assert PASSWORD not in text
        assert not any(secret in text for secret in (*store.account.secrets, MD5))


@pytest.mark.parametrize(
    "store",
    [
        Stored(MD5, disabled=True),
        Stored(MD5, expired=True),
        Stored(MD5, deny_services=("smtp",)),
        Stored(MD5, allow_nets=("192.0.2.0/24",)),
        Stored("!" + MD5),
    ],
)
async def test_nothing_is_written_for_a_login_that_is_refused(store: Stored) -> None:
    async with site(store) as one:
        assert await one.upgraded("joe@example.org", PASSWORD) == "reject"
    assert store.writes == []


async def test_nothing_is_written_for_a_wrong_password() -> None:
    store = Stored(MD5)
    async with site(store) as one:
        assert await one.upgraded("joe@example.org", PASSWORD + "x") == "reject"
    assert store.writes == []


async def test_logins_at_a_time_are_one_write() -> None:
    store = Stored(MD5)
    async with site(store) as one, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(one.upgraded, "joe@example.org", PASSWORD)
    assert len(store.writes) == 1
    assert store.schemes == ["ARGON2ID"]


async def test_a_password_that_was_changed_meanwhile_stays() -> None:
    store = Stored(MD5)
    new = passwords.make("SSHA", "another")
    async with site(store) as one:
        await one.login("joe@example.org", PASSWORD)
        store.account = replace(store.account, secrets=(new,))
        await one.upgrades.finished()
        assert one.upgrades.counts == {"changed": 1}
        assert one.told("upgraded") == []
    assert store.account.secrets == (new,)


async def test_keys_for_scram_are_stored_beside() -> None:
    store = Stored(MD5)
    async with site(store, wanted=BOTH) as one:
        await one.upgraded("joe@example.org", PASSWORD)
        assert store.schemes == ["ARGON2ID", "SCRAM-SHA-256"]
        assert await one.upgraded("joe@example.org", PASSWORD) == "accept"
    assert len(store.writes) == 1
    assert all(parse(secret).check(PASSWORD.encode()) for secret in store.account.secrets)


async def test_a_secret_of_another_password_stays() -> None:
    phone = passwords.make("MD5-CRYPT", "of the phone")
    store = Stored(phone, MD5, "!locked")
    async with site(store) as one:
        await one.upgraded("joe@example.org", PASSWORD)
        assert store.account.secrets[:2] == (phone, "!locked")
        assert parse(store.account.secrets[2]).scheme == "ARGON2ID"
        # nothing about the first one is to be done when the second one is used; and that is not found out each time
        for _ in range(2):
            await one.upgraded("joe@example.org", PASSWORD)
        assert len(store.writes) == 1
        assert await one.upgraded("joe@example.org", "of the phone") == "accept"


async def test_what_the_old_hash_did_not_see_is_not_made_up() -> None:
    """With DES-CRYPT the right one and one with a slip are both right: to hash the latter would lock joe out."""
    store = Stored(passwords.make("DES-CRYPT", "12345678"))
    async with site(store) as one:
        assert await one.upgraded("joe@example.org", "12345678 and more") == "accept"
        assert store.writes == []
    async with site(store) as one:
        assert await one.upgraded("joe@example.org", "12345678") == "accept"
    assert store.schemes == ["ARGON2ID"]


async def test_what_the_new_scheme_cannot_hold_is_left_alone() -> None:
    store = Stored(passwords.make("SSHA", "x" * 73))
    async with site(store, wanted=("BLF-CRYPT",)) as one:
        assert await one.upgraded("joe@example.org", "x" * 73) == "accept"
    assert store.writes == []
    assert one.upgrades.counts == {}


async def test_the_form_that_was_hashed_is_hashed_again() -> None:
    """A Mac sends é as two characters. What was stored is one, and other devices go on sending that."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    store = Stored(passwords.make("MD5-CRYPT", composed))
    async with site(store, wanted=BOTH) as one:
        assert await one.upgraded("joe@example.org", decomposed) == "accept"
        assert store.schemes == list(BOTH)
        assert await one.login("joe@example.org", composed) == "accept"
        assert await one.login("joe@example.org", decomposed) == "accept"
    store = Stored(passwords.make("MD5-CRYPT", decomposed))
    async with site(store) as one:
        assert await one.upgraded("joe@example.org", decomposed) == "accept"
        assert store.schemes == ["ARGON2ID"]
        assert await one.login("joe@example.org", decomposed) == "accept"
        assert await one.login("joe@example.org", composed) == "reject"  # as before


async def test_bytes_that_are_no_text() -> None:
    password = b"caf\xe9".decode("utf-8", "surrogateescape")
    store = Stored(passwords.make("MD5-CRYPT", password))
    async with site(store) as one:
        assert await one.upgraded("joe@example.org", password) == "accept"
        assert store.schemes == ["ARGON2ID"]
        assert await one.login("joe@example.org", password) == "accept"


# --- failures


def fail(text: str = "read-only") -> None:
    raise OSError(text)


async def test_a_failed_write_is_told_once_and_the_store_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    store = Stored(MD5)
    store.before = partial(fail, f"cannot write {MD5}")
    async with site(store, hashes=Instant()) as one:
        for _ in range(5):
            assert await one.upgraded("joe@example.org", PASSWORD) == "accept"
        assert len(store.writes) == 1
        for _ in range(3):
            await trio.sleep(upgrading.REST)
            assert await one.upgraded("joe@example.org", PASSWORD) == "accept"
        assert len(store.writes) == 4
        (line,) = one.told("upgrade-failed")
        assert line.endswith('backend=store0 detail="OSError (its text shows what is secret)"')
        assert one.told("backend-down") == []
        store.before = lambda: None
        await trio.sleep(upgrading.REST)
        await one.upgraded("joe@example.org", PASSWORD)
        assert len(one.told("upgrades-work")) == 1
        assert store.schemes == ["ARGON2ID"]


async def test_one_store_that_fails_does_not_hold_up_another(autojump_clock: trio.testing.MockClock) -> None:
    slow, fine = Stored(passwords.make("MD5-CRYPT", "other")), Stored(MD5)

    async def hang(*_: object) -> bool:
        await trio.sleep_forever()
        raise AssertionError

    slow.replace_secrets = hang  # type: ignore[method-assign, assignment]
    async with site(slow, hashes=Instant()) as first, site(fine, hashes=Instant()) as second:
        assert await first.login("joe@example.org", "other") == "accept"
        assert await second.upgraded("joe@example.org", PASSWORD) == "accept"
        await first.upgrades.finished()
        (line,) = first.told("upgrade-failed")
        assert line.endswith('detail="no answer in 1 s"')
    assert fine.schemes == ["ARGON2ID"]


class Instant(HashThreads):
    """Makes hashes at once, on the loop; ``busy`` while checks wait."""

    busy = False

    async def run(self, task: Task, until: float = float("inf")) -> Any:
        assert not (self.busy and task.name == "make")
        return ARGON2 if task.name == "make" else TASKS[task.name](*task.args)

    def quiet(self) -> bool:
        return not self.busy


async def test_checks_come_first_and_a_note_is_not_kept_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    store, hashes = Stored(MD5), Instant()
    hashes.busy = True
    async with site(store, hashes=hashes) as one:
        await one.login("joe@example.org", PASSWORD)
        await trio.sleep(5)
        assert one.upgrades.pending == 1
        await trio.sleep(6)
        assert one.upgrades.pending == 0
        assert one.upgrades.counts == {"dropped": 1}
        hashes.busy = False
        await one.upgraded("joe@example.org", PASSWORD)
    assert store.schemes == ["ARGON2ID"]


async def test_there_is_room_for_so_many_only(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(upgrading, "MAX_WAITING", 2)
    stores = [Stored(passwords.make("MD5-CRYPT", str(number))) for number in range(8)]
    for number, store in enumerate(stores):
        store.account = replace(store.account, login=f"{number}@example.org")
    async with site(*stores, hashes=Instant()) as one:
        links = one.chain.links
        for number, link in enumerate(links):
            one.chain.links = (link,)
            assert await one.login(f"{number}@example.org", str(number)) == "accept"
            await trio.testing.wait_all_tasks_blocked()
        await one.upgrades.finished()
    # one with each worker, and two that wait
    assert one.upgrades.counts == {"written": 4, "dropped": 4}


async def test_a_fault_of_ours_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    store = Stored(MD5)

    class Faulty(Instant):
        def quiet(self) -> bool:
            if not self.busy:
                self.busy = True
                raise KeyError(PASSWORD)
            self.busy = False
            return True

    async with site(store, hashes=Faulty()) as one:
        await one.upgraded("joe@example.org", PASSWORD)
        assert len(one.told("internal-error")) == 1
        assert PASSWORD not in "".join(one.lines)
        await one.upgraded("joe@example.org", PASSWORD)
    assert store.schemes == ["ARGON2ID"]


async def test_after_the_end_a_login_is_still_answered() -> None:
    store = Stored(MD5)
    async with site(store) as one:
        pass
    assert await one.login("joe@example.org", PASSWORD) == "accept"
    assert one.upgrades.pending == 0


async def test_a_note_shows_no_password() -> None:
    seen: list[str] = []
    store = Stored(MD5)
    async with site(store) as one:
        note = one.upgrades.note
        one.upgrades.note = lambda taken: (seen.append(repr(taken)), note(taken))  # type: ignore[method-assign, assignment, func-returns-value]
        await one.upgraded("joe@example.org", PASSWORD)
    assert len(seen) == 1
    assert PASSWORD not in seen[0]
    assert MD5 not in seen[0]
