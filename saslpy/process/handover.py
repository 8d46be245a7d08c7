"""How the supervisor hands a new configuration to the auth process."""

from __future__ import annotations

import os
import pickle
import socket

from ..preload import preload_servers
from ..servers.sockets import Place
from ..settings import Settings
from .control import Message


class NotHandedOver(Exception):
    """What came is not all of it; the message says why."""


def packed(settings: Settings, places: list[Place]) -> int:
    """A file with a configuration, which may be larger than a packet, and the places of the sockets that come with it."""
    file = os.memfd_create("saslpy-settings", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as stream:
            pickle.dump((settings, places), stream)
    except BaseException:  # a plug-in's configuration may be nothing that can be handed over
        os.close(file)
        raise
    return file


def unpacked(message: Message) -> tuple[Settings, dict[Place, socket.socket]]:
    """What ``packed`` made, with the sockets. It comes from the supervisor, which is trusted with everything.

    It may load modules, and so take its time. Raises ``NotHandedOver``, and whatever loading raises; then
    everything that came is closed.
    """
    try:
        settings, places = _read(message)
    except BaseException:
        message.close()
        raise
    file, *sockets = message.files
    os.close(file)
    return settings, {place: socket.socket(fileno=number) for place, number in zip(places, sockets, strict=True)}


def _read(message: Message) -> tuple[Settings, list[Place]]:
    if message.cut:
        raise NotHandedOver("too many files are open, or too many sockets are new at a time: not all of them came")
    file, *sockets = message.files
    with open(file, "rb", closefd=False) as stream:
        stream.seek(0)
        settings, places = pickle.load(stream)  # noqa: S301
    preload_servers(settings.listen)
    if len(places) != len(sockets):
        raise NotHandedOver(f"{len(places)} sockets were to come, and {len(sockets)} came")
    return settings, places
