"""Opening and closing a backend: the event loop goes on whatever a plug-in does, and nothing waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio

from saslpy import opening
from saslpy.assemble import link
from saslpy.backend import Plugin
from saslpy.guard import BackendFailed
from saslpy.health import Health
from saslpy.opening import opened
from saslpy.plugins import PluginError
from saslpy.settings import BackendOptions, BackendSettings

from .fakes import list_log


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPENING", 0.4)
    monkeypatch.setattr(opening, "CLOSING", 0.4)


class Backend:
    """Tells where its life goes on. ``at_open`` and ``at_close`` run there."""

    def __init__(self, at_open: Callable[[], object] = str, at_close: Callable[[], object] = str) -> None:
        self.at_open = at_open
        self.at_close = at_close
        self.threads: list[threading.Thread] = []
        self.closed = threading.Event()

    async def lookup(self, login: object) -> None:
        return

    @property
    def plugin(self) -> Plugin:
        return Plugin(object, self._open)

    @property
    def settings(self) -> BackendSettings:
        return BackendSettings("it", BackendOptions(type="it"), self.plugin, None)

    @contextmanager
    def _open(self, config: object) -> Iterator[Backend]:
        self.threads.append(threading.current_thread())
        self.at_open()
        yield self
        self.threads.append(threading.current_thread())
        self.at_close()
        self.closed.set()

    def __enter__(self) -> Backend:  # never entered: what was opened is the backend, whatever it can do
        raise AssertionError

    def __exit__(self, *_: object) -> None:
        raise AssertionError


class Async(Backend):
    """The same on the event loop; ``at_open`` and ``at_close`` are awaited."""

    @property
    def plugin(self) -> Plugin:
        return Plugin(object, self._aopen)

    @asynccontextmanager
    async def _aopen(self, config: object) -> AsyncIterator[Backend]:
        await trio.sleep(_seconds(self.at_open()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            yield self
            nursery.cancel_scope.cancel()
        await trio.sleep(_seconds(self.at_close()))
        self.closed.set()


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def slowly(seconds: float) -> Callable[[], object]:
    return lambda: time.sleep(seconds)


def failing(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


@asynccontextmanager
async def going_on() -> AsyncIterator[None]:
    """The event loop does not stop meanwhile."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await trio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()
    assert longest < 0.25, longest


async def test_it_is_opened_and_closed_in_threads() -> None:
    backend = Backend(slowly(0.3), slowly(0.3))
    async with going_on(), opened(backend.plugin, None) as found:
        assert found is backend
    assert backend.closed.is_set()
    assert threading.main_thread() not in backend.threads


async def test_a_function_that_gives_a_manager_may_block_too() -> None:
    def open_slowly(config: object) -> Any:
        time.sleep(0.3)
        return Async().plugin.open(config)

    async with going_on(), opened(Plugin(object, open_slowly), None) as found:
        assert isinstance(found, Async)


async def test_one_that_does_not_open_in_time_is_given_up_and_closed_once_it_is_open() -> None:
    backend = Backend(slowly(0.8))
    async with going_on():
        with pytest.raises(PluginError, match=r"backend.it: cannot be opened: it was not open in 0.4 s"):
            async with link(backend.settings, Health(None)):
                raise AssertionError
    assert not backend.closed.is_set()
    assert await trio.to_thread.run_sync(backend.closed.wait, 5)


async def test_one_that_nobody_waits_for_any_more_is_closed() -> None:
    backend = Backend(slowly(0.05))
    with trio.move_on_after(0.02):
        async with opened(backend.plugin, None):
            raise AssertionError
    assert await trio.to_thread.run_sync(backend.closed.wait, 5)


@pytest.mark.parametrize("error", [OSError("the moon is wrong"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_what_it_raises_is_told_with_its_name(error: BaseException) -> None:
    with pytest.raises(PluginError, match=f"backend.it: cannot be opened: .*{type(error).__name__}"):
        async with link(Backend(failing(error)).settings, Health(None)):
            raise AssertionError


@pytest.mark.parametrize("kind", [Backend, Async])
async def test_its_closing_fails(kind: type[Backend]) -> None:
    backend = kind(at_close=failing(ValueError("the sun, too")))
    with pytest.raises(PluginError, match=r"backend.it: cannot be closed: .*ValueError"):
        async with link(backend.settings, Health(None)):
            pass
    log, lines = list_log()
    async with link(backend.settings, Health(log)):
        pass
    assert "event=close-failed backend=it detail=" in lines[0]


@pytest.mark.parametrize("kind", [Backend, Async])
async def test_its_closing_hides_no_other_error(kind: type[Backend]) -> None:
    backend = kind(at_close=failing(ValueError("the sun, too")))
    with pytest.raises((LookupError, BaseExceptionGroup)) as caught:
        async with link(backend.settings, Health(None)):
            raise LookupError("another")
    assert caught.group_contains(LookupError) if isinstance(caught.value, BaseExceptionGroup) else True
    with trio.move_on_after(0.01) as scope:
        async with link(backend.settings, Health(list_log()[0])):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_it_does_not_close_in_time() -> None:
    log, lines = list_log()
    done = threading.Event()
    backend = Backend(at_close=lambda: done.wait(5))
    start = time.monotonic()
    async with going_on(), link(backend.settings, Health(log)):
        pass
    assert time.monotonic() - start < 3
    assert 'backend=it detail="it was not closed in 0.4 s"' in lines[0]
    done.set()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_it_is_closed_when_we_are_cancelled(cancelled: bool) -> None:
    backend = Backend(at_close=slowly(0.02))
    with trio.CancelScope() as scope:
        async with opened(backend.plugin, None):
            if cancelled:
                scope.cancel()
            await trio.lowlevel.checkpoint()
    assert backend.closed.is_set()


async def test_the_deadlines_are_those_of_async_ones_too() -> None:
    with pytest.raises(BackendFailed, match=r"not open in 0.4 s"):
        async with opened(Async(at_open=lambda: 60).plugin, None):
            raise AssertionError
    with pytest.raises(BackendFailed, match=r"not closed in 0.4 s"):
        async with opened(Async(at_close=lambda: 60).plugin, None):
            await trio.sleep(0.5)  # as long as it lives, it has no deadline
