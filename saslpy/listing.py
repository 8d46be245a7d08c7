"""All users of one backend, beside the logins: a listing takes no turn, no thread and no worker that these need."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from math import inf
from typing import Any, TypeAlias

import trio

from .model import Account
from .soundness import fault_in

SECONDS = 50.0
"""For one listing: Courier's authenumerate gives up after 60."""

MOST = 500_000
"""Accounts in one listing; an account takes about half a KB."""

BREATH = (100, 0.001)
"""After so many accounts the thread rests for so many seconds: Python runs one thread at a time, and logins go on."""


Finish: TypeAlias = Callable[[Account], Account]


def as_it_is(account: Account) -> Account:
    """Nothing is done with it."""
    return account


class Unlisted(Exception):
    """The backend gave something that is no whole list. The message is for the log."""


class Lister:
    """Lists the accounts of a backend that can (``backend.Listing``), for one at a time."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        # held by a thread until it ends, also after the deadline: no more than one ever hangs
        self._one = trio.CapacityLimiter(1)

    async def accounts(self, until: float = inf, finish: Finish = as_it_is) -> list[Account]:
        """All of them by their names, without secrets. Raises ``Unlisted``, ``trio.TooSlowError``, and what it raises.

        ``finish`` is what is to be done with each, in the thread.

        Who is missing in a list may be taken for gone, and his mailbox for nobody's: one account that is not sound is a
        failure of all.
        """
        with trio.fail_at(min(until, trio.current_time() + SECONDS)):
            method = self._backend.accounts
            if not inspect.iscoroutinefunction(method):
                return await self._in_thread(method, finish)
            async with self._one:
                found = await method()
            return await self._in_thread(lambda: found, finish)

    async def _in_thread(self, list_them: Callable[[], Any], finish: Finish) -> list[Account]:
        """``list_them`` and what it gives, gone through in a thread; given up, it ends at its next account."""
        over = threading.Event()
        try:
            return await trio.to_thread.run_sync(
                _gathered, list_them, finish, over, abandon_on_cancel=True, limiter=self._one
            )
        finally:
            over.set()


def _gathered(list_them: Callable[[], Any], finish: Finish, over: threading.Event) -> list[Account]:
    answer = list_them()
    if not isinstance(answer, Iterable):
        raise Unlisted(f"the backend lists {type(answer).__name__}, not accounts")
    try:
        return sorted(_finished(answer, finish, over), key=_login)
    finally:
        if isinstance(answer, Generator):
            answer.close()  # here and now: what it has open is closed in its own thread


def _finished(answer: Iterable[Any], finish: Finish, over: threading.Event) -> Iterator[Account]:
    every, rest = BREATH
    for number, account in enumerate(answer, 1):
        yield finish(_sound(account))
        if number > MOST:
            raise Unlisted(f"more than {MOST} accounts")
        if number % every == 0:
            if over.is_set():
                raise Unlisted("nobody waits for the list any more")
            time.sleep(rest)


def _login(account: Account) -> str:
    return account.login


def _sound(account: object) -> Account:
    if not isinstance(account, Account):
        raise Unlisted(f"the backend lists {type(account).__name__}, not Account")
    fault = fault_in(account)
    if fault is not None:
        raise Unlisted(f"the backend lists an account {str(account.login)[:80]!r} whose {fault}")
    return replace(account, secrets=()) if account.secrets else account
