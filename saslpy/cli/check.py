"""``saslpy check``: every fault of the configuration, then every backend tried."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ConfigError
from .common import print_json, say, table, tell_faults

if TYPE_CHECKING:
    from ..settings import BackendSettings, Settings


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

    path = Path(arguments.config)
    try:
        settings = load(path)
    except ConfigError as error:
        if arguments.json:
            print_json({"ok": False, "findings": [asdict(Finding("configuration", "failed", f)) for f in error.faults]})
        else:
            tell_faults(path, error.faults)
        return 1
    findings = [Finding("configuration", "ok", str(path)), *_static(settings), *_tried(settings, arguments.offline)]
    failed = any(finding.state == "failed" for finding in findings)
    if arguments.json:
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


def _tried(settings: Settings, offline: bool) -> list[Finding]:
    import trio

    from .common import Fault, become_daemon_user

    asked = [backend for backend in settings.backends.values() if backend.plugin.local or not offline]
    try:
        become_daemon_user(settings, asked)
    except Fault as fault:
        return [Finding("daemon", "failed", str(fault))]
    return trio.run(_try_all, asked)


async def _try_all(backends: list[BackendSettings]) -> list[Finding]:
    import trio

    findings: dict[str, Finding] = {}

    async def one(backend: BackendSettings) -> None:
        findings[backend.name] = await _try(backend)

    async with trio.open_nursery() as nursery:
        for backend in backends:
            nursery.start_soon(one, backend)
    return [findings[backend.name] for backend in backends]


async def _try(settings: BackendSettings) -> Finding:
    """Open a backend and ask it something, with the eyes of the daemon's user."""
    from ..assemble import link
    from ..guard import BackendFailed, describe
    from ..health import Health

    what = f"backend.{settings.name}"
    start = time.perf_counter()
    try:
        async with link(settings, Health(None)) as opened:
            try:
                detail = await opened.backend.probe()
            except BackendFailed as failure:
                return Finding(what, "failed", failure.detail)
    except (Exception, SystemExit) as error:  # a plug-in's open() may raise anything
        return Finding(what, "failed", describe(error))
    return Finding(what, "ok", detail, (time.perf_counter() - start) * 1000)
