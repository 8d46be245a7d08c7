"""``saslpy test``: one login, through the configuration or through a running daemon."""

from __future__ import annotations

import argparse
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..mechanism_names import CLEARTEXT
from ..model import Accept, Origin, Reason, Reject, Verdict
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
    from ..authenticator import Authenticator
    from ..mechanisms.client import Responses
    from ..settings import Settings

ASKED = ("saslauthd", "authdaemon", "dovecot")
"""The protocols of --via."""

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
    from ..clients import NoSense

    protocol = arguments.protocol or _protocol_of(arguments)
    mechanism = arguments.mechanism or "PLAIN"
    if protocol != "dovecot" and arguments.mechanism is not None:
        raise Usage(f"--mechanism: a {protocol} socket is not told the mechanism; leave out --mechanism or --via")
    if protocol != "saslauthd" and arguments.realm:
        raise Usage(f"--realm: a {protocol} socket is not told a realm; write LOGIN@REALM")
    secret = password_from(arguments)
    start = time.perf_counter()
    try:
        verdict, text = _ask(protocol, mechanism, arguments, secret)
    except (OSError, ValueError, NoSense) as error:
        raise Fault(f"cannot ask {arguments.via}: {error}") from None
    milliseconds = (time.perf_counter() - start) * 1000
    return {
        "verdict": verdict,
        "reply": text,
        "socket": arguments.via,
        "protocol": protocol,
        "ms": round(milliseconds, 1),
    }


def _ask(protocol: str, mechanism: str, arguments: argparse.Namespace, secret: str) -> tuple[str, str]:
    place, login, service, client = arguments.via, arguments.login, arguments.service, arguments.client_ip
    match protocol:
        case "dovecot":
            from ..clients.dovecot import ask_dovecot

            return ask_dovecot(place, mechanism, _responses(mechanism, login, secret), service, client)
        case "authdaemon":
            from ..clients.authdaemon import ask_authdaemon

            return ask_authdaemon(place, login, secret, service, client)
        case _:
            from ..clients.saslauthd import ask_saslauthd

            return ask_saslauthd(place, login, secret, service, arguments.realm, client)


def _protocol_of(arguments: argparse.Namespace) -> str:
    """What a socket speaks by the configuration, if that can be read and has it."""
    from ..config import ConfigError
    from ..settings import load

    try:
        listeners = load(Path(arguments.config)).listen
    except ConfigError:
        return "saslauthd"
    spoken = {os.path.realpath(listen.name) if listen.path else listen.name: listen.protocol for listen in listeners}
    protocol = spoken.get(arguments.via) or spoken.get(os.path.realpath(arguments.via), "saslauthd")
    if protocol not in ASKED:
        raise Usage(f"--via: {arguments.via} speaks {protocol}, which answers no logins")
    return protocol


def _responses(mechanism: str, login: str, secret: str) -> Responses:
    from ..mechanisms.client import Credentials, responses

    made = responses(mechanism, Credentials(login, secret))
    if made is None:
        raise Usage(f"--mechanism: {mechanism} cannot be tried from here")
    return made


def _through_configuration(arguments: argparse.Namespace) -> int:
    if arguments.protocol is not None:
        raise Usage("--protocol: says what the socket of --via speaks; leave it out, or add --via SOCKET")
    settings = settings_or_exit(arguments, Unusable.status)
    mechanism = _mechanism(arguments.mechanism, settings)
    password = password_from(arguments)
    origin = Origin("saslauthd", arguments.service, mechanism, arguments.client_ip)

    def main(channel: socket.socket | None) -> int:
        import trio

        from ..texts import first_of

        try:
            verdict, seconds = trio.run(_verify, settings, arguments, password, origin, channel)
            return _show(_told(verdict, seconds), arguments.json)
        except (KeyboardInterrupt, NotWritten):
            raise
        except BaseException as error:  # a plug-in may raise anything, SystemExit with status 1 too
            if isinstance(ours := first_of(error), Usage):
                tell(str(ours))
                return ours.status
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
        if origin.mechanism in CLEARTEXT:
            verdict = await door.verify(arguments.login, arguments.realm, password, origin)
        else:
            verdict = await _converse(door, arguments, password, origin)
        return verdict, time.perf_counter() - start


async def _converse(door: Authenticator, arguments: argparse.Namespace, secret: str, origin: Origin) -> Verdict:
    """An exchange with a client of our own."""
    from ..exchange import Challenge, Done
    from ..mechanisms import named
    from ..mechanisms.client import AuthenticationFailed

    if why := door.rules.unserved.get(origin.mechanism):
        raise Usage(f"--mechanism: {origin.mechanism} is not offered: {why}")
    mechanism = named(origin.mechanism)
    assert mechanism is not None
    client = _responses(mechanism.name, arguments.login, secret)
    conversation = door.begin(mechanism, origin)
    step = await conversation.start(next(client))
    while isinstance(step, Challenge):
        step = await conversation.respond(client.send(step.data) or b"")
    if not isinstance(step, Done):
        raise Usage(f"--mechanism: {mechanism.name} is bound to a TLS connection, and there is none here")
    if step.final is not None:
        try:
            client.send(step.final)
        except AuthenticationFailed as failure:
            return Reject(Reason.WRONG_PASSWORD, detail=str(failure))
    return step.verdict


def _told(verdict: Verdict, seconds: float) -> dict[str, object]:
    result: dict[str, object] = {"backend": verdict.backend, "ms": round(seconds * 1000, 1)}
    if isinstance(verdict, Accept):
        return {"verdict": "accept", "login": verdict.account.login, **result}
    word = "reject" if isinstance(verdict, Reject) else "defer"
    return {"verdict": word, "reason": verdict.reason.value, "detail": verdict.detail, **result}
