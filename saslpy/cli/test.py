"""``saslpy test``: one login, through the configuration or through a running daemon."""

from __future__ import annotations

import argparse
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..model import Accept, Origin, Reject, Verdict
from .common import (
    Fault,
    NotWritten,
    Unusable,
    Usage,
    as_daemon_user,
    password_from,
    print_json,
    say,
    settings_or_exit,
    table,
    tell,
)

if TYPE_CHECKING:
    from ..settings import Settings

STATUS = {"accept": 0, "reject": 1, "defer": Unusable.status}


def run(arguments: argparse.Namespace) -> int:
    """The verdict as exit status: 0 accepted, 1 rejected, 75 could not find out: whatever goes wrong is no "rejected"."""
    try:
        if arguments.via is None:
            return _through_configuration(arguments)
        return _show(_through_socket(arguments), arguments.json)
    except Usage as fault:
        tell(str(fault))
        return fault.status
    except Fault as fault:
        tell(str(fault))
        return Unusable.status
    except NotWritten:
        raise
    except Exception as error:  # of a plug-in's configuration, say
        tell(_described(error))
        return Unusable.status


def _show(result: dict[str, object], as_json: bool) -> int:
    if as_json:
        print_json(result)
    else:
        say(table([[key, str(value)] for key, value in result.items() if value not in ("", None)]))
    return STATUS[str(result["verdict"])]


def _through_socket(arguments: argparse.Namespace) -> dict[str, object]:
    from ..clients import ask_saslauthd

    if arguments.mechanism is not None:
        raise Usage("--mechanism: a saslauthd socket is not told the mechanism; leave out --mechanism or --via")
    password = password_from(arguments)
    start = time.perf_counter()
    try:
        verdict, text = ask_saslauthd(
            arguments.via, arguments.login, password, arguments.service, arguments.realm, arguments.client_ip
        )
    except (OSError, ValueError) as error:
        raise Fault(f"cannot ask {arguments.via}: {error}") from None
    milliseconds = (time.perf_counter() - start) * 1000
    return {"verdict": verdict, "reply": text, "socket": arguments.via, "ms": round(milliseconds, 1)}


def _through_configuration(arguments: argparse.Namespace) -> int:
    if arguments.protocol is not None:
        raise Usage("--protocol: says what the socket of --via speaks; leave it out, or add --via SOCKET")
    settings = settings_or_exit(arguments, Unusable.status)
    mechanism = _mechanism(arguments.mechanism, settings)
    password = password_from(arguments)
    origin = Origin("saslauthd", arguments.service, mechanism, arguments.client_ip)

    def main(channel: socket.socket | None) -> int:
        import trio

        try:
            verdict, seconds = trio.run(_verify, settings, arguments, password, origin, channel)
            return _show(_told(verdict, seconds), arguments.json)
        except (KeyboardInterrupt, NotWritten):
            raise
        except BaseException as error:  # a plug-in may raise anything, SystemExit with status 1 too
            tell(_described(error))
            return Unusable.status

    return as_daemon_user(settings, settings.used_backends, main)


def _mechanism(given: str | None, settings: Settings) -> str:
    """The mechanism that the mail client is said to use: one that some socket allows."""
    if given is not None and not any(given in listen.offers(settings.auth.mechanisms) for listen in settings.listen):
        raise Usage(f"--mechanism: no [[listen]] of {settings.path} allows {given}")
    return given or "PLAIN"


def _described(error: BaseException) -> str:
    from ..texts import describe

    return f"could not find out: {describe(error)}"


async def _verify(
    settings: Settings, arguments: argparse.Namespace, password: str, origin: Origin, channel: socket.socket | None
) -> tuple[Verdict, float]:
    from ..assemble import authenticator
    from ..observe.log import Log
    from ..observe.sink import Sink
    from ..process.control import Control

    # a person waits here: no floor in time; and the verdict is printed, so no audit line
    settings = replace(settings, auth=replace(settings.auth, min_seconds=0.0))
    log = Log(Sink(2), level="warning", audits=False)
    async with Control.maybe(channel) as control, authenticator(settings, log, control) as door:
        start = time.perf_counter()
        verdict = await door.verify(arguments.login, arguments.realm, password, origin)
        return verdict, time.perf_counter() - start


def _told(verdict: Verdict, seconds: float) -> dict[str, object]:
    result: dict[str, object] = {"backend": verdict.backend, "ms": round(seconds * 1000, 1)}
    if isinstance(verdict, Accept):
        return {"verdict": "accept", "login": verdict.account.login, **result}
    word = "reject" if isinstance(verdict, Reject) else "defer"
    return {"verdict": word, "reason": verdict.reason.value, "detail": verdict.detail, **result}
