"""The places where a directory may be: how they are written, and how the way there is protected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from saslpy.addresses import is_loopback

PORTS = {"ldap": 389, "ldaps": 636}

Protection = Literal["none", "starttls", "tls"]


@dataclass(frozen=True, slots=True)
class Server:
    """One directory server: ``host`` and ``port``, or ``socket``, the path of a unix socket."""

    host: str = ""
    port: int = 0
    socket: str = ""
    protection: Protection = "none"

    @property
    def url(self) -> str:
        """As an LDAP library wants it."""
        if self.socket:
            return f"ldapi://{quote(self.socket, safe='')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.protection == 'tls' else 'ldap'}://{host}:{self.port}"

    def __str__(self) -> str:
        """As the log shows it: "ldap://127.0.0.1:389", "ldaps://…", or the path."""
        return self.socket or self.url


def server_of(text: str, starttls: bool | None) -> Server:
    """The server that ``ldap://host:port``, ``ldaps://host`` or ``ldapi://%2Fpath`` means. Raises ValueError.

    ``starttls`` None: for every ``ldap://`` that is not loopback, since passwords go that way.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if parts.scheme == "ldapi":
        return Server(socket=_socket_of(text))
    if parts.scheme not in PORTS:
        raise ValueError(f'expected "ldaps://host", "ldap://host:port" or "ldapi://%2Fpath", got {text!r}')
    if parts.path not in ("", "/") or parts.query or parts.fragment or "?" in text:
        raise ValueError(f"{text!r}: a server alone is meant here; where to search is said by base and filter")
    if "@" in parts.netloc:
        raise ValueError("no name or password belongs into a URL; use bind_dn and bind_password_file")
    host = parts.hostname or ""
    if not host or any(character.isspace() for character in host):
        raise ValueError(f"{text!r} names no host")
    if port == 0:
        raise ValueError(f"{text!r}: there is no port 0")
    return Server(host, port or PORTS[parts.scheme], protection=_protection(parts.scheme, host, starttls))


def _socket_of(text: str) -> str:
    path = unquote(text.removeprefix("ldapi://"))
    if not path.startswith("/") or path == "/" or "\0" in path or "?" in path:
        raise ValueError(f'{text!r}: expected a path with its slashes as %2F: "ldapi://%2Frun%2Fslapd%2Fldapi"')
    return path


def _protection(scheme: str, host: str, starttls: bool | None) -> Protection:
    if scheme == "ldaps":
        return "tls"
    wanted = not is_loopback(host) if starttls is None else starttls
    return "starttls" if wanted else "none"
