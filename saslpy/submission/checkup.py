"""What ``saslpy check`` says of a submission server without asking anybody: above all, whether it would be an open relay.

What would let mail through without a login is no configuration at all where it is certain (``options``, ``listeners``);
here is what hangs together with the other sections, with the files and with the time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ..listeners.submission import SubmissionListen
from ..relay.options import Relay
from ..relay.places import Capture, Server
from ..servers.sockets import TcpPlace
from ..settings import Settings
from . import dangers
from .certificates import Certificate, first_of
from .options import Submission, Tls

Told = tuple[str, str]

SOON = timedelta(days=14)
"""Before its end, a certificate deserves a look: those of Let's Encrypt are renewed a month before."""


def faults(settings: Settings, now: datetime | None = None) -> Iterator[Told]:
    """(path, what is wrong)."""
    listeners = _listeners(settings)
    if settings.relay is not None and not listeners:
        yield "relay", 'nobody can hand in mail: there is no [[listen]] with protocol = "submission" or "submissions"'
    if settings.submission is None or not listeners:
        return
    if not settings.submission.require_tls:
        yield from _in_the_clear(listeners, allowed=False)
    for path, certificate in certificates(settings.submission.tls):
        yield from _dates(path, certificate, now or datetime.now(UTC))
    if settings.relay is not None:
        yield from _loops(settings.relay, listeners)


def warnings(settings: Settings, now: datetime | None = None) -> Iterator[Told]:
    """(path, what deserves a look)."""
    submission, listeners = settings.submission, _listeners(settings)
    if submission is not None and not listeners:
        yield "submission", 'there is no [[listen]] with protocol = "submission" or "submissions"'
    if submission is None or not listeners:
        return
    if not submission.require_tls:
        yield from _in_the_clear(listeners, allowed=True)
    yield from _hostname(submission, listeners)
    for path, certificate in certificates(submission.tls):
        yield from _ends_soon(path, certificate, now or datetime.now(UTC))
        yield from _own_signature(path, certificate)
    yield from _name(submission)
    yield from dangers.of_submission(submission)
    for number, listen in listeners:
        yield from dangers.of_listener(number, listen)
    if settings.relay is not None:
        yield from dangers.of_relay(settings.relay)
        yield from _routes(settings.relay)
        if submission.future_release:
            yield from _holds(settings.relay)


def certificates(tls: Tls) -> Iterator[tuple[str, Certificate]]:
    """(its path in the configuration, what it says of itself)."""
    if tls:
        yield "submission.tls.certificate", first_of(tls.certificate_pem)
    for number, one in enumerate(tls.sni):
        yield f"submission.tls.sni[{number}].certificate", first_of(one.certificate_pem)


def _listeners(settings: Settings) -> list[tuple[int, SubmissionListen]]:
    return [(number, one) for number, one in enumerate(settings.listen) if isinstance(one, SubmissionListen)]


def _in_the_clear(listeners: list[tuple[int, SubmissionListen]], allowed: bool) -> Iterator[Told]:
    for number, listen in listeners:
        if listen.public and not listen.implicit and listen.allow_remote == allowed:
            hint = "" if allowed else ", or say allow_remote = true where something else protects the way"
            yield (
                "submission.require_tls",
                f"is false, and others can reach listen[{number}] ({listen.name}): passwords and mail would cross the "
                f"network in the clear; take true{hint}",
            )


def _dates(path: str, certificate: Certificate, now: datetime) -> Iterator[Told]:
    if now > certificate.not_after:
        yield path, f"has expired on {_day(certificate.not_after)}: clients refuse it"
    elif now < certificate.not_before:
        yield path, f"is valid from {_day(certificate.not_before)} only: clients refuse it until then"


def _ends_soon(path: str, certificate: Certificate, now: datetime) -> Iterator[Told]:
    if now <= certificate.not_after <= now + SOON:
        yield path, f"expires on {_day(certificate.not_after)}"


def _own_signature(path: str, certificate: Certificate) -> Iterator[Told]:
    if certificate.self_signed:
        yield (
            path,
            "is signed by itself: good for trying things out, but clients refuse it until they are told to trust it",
        )


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _hostname(submission: Submission, listeners: list[tuple[int, SubmissionListen]]) -> Iterator[Told]:
    if "." not in submission.hostname and any(listen.public for _, listen in listeners):
        yield (
            "submission.hostname",
            f"{submission.hostname!r} is no full name; it stands in the greeting and in every message's trace",
        )


def _name(submission: Submission) -> Iterator[Told]:
    """Whether one of the certificates is for the name that we go by."""
    found = [certificate for _, certificate in certificates(submission.tls)]
    if found and not any(one.is_for(submission.hostname) for one in found):
        names = ", ".join(found[0].names[:5]) or "no name"
        yield (
            "submission.tls.certificate",
            f"is for {names}, and not for {submission.hostname} (submission.hostname): clients that use this name "
            "refuse it",
        )


def _loops(relay: Relay, listeners: list[tuple[int, SubmissionListen]]) -> Iterator[Told]:
    """Routes that come back to one of our own sockets."""
    for number, route in enumerate(relay.route):
        for place in route.places():
            for position, listen in listeners:
                if isinstance(place, Server) and _same(place, listen):
                    yield f"relay.route[{number}].via", f"{place} is listen[{position}]: mail would go in a circle"


def _same(server: Server, listen: SubmissionListen) -> bool:
    place = listen.place
    if not isinstance(place, TcpPlace) or server.path is not None or server.port != place.port:
        return False
    ours = ipaddress.ip_address(place.host)
    return server.host == str(ours) or (server.local and (ours.is_loopback or ours.is_unspecified))


def _holds(relay: Relay) -> Iterator[Told]:
    for number, route in enumerate(relay.route):
        if not any(isinstance(place, Server) and place.protocol == "smtp" for place in route.places()):
            yield (
                "submission.future_release",
                f"nobody at relay.route[{number}] can hold a message: its recipients are refused where that is asked for",
            )


def _routes(relay: Relay) -> Iterator[Told]:
    if len(relay.route) > 1:
        yield (
            "relay.route",
            "there are several: a message to recipients of different routes is taken for one route at a time (the client "
            'hears 452 for the others, and sends them apart), since mode = "proxy" has one answer for a message; a queue '
            "will take it at once, when there is one",
        )
    for number, route in enumerate(relay.route):
        if any(isinstance(place, Capture) for place in route.places()):
            yield f"relay.route[{number}].via", "a capture keeps all mail in its folder and delivers none"
