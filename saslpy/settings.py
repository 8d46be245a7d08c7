"""The configuration, section by section. The docstrings here are its reference."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import plugins
from .accounts import AccountTemplate
from .backend import Plugin
from .config import ConfigError, Reader, guess, hints_of
from .names import RealmJoin
from .observe.log import Format, Level
from .passwords import scheme_named
from .servers.sockets import MAX_PATH, Place, TcpPlace, UnixPlace

DEFAULT_PATH = Path("/etc/saslpy/saslpy.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """``[daemon]``: the process itself.

    ``user`` and ``group`` are taken on after the sockets are open, when the daemon is started by root; the user
    ``saslpy`` if there is one and nothing is said. ``log_format`` is "logfmt" or "json"; ``drain_seconds`` is how long
    requests under way may take at the end.
    """

    user: str | None = None
    group: str | None = None
    run_dir: Path = Path("/run/saslpy")
    state_dir: Path = Path("/var/lib/saslpy")
    log_level: Level = "info"
    log_format: Format = "logfmt"
    drain_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """``[[auth.route]]``: another chain for some domains, some services, or both. The first that fits is taken."""

    chain: tuple[str, ...]
    domains: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.chain:
            raise ValueError("chain: names no backend")
        if not (self.domains or self.services):
            raise ValueError("needs domains, services or both; the chain for all others is [auth] chain")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSettings:
    """``[auth.passwords]``: how stored passwords are checked.

    ``forbid`` are schemes that never match ("PLAIN", "MD5-CRYPT"). ``processes`` (0: one a core) compute hashes,
    ``memory_mib`` (0: a quarter of the machine's) is what argon2 and its like may use together.
    """

    forbid: tuple[str, ...] = ()
    processes: int = 0
    memory_mib: int = 0

    def __post_init__(self) -> None:
        for key in ("processes", "memory_mib"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: is negative")
        for number, name in enumerate(self.forbid):
            if scheme_named(name) is None:
                raise ValueError(f"forbid[{number}]: {name!r} is no scheme; `saslpy hash --list` shows the usual ones")

    @property
    def forbidden(self) -> frozenset[str]:
        """The canonical names of the forbidden schemes."""
        return frozenset(scheme for name in self.forbid if (scheme := scheme_named(name)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """``[auth]``: who is asked, and how names are read.

    ``chain`` names the backends in the order in which they are asked. ``realm_join``: "join" makes ``login@realm`` where
    the caller gives a realm apart, "ignore" forgets the realm, "require" refuses a login without one.
    ``default_domain`` is added to a bare login. ``deadline`` (seconds) covers the whole chain; Postfix gives up after
    10 s. ``min_seconds`` is the least time until a refusal. ``max_pending`` requests may be under way, more are told to
    come again.
    """

    chain: tuple[str, ...] = ("local",)
    default_domain: str = ""
    realm_join: RealmJoin = "join"
    deadline: float = 8.0
    min_seconds: float = 0.1
    max_pending: int = 1024
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    route: tuple[RouteSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.chain:
            raise ValueError("chain: names no backend")
        if self.deadline <= 0:
            raise ValueError("deadline: must be above 0")
        if not 0 <= self.min_seconds < self.deadline:
            raise ValueError("min_seconds: must be from 0 to below the deadline")
        if self.max_pending < 1:
            raise ValueError("max_pending: must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """The keys of ``[backend.NAME]`` that every type has; the others are the type's own.

    ``timeout``: seconds until this backend counts as failed. ``on_reject = "next"`` asks the next backend after a wrong
    password too. ``default_scheme``: what a stored password without ``{SCHEME}`` is.
    """

    type: str
    timeout: float = 3.0
    on_reject: Literal["stop", "next"] = "stop"
    default_scheme: str = "CRYPT"
    account: AccountTemplate = field(default_factory=AccountTemplate)

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout: must be above 0")


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """One ``[backend.NAME]``: the core's keys, the plug-in, and the plug-in's own configuration."""

    name: str
    options: BackendOptions
    plugin: Plugin
    config: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """``[[listen]]``: a socket that callers use. ``path`` for a unix socket, ``address`` ("127.0.0.1:2000") for TCP.

    ``mode`` (octal digits), ``owner`` and ``group`` say who may connect to a unix socket. ``read_timeout`` (seconds) ends
    a silent connection. ``temporary_failure``: "drop" hangs up, as libsasl2 and Exim expect; "code" sends a word that is
    neither OK nor NO.
    """

    protocol: Literal["saslauthd"]
    path: Path | None = None
    address: str | None = None
    allow_remote: bool = False
    mode: str = "0660"
    owner: str | None = None
    group: str | None = None
    temporary_failure: Literal["drop", "code"] = "drop"
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    read_timeout: float = 10.0
    max_connections: int = 4096
    max_field: int = 8192

    def __post_init__(self) -> None:
        if (self.path is None) == (self.address is None):
            raise ValueError("needs either a path (unix socket) or an address (host:port)")
        self._check_numbers()
        if self.path is not None and len(os.fsencode(self.path)) > MAX_PATH:
            raise ValueError(f"path: {len(os.fsencode(self.path))} bytes; a unix socket's path has {MAX_PATH} at most")
        if self.address is not None:
            self._check_address()
        if not {"PLAIN", "LOGIN"} & set(self.mechanisms):
            raise ValueError(
                "mechanisms: this protocol carries a password in the clear, so PLAIN or LOGIN must be allowed"
            )

    def _check_numbers(self) -> None:
        try:
            valid = 0 <= int(self.mode, 8) <= 0o777
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f'mode: expected octal digits such as "0660", got {self.mode!r}')
        for key, least in (("read_timeout", 0.001), ("max_connections", 1), ("max_field", 256)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}: must be {least} or more")
        if self.max_field > 0xFFFF:
            raise ValueError("max_field: two bytes count to 65535")

    def _check_address(self) -> None:
        place = self.place
        assert isinstance(place, TcpPlace)
        try:
            loopback = ipaddress.ip_address(place.host).is_loopback
        except ValueError:
            raise ValueError(f"address: {place.host!r} is no IP address") from None
        if not loopback and not self.allow_remote:
            raise ValueError(
                "address: passwords would cross the network in the clear; use a loopback address, "
                "or say allow_remote = true where something else protects the way"
            )

    @property
    def place(self) -> Place:
        """Where to listen."""
        if self.path is not None:
            return UnixPlace(self.path, int(self.mode, 8), self.owner, self.group)
        host, colon, port = (self.address or "").rpartition(":")
        if not (colon and host and port.isdigit() and int(port) <= 0xFFFF):
            raise ValueError(f'address: expected "host:port", got {self.address!r}')
        return TcpPlace(host.strip("[]"), int(port))

    @property
    def name(self) -> str:
        """Its place in one word, for the log."""
        return str(self.path) if self.path is not None else str(self.address)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    daemon: Daemon
    auth: Auth
    backends: dict[str, BackendSettings]
    listen: tuple[Listen, ...]
    path: Path

    @property
    def used_backends(self) -> tuple[BackendSettings, ...]:
        """Those that some chain asks, in the order of the file."""
        used = {name for chain in (self.auth.chain, *(route.chain for route in self.auth.route)) for name in chain}
        return tuple(backend for name, backend in self.backends.items() if name in used)


SECTIONS = ("daemon", "auth", "backend", "listen")


def load(path: Path) -> Settings:
    """Read a configuration file. Raises ``ConfigError`` with every fault that was found."""
    return from_table(_parsed(path), path)


def from_table(table: dict[str, Any], path: Path) -> Settings:
    """The settings in a parsed file. Raises ``ConfigError``; relative paths are taken from the folder of ``path``."""
    reader = Reader(path.absolute().parent)
    for key in table:
        if key not in SECTIONS:
            reader.fault(key, f"unknown section{guess(key, list(SECTIONS))}")
    daemon = reader.section(Daemon, table.get("daemon", {}), "daemon")
    auth = reader.section(Auth, table.get("auth", {}), "auth")
    backends = _backends(reader, table.get("backend", {}))
    listen = _listeners(reader, table.get("listen", []))
    if auth is not None:
        _check_chains(reader, auth, table)
    reader.check()
    assert daemon is not None
    assert auth is not None
    return Settings(daemon, auth, backends, listen, path)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file; `saslpy init` writes one to start from"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from None


def _backends(reader: Reader, tables: object) -> dict[str, BackendSettings]:
    if not isinstance(tables, dict):
        reader.fault("backend", "expected tables such as [backend.local] with a type")
        return {}
    found = {}
    for name, table in tables.items():
        backend = _backend(reader, name, table)
        if backend is not None:
            found[name] = backend
    return found


def _backend(reader: Reader, name: str, table: object) -> BackendSettings | None:
    path = f"backend.{name}"
    if not isinstance(table, dict):
        reader.fault(path, "expected a table")
        return None
    own = hints_of(BackendOptions)
    options = reader.section(BackendOptions, {key: value for key, value in table.items() if key in own}, path)
    try:
        plugin = plugins.load(str(table.get("type"))) if "type" in table else None
    except plugins.PluginError as error:
        reader.fault(f"{path}.type", str(error))
        return None
    if plugin is None or options is None:
        return None
    config = reader.section(plugin.config, {key: value for key, value in table.items() if key not in own}, path)
    return None if config is None else BackendSettings(name, options, plugin, config)


def _check_chains(reader: Reader, auth: Auth, table: dict[str, Any]) -> None:
    names = list(table["backend"]) if isinstance(table.get("backend"), dict) else []
    chains = [("auth.chain", auth.chain)]
    chains += [(f"auth.route[{number}].chain", route.chain) for number, route in enumerate(auth.route)]
    for path, chain in chains:
        for position, name in enumerate(chain):
            if name not in names:
                reader.fault(f"{path}[{position}]", f"there is no [backend.{name}]{guess(name, names)}")
            elif name in chain[:position]:
                reader.fault(f"{path}[{position}]", f"{name!r} is asked twice")


def _listeners(reader: Reader, tables: object) -> tuple[Listen, ...]:
    if not isinstance(tables, list):
        reader.fault("listen", "expected [[listen]] (with two brackets: there may be several)")
        return ()
    if not tables:
        reader.fault("listen", "there is none; add a [[listen]] with a protocol and a path")
    read = [reader.section(Listen, table, f"listen[{number}]") for number, table in enumerate(tables)]
    _check_places(reader, read)
    return tuple(listener for listener in read if listener is not None)


def _check_places(reader: Reader, listeners: list[Listen | None]) -> None:
    seen: dict[str, int] = {}
    for number, listener in enumerate(listeners):
        if listener is None:
            continue
        key = os.path.realpath(listener.path) if listener.path is not None else str(listener.address)
        if key in seen:
            what = "path" if listener.path is not None else "address"
            reader.fault(f"listen[{number}].{what}", f"listen[{seen[key]}] listens there already ({listener.name})")
        seen.setdefault(key, number)
