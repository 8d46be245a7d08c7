"""The configuration, section by section. The docstrings here, in ``logins.py`` and in ``listen.py`` are its reference."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from . import plugins
from .accounts import AccountTemplate
from .backend import Plugin
from .config import ConfigError, Reader, check_number, guess, hints_of
from .listen import Listen
from .listeners import PROTOCOLS
from .listeners.submission import SubmissionListen
from .logins import HOUR, Auth, PasswordSettings, RouteSettings
from .observe.log import Format, Level
from .passwords import UnusableSecret
from .passwords.parsing import split_name
from .passwords.readers import NAMES
from .passwords.strength import parsed_as, upgradable
from .texts import describe

if TYPE_CHECKING:
    from .relay.options import Relay
    from .submission.options import Submission

__all__ = [
    "DEFAULT_PATH",
    "SECTIONS",
    "Auth",
    "BackendOptions",
    "BackendSettings",
    "Daemon",
    "Listen",
    "PasswordSettings",
    "RouteSettings",
    "SelfChecking",
    "Settings",
    "from_table",
    "load",
]

DEFAULT_PATH = Path("/etc/saslpy/saslpy.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """``[daemon]``: the process itself.

    ``user`` and ``group`` are taken on after the sockets are open, when the daemon is started by root; the user
    ``saslpy`` if there is one and nothing is said. ``log_format`` is "logfmt" or "json"; ``drain_seconds`` is how long
    requests under way may take at the end.

    ``run_dir`` is for what lives as long as the daemon: its control socket. ``state_dir`` is for what outlives it, such as
    a queue of mail; there is none yet, so nothing is made there.
    """

    user: str | None = None
    group: str | None = None
    run_dir: Path = Path("/run/saslpy")
    state_dir: Path = Path("/var/lib/saslpy")
    log_level: Level = "info"
    log_format: Format = "logfmt"
    drain_seconds: float = 5.0

    def __post_init__(self) -> None:
        check_number("drain_seconds", self.drain_seconds, 0, HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """The keys of ``[backend.NAME]`` that every type has; the others are the type's own.

    ``timeout``: seconds until this backend counts as failed. ``on_reject = "next"`` asks the next backend after a wrong
    password too. ``default_scheme``: what a stored password without ``{SCHEME}`` is. ``upgrade``: what a right password
    is stored as from then on, where its stored hash is weaker; a scheme, or one and another for SCRAM.
    """

    type: str
    timeout: float = 3.0
    on_reject: Literal["stop", "next"] = "stop"
    default_scheme: str = "CRYPT"
    upgrade: str | tuple[str, ...] = ()
    account: AccountTemplate = field(default_factory=AccountTemplate)

    def __post_init__(self) -> None:
        check_number("timeout", self.timeout, 0, HOUR, above=True)
        try:
            split_name(self.default_scheme)
        except UnusableSecret:
            near = guess(self.default_scheme.upper(), sorted(NAMES))
            raise ValueError(f"default_scheme: {self.default_scheme!r} is no scheme{near}") from None
        try:
            upgradable(self.upgrade)
        except ValueError as error:
            raise ValueError(f"upgrade: {error}") from None

    @property
    def upgrades(self) -> tuple[str, ...]:
        """The schemes of ``upgrade`` by their own names; empty for no upgrades."""
        return upgradable(self.upgrade)


@runtime_checkable
class SelfChecking(Protocol):
    """A plug-in's configuration with rules that need the core's keys too, such as ``default_scheme``."""

    def faults(self, options: BackendOptions, /) -> Iterable[tuple[str, str]]:
        """(the key below ``backend.NAME``, what is wrong), without showing a secret."""


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """One ``[backend.NAME]``: the core's keys, the plug-in, and the plug-in's own configuration.

    ``generation`` as in ``Settings``.
    """

    name: str
    options: BackendOptions
    plugin: Plugin
    config: Any = field(repr=False)
    generation: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. ``generation`` counts the readings of the file by one daemon.

    Where there is a socket for submission, there are ``submission`` and ``relay``.
    """

    daemon: Daemon
    auth: Auth
    backends: dict[str, BackendSettings]
    listen: tuple[Listen, ...]
    path: Path
    submission: Submission | None = None
    relay: Relay | None = None
    generation: int = field(default=0, compare=False)

    def numbered(self, generation: int) -> Settings:
        """The same, as one of this generation."""
        backends = {name: replace(backend, generation=generation) for name, backend in self.backends.items()}
        return replace(self, backends=backends, generation=generation)

    @property
    def mechanisms(self) -> frozenset[str]:
        """Those that some listener wants to offer."""
        return frozenset(name for listen in self.listen for name in listen.offers(self.auth.mechanisms))

    @property
    def used_backends(self) -> tuple[BackendSettings, ...]:
        """Those that some chain asks, in the order of the file."""
        used = {name for chain in (self.auth.chain, *(route.chain for route in self.auth.route)) for name in chain}
        return tuple(backend for name, backend in self.backends.items() if name in used)


MAX_LISTENERS = 250
"""As many sockets as a packet can carry to the auth process at a reload, with the control socket and the settings."""

SECTIONS = ("daemon", "auth", "backend", "listen", "submission", "relay")


def load(path: Path) -> Settings:
    """Read a configuration file. Raises ``ConfigError`` with every fault that was found."""
    try:
        return from_table(_parsed(path), path)
    except RecursionError:
        raise ConfigError([f"{path}: tables or arrays are nested too deeply"]) from None


