"""The submission workers, as the auth process sees them: so many of each configuration, started again when they end.

A reload starts a crew of its own. Only when the first of it is ready the configuration is taken, and then the crew of the
one before retires: its connections go on, and their questions are answered, until they end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from ..authenticator import Authenticator
from ..mechanism_names import MECHANISMS
from ..observe.log import Log
from ..plugins import PluginError
from ..settings import Settings
from ..submission.crowd import Crowd
from ..submission.door import LocalDoor
from ..submission.limits import Counters, Limits
from .control import Control
from .counting import Counting, steady_clock
from .doors import Doors
from .link import Link, OddAnswer, WorkerEnded
from .roles import SUBMISSION, key_of

STARTING = 15.0
"""Seconds for a worker to be ready; then it is ended. Less than a reload may take (``auth.ADOPTING``)."""

AT_START = 5.0
"""Seconds that the daemon's own readiness waits for the first of them. All other sockets are served in any case."""

REST = 1.0
"""Seconds before one is started after one that had to be ended, or cannot work."""

RETIRING = 4
"""Times as many workers as are wanted may be retiring; of more, the oldest must end within ``drain_seconds``."""

STATUS = 1.0
"""Seconds for the workers to say how they are; else what they have said last stands."""


class NotStarted(PluginError):
    """The workers of a configuration do not start; the message says why."""


class Crew:
    """The workers of one configuration. ``go``: they may begin; ``met``: the first is ready, or cannot be (``fault``)."""

    def __init__(self, settings: Settings) -> None:
        assert settings.submission is not None
        self.key = key_of(SUBMISSION, settings.generation)
        self.workers = settings.submission.workers
        self.members: list[Doors] = []
        self.go = trio.Event()
        self.met = trio.Event()
        self.fault = ""
        self.over = False
        self._waits: set[trio.CancelScope] = set()

    @contextmanager
    def unless_over(self) -> Iterator[None]:
        """The block is left when no more are to be started."""
        scope = trio.CancelScope()
        if self.over:
            scope.cancel()
        self._waits.add(scope)
        try:
            with scope:
                yield
        finally:
            self._waits.discard(scope)

    def end(self) -> None:
        """No more are started."""
        self.over = True
        self.go.set()  # whoever waits for it sees that it is over
        for scope in self._waits:
            scope.cancel()


class Submissions:
    """Keeps them running, as long as ``nursery`` lives."""

    def __init__(
        self, control: Control, nursery: trio.Nursery, authenticator: Authenticator, state: Path, log: Log
    ) -> None:
        self._control = control
        self._nursery = nursery
        self._counters = Counters(Limits())
        clock = steady_clock()
        self._door = LocalDoor(authenticator, self._counters, clock)
        self._counting = Counting(self._counters, state, log, clock)
        self._crowd = Crowd()
        self._log = log
        self._crew: Crew | None = None
        self._retiring: list[Doors] = []
        self._alive: set[Doors] = set()

    async def begin(self) -> None:
        """Go on with the counts of the last process; from now on they are kept."""
        await self._counting.read()
        self._nursery.start_soon(self._counting.run)

    async def finish(self) -> None:
        """All have ended: keep the counts."""
        await self._counting.finish()

    @property
    def alive(self) -> int:
        """Workers that have not ended yet."""
        return len(self._alive)

    # --- which there are to be

    async def prepare(self, settings: Settings, must: bool) -> Crew | None:
        """A crew that could begin, if the configuration wants one. Raises ``NotStarted`` where it ``must`` be able to.

        Where it need not, nobody waits for long: it may be able to later.
        """
        if not any(listen.in_workers for listen in settings.listen):
            return None
        crew = Crew(settings)
        for _ in range(crew.workers):
            self._nursery.start_soon(self._keep, crew)
        try:
            with trio.move_on_after(STARTING if must else AT_START):
                await crew.met.wait()
            if must and (crew.fault or not crew.met.is_set()):
                raise NotStarted(f"submission: {crew.fault or 'no worker was ready in time'}")
        except BaseException:
            self._dismiss(crew)
            raise
        return crew

    def commit(self, crew: Crew | None, settings: Settings) -> None:
        """This crew serves from now on; None: nobody does. The one before retires."""
        self._counting.folder = settings.daemon.state_dir
        if settings.submission is not None:
            self._counters.limits = settings.submission.limits.of_login
            self._counters.others = {one.login: one.of_login for one in settings.submission.legacy}
        for doors in self._alive:
            doors.offer(self._offers())
        before, self._crew = self._crew, crew
        if before is not None:
            self._retire(before, settings.daemon.drain_seconds)
        if crew is not None:
            crew.go.set()

    def _retire(self, crew: Crew, seconds: float) -> None:
        crew.end()
        for doors in crew.members:
            doors.retire()
        self._retiring = [doors for doors in (*self._retiring, *crew.members) if doors in self._alive]
        for doors in self._retiring[: -RETIRING * crew.workers]:
            doors.drain(seconds)

    def _dismiss(self, crew: Crew) -> None:
        """It is not wanted after all, and has not begun."""
        crew.end()
        for doors in crew.members:
            doors.drain(0.0)

    def drain(self, seconds: float) -> None:
        """All are to end within this time."""
        if self._crew is not None:
            self._crew.end()
        for doors in self._alive:
            doors.drain(seconds)

    # --- keeping one of them

    async def _keep(self, crew: Crew) -> None:
        """One worker after another."""
        while not crew.over:
            link: Link | None = None
            with crew.unless_over():
                link = await self._control.start(crew.key)
            if link is None:
                return
            with link:
                if await self._live(crew, Doors(link, self._door, self._crowd, self._log)):
                    with crew.unless_over():
                        await trio.sleep(REST)

    async def _live(self, crew: Crew, doors: Doors) -> bool:
        """With one worker to its end. Whether to rest before the next."""
        try:
            return await self._serve(crew, doors)
        except OddAnswer as odd:
            doors.link.end(str(odd))
            return True
        except WorkerEnded:
            return False
        finally:
            self._alive.discard(doors)
            if doors in crew.members:
                crew.members.remove(doors)

    async def _serve(self, crew: Crew, doors: Doors) -> bool:
        with trio.move_on_after(STARTING) as scope:
            crew.fault = await doors.hello()
        if scope.cancelled_caught:
            raise OddAnswer("was not ready in time")
        crew.met.set()
        if crew.fault or crew.over:
            return bool(crew.fault)
        crew.members.append(doors)
        self._alive.add(doors)
        await crew.go.wait()
        if not crew.over:
            doors.offer(self._offers(), go=True)
        await doors.serve()
        return False

    def _offers(self) -> tuple[str, ...]:
        return self._door.offered(MECHANISMS)

    # --- how they are

    async def status(self) -> list[dict[str, Any]]:
        """Each of them, as plain values."""
        alive = sorted(self._alive, key=lambda doors: doors.began)
        with trio.move_on_after(STATUS):
            async with trio.open_nursery() as nursery:
                for doors in alive:
                    nursery.start_soon(doors.asked)
        return [_status(doors) for doors in alive]


def _status(doors: Doors) -> dict[str, Any]:
    return {
        "pid": doors.link.pid,
        "state": "leaving" if doors.leaving else "serving",
        "open": sum(one.open for one in doors.counts.listeners),
        "messages": doors.counts.messages,
        "listeners": [
            {"listen": one.listen, "open": one.open, "refused": one.refused} for one in doors.counts.listeners
        ],
    }
