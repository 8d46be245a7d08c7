"""Places among a next hop's connections: one login must not take them all, nor those who say nothing."""

from __future__ import annotations

from typing import Protocol

import trio

TICK = 0.5
"""Seconds between two looks for somebody who has been silent, while somebody waits."""


class Holder(Protocol):
    """Who has a place."""

    async def give_way(self) -> None:
        """Give it back, though it is needed: others wait, and its client says nothing. Never waits for long."""


class Shares:
    """``places`` for all, ``each`` of them for one login; 0 is no bound, and so it is for who has no name.

    A holder whose client has been silent for ``patience`` seconds gives way when somebody waits: the longest of them first.
    """

    def __init__(self, places: trio.CapacityLimiter, each: int, patience: float) -> None:
        self._places = places
        self._each = each
        self._patience = patience
        self._logins: dict[str, trio.CapacityLimiter] = {}
        self._silent: dict[Holder, float] = {}  # the longest first

    def __len__(self) -> int:
        return len(self._logins)

    async def enter(self, holder: Holder, login: str, seconds: float) -> None:
        """Wait for a place, to be given back by ``leave``. Raises ``trio.TooSlowError``."""
        share = self._share(login)
        if share is None:
            return await self._place(holder, seconds)
        try:
            begun = trio.current_time()
            try:
                share.acquire_on_behalf_of_nowait(holder)
            except trio.WouldBlock:
                with trio.fail_after(seconds):
                    await share.acquire_on_behalf_of(holder)
            try:
                await self._place(holder, seconds - (trio.current_time() - begun))
            except BaseException:
                share.release_on_behalf_of(holder)
                raise
        finally:
            self._forget(login)

    def leave(self, holder: Holder, login: str) -> None:
        """The place is free again."""
        self._silent.pop(holder, None)
        self._places.release_on_behalf_of(holder)
        if share := self._share(login):
            share.release_on_behalf_of(holder)
            self._forget(login)

    def rests(self, holder: Holder) -> None:
        """Its client's word is waited for."""
        self._silent[holder] = trio.current_time()

    def works(self, holder: Holder) -> None:
        """It has come."""
        self._silent.pop(holder, None)

    # --- a place

    async def _place(self, holder: Holder, seconds: float) -> None:
        try:
            self._places.acquire_on_behalf_of_nowait(holder)
        except trio.WouldBlock:
            await self._wait(holder, seconds)

    async def _wait(self, holder: Holder, seconds: float) -> None:
        held = False
        try:
            with trio.fail_after(max(seconds, 0.0)):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._make_room)
                    await self._places.acquire_on_behalf_of(holder)
                    held = True
                    nursery.cancel_scope.cancel()
        except BaseException:
            if held:  # and too late all the same
                self._places.release_on_behalf_of(holder)
            raise

    async def _make_room(self) -> None:
        while True:
            longest = next(iter(self._silent), None)
            if longest is not None and trio.current_time() - self._silent[longest] >= self._patience:
                del self._silent[longest]
                await longest.give_way()
            await trio.sleep(TICK)

    # --- a login's

    def _share(self, login: str) -> trio.CapacityLimiter | None:
        if not login or not self._each:
            return None
        share = self._logins.get(login)
        if share is None:
            share = self._logins[login] = trio.CapacityLimiter(self._each)
        return share

    def _forget(self, login: str) -> None:
        """One that nobody has or waits for is not kept."""
        share = self._logins.get(login)
        if share is not None and not share.borrowed_tokens and not share.statistics().tasks_waiting:
            del self._logins[login]
