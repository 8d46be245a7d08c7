"""Load what will be needed while we may still read it.

Once root's rights are given up, an installation in a folder of root's own (a checkout under /root) cannot be read any more,
and a module that is imported late would be missing.
"""

from __future__ import annotations

import base64  # noqa: F401 (with json and urllib.parse: texts.py wants them at a failure that may show a secret)
import encodings.idna  # noqa: F401 (loaded by name at the first host name otherwise)
import importlib
import json  # noqa: F401
import pkgutil
import urllib.parse  # noqa: F401
from collections.abc import Iterable

from . import assemble, mailboxes, passwords  # noqa: F401 (assemble loads the servers and trio; check wants mailboxes)
from .backend import Plugin
from .listen import Listen
from .mechanisms import client  # noqa: F401 (`saslpy test` plays it)
from .plugins import PluginError
from .settings import BackendSettings
from .texts import describe


def preload(backends: Iterable[BackendSettings]) -> None:
    """The modules of these backends with their drivers, and those of the password schemes. Raises ``PluginError``."""
    for backend in backends:
        try:
            load_plugin(backend.plugin)
        except (Exception, SystemExit) as error:  # a module of somebody else may fail in any way
            raise PluginError(f"backend.{backend.name}: cannot be loaded: {describe(error)}") from error
    passwords.warm_up()


def preload_servers(listeners: Iterable[Listen]) -> None:
    """The modules that only some sockets need."""
    for listen in listeners:
        for module in listen.needs:
            importlib.import_module(module)


def load_plugin(plugin: Plugin) -> None:
    """All modules of the package that a plug-in's ``open`` is defined in, and its driver."""
    package = importlib.import_module(plugin.open.__module__)
    for module in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        importlib.import_module(module.name)
    if plugin.driver is not None:
        importlib.import_module(plugin.driver)
