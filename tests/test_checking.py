"""Where a password is compared: what is quick here, everything else in a worker."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha384
from math import inf
from typing import Any

import pytest

from saslpy import passwords
from saslpy.checking import AT_ONCE, Checker, Usual
from saslpy.hashing import HashThreads, Task
from saslpy.model import Account, Reason

from .fakes import list_log

STORED = {
    "SHA384": "{SHA384}" + b64encode(sha384(b"secret").digest()).decode(),
    "SSHA384": "{SSHA384}" + b64encode(sha384(b"secretsalt").digest() + b"salt").decode(),
}
"""Those that nobody makes any more."""


class Asked(HashThreads):
    """Counts what is asked of the workers."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []

    async def run(self, task: Task, until: float = inf) -> Any:
        self.kinds.append(task.kind)
        return await super().run(task, until)


async def outcome(password: str, *stored: str) -> tuple[bool, list[str]]:
    """Whether a password is right, and what the workers were asked."""
    asked = Asked()
    found = await Checker(asked, list_log()[0]).check(Account("joe", stored), password, Usual())
    assert isinstance(found, list) or found is Reason.WRONG_PASSWORD
    return isinstance(found, list), asked.kinds


@pytest.mark.parametrize("scheme", sorted(passwords.QUICK))
async def test_what_is_quick_needs_no_worker(scheme: str) -> None:
    stored = STORED.get(scheme) or passwords.make(scheme, "secret")
    assert await outcome("secret", stored) == (True, [])
    assert await outcome("secres", stored) == (False, [])


@pytest.mark.parametrize("scheme", ["SHA512-CRYPT", "MD5-CRYPT", "SCRAM-SHA-256"])
async def test_everything_else_is_computed_by_one(scheme: str) -> None:
    right, kinds = await outcome("secret", passwords.make(scheme, "secret"))
    assert right
    assert len(kinds) == 1


async def test_so_is_a_quick_one_beside_it() -> None:
    right, kinds = await outcome("secret", "{PLAIN}other", passwords.make("MD5-CRYPT", "secret"))
    assert right
    assert kinds == ["2 secrets"]


async def test_a_second_secret_is_right_though_the_first_is_not() -> None:
    assert await outcome("secret", "{PLAIN}other", "{PLAIN}secret") == (True, [])


async def test_a_password_that_must_be_prepared_is_a_workers() -> None:
    assert await outcome("cafe\u0301", "{PLAIN}caf\u00e9") == (True, ["PLAIN"])


async def test_so_is_a_long_one() -> None:
    assert await outcome("x" * AT_ONCE, "{PLAIN}" + "x" * AT_ONCE) == (True, [])
    assert await outcome("x" * (AT_ONCE + 1), "{PLAIN}" + "x" * (AT_ONCE + 1)) == (True, ["PLAIN"])
