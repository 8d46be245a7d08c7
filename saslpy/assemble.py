"""The composition root: from ``Settings`` to an ``Authenticator`` and its servers. Read it to learn the whole program."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from . import opening, serving
from .authenticator import Authenticator, Bounds, Route, Rules
from .backend import Upgrading
from .chain import Chain, Link
from .checking import Checker, Usual
from .guard import Guarded
from .hashing import Hashes, HashThreads, cores, no_backlog
from .hashpool import HashPool
from .health import Health
from .listeners.authdaemon import AuthdaemonListen
from .listeners.dovecot import DovecotListen
from .listeners.dovecot_master import DovecotMasterListen
from .listeners.http import HttpListen
from .listeners.saslauthd import SaslauthdListen
from .listeners.socketmap import SocketmapListen
from .names import NamePolicy, folded
from .observe.log import Log
from .plugins import PluginError
from .pretending import Pretence, kept_secret
from .process import backendworker, hashworker
from .process.control import Control
from .process.remote import Remote
from .process.roles import SUBMISSION, Role, key_of
from .scramkeys import KeyMaker
from .servers.accepting import Server
from .servers.authdaemon import AuthdaemonOptions, AuthdaemonServer
from .servers.dovecot import DovecotOptions, DovecotServer
from .servers.dovecot_master import MasterOptions, MasterServer
from .servers.dovecot_site import DovecotSite
from .servers.saslauthd import MuxOptions, MuxServer
from .servers.socketmap import SocketmapOptions, SocketmapServer
from .servers.sockets import Place
from .settings import BackendSettings, Listen, Settings
from .upgrading import Upgrades

HASH = "hash"
"""The role of the processes that compute password hashes."""

WORKERS = 8
"""Processes at most of one isolated backend: so many questions that take their time do not hold up the next."""


@asynccontextmanager
async def authenticator(settings: Settings, log: Log, control: Control | None = None) -> AsyncIterator[Authenticator]:
    """The one door for a command that asks once, and for tests: nothing is written to a store.

    All is in this process, but for isolated backends where ``control`` can start their workers.
    """
    async with rules(settings, log, control, once=True) as made:
        yield Authenticator(made, log)


@asynccontextmanager
async def rules(settings: Settings, log: Log, control: Control | None, once: bool = False) -> AsyncIterator[Rules]:
    """What stands behind the door, as long as the block runs. Worker processes come from ``control``, if there is one.

    Who asks ``once`` wants to know, and not to change anything: hashes are computed here, and none is stored anew.
    """
    auth = settings.auth
    async with AsyncExitStack() as stack:
        hashes = await stack.enter_async_context(_hashes(settings, None if once else control))
        checker = Checker(hashes, log, auth.passwords.forbidden)
        health = Health(log)
        links = {
            backend.name: await stack.enter_async_context(link(backend, health, control, hashes))
            for backend in settings.used_backends
        }
        upgrades = None
        if not once and any(backend.options.upgrades for backend in settings.used_backends):
            upgrades = await stack.enter_async_context(Upgrades.running(hashes, log))
            links = {name: upgrading(made, settings.backends[name], upgrades) for name, made in links.items()}
        names = NamePolicy(auth.default_domain.lower(), auth.realm_join)
        yield Rules(
            _routes(settings, links, checker),
            names,
            Bounds(auth.deadline, auth.min_seconds, auth.max_pending),
            [link.backend for link in links.values()],
            upgrades,
            KeyMaker(hashes, await _pretence(settings, once)),
            frozenset(folded(names.login(name).name) for name in auth.master_users),
            auth.anonymous,
            await unserved(settings, links),
            None if once else settings.mechanisms,
        )


async def unserved(settings: Settings, links: dict[str, Link]) -> dict[str, str]:
    """The mechanisms that are not offered. Local stores are looked through, where any is wanted that needs secrets."""
    lacking = {}
    if serving.needs_secrets(settings.mechanisms):
        forbidden = settings.auth.passwords.forbidden
        for name, made in links.items():
            if settings.backends[name].plugin.local and (found := await serving.survey(made, forbidden)) is not None:
                lacking[name] = found
    return serving.unserved(links.values(), settings.auth.anonymous, lacking)


async def _pretence(settings: Settings, once: bool) -> Pretence:
    """What makes SCRAM keys up; by a secret that is kept, where strangers may ask."""
    if once or not any(name.startswith("SCRAM") for name in settings.mechanisms):
        return Pretence()
    return Pretence(await trio.to_thread.run_sync(kept_secret, settings.daemon.state_dir))


@asynccontextmanager
async def _hashes(settings: Settings, control: Control | None) -> AsyncIterator[Hashes]:
    if control is None:
        yield HashThreads()
        return
    start = partial(control.start, key_of(HASH, settings.generation))
    passwords = settings.auth.passwords
    async with HashPool.running(start, passwords.processes, passwords.memory_mib) as pool:
        yield pool


def submission(settings: Settings, sockets: Mapping[Place, socket.socket], log: Log) -> dict[str, Role]:
    """The processes that serve these sockets, where there are any. They know nothing of the stores."""
    if not sockets:
        return {}
    from .process import submission as worker  # noqa: PLC0415 (for those who want it)

    assert settings.submission is not None
    main = partial(worker.serve, replace(settings, backends={}), sockets, log)
    most = 2 * settings.submission.workers
    role = Role(SUBMISSION, main, most, generation=settings.generation, serves=frozenset(sockets), lingers=True)
    return {role.key: role}


def for_auth(settings: Settings) -> Settings:
    """The same without the secrets that are the submission workers' alone: private keys, the next hops' passwords."""
    if settings.submission is None:
        return settings
    return replace(settings, submission=replace(settings.submission, tls=type(settings.submission.tls)()), relay=None)


def roles(settings: Settings) -> dict[str, Role]:
    """The worker processes that this configuration may need."""
    # twice as many of each: those that are about to end count, too
    most = 2 * (settings.auth.passwords.processes or cores())
    hashes = Role(HASH, hashworker.serve, most, generation=settings.generation)
    return {hashes.key: hashes} | roles_of(settings.used_backends)


def roles_of(backends: Iterable[BackendSettings]) -> dict[str, Role]:
    """The worker processes of isolated backends, by ``Role.key``."""
    isolated = [role_of(backend) for backend in backends if backend.plugin.isolated]
    return {role.key: role for role in isolated}


def role_of(backend: BackendSettings) -> Role:
    """The workers that hold an isolated backend."""
    main = partial(backendworker.serve, backend)
    return Role(f"backend.{backend.name}", main, 2 * WORKERS, backend.plugin.privileged, backend.generation)


def upgrading(made: Link, settings: BackendSettings, upgrades: Upgrades) -> Link:
    """The link with what its backend's section says of upgrades. Raises ``PluginError`` for a store that has none."""
    if not (wanted := settings.options.upgrades):
        return made
    if not isinstance(made.backend.backend, Upgrading):
        raise PluginError(f"backend.{settings.name}.upgrade: this store has no replace_secrets()")
    return replace(made, upgrader=upgrades.of(made.backend, wanted, settings.plugin.upgrades == "several"))


