"""``[[listen]]`` with ``protocol = "http"``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Literal

from ..config import check_number
from ..files import first_line
from ..listen import Listen
from ..logins import check_mechanisms

_SERVER = re.compile(r"(?:\[(?P<ipv6>[^\s\]]+)\]|(?P<ipv4>[^\s:]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*", re.ASCII)
_SERVED = ("PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """``upstreams``: the servers behind nginx, each an IP address and a port ("127.0.0.1:143", "[::1]:143").

    ``mail`` takes mail from those who do not log in (``smtp_auth none``).
    """

    imap: str | None = None
    pop3: str | None = None
    smtp: str | None = None
    mail: str | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if (value := getattr(self, one.name)) is not None:
                _server(one.name, value)

    def servers(self) -> Mapping[str, tuple[str, int]]:
        """Address and port by service, of those that are given."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: _server(name, value) for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpListen(Listen):
    """HTTP: nginx's mail proxy asks ``/nginx``, programs ask ``/login`` and ``/user`` in JSON, and so does
    ``saslpy-checkpassword``.

    ``secret_file`` holds what must stand in the field ``secret_header`` of each request. ``mechanisms``: empty for those
    of ``[auth]`` that can be served here, without EXTERNAL. ``read_timeout`` (seconds) is for a whole request,
    ``idle_timeout`` for the next one.

    For nginx are ``upstreams``, ``auth_wait`` (seconds until a user hears that he may not), ``auth_attempts``, after which
    it ends a connection, and ``upstream_password_file``: a password that the servers behind it take for every user, which
    CRAM-MD5 and EXTERNAL need there.
    """

    protocol: Literal["http"]
    mechanisms: tuple[str, ...] = ()
    secret_file: Path | None = None
    secret_header: str = "X-Auth-Key"  # noqa: S105
    upstreams: Upstreams | None = None
    upstream_password_file: Path | None = None
    auth_wait: int = 3
    auth_attempts: int = 10
    idle_timeout: float = 60.0
    secret: str = field(default="", init=False, repr=False)
    upstream_password: str = field(default="", init=False, repr=False)

    needs: ClassVar[tuple[str, ...]] = ("saslpy.servers.http_front",)

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        check_number("auth_wait", self.auth_wait, 1, 60)
        check_number("auth_attempts", self.auth_attempts, 1, 20)
        check_number("idle_timeout", self.idle_timeout, 0.001, 86_400)
        check_mechanisms(self.mechanisms)
        for number, name in enumerate(self.mechanisms):
            if name not in _SERVED:
                raise ValueError(f"mechanisms[{number}]: {name} is not served here; those are {', '.join(_SERVED)}")
        if not _FIELD.fullmatch(self.secret_header):
            raise ValueError("secret_header: letters, digits and hyphens alone")
        self._read_secrets()
        if self.allow_remote and not self.secret:
            raise ValueError("secret_file: is required with allow_remote, or anybody could try passwords here")
        if self.address is not None and not self.secret:
            self._check_strangers()

    def _check_strangers(self) -> None:
        """What must not be told to, and not be believed of, everybody who has a login on this machine."""
        if self.upstream_password:
            raise ValueError(
                "secret_file: is required with upstream_password_file over TCP, or others are told the password"
            )
        if "EXTERNAL" in self.mechanisms:
            raise ValueError("secret_file: is required with EXTERNAL over TCP, or others can claim any certificate")

    def _read_secrets(self) -> None:
        for key in ("secret", "upstream_password"):
            path = getattr(self, f"{key}_file")
            if path is None:
                continue
            secret = first_line(path, f"{key}_file")
            if not _PRINTABLE.fullmatch(secret):
                raise ValueError(
                    f"{key}_file: {path}: a header can hold printable ASCII alone, without blanks around it"
                )
            object.__setattr__(self, key, secret)

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """The mechanisms of this socket, where ``[auth]`` has these."""
        return self.mechanisms or tuple(name for name in auth if name in _SERVED and name != "EXTERNAL")


def _server(key: str, value: str) -> tuple[str, int]:
    """Address and port. Raises ``ValueError``."""
    match = _SERVER.fullmatch(value)
    if match is None or not 0 < int(match["port"]) <= 0xFFFF:
        raise ValueError(f'{key}: expected an IP address and a port such as "127.0.0.1:143", got {value!r}')
    host = match["ipv6"] or match["ipv4"]
    try:
        address = (ipaddress.IPv6Address if match["ipv6"] else ipaddress.IPv4Address)(host)
    except ValueError:
        raise ValueError(f"{key}: {host!r} is no IP address, and nginx takes no host names here") from None
    return str(address), int(match["port"])
