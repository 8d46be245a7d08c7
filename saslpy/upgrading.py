"""Hash upgrade on login: a right password whose stored hash is weak is hashed anew, and written back.

That happens after the answer: ``Upgrader.consider`` only takes a note, ``Upgrades`` works off the notes when no check
waits for a process. Whatever goes wrong is harmless, since the old hash stays valid: a note is dropped when there are too
many, when it is too old or when the store has just failed; the next login makes another one. The store replaces nothing
but the very secrets that were checked, so a password that was changed meanwhile is not overwritten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from .checking import Known, matching
from .guard import BackendFailed, Guarded
from .hashing import Hashes, HashingFailed, Overloaded, Task, TooLate, making
from .model import Account, Login
from .observe.log import Log
from .passwords import StoredSecret
from .passwords.strength import cheaper, deserves, holds, is_scram, sees_all

MAX_WAITING = 256
"""Notes at a time. Each of them holds a password."""

WORKERS = 2
"""Upgrades under way, so that a store that hangs does not hold up another one. Hashing is done one at a time."""

DELAY = 0.1
"""Seconds after which a note is looked at: the answer goes out first."""

PATIENCE = 10.0
"""Seconds after which a note that has not been worked off is dropped, and the password with it."""

POLL = 0.02
"""Seconds between two looks whether checks wait, while there is something to do."""

REST = 60.0
"""Seconds for which a store is left alone after a failed write."""

SETTLED = 600.0
"""Seconds for which a login is left alone whose secrets turned out to be nothing to upgrade."""

MAX_REMEMBERED = 1024
"""Settled logins, and combinations of kinds, that are remembered of one store."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of secrets that one password is right for: some are kept, the others make room for new ones."""

    keep: tuple[int, ...]
    make: tuple[str, ...]


def plan(secrets: Sequence[StoredSecret], wanted: Sequence[str], several: bool) -> Plan | None:
    """What to do about the secrets of one password, None for nothing.

    ``wanted`` is what ``strength.upgradable`` gives. Keys for SCRAM are replaced by better ones of their own kind alone:
    a hash could not do what they are for. ``several``: the store may hold more secrets of a user than it does.
    """
    goal = wanted[0]
    stale = [
        secret.scheme in wanted and cheaper(secret) if is_scram(secret.scheme) else deserves(secret, goal)
        for secret in secrets
    ]
    kept = [secret.scheme for secret, old in zip(secrets, stale, strict=True) if not old]
    lacking = [name for name in wanted if not (name in kept if is_scram(name) else any(not is_scram(k) for k in kept))]
    if not (any(stale) or (several and any(map(is_scram, lacking)))):
        return None
    if not several and len(kept) + len(lacking) > len(secrets):
        return None
    return Plan(tuple(number for number, old in enumerate(stale) if not old), tuple(lacking))


@dataclass(slots=True, eq=False)
class _Note:
    """A login whose secrets may deserve an upgrade."""

    upgrader: Upgrader
    login: Login
    name: str  # the account's
    known: Sequence[Known]
    password: str = field(repr=False)
    made: float  # when


class Upgrader:
    """The upgrades of one store's secrets. ``Upgrades.of`` makes it."""

    def __init__(self, upgrades: Upgrades, backend: Guarded, wanted: Sequence[str], several: bool) -> None:
        self.wanted = tuple(wanted)
        self.several = several
        self._upgrades = upgrades
        self._backend = backend
        self._worth: dict[str | tuple[str, ...], bool] = {}  # a look, by the kinds of the secrets
        self._settled: dict[str, float] = {}  # until when
        self._rests_until = 0.0
        self._failing = False

    def consider(self, login: Login, account: Account, known: Sequence[Known], password: str) -> None:
        """A login was right. Never waits, and costs a look into a table where there is nothing to do."""
        kinds = known[0].secret.kind if len(known) == 1 else tuple([one.secret.kind for one in known])
        worth = self._worth.get(kinds)
        if worth is None:
            worth = plan([one.secret for one in known], self.wanted, self.several) is not None
            _remember(self._worth, kinds, worth)
        if worth:
            now = trio.current_time()
            if now >= self._rests_until and self._settled.get(account.login, now) <= now:
                self._upgrades.note(_Note(self, login, account.login, known, password, now))

    def settle(self, name: str) -> None:
        """There is nothing to be done about this login for now."""
        _remember(self._settled, name, trio.current_time() + SETTLED)

    async def write(self, note: _Note, old: Sequence[str], new: Sequence[str]) -> bool:
        """Replace the secrets of the note's login; whether it was done."""
        if trio.current_time() < self._rests_until:
            self._upgrades.counts["dropped"] += 1
            return False
        try:
            done = await self._backend.replace_secrets(note.login, old, new)
        except BackendFailed as failure:
            self._failed(failure.detail)
            return False
        if self._failing:
            self._failing = False
            self._upgrades.log.info("upgrades-work", backend=self._backend.name)
        self._upgrades.counts["written" if done else "changed"] += 1
        return done

    def _failed(self, detail: str) -> None:
        """Leave the store alone for a while. The log hears of it once, until a write has worked."""
        self._rests_until = trio.current_time() + REST
        self._upgrades.counts["failed"] += 1
        if not self._failing:
            self._failing = True
            self._upgrades.log.warning("upgrade-failed", backend=self._backend.name, detail=detail)

    @property
    def name(self) -> str:
        """The name of the backend's section."""
        return self._backend.name


