"""Find one backend type by its name among the entry points, and load that one only."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
from importlib.metadata import EntryPoint, entry_points

from .backend import GROUP, Plugin
from .texts import describe


class PluginError(ValueError):
    """A backend type cannot be had; the message says why and what to do."""


def load(name: str) -> Plugin:
    """The plug-in of a backend type. Raises ``PluginError``."""
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise PluginError(_unknown(name))
    if len({point.value for point in found}) > 1:
        owners = " and ".join(sorted(_owner(point) for point in found))
        raise PluginError(f"two packages bring a backend type {name!r}: {owners}; uninstall one")
    return _loaded(found[0])


def names() -> list[str]:
    """The types that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _loaded(point: EntryPoint) -> Plugin:
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:
        why = f"cannot be loaded: {describe(error)}"
        raise PluginError(f"the backend type {point.name!r} ({_owner(point)}) {why}") from error
    if not isinstance(plugin, Plugin):
        raise PluginError(f"the entry point {point.value!r} of {_owner(point)} is not a saslpy.backend.Plugin")
    if plugin.driver and not _installed(plugin.driver):
        how = f"pip install '{_owner(point)}[{plugin.extra}]'" if plugin.extra else f"pip install {plugin.driver}"
        raise PluginError(f"the driver {plugin.driver!r} is not installed: {how}")
    if not dataclasses.is_dataclass(plugin.config):
        raise PluginError(f"the backend type {point.name!r} ({_owner(point)}) has a config that is no dataclass")
    return plugin


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def _unknown(name: str) -> str:
    known = names()
    guess = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {guess[0]!r}?" if guess else f"installed are {', '.join(known)}"
    return f"no backend type {name!r}; {hint}"


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
