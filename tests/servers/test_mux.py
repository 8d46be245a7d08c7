"""The mux server over real unix sockets, in this process; fakes stand behind the door."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy.authenticator import Bounds
from saslpy.protocols.saslauthd import encode_request
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.claiming import ListenError
from saslpy.servers.saslauthd import MuxOptions, MuxServer
from saslpy.servers.sockets import TcpPlace, UnixPlace, listening

from ..doors import door_before
from ..fakes import Broken, Slow, Users
from ..real.saslpy import folder
from . import fronts
from .fronts import read_all

JOE = encode_request(b"joe", b"secret", b"smtp", b"example.org")
OK, NO, HANG_UP = b"\0\2OK", b"\0\x18NO authentication failed", b""


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        yield path / "mux"


class Front(fronts.Front):
    """A running mux server."""

    def __init__(self, path: Path, loop: AcceptLoop[Any], lines: list[str]) -> None:
        super().__init__(path, lines)
        self.loop = loop

    ask = fronts.Front.say


@asynccontextmanager
async def front(
    path: Path, *backends: Any, bounds: Bounds | None = None, most: int = 100, timeout: float = 3.0, **options: Any
) -> AsyncIterator[Front]:
    async with door_before(*backends, bounds=bounds, timeout=timeout) as at:
        with listening(UnixPlace(path)) as sock:
            loop = AcceptLoop("mux", sock, MuxServer(at.door, MuxOptions(**options), at.log), most, at.log)
            at.nursery.start_soon(loop.run, at.nursery)
            yield Front(path, loop, at.lines)


STORE = {"joe@example.org": "{PLAIN}secret"}


async def test_the_three_answers(place: Path) -> None:
    async with front(place, Users(STORE)) as mux:
        assert await mux.ask(JOE) == OK
        assert await mux.ask(encode_request(b"joe@example.org", b"secret")) == OK
        assert await mux.ask(encode_request(b"joe", b"wrong", b"", b"example.org")) == NO
        assert await mux.ask(encode_request(b"nobody", b"secret")) == NO
    async with front(place, Broken()) as mux:
        assert await mux.ask(JOE) == HANG_UP
    async with front(place, Broken(), temporary_failure="code") as mux:
        assert (await mux.ask(JOE))[2:].startswith(b"TEMPFAIL")


async def test_a_slow_store_is_a_hang_up_in_time(place: Path) -> None:
    async with front(place, Slow(), timeout=0.05) as mux:
        with trio.fail_after(2):
            assert await mux.ask(JOE) == HANG_UP
        assert "reason=timeout" in mux.lines[-1]


async def test_a_doubt_outweighs_a_no_and_a_yes_outweighs_a_doubt(place: Path) -> None:
    async with front(place, Broken(), Users(STORE)) as mux:
        assert await mux.ask(JOE) == OK
        assert await mux.ask(encode_request(b"joe@example.org", b"wrong")) == HANG_UP
        assert await mux.ask(encode_request(b"nobody", b"secret")) == HANG_UP


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x"), ExceptionGroup("two", [OSError(), ValueError()])])
async def test_whatever_a_backend_raises_is_a_hang_up(place: Path, error: BaseException) -> None:
    def make() -> BaseException:
        return error

    async with front(place, Broken(make)) as mux:
        assert await mux.ask(JOE) == HANG_UP
        assert [line.split("event=")[1].split()[0] for line in mux.lines] == ["backend-down", "login"]


async def test_byte_by_byte_and_field_by_field(place: Path) -> None:
    async with front(place, Users(STORE)) as mux:
        assert await mux.ask(*[JOE[i : i + 1] for i in range(len(JOE))]) == OK
        assert await mux.ask(b"\0\3joe", b"\0\6secret", b"\0\4smtp", b"\0\x0bexample.org") == OK


async def test_the_fifth_field_and_the_caller_are_in_the_audit_line(place: Path) -> None:
    async with front(place, Users(STORE)) as mux:
        request = encode_request(b"joe", b"secret", b"smtp", b"example.org", b"192.0.2.7;1234")
        assert await mux.ask(request) == OK
        assert "client=192.0.2.7 " in mux.lines[0]
        assert f"caller={os.getpid()}:{os.getuid()} " in mux.lines[0]


async def test_what_is_never_asked(place: Path) -> None:
    users = Users(STORE)
    async with front(place, users) as mux:
        for request in (
            encode_request(b"", b"secret"),
            encode_request(b"joe@example.org", b""),
            encode_request(b"joe@example.org\0zz", b"secret"),
            encode_request(b"joe@example.org", b"secret\0zz"),
            encode_request(b"joe@example.org ", b"secret"),
            encode_request(b"j\xffoe", b"secret"),
        ):
            assert await mux.ask(request) == NO
    assert users.asked == []


async def test_garbage_ends_its_connection_and_nothing_else(place: Path) -> None:
    async with front(place, Users(STORE)) as mux:
        assert (await mux.ask(b"GET / HTTP/1.1\r\n\r\n"))[2:].startswith(b"NO field 1 has 18245 bytes")
        assert await mux.ask(b"\0", end=True) == HANG_UP
        assert await mux.ask(b"", end=True) == HANG_UP
        assert await mux.ask(JOE[:-1], end=True) == HANG_UP
        assert await mux.ask(JOE) == OK
    assert sum("event=protocol-error" in line for line in mux.lines) == 1, "told at most once a second"
    assert not any("HTTP" in line for line in mux.lines)


async def test_too_long_is_told_though_more_is_being_sent(place: Path) -> None:
    async with front(place, Users(STORE)) as mux, await mux.connect() as stream:
        await stream.send_all(b"\0\3joe\xff\xff" + b"x" * 60_000)
        assert b"NO field 2 has 65535 bytes" in await read_all(stream)


async def test_a_silent_caller_is_hung_up(place: Path) -> None:
    async with front(place, Users(STORE), read_timeout=0.05) as mux:
        async with await mux.connect() as stream:
            assert await read_all(stream) == HANG_UP
        assert mux.lines == []
        assert await mux.ask(b"\0\3jo") == HANG_UP
        assert "half a request" in mux.lines[0]


async def test_idle_connections_and_logins_do_not_disturb_each_other(place: Path) -> None:
    async with front(place, Users(STORE), most=1000) as mux:
        idle = [await mux.connect() for _ in range(300)]
        answers: list[bytes] = []

        async def one() -> None:
            answers.append(await mux.ask(JOE))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(64):
                    nursery.start_soon(one)
        assert answers == [OK] * 64
        for stream in idle[:10]:
            await stream.send_all(JOE)
            assert await read_all(stream) == OK
        for stream in idle:
            await stream.aclose()


async def test_too_many_connections_are_hung_up_and_told(place: Path) -> None:
    async with front(place, Users(STORE), most=3) as mux:
        idle = [await mux.connect() for _ in range(3)]
        await trio.sleep(0.05)
        assert await mux.ask(b"") == HANG_UP
        assert any("too-many-connections" in line for line in mux.lines)
        for stream in idle:
            await stream.aclose()
        await trio.sleep(0.05)
        assert await mux.ask(JOE) == OK


async def test_too_many_requests_are_deferred_at_once(place: Path) -> None:
    async with front(place, Slow(), bounds=Bounds(min_seconds=0.0, pending=2)) as mux, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(mux.ask, JOE)
        await trio.sleep(0.1)
        with trio.fail_after(1):
            assert await mux.ask(JOE) == HANG_UP
        assert "reason=overload" in mux.lines[-1]
        nursery.cancel_scope.cancel()


async def test_a_refusal_takes_its_time(place: Path) -> None:
    async with front(place, Users(STORE), bounds=Bounds(min_seconds=0.2)) as mux:
        for request, least in ((encode_request(b"nobody", b"x"), 0.2), (encode_request(b"", b""), 0.2), (JOE, 0.0)):
            start = trio.current_time()
            await mux.ask(request)
            assert trio.current_time() - start >= least


def test_a_stale_socket_is_replaced_and_a_live_one_respected(place: Path) -> None:
    with listening(UnixPlace(place)):
        with pytest.raises(ListenError, match="another process listens there"), listening(UnixPlace(place)):
            pass
        assert place.exists()
    assert not place.exists()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(place))
    stale.close()
    with listening(UnixPlace(place, 0o600)):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_what_is_no_socket_is_left_alone(place: Path) -> None:
    place.write_text("precious")
    with pytest.raises(ListenError, match="is no socket"), listening(UnixPlace(place)):
        pass
    assert place.read_text() == "precious"


def test_missing_folders_are_made_and_faults_are_told(place: Path) -> None:
    deep = place.parent / "a" / "b" / "mux"
    with listening(UnixPlace(deep)):
        assert deep.exists()
    with (
        pytest.raises(ListenError, match="there is no user 'nobody-here'"),
        listening(UnixPlace(place, owner="nobody-here")),
    ):
        pass
    with listening(TcpPlace("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with (
            pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}"),
            listening(TcpPlace("127.0.0.1", port)),
        ):
            pass
