"""``saslpy test``: one login, through the configuration or through a running daemon."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..model import Accept, Origin, Reject, Verdict
from .common import Fault, become_daemon_user, password_from, print_json, settings_or_exit, table, tell

if TYPE_CHECKING:
    from ..settings import Settings

STATUS = {"accept": 0, "reject": 1, "defer": 75}  # 75 is EX_TEMPFAIL (sysexits.h)


def run(arguments: argparse.Namespace) -> int:
    """The verdict as exit status: 0 accepted, 1 rejected, 75 could not find out."""
    try:
        password = password_from(arguments)
        if arguments.via is not None:
            result = _through_socket(arguments, password)
        else:
            result = _through_configuration(arguments, settings_or_exit(arguments), password)
    except Fault as fault:
        tell(str(fault))
        return 75
    if arguments.json:
        print_json(result)
    else:
        print(table([[key, str(value)] for key, value in result.items() if value not in ("", None)]))
    return STATUS[str(result["verdict"])]


def _through_socket(arguments: argparse.Namespace, password: str) -> dict[str, object]:
    from ..clients import ask_saslauthd

    start = time.perf_counter()
    try:
        verdict, text = ask_saslauthd(
            arguments.via, arguments.login, password, arguments.service, arguments.realm, arguments.client_ip
        )
    except (OSError, ValueError) as error:
        raise Fault(f"cannot ask {arguments.via}: {error}") from None
    milliseconds = (time.perf_counter() - start) * 1000
    return {"verdict": verdict, "reply": text, "socket": arguments.via, "ms": round(milliseconds, 1)}


def _through_configuration(arguments: argparse.Namespace, settings: Settings, password: str) -> dict[str, object]:
    import trio

    become_daemon_user(settings, settings.used_backends)
    origin = Origin("saslauthd", arguments.service, arguments.mechanism, arguments.client_ip)
    verdict, seconds = trio.run(_verify, settings, arguments, password, origin)
    return _told(verdict, seconds)


async def _verify(
    settings: Settings, arguments: argparse.Namespace, password: str, origin: Origin
) -> tuple[Verdict, float]:
    from ..assemble import authenticator
    from ..observe.log import Log
    from ..observe.sink import Sink

    # a person waits here: no floor in time; and the verdict is printed, so no audit line
    settings = replace(settings, auth=replace(settings.auth, min_seconds=0.0))
    async with authenticator(settings, Log(Sink(2), level="warning", audits=False)) as door:
        start = time.perf_counter()
        verdict = await door.verify(arguments.login, arguments.realm, password, origin)
        return verdict, time.perf_counter() - start


def _told(verdict: Verdict, seconds: float) -> dict[str, object]:
    result: dict[str, object] = {"backend": verdict.backend, "ms": round(seconds * 1000, 1)}
    if isinstance(verdict, Accept):
        return {"verdict": "accept", "login": verdict.account.login, **result}
    word = "reject" if isinstance(verdict, Reject) else "defer"
    return {"verdict": word, "reason": verdict.reason.value, "detail": verdict.detail, **result}
