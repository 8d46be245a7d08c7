"""The fakes that suffice: a clock's worth of backends that answer, fail, hang or lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from saslpy import Account, Login, Refusal
from saslpy.observe.log import Log


class ListSink:
    """Keeps lines instead of writing them; stands in for ``observe.sink.Sink``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dropped = 0

    def write(self, line: str) -> None:
        self.lines.append(line)

    def flush(self) -> bool:
        return True

    def take_dropped(self) -> int:
        return 0


def list_log(**options: Any) -> tuple[Log, list[str]]:
    """A log and the lines that it has written."""
    sink = ListSink()
    return Log(sink, **options), sink.lines  # type: ignore[arg-type]


class Users:
    """A store with users: login to stored secret, or to an account."""

    def __init__(self, users: Mapping[str, str | Account]) -> None:
        self.users = users
        self.asked: list[str] = []

    async def lookup(self, login: Login) -> Account | None:
        self.asked.append(login.name)
        found = self.users.get(login.name)
        return Account(login.name, (found,)) if isinstance(found, str) else found


class Broken:
    """A store that raises."""

    def __init__(self, make: Callable[[], BaseException] = lambda: OSError("the disk is gone")) -> None:
        self.make = make

    async def lookup(self, login: Login) -> Account | None:
        raise self.make()


class Slow:
    """A store that answers late, or never."""

    def __init__(self, seconds: float = float("inf")) -> None:
        self.seconds = seconds

    async def lookup(self, login: Login) -> Account | None:
        await trio.sleep(self.seconds)
        return None


class Batch:
    """A batch store that remembers what it was asked at once, and answers when ``go`` is set."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users: dict[str, str | Exception] = dict(users)
        self.batches: list[list[str]] = []
        self.go = trio.Event()
        self.fail: Exception | None = None

    async def lookup(self, login: Login) -> Account | None:
        raise AssertionError("a batch store is asked in batches")

    async def lookup_many(self, logins: Sequence[Login]) -> list[Account | Exception | None]:
        self.batches.append([login.name for login in logins])
        await self.go.wait()
        if self.fail is not None:
            raise self.fail
        found = [(login.name, self.users.get(login.name)) for login in logins]
        return [Account(name, (answer,)) if isinstance(answer, str) else answer for name, answer in found]


class Says:
    """A verifier with one answer."""

    def __init__(self, answer: Account | Refusal) -> None:
        self.answer = answer

    async def verify(self, login: Login, password: str) -> Account | Refusal:
        return self.answer
