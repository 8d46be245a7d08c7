"""How the supervisor hands a new configuration to the auth process."""

from __future__ import annotations

import os
import pickle
import socket

from ..servers.sockets import Place
from ..settings import Settings
from .control import Message


def packed(settings: Settings, places: list[Place]) -> int:
    """A file with a configuration, which may be larger than a packet, and the places of the sockets that come with it."""
    file = os.memfd_create("saslpy-settings", os.MFD_CLOEXEC)
    with open(file, "wb", closefd=False) as stream:
        pickle.dump((settings, places), stream)
    return file


def unpacked(message: Message) -> tuple[Settings, dict[Place, socket.socket]]:
    """What ``packed`` made, with the sockets. It comes from the supervisor, which is trusted with everything."""
    file, *sockets = message.files
    with open(file, "rb") as stream:  # noqa: PTH123
        stream.seek(0)
        settings, places = pickle.load(stream)  # noqa: S301
    return settings, {place: socket.socket(fileno=number) for place, number in zip(places, sockets, strict=True)}
