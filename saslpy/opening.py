"""Opening a plug-in's backend, and closing it: what blocks does so in a thread, and nothing for ever.

So a reload stops no login, whatever a plug-in does. Async context managers run on the event loop, as their methods do,
and must not block; the deadlines are theirs, too.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from math import inf
from types import TracebackType
from typing import Any, TypeVar

import trio

from .backend import Plugin
from .guard import BackendFailed
from .health import Health
from .model import Reason
from .plugins import PluginError
from .texts import describe

T = TypeVar("T")

OPENING = 10.0
"""Seconds for a backend to open, in this process or in a worker."""

CLOSING = 2.0
"""Seconds for one to close: less than a stop leaves (``supervisor.GRACE``), so that the log hears which one it was."""


@asynccontextmanager
async def opened(plugin: Plugin, config: Any) -> AsyncIterator[Any]:
    """The backend of a plug-in, in this process. Raises what the plug-in raises, ``BackendFailed`` when it is too slow."""
    async with AsyncExitStack() as stack:
        threads = _Threads(plugin, config)
        stack.push_async_callback(threads.leave)
        # of a generator nothing runs yet
        lazy = inspect.isasyncgenfunction(inspect.unwrap(plugin.open))
        manager, backend = (plugin.open(config), None) if lazy else await threads.enter()
        if isinstance(manager, AbstractAsyncContextManager):
            backend = await stack.enter_async_context(_in_time(manager))
        yield backend


class Named:
    """The same with the backend's name: what goes wrong at its opening is a ``PluginError``.

    What goes wrong at its closing is a line in the log; where there is none, and no other error, it is a ``PluginError``.
    """

    def __init__(self, name: str, opened: AbstractAsyncContextManager[Any], health: Health) -> None:
        self._name = name
        self._opened = opened
        self._health = health

    async def __aenter__(self) -> Any:
        try:
            return await self._opened.__aenter__()
        except (Exception, SystemExit) as error:
            raise PluginError(f"backend.{self._name}: cannot be opened: {_words(error)}") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._opened.__aexit__(kind, error, trace)
        except (Exception, SystemExit) as raised:
            if _holds(raised, error):
                raise  # a nursery of the plug-in's has only wrapped it
            if not self._health.closing_failed(self._name, _words(raised)) and error is None:
                raise PluginError(f"backend.{self._name}: cannot be closed: {_words(raised)}") from raised
            return False


def _words(error: BaseException) -> str:
    return error.detail if isinstance(error, BackendFailed) else describe(error)


def _holds(raised: BaseException, error: BaseException | None) -> bool:
    return isinstance(raised, BaseExceptionGroup) and raised.subgroup(lambda one: one is error) is not None


class _Threads:
    """A plain context manager, made, entered and left in threads. One that is entered too late is left at once.

    Its end gets no exception: what ends us is no concern of a plug-in's.
    """

    def __init__(self, plugin: Plugin, config: Any) -> None:
        self._plugin = plugin
        self._config = config
        self._lock = threading.Lock()
        self._left = False
        self._close: Callable[[], object] | None = None

    async def enter(self) -> tuple[AbstractAsyncContextManager[Any] | None, Any]:
        """An async context manager, if that is what the plug-in gives; else None and the backend."""
        return await _in_thread(self._enter, OPENING, f"it was not open in {OPENING:g} s")

    async def leave(self) -> None:
        """Close the backend, now or as soon as it is open. Raises what that raises."""
        with self._lock:
            self._left, close = True, self._close
        if close is not None:
            await _in_thread(close, CLOSING, f"it was not closed in {CLOSING:g} s", shield=True)

    def _enter(self) -> tuple[AbstractAsyncContextManager[Any] | None, Any]:
        manager = self._plugin.open(self._config)
        if isinstance(manager, AbstractAsyncContextManager):
            return manager, None
        stack = ExitStack()
        backend = stack.enter_context(manager)
        with self._lock:
            if not self._left:
                self._close = stack.close
        if self._close is None:
            stack.close()
        return None, backend


async def _in_thread(work: Callable[[], T], seconds: float, late: str, shield: bool = False) -> T:
    """The result of what may block. Raises ``BackendFailed`` with the words ``late`` when it takes longer."""
    with trio.CancelScope(deadline=trio.current_time() + seconds, shield=shield):
        # a limiter of its own: one that hangs for ever keeps no place
        own = trio.CapacityLimiter(1)
        return await trio.to_thread.run_sync(_tame, work, abandon_on_cancel=True, limiter=own)
    raise BackendFailed(Reason.TIMEOUT, late)


def _tame(work: Callable[[], T]) -> T:
    """In a thread, KeyboardInterrupt and the like are the plug-in's own, and must not end the process."""
    try:
        return work()
    except (Exception, SystemExit):
        raise
    except BaseException as error:
        raise RuntimeError(f"it raised {type(error).__name__}") from error


@asynccontextmanager
async def _in_time(manager: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """The same manager with the deadlines, but for what it shields."""
    late = f"it was not open in {OPENING:g} s"
    with trio.CancelScope(deadline=trio.current_time() + OPENING) as scope:
        async with manager as backend:
            scope.deadline = inf
            try:
                yield backend
            finally:
                late = f"it was not closed in {CLOSING:g} s"
                scope.deadline = trio.current_time() + CLOSING
    if scope.cancelled_caught:
        raise BackendFailed(Reason.TIMEOUT, late)
