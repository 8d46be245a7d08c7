"""One SASL exchange: a mechanism's generator, driven by a client's responses on one side and by the core on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from .exchange import MAX_RESPONSE, Bind, Challenge, Client, Done, Flow, MalformedResponse, Mechanism, Step
from .model import Defer, Origin, Reason, Reject, Verdict
from .performing import Performer

if TYPE_CHECKING:
    from .authenticator import Authenticator


class Conversation:
    """``start``, then ``respond`` (or ``bind``) as long as a step is a ``Challenge`` (or a ``Bind``).

    Whoever drives it gives the client as much time as it likes: only our own work has the deadline. Each step goes by the
    rules that are in force when it comes, so a reload drops no exchange. The attempt stands in the audit log when ``Done``
    is returned; one that is cancelled was none.
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
        self._counted = False

    async def start(self, initial: bytes | None = None) -> Step:
        """The first step. ``initial`` is the initial response, None where the client sent none."""
        assert self._flow is None, "started already"
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
        """The client has given up, or has gone: no attempt."""
        if self._flow is not None:
            self._flow.close()
        self._waiting = None

    async def _go(self, value: object, said: bytes) -> Step:
        """Let the mechanism go on until it wants something of the client, or is done."""
        start = trio.current_time()
        self._waiting = None
        if len(said) > MAX_RESPONSE:
            step: Step = Done(Reject(Reason.MALFORMED, detail=f"a response of over {MAX_RESPONSE} bytes"))
        else:
            step = await self._advance(value)
        self._seconds += trio.current_time() - start
        if isinstance(step, Done):
            return await self._end(step, start)
        if isinstance(step, Challenge) and step.verdict is not None:
            await self._count(step.verdict, start)
        self._waiting = type(step)
        return step

    async def _advance(self, value: object) -> Step:
        while True:
            step = self._resume(value)
            if isinstance(step, Challenge | Bind | Done):
                return step
            rules = self._door.rules
            value = await self._door.within(rules, lambda until: self._performer.perform(step, rules, until))  # noqa: B023
            if isinstance(value, Defer):
                return Done(value)

    def _resume(self, value: object) -> Any:
        """The mechanism's next step. It is pure, so what it raises is about what the client has sent."""
        assert self._flow is not None
        try:
            return self._flow.send(value)
        except StopIteration as end:
            return end.value
        except MalformedResponse as fault:
            return Done(Reject(Reason.MALFORMED, detail=str(fault)))

    async def _end(self, done: Done, start: float) -> Done:
        self.cancel()
        if done.attempt and not self._counted:
            await self._count(done.verdict, start)
        return done

    async def _count(self, verdict: Verdict, start: float) -> None:
        """The floor in time for a no, and the audit line: once for an exchange."""
        self._counted = True
        rules = self._door.rules
        rules.pending += 1  # a stop waits for the answer
        try:
            if isinstance(verdict, Reject):
                await trio.sleep_until(start + rules.bounds.min_seconds)
        finally:
            rules.pending -= 1
            self._door.told(self._performer.login, self.origin, verdict, self._seconds)
