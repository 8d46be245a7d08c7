"""The auth process's end of its channel: nothing is lost when the supervisor does not read, or no descriptor is left."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy.process import control as module
from saslpy.process import wire
from saslpy.process.channel import Channel
from saslpy.process.control import Control, Message
from saslpy.process.handover import NotHandedOver, packed, unpacked
from saslpy.servers.sockets import Place, UnixPlace
from saslpy.settings import Settings, from_table


class Supervisor:
    """Its end of the channel, as the test plays it."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        end.setblocking(False)

    async def told(self) -> list[Any]:
        """The next packet."""
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(self.end)
        words: list[Any] = wire.decode(self.end.recv(wire.MAX_PACKET))
        return words

    def tell(self, words: list[Any], *files: int) -> None:
        socket.send_fds(self.end, [wire.encode(words)], files)


@asynccontextmanager
async def channel() -> AsyncIterator[tuple[Control, socket.socket, Supervisor]]:
    ours, theirs = wire.pair()
    with ours, theirs:
        async with Control.over(ours) as control:
            yield control, ours, Supervisor(theirs)


@contextmanager
def no_file_left() -> Iterator[None]:
    """This process can open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def fill(end: socket.socket) -> int:
    """Send until nothing more is taken; how many packets that were."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            end.send(wire.encode(["filling"]))
            count += 1
    return count


async def test_what_nobody_says_again_waits_until_the_supervisor_reads() -> None:
    async with channel() as (control, ours, supervisor):
        link = await _started(control, supervisor)
        filling = fill(ours)
        control.ready()
        control.adopted()
        link.end("it says odd things")
        control.refused("no")
        await trio.sleep(0.05)
        for _ in range(filling):
            assert await supervisor.told() == ["filling"]
        told = [await supervisor.told() for _ in range(4)]
        assert told == [["ready"], ["adopted"], ["end", 7, "it says odd things"], ["refused", "no"]]
        control.refused("a folder \udcff" + "x" * 10**6)  # and it goes on at once
        assert (await supervisor.told())[1].startswith("a folder ?x")
        control.adopted()
        assert await supervisor.told() == ["adopted"]
        link.close()


async def test_who_asks_while_the_supervisor_does_not_read_is_answered_in_the_end() -> None:
    async with channel() as (control, ours, supervisor), trio.open_nursery() as nursery:
        filling = fill(ours)
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await control.processes())

        nursery.start_soon(ask)
        await trio.sleep(0.02)
        for _ in range(filling):
            await supervisor.told()
        (word, number) = await supervisor.told()
        supervisor.tell([word, number, [["auth", 1, 0.5]]])
        await trio.sleep(0.02)
        assert answers == [[["auth", 1, 0.5]]]


async def test_a_supervisor_that_is_gone_is_no_reason_to_wait() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with channel() as (control, ours, supervisor):
            fill(ours)
            control.adopted()
            supervisor.end.close()
            with trio.fail_after(5):
                await trio.sleep_forever()
    assert caught.group_contains(EOFError)


async def test_a_worker_whose_channel_did_not_come_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN", 0.01)
    async with channel() as (control, _ours, supervisor), trio.open_nursery() as nursery:
        one, two = wire.pair()
        with one, two:

            async def play() -> None:
                _start, number, _role = await supervisor.told()
                with no_file_left():
                    supervisor.tell(["started", number, 7], one.fileno())
                    await trio.sleep(0.02)
                _start, number, _role = await supervisor.told()
                supervisor.tell(["started", number, 8], one.fileno())

            nursery.start_soon(play)
            with trio.fail_after(5), await control.start("hash") as link:
                link.send(b"x")
                assert two.recv(10) == b"x"
                assert not os.get_inheritable(link.socket.fileno())


async def _started(control: Control, supervisor: Supervisor) -> Any:
    links: list[Any] = []
    one, two = wire.pair()
    with one, two:
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                links.append(await control.start("hash"))

            nursery.start_soon(start)
            _start, number, role = await supervisor.told()
            assert role == "hash"
            supervisor.tell(["started", number, 7], one.fileno())
    return links[0]


# --- a new configuration


def settings(folder: Path) -> Settings:
    table = {
        "auth": {"chain": ["it"]},
        "backend": {"it": {"type": "static", "users": {}}},
        "listen": [{"protocol": "saslauthd", "path": "mux"}],
    }
    return from_table(table, folder / "saslpy.toml")


def places(count: int) -> list[Place]:
    return [UnixPlace(Path(f"/nowhere/{number}"), 0o600) for number in range(count)]


def came(file: int, count: int, cut: bool = False) -> Message:
    return Message(["adopt"], [file, *(socket.socket(socket.AF_UNIX).detach() for _ in range(count))], cut)


def test_a_configuration_with_its_sockets(tmp_path: Path) -> None:
    message = came(packed(settings(tmp_path), places(2)), 2)
    given, sockets = unpacked(message)
    assert given == settings(tmp_path)
    assert list(sockets) == places(2)
    assert [sock.fileno() for sock in sockets.values()] == message.files[1:]
    for sock in sockets.values():
        sock.close()
    assert not is_open(message.files[0])


@pytest.mark.parametrize(("come", "cut"), [(1, False), (3, False), (1, True), (2, True)])
def test_one_that_did_not_come_whole_is_refused_and_closed(tmp_path: Path, come: int, cut: bool) -> None:
    message = came(packed(settings(tmp_path), places(2)), come, cut)
    with pytest.raises(NotHandedOver, match="files are open" if cut else "2 sockets were to come"):
        unpacked(message)
    assert not any(map(is_open, message.files))


def test_one_of_which_nothing_came_is_refused() -> None:
    with pytest.raises(NotHandedOver):
        unpacked(Message(["adopt"], [], True))


def test_one_that_cannot_be_loaded_is_closed() -> None:
    message = came(os.memfd_create("garbage"), 2)
    with pytest.raises(EOFError):
        unpacked(message)
    assert not any(map(is_open, message.files))


def is_open(file: int) -> bool:
    with suppress(OSError):
        os.fstat(file)
        return True
    return False


# --- the supervisor's end


def test_what_a_process_said_is_heard_though_it_ended_with_something_unread() -> None:
    """Linux tells of the unread bytes (ECONNRESET) before it hands out what was sent to us."""
    ours, theirs = wire.pair()
    with ours:
        end = Channel(ours)
        theirs.send(b"ready")
        end.send(["ping"])
        theirs.close()
        assert end.receive() == b"ready"
        assert end.receive() == b""
