"""What ``saslpy check`` warns of: settings that are allowed, and that let somebody do more than most people mean.

Where a setting would be an open relay for certain it is refused when it is read (``options``, ``listeners.submission``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..listeners.submission import SubmissionListen
from ..networks import Network, private
from ..relay.options import Relay
from ..relay.places import Server
from .options import Submission

Told = tuple[str, str]

SITE = {4: 16, 6: 48}
"""Prefixes in bits: shorter ones are more than one site's."""

RACK = {4: 24, 6: 64}
"""More machines than anybody has proxies."""

AUTHORITIES = 10
"""Of client certificates. Who has more has taken a list of public ones, which sign for whoever asks."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"


def of_submission(submission: Submission) -> Iterator[Told]:
    """(path, what deserves a look) of ``[submission]``."""
    if submission.sender_binding == "off":
        yield (
            "submission.sender_binding",
            "is off: whoever has a login sends as anybody, as the boss or as strangers, and a stolen password forges them "
            'all; take "strict", or "envelope" where programs write a From of their own',
        )
    if submission.limits.messages_per_hour == submission.limits.recipients_per_day == 0:
        yield (
            "submission.limits",
            "a login has no limit (messages_per_hour and recipients_per_day are 0): with one stolen password, as much spam "
            "goes out as the next hop takes",
        )
    yield from _legacy(submission)
    yield from _authorities(submission)


def _legacy(submission: Submission) -> Iterator[Told]:
    for number, legacy in enumerate(submission.legacy):
        path = f"submission.legacy[{number}]"
        may = f"sends as {legacy.sender} without a login"
        for position, net in enumerate(legacy.nets):
            if not private(net):
                yield f"{path}.networks[{position}]", f"{net} is a part of the Internet, and whoever is in it {may}"
            elif _wider(net, SITE):
                yield (
                    f"{path}.networks[{position}]",
                    f"{net} is {_many(net)}, and whoever is in it {may}; name the machines alone that cannot log in",
                )
        if legacy.messages_per_hour == legacy.recipients_per_day == 0:
            yield path, f"has no limit: a machine that was broken into sends as much as it likes as {legacy.sender}"


def _authorities(submission: Submission) -> Iterator[Told]:
    count = submission.tls.client_ca_pem.count(_BEGIN)
    if count > AUTHORITIES:
        yield (
            "submission.tls.client_ca",
            f"holds {count} authorities: whoever has a certificate of one of them logs in as whom it names (EXTERNAL); "
            "take your own authority alone",
        )


def of_listener(number: int, listen: SubmissionListen) -> Iterator[Told]:
    """(path, what deserves a look) of one socket."""
    for position, net in _trusted(listen.proxies, RACK):
        yield (
            f"listen[{number}].proxy_protocol[{position}]",
            f"{net} is {_many(net)}, and whoever is in it passes for any client, also one of [[submission.legacy]]; name "
            "the proxies alone",
        )
    for position, net in _trusted(listen.xclients, {4: 32, 6: 128}):
        yield (
            f"listen[{number}].xclient[{position}]",
            f"{net} is {_many(net)}, and whoever is in it sends as any user, without a login; name the one machine "
            "that does",
        )


def _trusted(nets: Sequence[Network], widest: dict[int, int]) -> Iterator[tuple[int, Network]]:
    """Those with strangers in them, or too many. On the Internet, all but single addresses."""
    for position, net in enumerate(nets):
        if _wider(net, widest) or not (private(net) or net.num_addresses == 1):
            yield position, net


def of_relay(relay: Relay) -> Iterator[Told]:
    """(path, what deserves a look) of the routes."""
    for number, route in enumerate(relay.route):
        for place in route.places():
            if isinstance(place, Server) and not place.local and route.protection(place) == "none":
                yield (
                    f"relay.route[{number}].tls",
                    f'is "none": mail crosses the network to {place} in the clear; take "require", or "opportunistic"',
                )


def _wider(net: Network, widest: dict[int, int]) -> bool:
    """Whether it is more than that, and not this machine alone."""
    return net.prefixlen < widest[net.version] and not net.is_loopback


def _many(net: Network) -> str:
    return f"{net.num_addresses} addresses" if net.version == 4 else f"a /{net.prefixlen} of IPv6"
