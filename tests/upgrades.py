"""A chain with one backend whose secrets are upgraded, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from saslpy import assemble
from saslpy.chain import Chain
from saslpy.checking import Checker
from saslpy.hashing import HashThreads
from saslpy.health import Health
from saslpy.model import Login, Origin, Verdict
from saslpy.testing import settings_of
from saslpy.upgrading import Upgrades

from .fakes import list_log

ORIGIN = Origin("test", "smtp")


@dataclass
class Site:
    """Logins, and what came of them."""

    chain: Chain
    upgrades: Upgrades
    lines: list[str]
    verdict: Verdict | None = None

    async def login(self, name: str, password: str) -> str:
        """accept, reject or defer."""
        self.verdict = await self.chain.verify(Login.of(name), password, ORIGIN)
        return type(self.verdict).__name__.lower()

    async def upgraded(self, name: str, password: str) -> str:
        """The verdict, once all that follows from it is done."""
        verdict = await self.login(name, password)
        with trio.fail_after(20):
            await self.upgrades.finished()
        return verdict

    def told(self, event: str) -> list[str]:
        """The log's lines of an event."""
        return [line for line in self.lines if f"event={event} " in line]


@asynccontextmanager
async def site(folder: Path, backend: Mapping[str, object]) -> AsyncIterator[Site]:
    """The backend of a section with ``upgrade``, opened as the daemon opens it."""
    settings = settings_of(folder, backend).backends["mine"]
    log, lines = list_log(level="debug")
    hashes = HashThreads()
    async with (
        assemble.link(settings, Health(log)) as made,
        Upgrades.running(hashes, log) as upgrades,
    ):
        chain = Chain([assemble.upgrading(made, settings, upgrades)], Checker(hashes, log))
        yield Site(chain, upgrades, lines)
