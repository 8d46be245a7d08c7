"""The composition root: from ``Settings`` to an ``Authenticator`` and its servers. Read it to learn the whole program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from .authenticator import Authenticator, Bounds, Route
from .chain import Chain, Link
from .checking import Checker, Usual
from .guard import Guarded
from .hashing import HashPool
from .health import Health
from .names import NamePolicy
from .observe.log import Log
from .servers.accepting import Server
from .servers.saslauthd import MuxOptions, MuxServer
from .settings import BackendSettings, Listen, Settings


@asynccontextmanager
async def authenticator(settings: Settings, log: Log) -> AsyncIterator[Authenticator]:
    """The one door with everything behind it, as long as the block runs."""
    auth = settings.auth
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            HashPool.running(auth.passwords.threads or None, auth.passwords.memory_mib or None)
        )
        checker = Checker(pool, log, auth.passwords.forbidden)
        health = Health(log)
        links = {
            backend.name: await stack.enter_async_context(link(backend, health)) for backend in settings.used_backends
        }
        yield Authenticator(
            _routes(settings, links, checker),
            NamePolicy(auth.default_domain.lower(), auth.realm_join),
            Bounds(auth.deadline, auth.min_seconds, auth.max_pending),
            log,
        )


@asynccontextmanager
async def link(settings: BackendSettings, health: Health) -> AsyncIterator[Link]:
    """One backend, open and guarded."""
    options = settings.options
    async with (
        opened(settings) as backend,
        Guarded.around(settings.name, backend, options.timeout, health) as guarded,
    ):
        yield Link(guarded, options.on_reject, Usual(options.default_scheme), options.account)


@asynccontextmanager
async def opened(settings: BackendSettings) -> AsyncIterator[Any]:
    """The plug-in's backend, whichever kind of context manager its ``open`` gives."""
    manager = settings.plugin.open(settings.config)
    if isinstance(manager, AbstractAsyncContextManager):
        async with manager as backend:
            yield backend
    else:
        with manager as backend:
            yield backend


def _routes(settings: Settings, links: dict[str, Link], checker: Checker) -> list[Route]:
    def chain(names: tuple[str, ...]) -> Chain:
        return Chain([links[name] for name in names], checker)

    routes = [
        Route(chain(route.chain), frozenset(domain.lower() for domain in route.domains), frozenset(route.services))
        for route in settings.auth.route
    ]
    return [*routes, Route(chain(settings.auth.chain))]


def server(listen: Listen, door: Authenticator, log: Log) -> Server[Any]:
    """The front end for a listener."""
    options = MuxOptions(listen.read_timeout, listen.max_field, listen.temporary_failure)
    return MuxServer(door, options, log)
