"""A look at every host of every route, for ``saslpy check``: what mail would meet there. No message is begun.

::

    connect, TLS as the route wants it, EHLO, AUTH where the route has a login, QUIT

A host of several that cannot be used is a warning as long as another one of its route can: mail goes by that one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trio

from ..protocols.smtp.authenticating import CANNOT_LOG_IN, choose
from ..protocols.smtp.client import Client
from ..protocols.smtp.steps import Unusable
from .capture import SUBFOLDERS
from .connection import Connection
from .dial import Bounds, Dialler
from .options import Relay
from .places import Capture, Place, Server
from .routes import Route

PATIENCE = 10.0
"""Seconds for a connection, and for each reply: who checks does not wait as long as mail does (``timeout_seconds``)."""

WHOLE = 20.0
"""Seconds for one host, whatever it does."""

AT_ONCE = 32
"""Hosts that are looked at together."""

TOLD = ("SIZE", "PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "REQUIRETLS", "FUTURERELEASE")
"""Extensions whose presence makes a difference to who sends."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of one host. ``what`` is its key in the configuration, ``ms`` how long it took where it works."""

    what: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    what: str
    route: int
    place: Place


async def probe(relay: Relay, name: str, folder: Path, offline: bool = False) -> list[Probed]:
    """One for each host, in the order of the file. ``name`` is ours, in EHLO; ``offline``: folders alone are looked at."""
    targets = [one for one in _targets(relay, folder) if isinstance(one.place, Capture) or not offline]
    bounds = Bounds(min(relay.timeout_seconds, PATIENCE))
    diallers = [Dialler(route, name, bounds) for route in relay.route]
    places, found = trio.CapacityLimiter(AT_ONCE), dict[_Target, Probed]()

    async def one(target: _Target) -> None:
        async with places:
            found[target] = await _probed(target, relay.route[target.route], diallers[target.route])

    async with trio.open_nursery() as nursery:
        for target in targets:
            nursery.start_soon(one, target)
    working = {target.route for target in targets if found[target].state == "ok"}
    return [_weighed(found[target], target.route in working) for target in targets]


def _targets(relay: Relay, folder: Path) -> Iterator[_Target]:
    for number, route in enumerate(relay.route):
        for position, place in enumerate(route.places(folder)):
            key = "via" if isinstance(route.via, str) else f"via[{position}]"
            yield _Target(f"relay.route[{number}].{key}", number, place)


def _weighed(probed: Probed, another: bool) -> Probed:
    """``another``: whether some host of the same route works."""
    if probed.state != "failed" or not another:
        return probed
    return Probed(probed.what, "warning", f"{probed.detail}; mail goes by the other host")


async def _probed(target: _Target, route: Route, dialler: Dialler) -> Probed:
    start = trio.current_time()
    try:
        if isinstance(target.place, Capture):
            detail = _folder(target.place)
        else:
            with trio.fail_after(WHOLE):
                detail = await _visited(target.place, route, dialler)
    except trio.TooSlowError:
        return Probed(target.what, "failed", f"{target.place}: is not done within {WHOLE:g} s")
    except (Unusable, OSError) as fault:
        return Probed(target.what, "failed", _shown(f"{target.place}: {_why(fault, route)}", route))
    return Probed(target.what, "ok", _shown(f"{target.place}: {detail}", route), (trio.current_time() - start) * 1000)


async def _visited(server: Server, route: Route, dialler: Dialler) -> str:
    """What it is like. Raises ``Unusable``."""
    connection = await dialler.connect(server)
    try:
        return "; ".join(_told(connection, route))
    finally:
        await connection.quit()


def _told(connection: Connection, route: Route) -> Iterator[str]:
    client = connection.client
    yield _protection(connection)
    if route.login:
        mechanism = choose(client.capabilities.mechanisms, route.mechanisms, client.secure)
        yield f"logged in as {route.login} by {mechanism}"
    yield f"offers {' '.join(_offers(client)) or 'no extensions'}"


def _protection(connection: Connection) -> str:
    client = connection.client
    if not client.tls:
        return "no TLS, within this machine" if client.local else "no TLS"
    return f"{connection.tls_version}, certificate {'verified' if client.verified else 'not verified'}"


def _offers(client: Client) -> Iterator[str]:
    offered = client.capabilities
    for name in TOLD:
        if name in offered:
            yield f"{name} {offered.size}" if name == "SIZE" and offered.size else name


def _why(fault: Unusable | OSError, route: Route) -> str:
    if isinstance(fault, OSError):
        return fault.strerror or type(fault).__name__
    return f"does not let us log in as {route.login}: {fault}" if fault.reply is CANNOT_LOG_IN else str(fault)


def _shown(text: str, route: Route) -> str:
    """For a terminal, whatever a host has said; nothing of it where it has said our password back."""
    if route.password and route.password in text:
        return "has answered with our password in its text"
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _folder(capture: Capture) -> str:
    """Whether messages can be written there. Nothing is made. Raises ``OSError``."""
    for place in (capture.folder, *(capture.folder / name for name in SUBFOLDERS)):
        _check_writable(place)
    return "can be written to"


def _check_writable(folder: Path) -> None:
    """That it is a folder where we may make files, or can be made."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            if not place.is_dir():
                raise NotADirectoryError(20, f"{place} is no folder")
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(13, f"{place} cannot be written to")
            return