def from_table(table: dict[str, Any], path: Path) -> Settings:
    """The settings in a parsed file. Raises ``ConfigError``; relative paths are taken from the folder of ``path``."""
    reader = Reader(path.absolute().parent)
    for key in table:
        if key not in SECTIONS:
            reader.fault(key, f"unknown section{guess(key, list(SECTIONS))}")
    daemon = reader.section(Daemon, table.get("daemon", {}), "daemon")
    auth = reader.section(Auth, table.get("auth", {}), "auth")
    backends = _backends(reader, table.get("backend", {}))
    listeners = _listeners(reader, table.get("listen", []))
    submission, relay = _submission(reader, table, listeners)
    if auth is not None:
        _check_chains(reader, auth, table)
        _check_upgrades(reader, auth, backends)
    reader.check()
    assert daemon is not None
    assert auth is not None
    listen = tuple(listener for listener in listeners if listener is not None)
    return Settings(daemon, auth, backends, listen, path, submission, relay)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file; `saslpy init` writes one to start from"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from None
    except ValueError:  # int() refuses it
        raise ConfigError([f"{path}: a number has too many digits"]) from None


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
    rest = {key: value for key, value in table.items() if key not in own}
    try:
        config = _plugin_config(reader, plugin, options, rest, path)
    except Exception as error:  # the code of somebody else
        reader.fault(path, f"the plug-in for type {options.type!r} cannot read its section: {describe(error)}")
        return None
    return None if config is None else BackendSettings(name, options, plugin, config)


def _plugin_config(
    reader: Reader, plugin: Plugin, options: BackendOptions, table: dict[str, Any], path: str
) -> Any | None:
    """The plug-in's own keys; None when they have faults, which are noted. Raises whatever the plug-in does."""
    taken = hints_of(plugin.config).keys() & hints_of(BackendOptions).keys()
    if taken:
        raise TypeError(f"its config has a field {min(taken)!r}, which is a key of every backend")
    config = reader.section(plugin.config, table, path)
    if config is not None and isinstance(config, SelfChecking):
        for key, fault in config.faults(options):
            reader.fault(f"{path}.{key}", fault)
    return config


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


def _check_upgrades(reader: Reader, auth: Auth, backends: dict[str, BackendSettings]) -> None:
    for backend in backends.values():
        wanted, holds, kind = backend.options.upgrades, backend.plugin.upgrades, backend.options.type
        path = f"backend.{backend.name}.upgrade"
        if wanted and not holds:
            reader.fault(path, f"a store of type {kind!r} cannot be written to")
        elif len(wanted) > 1 and holds == "one":
            reader.fault(path, f"a store of type {kind!r} holds one secret for each user; name one scheme")
        for name in wanted:
            if parsed_as(name) in auth.passwords.forbidden:
                reader.fault(path, f"[auth.passwords] forbids {name}: nobody could log in after the upgrade")


def _submission(
    reader: Reader, table: dict[str, Any], listeners: list[Listen | None]
) -> tuple[Submission | None, Relay | None]:
    """``[submission]`` and ``[relay]``: most have none, and need not wait until their modules are loaded."""
    if not table.keys() & {"submission", "relay"} and not any(isinstance(one, SubmissionListen) for one in listeners):
        return None, None
    from .submission.sections import sections  # noqa: PLC0415

    return sections(reader, table, listeners)


def _listeners(reader: Reader, tables: object) -> list[Listen | None]:
    """In the order of the file, None for one that has faults, which are noted."""
    if not isinstance(tables, list):
        reader.fault("listen", "expected [[listen]] (with two brackets: there may be several)")
        return []
    if not tables:
        reader.fault("listen", "there is none; add a [[listen]] with a protocol and a path")
    if len(tables) > MAX_LISTENERS:
        reader.fault("listen", f"there are {len(tables)}; a daemon has {MAX_LISTENERS} at most")
        return []
    read = [_listener(reader, table, f"listen[{number}]") for number, table in enumerate(tables)]
    _check_places(reader, read)
    return read


def _listener(reader: Reader, table: object, path: str) -> Listen | None:
    if not isinstance(table, dict):
        reader.fault(path, "expected a table")
        return None
    protocol = table.get("protocol")
    if protocol is None:
        known = {key: None for listen in PROTOCOLS.values() for key in hints_of(listen)}
        for key in table.keys() - known.keys():
            reader.fault(f"{path}.{key}", f"unknown key{guess(key, known)}")
        reader.fault(f"{path}.protocol", "is required")
        return None
    kind = PROTOCOLS.get(protocol) if isinstance(protocol, str) else None
    if kind is None:
        near = guess(protocol, list(PROTOCOLS)) if isinstance(protocol, str) else ""
        reader.fault(f"{path}.protocol", f"expected one of {', '.join(PROTOCOLS)}, got {protocol!r}{near}")
        return None
    return reader.section(kind, table, path)


def _check_places(reader: Reader, listeners: list[Listen | None]) -> None:
    seen: dict[str, int] = {}
    for number, listener in enumerate(listeners):
        if listener is None:
            continue
        key = os.path.realpath(listener.path) if listener.path is not None else str(listener.place)
        if key in seen:
            what = "path" if listener.path is not None else "address" if listener.address is not None else "systemd"
            reader.fault(f"listen[{number}].{what}", f"listen[{seen[key]}] listens there already ({listener.name})")
        seen.setdefault(key, number)
