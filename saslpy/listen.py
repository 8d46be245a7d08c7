"""``[[listen]]``: what every socket that callers use has in common; ``listeners`` has a file for each protocol."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .config import check_number
from .servers.sockets import MAX_PATH, PassedPlace, Place, TcpPlace, UnixPlace

_ADDRESS = re.compile(r"(?P<host>[^\s]+):(?P<port>[0-9]{1,5})", re.ASCII)
_MODE = re.compile(r"[0-7]{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """``[[listen]]``: a socket that callers use. ``path`` for a unix socket, ``address`` ("127.0.0.1:2000") for TCP,
    ``systemd`` for one that systemd has opened, by its FileDescriptorName (systemd.socket(5)).

    ``mode`` (octal digits), ``owner`` and ``group`` say who may connect to a unix socket. ``allow_remote``: an address
    that others can reach, although passwords cross the network in the clear. ``read_timeout`` (seconds) ends a silent
    connection. ``max_connections`` may be open at a time, one more is closed at once.
    """

    protocol: str
    path: Path | None = None
    address: str | None = None
    systemd: str | None = None
    allow_remote: bool = False
    mode: str = "0660"
    owner: str | None = None
    group: str | None = None
    read_timeout: float = 10.0
    max_connections: int = 4096

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that only such a socket needs: ``preload`` loads them where there is one."""

    in_workers: ClassVar[bool] = False
    """Whether processes of their own serve it, and not the auth process."""

    guarded: ClassVar[bool] = False
    """Whether the protocol itself keeps passwords from those who listen on the way, so that any address will do."""

    def __post_init__(self) -> None:
        if sum(where is not None for where in (self.path, self.address, self.systemd)) != 1:
            raise ValueError(
                "needs one of path (unix socket), address (host:port) and systemd (a passed socket's name)"
            )
        self._check_numbers()
        if self.path is not None and len(os.fsencode(self.path)) > MAX_PATH:
            raise ValueError(f"path: {len(os.fsencode(self.path))} bytes; a unix socket's path has {MAX_PATH} at most")
        if self.address is not None:
            self._check_address()

    def _check_numbers(self) -> None:
        if not (_MODE.fullmatch(self.mode) and int(self.mode, 8) <= 0o777):
            raise ValueError(f'mode: expected octal digits such as "0660", got {self.mode!r}')
        check_number("read_timeout", self.read_timeout, 0.001, 86_400)
        check_number("max_connections", self.max_connections, 1, 1_000_000)

    def _check_address(self) -> None:
        place = self.place
        assert isinstance(place, TcpPlace)
        try:
            loopback = ipaddress.ip_address(place.host).is_loopback
        except ValueError:
            raise ValueError(f"address: {place.host!r} is no IP address") from None
        if not loopback and not self.allow_remote and not self.guarded:
            raise ValueError(
                "address: passwords would cross the network in the clear; use a loopback address, "
                "or say allow_remote = true where something else protects the way"
            )

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """The mechanisms that may be used on this socket, where ``[auth]`` has these."""
        return tuple(auth)

    @property
    def place(self) -> Place:
        """Where to listen."""
        if self.systemd is not None:
            return PassedPlace(self.systemd, self.allow_remote or self.guarded)
        if self.path is not None:
            return UnixPlace(self.path, int(self.mode, 8), self.owner, self.group)
        match = _ADDRESS.fullmatch(self.address or "")
        if match is None or int(match["port"]) > 0xFFFF:
            raise ValueError(f'address: expected "host:port", got {self.address!r}')
        return TcpPlace(match["host"].strip("[]"), int(match["port"]))

    @property
    def name(self) -> str:
        """Its place in one word, for the log."""
        if self.systemd is not None:
            return f"systemd:{self.systemd}"
        return str(self.path) if self.path is not None else str(self.address)
