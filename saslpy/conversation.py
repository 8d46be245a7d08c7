"""One SASL exchange: a mechanism's generator, driven by a client's responses on one side and by the core on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from .exchange import (
    MAX_RESPONSE,
    Bind,
    Challenge,
    Client,
    Done,
    Flow,
    LookupScram,
    MalformedResponse,
    Mechanism,
    ScramCandidate,
    Step,
)
from .model import Defer, Origin, Reason, Reject, Verdict
from .performing import Performer

if TYPE_CHECKING:
    from .authenticator import Authenticator

CUT_SHORT = Defer(Reason.SHUTDOWN, detail="given up before there was an answer")
"""Of a password that was being checked when we had to stop, or whoever asked had gone."""


class Conversation:
    """``start``, then ``respond`` (or ``bind``) as long as a step is a ``Challenge`` (or a ``Bind``).

    Whoever drives it gives the client as much time as it likes: only our own work has the deadline. Each step goes by the
    rules that are in force when it comes, so a reload drops no exchange; but one that begins with a mechanism that the
    configuration does not have (any more) is refused. The attempt stands in the audit log when ``Done`` is returned, and
    also when the task is cancelled while a password is checked.
    """

    def __init__(self, mechanism: Mechanism, origin: Origin, door: Authenticator, plus_offered: bool = False) -> None:
        self.mechanism = mechanism
        self.origin = origin
        self._door = door
        self._plus_offered = plus_offered
        self._performer = Performer(origin)
        self._flow: Flow | None = None
        self._waiting: type[Challenge] | type[Bind] | None = None
        self._seconds = 0.0  # of our work
        self._tried = False  # a password or a proof of it is being checked, or was
        self._counted = False

    async def start(self, initial: bytes | None = None) -> Step:
        """The first step. ``initial`` is the initial response, None where the client sent none."""
        assert self._flow is None, "started already"
        if not self._door.rules.lists(self.mechanism.name):
            refused = Reject(Reason.SERVICE_DENIED, detail="the configuration does not have this mechanism any more")
            return await self._end(Done(refused), trio.current_time())
        self._flow = self.mechanism.run(Client(initial, self.origin.certificate, self._plus_offered))
        return await self._go(None, initial or b"")

    async def respond(self, response: bytes) -> Step:
        """The next step, after a ``Challenge``."""
        assert self._waiting is Challenge, "no response is waited for"
        return await self._go(response, response)

    async def bind(self, data: bytes | None) -> Step:
        """The next step, after a ``Bind``: the channel-binding data, None where there is none of that type."""
        assert self._waiting is Bind, "no channel-binding data is waited for"
        return await self._go(data, data or b"")

    @property
    def given(self) -> str:
        """The name that the client gave; empty before it has."""
        return self._performer.login.given

    def cancel(self) -> None:
        """The client has given up, or has gone, when it was its turn: no attempt. What is being checked is still told."""
        if self._waiting is not None:
            self._close()

    def _close(self) -> None:
        self._waiting = None
        if self._flow is not None:
            self._flow.close()

    async def _go(self, value: object, said: bytes) -> Step:
        """Let the mechanism go on until it wants something of the client, or is done."""
        start = trio.current_time()
        self._waiting = None
        if len(said) > MAX_RESPONSE:
            step: Step = _malformed(f"a response of over {MAX_RESPONSE} bytes")
        else:
            step = await self._watched(value, start)
        self._seconds += trio.current_time() - start
        if isinstance(step, Done):
            return await self._end(step, start)
        if isinstance(step, Challenge) and step.verdict is not None:
            await self._count(step.verdict, start)
        self._waiting = type(step)
        return step

    async def _watched(self, value: object, start: float) -> Step:
        """``_advance``; when it is cancelled, what was tried does not go untold."""
        step: Step | None = None
        try:
            step = await self._advance(value, start)
        finally:
            if step is None and self._tried and not self._counted:
                self._tell(CUT_SHORT, self._seconds + trio.current_time() - start)
        return step

    async def _advance(self, value: object, start: float) -> Step:
        while True:
            step = self._resume(value)
            if isinstance(step, Challenge | Bind | Done):
                return step
            rules = self._door.rules
            self._tried = not isinstance(step, LookupScram)
            value = await self._door.within(rules, lambda until: self._performer.perform(step, rules, until))  # noqa: B023
            if isinstance(value, Defer):
                return Done(value)
            if isinstance(value, ScramCandidate) and value.telling:
                await rules.floor(start)

    def _resume(self, value: object) -> Any:
        """The mechanism's next step. It is pure, so what it raises is about what the client has sent."""
        assert self._flow is not None
        try:
            return self._flow.send(value)
        except StopIteration as end:
            return end.value
        except MalformedResponse as fault:
            return _malformed(str(fault))

    async def _end(self, done: Done, start: float) -> Done:
        self._close()
        if done.attempt and not self._counted:
            await self._count(done.verdict, start)
        return done

    async def _count(self, verdict: Verdict, start: float) -> None:
        """The floor in time for a no, and the audit line: once for an exchange."""
        try:
            if isinstance(verdict, Reject):
                await self._door.rules.floor(start)
        finally:
            self._tell(verdict, self._seconds)

    def _tell(self, verdict: Verdict, seconds: float) -> None:
        self._counted = True
        self._door.told(self._performer.login, self.origin, verdict, seconds)


def _malformed(detail: str) -> Done:
    return Done(Reject(Reason.MALFORMED, detail=detail), malformed=True)