@asynccontextmanager
async def link(
    settings: BackendSettings, health: Health, control: Control | None = None, hashes: Hashes | None = None
) -> AsyncIterator[Link]:
    """One backend, open and guarded. Raises ``PluginError`` when it cannot be opened or closed."""
    options = settings.options
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(opening.Named(settings.name, opened(settings, control), health))
        workers = backend.most if isinstance(backend, Remote) else None
        backlog = no_backlog if hashes is None else hashes.backlog
        guarded = await stack.enter_async_context(
            Guarded.around(settings.name, backend, options.timeout, health, workers=workers, backlog=backlog)
        )
        yield Link(guarded, options.on_reject, Usual(options.default_scheme), options.account)


@asynccontextmanager
async def opened(settings: BackendSettings, control: Control | None = None) -> AsyncIterator[Any]:
    """The plug-in's backend: in worker processes where it wants that and ``control`` can start them, else in this one."""
    if settings.plugin.isolated and control is not None:
        async with Remote.opened(partial(control.start, role_of(settings).key), WORKERS) as remote:
            yield remote
        return
    async with opening.opened(settings.plugin, settings.config) as backend:
        yield backend


def _routes(settings: Settings, links: dict[str, Link], checker: Checker) -> list[Route]:
    def chain(names: tuple[str, ...]) -> Chain:
        return Chain([links[name] for name in names], checker)

    routes = [
        Route(chain(route.chain), frozenset(domain.lower() for domain in route.domains), frozenset(route.services))
        for route in settings.auth.route
    ]
    return [*routes, Route(chain(settings.auth.chain))]


def server(listen: Listen, door: Authenticator, log: Log, settings: Settings, site: DovecotSite) -> Server[Any]:
    """The front end for a listener. ``site`` is what Dovecot's sockets have in common, as long as the process lives."""
    match listen:
        case SaslauthdListen():
            return MuxServer(door, MuxOptions(listen.read_timeout, listen.max_field, listen.temporary_failure), log)
        case AuthdaemonListen():
            courier = AuthdaemonOptions(
                listen.offers(settings.auth.mechanisms),
                listen.default_options,
                listen.password_only,
                listen.secrets,
                listen.read_timeout,
            )
            return AuthdaemonServer(door, courier, log)
        case DovecotListen():
            offers = listen.offers(settings.auth.mechanisms)
            options = DovecotOptions(offers, listen.temporary_failure, listen.read_timeout, listen.exchange_timeout)
            return DovecotServer(door, options, site, log)
        case DovecotMasterListen():
            asked = MasterOptions(
                listen.trusted, listen.temporary_failure, listen.dovecot, listen.system_groups, listen.read_timeout
            )
            return MasterServer(door, asked, site, log)
        case HttpListen():
            from .servers.http_front import http_server  # noqa: PLC0415 (h11 is for those who want it)

            return http_server(listen, listen.offers(settings.auth.mechanisms), door, log)
        case SocketmapListen():
            domain = settings.auth.default_domain.lower()
            lookups = SocketmapOptions(listen.read_timeout, listen.idle_timeout, listen.recipient_delimiter, domain)
            return SocketmapServer(door, lookups, log)
    raise NotImplementedError(listen.protocol)