class Upgrades:
    """Works off the notes of all stores. Use ``async with Upgrades.running(…)``, within the time of the stores.

    ``counts``: "written"; "changed" (meanwhile, so left alone); "failed"; "dropped" (no time, or no room for it).
    """

    def __init__(self, hashes: Hashes, log: Log) -> None:
        self.log = log
        self.counts: Counter[str] = Counter()
        self._hashes = hashes
        self._under_way: set[tuple[str, str]] = set()
        self._send, self._notes = trio.open_memory_channel[_Note](MAX_WAITING)
        self._turn = trio.Lock()

    @classmethod
    @asynccontextmanager
    async def running(cls, hashes: Hashes, log: Log) -> AsyncIterator[Upgrades]:
        """Upgrades as long as the block runs; what is left at its end is dropped."""
        upgrades = cls(hashes, log)
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(upgrades._work)
            try:
                yield upgrades
            finally:
                upgrades._send.close()  # what is considered from now on is dropped
                nursery.cancel_scope.cancel()

    def of(self, backend: Guarded, wanted: Sequence[str], several: bool) -> Upgrader:
        """The upgrader of a store. ``several``: it may hold several secrets of a user."""
        return Upgrader(self, backend, wanted, several)

    @property
    def pending(self) -> int:
        """Logins that are noted, or under way."""
        return len(self._under_way)

    async def finished(self) -> None:
        """Wait until nothing is pending: some seconds, since a note that waits is dropped then."""
        while self.pending:  # noqa: ASYNC110 (at a reload, and at the end)
            await trio.sleep(0.01)

    def note(self, note: _Note) -> None:
        """Take a note, if there is room, and none of this login yet."""
        key = (note.upgrader.name, note.name)
        if key in self._under_way:
            return
        try:
            self._send.send_nowait(note)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self.counts["dropped"] += 1
        else:
            self._under_way.add(key)

    async def _work(self) -> None:
        async for note in self._notes:
            try:
                await trio.sleep_until(note.made + DELAY)
                await self._upgrade(note)
            except (Overloaded, HashingFailed):
                self.counts["dropped"] += 1
            except Exception as error:  # of ours, and no reason to upgrade nobody any more
                self.counts["failed"] += 1
                self.log.fault(error, during="upgrade")
            finally:
                self._under_way.discard((note.upgrader.name, note.name))
                note.password = ""

    async def _upgrade(self, note: _Note) -> None:
        secrets, tries = await self._matched(note)
        made = plan([one.secret for one in secrets], note.upgrader.wanted, note.upgrader.several)
        if not secrets or made is None or not _allowed(made, secrets, tries):
            note.upgrader.settle(note.name)
            return
        until = note.made + PATIENCE
        new = [await self._hash(_making(name, tries, note.name), until) for name in made.make]
        note.password = ""
        old = [one.text for one in secrets]
        if await note.upgrader.write(note, old, [*(old[number] for number in made.keep), *new]):
            schemes = [one.secret.scheme for one in secrets]
            self.log.info(
                "upgraded",
                backend=note.upgrader.name,
                login=note.name,
                old=",".join(schemes),
                new=",".join([*(schemes[number] for number in made.keep), *made.make]),
            )

    async def _matched(self, note: _Note) -> tuple[list[Known], list[bytes]]:
        """The secrets that the password is right for, and its bytes: those that matched, and how SASLprep has them.

        Where there are several secrets, the others are of another password (of an application, say) and stay.
        """
        raw = note.password.encode("utf-8", "surrogatepass")
        if raw.isascii() and len(note.known) == 1:
            return list(note.known), [raw, raw]
        tries, which = await self._hash(matching(note.known, raw, note.name), note.made + PATIENCE)
        right = [one for one, number in zip(note.known, which, strict=True) if number >= 0]
        # who typed the bytes as they were hashed is right in their prepared form, too, but not the other way round
        return right, [tries[max(which)], tries[-1]]

    async def _hash(self, task: Task, until: float) -> Any:
        """A hash that nobody waits for: one at a time, and when no check does."""
        async with self._turn:
            while not self._hashes.quiet():
                if trio.current_time() >= until:
                    raise TooLate("there were checks to do all the time")
                await trio.sleep(POLL)
            return await self._hashes.run(task, until)


def _allowed(made: Plan, secrets: Sequence[Known], tries: Sequence[bytes]) -> bool:
    """Whether the new secrets are right for the same passwords as the old ones."""
    whole = all(sees_all(one.secret, tries[0]) for one in secrets)
    return whole and all(holds(name, raw) for name in made.make for raw in tries)


def _making(name: str, tries: Sequence[bytes], login: str) -> Task:
    # a client of SCRAM prepares its password, always (RFC 5802, 2.2)
    raw = tries[-1] if is_scram(name) else tries[0]
    text = raw.decode("utf-8", "surrogateescape")
    return making(name, text.encode("utf-8", "surrogatepass"), login)


def _remember(memory: dict[Any, Any], key: object, value: object) -> None:
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    memory[key] = value
