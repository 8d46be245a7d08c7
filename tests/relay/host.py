"""A next hop of ours in front of one that is scripted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from saslpy.protocols.smtp.addresses import Mailbox
from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.parameters import RcptParameters
from saslpy.protocols.smtp.transaction import Recipient
from saslpy.relay.dial import Bounds
from saslpy.relay.hop import Hop, NextHop, open_hop
from saslpy.relay.outcome import Accepted, Answer, Outcome
from saslpy.relay.pool import Keeping
from saslpy.relay.routes import Route

from ..fakes import list_log
from ..real.sink import ScriptedHop

JOE = Envelope(Mailbox("joe", "example.org"))
CONTENT = b"Subject: x\r\n\r\n.dot\r\nend\r\n"
SOON = Bounds(timeout=5.0, final=5.0)


def to(name: str) -> Recipient:
    return Recipient(Mailbox(name, "example.net"), RcptParameters())


ANN, BEN = to("ann"), to("ben")


async def pieces(*data: bytes) -> AsyncGenerator[bytes, None]:
    for piece in data or (CONTENT,):
        yield piece


@dataclass
class Bench:
    """Starts hops, scripted ones and ours; ``lines`` is what ours have logged."""

    nursery: trio.Nursery
    lines: list[str] = field(default_factory=list)

    async def script(self, **options: Any) -> ScriptedHop:
        hop = ScriptedHop(**options)
        await self.nursery.start(hop.serve)
        return hop

    def hop(
        self,
        *servers: ScriptedHop | str,
        bounds: Bounds = SOON,
        keeping: Keeping = Keeping(),  # noqa: B008
        folder: Path = Path(),
        **keys: Any,
    ) -> NextHop:
        via = tuple(one if isinstance(one, str) else url(one) for one in servers)
        log, self.lines = list_log()
        route = Route(**{"domains": ("*",), "via": via, **keys})
        return open_hop(self.nursery, route, "me.test", log, folder=folder, bounds=bounds, keeping=keeping)


def url(hop: ScriptedHop) -> str:
    scheme = "lmtp:" if hop.lmtp else "smtps://" if hop.implicit else "smtp://"
    return f"{scheme}127.0.0.1:{hop.port}"


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        yield Bench(nursery)
        nursery.cancel_scope.cancel()


async def send(
    hop: NextHop, *recipients: Recipient, envelope: Envelope = JOE, data: bool = False, content: Sequence[bytes] = ()
) -> tuple[list[Answer], list[Outcome]]:
    """The answers to the recipients (ann, where none is named), and the outcomes of those that were accepted."""
    async with hop.begin(envelope) as delivery:
        answers = await delivery.rcpt(*(recipients or (ANN,)), data=data)
        accepted = any(isinstance(one, Accepted) for one in answers)
        if not accepted:
            return answers, []
        async with aclosing(pieces(*content)) as body:
            return answers, await delivery.content(body)


def kinds(results: Sequence[Answer] | Sequence[Outcome]) -> list[str]:
    return [f"{type(one).__name__} {one.reply.code}" for one in results]


def kept(hop: NextHop) -> int:
    """How many connections it keeps."""
    assert isinstance(hop, Hop)
    return len(hop.hosts.pool)
