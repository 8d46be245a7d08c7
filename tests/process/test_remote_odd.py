"""Backend workers that say odd things, or nothing, when they are started: ended, told, and no harm to anybody else."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from saslpy.guard import BackendFailed
from saslpy.process import wire
from saslpy.process.link import Link
from saslpy.process.remote import Remote

ODD = {
    "no msgpack": b"\xc1garbage",
    "too deep": b"\x91" * 150_000,
    "not UTF-8": b"\x91\xa2\xff\xfe",
    "a number": wire.encode(1),
    "an ability that nobody knows": wire.encode(["can", "lookup", "fly"]),
    "an ability that is no name": wire.encode(["can", ["lookup"]]),
    "no reason": wire.encode(["cannot", 1]),
}


async def opened(packet: bytes | None) -> tuple[str, list[str]]:
    """Why a worker could not be used that begins with a packet, and why it was killed."""
    ended: list[str] = []
    ours, theirs = wire.pair()
    with ours, theirs:
        if packet is not None:
            theirs.send(packet)

        async def start() -> Link:
            return Link(ours, ended.append)

        with pytest.raises(BackendFailed) as caught:
            async with Remote.opened(start, 1):
                raise AssertionError
    return caught.value.detail, ended


@pytest.mark.parametrize("case", ODD)
async def test_a_worker_that_begins_with_odd_words_is_ended(case: str) -> None:
    detail, ended = await opened(ODD[case])
    assert detail.startswith("its worker process did not start: ")
    assert len(ended) == 1


async def test_one_that_says_why_it_cannot_ends_by_itself() -> None:
    assert await opened(wire.encode(["cannot", "the moon is wrong"])) == ("the moon is wrong", [])


async def test_one_that_hangs_is_ended(autojump_clock: trio.testing.MockClock) -> None:
    detail, ended = await opened(None)
    assert "did not start in 10 s" in detail
    assert ended == ["did not open its backend in time"]
