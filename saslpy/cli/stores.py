"""Calling a backend from the command line, without a loop where its methods block."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..backend import NoSuchUser, UserExists
from ..model import Reason
from ..settings import BackendSettings, Settings
from .common import Fault, Unusable, as_daemon_user, tell

if TYPE_CHECKING:
    from ..guard import BackendFailed, Guarded

T = TypeVar("T")

Ability: TypeAlias = type | tuple[type, ...]


def choose(settings: Settings, name: str | None, ability: Ability, what: str) -> BackendSettings:
    """The named backend, or the first of the chain that has (one of) the ability. Raises ``Fault``."""
    if name is not None:
        if name not in settings.backends:
            raise Fault(f"there is no [backend.{name}] in {settings.path}; there are {', '.join(settings.backends)}")
        if not with_backend(settings.backends[name], lambda backend: isinstance(backend, ability)):
            raise Fault(f"the backend {name!r} ({settings.backends[name].options.type}) {what}")
        return settings.backends[name]
    for candidate in dict.fromkeys((*settings.auth.chain, *settings.backends)):
        try:
            able = with_backend(settings.backends[candidate], lambda backend: isinstance(backend, ability))
        except Unusable as fault:  # not passed over: it may be the one that is meant
            raise Unusable(f"{fault}; --backend NAME names another one") from None
        if able:
            return settings.backends[candidate]
    raise Fault(f"no backend of {settings.path} can do that: each of them {what}")


def with_backend(settings: BackendSettings, action: Callable[[Any], T | Awaitable[T]]) -> T:
    """Open a backend, do something with it, close it.

    Raises ``NoSuchUser``, ``UserExists``, and ``Unusable`` for whatever else a plug-in raises.
    """
    try:
        return _asked(settings, action)
    except (Fault, NoSuchUser, UserExists):
        raise
    except (Exception, SystemExit) as error:
        from ..texts import describe

        raise Unusable(f"backend.{settings.name} cannot be used: {describe(error)}") from None


def with_workers(
    settings: Settings,
    backend: BackendSettings,
    question: Callable[[Guarded], Awaitable[T]],
    show: Callable[[T], int],
) -> int:
    """The status of ``show`` for the answer of an isolated backend, which is asked in its workers as the daemon does."""

    def main(channel: socket.socket | None) -> int:
        import trio

        from ..guard import BackendFailed
        from ..texts import describe

        try:
            answer = trio.run(_answered, backend, question, channel)
        except (Exception, SystemExit) as error:
            answer = BackendFailed(Reason.BACKEND_FAILED, describe(error))
        if isinstance(answer, BackendFailed):
            tell(f"backend.{backend.name} cannot be used: {answer.detail}")
            return Unusable.status
        return show(answer)

    return as_daemon_user(settings, [backend], main)


async def _answered(
    backend: BackendSettings, question: Callable[[Guarded], Awaitable[T]], channel: socket.socket | None
) -> T | BackendFailed:
    from ..assemble import link
    from ..guard import BackendFailed
    from ..health import Health
    from ..process.control import Control

    async with Control.maybe(channel) as control, link(backend, Health(None), control) as opened:
        try:
            return await question(opened.backend)
        except BackendFailed as failure:  # raised from here, it would be in a group
            return failure


def _asked(settings: BackendSettings, action: Callable[[Any], T | Awaitable[T]]) -> T:
    manager = settings.plugin.open(settings.config)
    if isinstance(manager, AbstractContextManager):
        with manager as backend:
            answer = action(backend)
            return _waited(answer) if isinstance(answer, Awaitable) else answer
    return _in_loop(settings, action)


def _waited(answer: Awaitable[T]) -> T:
    import trio

    async def wait() -> T:
        return await answer

    return trio.run(wait)


def _in_loop(settings: BackendSettings, action: Callable[[Any], T | Awaitable[T]]) -> T:
    import trio

    from ..assemble import opened

    async def main() -> T:
        async with opened(settings) as backend:
            answer = action(backend)
            return await answer if isinstance(answer, Awaitable) else answer

    return trio.run(main)
