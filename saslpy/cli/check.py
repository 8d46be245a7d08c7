"""``saslpy check``: every fault of the configuration, then every backend and next hop tried; or the sockets attacked."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..config import ConfigError
from .common import Fault, Usage, as_daemon_user, print_json, say, table, tell, tell_faults

if TYPE_CHECKING:
    from ..chain import Link
    from ..process.control import Control
    from ..relay.probing import Probed
    from ..settings import BackendSettings, Settings

Hops: TypeAlias = "Callable[[], Awaitable[list[Probed]]]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``state`` is ok, warning or failed."""

    what: str
    state: str
    detail: str
    ms: float | None = None


def run(arguments: argparse.Namespace) -> int:
    """Tell all that is wrong. Status 0 when nothing is."""
    from ..settings import load

    if arguments.listen is not None and not arguments.relay_test:
        tell("--listen: goes with --relay-test")
        return Usage.status
    path = Path(arguments.config)
    try:
        settings = load(path)
    except ConfigError as error:
        if arguments.json:
            print_json({"ok": False, "findings": [asdict(Finding("configuration", "failed", f)) for f in error.faults]})
        else:
            tell_faults(path, error.faults)
        return 1
    if arguments.relay_test:
        from .relaytest import attacked

        return attacked(settings, arguments.listen, arguments.json)
    findings = [Finding("configuration", "ok", str(path)), *_static(settings)]
    asked = [backend for backend in settings.backends.values() if backend.plugin.local or not arguments.offline]
    hops = _hops(settings, arguments.offline)

    def main(channel: socket.socket | None) -> int:
        import trio

        return _told([*findings, *trio.run(_try_all, settings, asked, hops, channel)], arguments.json)

    try:
        return as_daemon_user(settings, asked, main)
    except Fault as fault:
        return _told([*findings, Finding("daemon", "failed", str(fault))], arguments.json)


def _told(findings: list[Finding], as_json: bool) -> int:
    failed = any(finding.state == "failed" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        say(table([[f.what, f.state, f.detail + (f" ({f.ms:.0f} ms)" if f.ms else "")] for f in findings]))
    return 1 if failed else 0


def _static(settings: Settings) -> list[Finding]:
    """What can be told without asking anybody."""
    from ..checks import faults, warnings

    return [
        *(Finding(what, "failed", detail) for what, detail in faults(settings)),
        *(Finding(what, "warning", detail) for what, detail in warnings(settings)),
    ]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a backend: the finding, the backend if it could be opened, and what its users lack."""

    finding: Finding
    link: Link | None = None
    lacking: dict[str, str] | None = None
    mailboxes: str = ""


def _hops(settings: Settings, offline: bool) -> Hops | None:
    """What looks at the next hops, loaded while we may still read it; None where mail goes nowhere."""
    if settings.submission is None or settings.relay is None:
        return None
    from ..relay.probing import probe

    return partial(probe, settings.relay, settings.submission.hostname, settings.path.absolute().parent, offline)


async def _try_all(
    settings: Settings, backends: list[BackendSettings], hops: Hops | None, channel: socket.socket | None
) -> list[Finding]:
    import trio

    from ..process.control import Control
    from ..serving import remarks

    tried: dict[str, Tried] = {}
    reached: list[Finding] = []

    async def one(backend: BackendSettings, control: Control | None) -> None:
        tried[backend.name] = await _try(settings, backend, control)

    async def visit(hops: Hops) -> None:
        reached.extend(Finding(one.what, one.state, one.detail, one.ms) for one in await hops())

    async with Control.maybe(channel) as control, trio.open_nursery() as nursery:
        for backend in backends:
            nursery.start_soon(one, backend, control)
        if hops is not None:
            nursery.start_soon(visit, hops)
    links = {name: one.link for name, one in tried.items() if one.link is not None}
    lacking = {name: one.lacking for name, one in tried.items() if one.lacking}
    told = [Finding(what, "warning", detail) for what, detail in remarks(settings, links, lacking)]
    told += [
        Finding(f"backend.{name}.account", "warning", one.mailboxes) for name, one in tried.items() if one.mailboxes
    ]
    return [*(tried[backend.name].finding for backend in backends), *reached, *told]


async def _try(settings: Settings, backend: BackendSettings, control: Control | None) -> Tried:
    """Open a backend and ask it something, with the eyes of the daemon's user."""
    from ..assemble import link
    from ..guard import BackendFailed
    from ..health import Health
    from ..texts import describe

    what = f"backend.{backend.name}"
    start = time.perf_counter()
    try:
        async with link(backend, Health(None), control) as opened:
            try:
                detail = await opened.backend.probe()
            except BackendFailed as failure:
                return Tried(Finding(what, "failed", failure.detail), opened)
            milliseconds = (time.perf_counter() - start) * 1000
            lacking = await _lacking(settings, opened)
            mailboxes = await _mailboxes(settings, opened)
    except (Exception, SystemExit) as error:  # a plug-in's open() may raise anything
        return Tried(Finding(what, "failed", describe(error)))
    return Tried(Finding(what, "ok", detail, milliseconds), opened, lacking, mailboxes)


async def _lacking(settings: Settings, opened: Link) -> dict[str, str] | None:
    """The mechanisms that not all users of a store can use, where a listener wants one that needs stored secrets."""
    from ..serving import needs_secrets, survey

    if not needs_secrets(settings.mechanisms):
        return None
    return await survey(opened, settings.auth.passwords.forbidden)


async def _mailboxes(settings: Settings, opened: Link) -> str:
    """What Courier's programs would miss of its users, where they may ask."""
    from ..mailboxes import remark

    return await remark(opened) if any(listen.protocol == "authdaemon" for listen in settings.listen) else ""
