"""HTTP to the byte: what is sent, and every way in which an answer may come, be odd, or fail to come."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MemoryReceiveStream, MemorySendStream

from saslpy_oauth.endpoint import Fault
from saslpy_oauth.http import MAX_BODY, MAX_HEAD, Answer, Connection, Gone

HEADERS = (("Host", "idp.example.org"), ("Authorization", "Basic eDp5"))
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Type: application/json\r\n\r\n{"active":false}'


class Server:
    """The other end, in memory: takes what is sent, and has said already what it answers."""

    def __init__(self, *pieces: bytes, stays: bool = False) -> None:
        self.says = MemoryReceiveStream()
        self._heard = MemorySendStream()
        for piece in pieces:
            self.says.put_data(piece)
        if not stays:
            self.says.put_eof()
        stream = trio.StapledStream(self._heard, self.says)
        self.connection = Connection(stream, None, "")  # type: ignore[arg-type]

    def heard(self) -> bytes:
        """What has come in."""
        return bytes(self._heard.get_data_nowait())


async def asked(*pieces: bytes, stays: bool = False) -> Answer:
    return await Server(*pieces, stays=stays).connection.post("/a?b", HEADERS, b"token=x")


async def fault(*pieces: bytes) -> str:
    """That it is no answer, whole or byte by byte; why."""
    told: list[str] = []
    for parts in (pieces, [bytes((byte,)) for piece in pieces for byte in piece]):
        with pytest.raises(Fault) as caught:
            await asked(*parts)
        told.append(str(caught.value))
    assert told[0] == told[1]
    return told[0]


async def test_what_is_sent() -> None:
    server = Server(OK)
    assert await server.connection.post("/a?b", HEADERS, b"token=x") == Answer(200, b'{"active":false}')
    assert server.heard() == (
        b"POST /a?b HTTP/1.1\r\nHost: idp.example.org\r\nAuthorization: Basic eDp5\r\nContent-Length: 7\r\n\r\ntoken=x"
    )


ANSWERS = {
    "a length": OK,
    "chunks": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"acti\r\na\r\nve":false}\r\n0\r\n\r\n',
    "until the end": b'HTTP/1.0 200 OK\r\n\r\n{"active":false}',
    "early hints first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    "lines ended by LF": OK.replace(b"\r\n", b"\n"),
    "identity": OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: identity\r\n\r\n"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_whole_and_byte_by_byte(name: str) -> None:
    data = ANSWERS[name]
    whole = await asked(data)
    assert whole == Answer(200, b'{"active":false}')
    assert await asked(*[bytes((byte,)) for byte in data]) == whole


NO_ANSWERS = [
    (b"", "it closed the connection without an answer"),
    (OK[:10], "peer unexpectedly closed connection"),
    (OK[:-1], "peer closed connection without sending complete message body"),
    (b"220 mail.example.org ESMTP\r\n\r\n", "illegal status line"),
    (b"\x15\x03\x03\x00\x02\x02\x28", "no HTTP: illegal request line"),
    (b"HTTP/2 200\r\n\r\n", "illegal status line"),
    (OK.replace(b"16", b"-1"), "bad Content-Length"),
    (OK.replace(b"16", b"16\r\nContent-Length: 17"), "conflicting Content-Length"),
    (OK.replace(b"Content-Type", b"Content Type"), "illegal header line"),
    (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "no HTTP"),
    (OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), "its answer is compressed"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999, f"its answer is longer than {MAX_BODY} bytes"),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY + 1), f"its answer is longer than {MAX_BODY} bytes"),
    (b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_HEAD, "Receive buffer too long"),
]


@pytest.mark.parametrize(("data", "told"), NO_ANSWERS, ids=[told for _, told in NO_ANSWERS])
async def test_what_is_no_answer(data: bytes, told: str) -> None:
    if len(data) < 1000:
        assert told in await fault(data)
    else:
        with pytest.raises(Fault, match=told):
            await asked(data)


async def test_an_end_before_anything_may_be_asked_again() -> None:
    with pytest.raises(Gone):
        await asked()
    with pytest.raises(Fault) as caught:
        await asked(b"H")
    assert not isinstance(caught.value, Gone)


async def test_one_question_after_another() -> None:
    server = Server(stays=True)
    for number in range(3):
        server.says.put_data(OK)
        assert (await server.connection.post("/a", HEADERS, b"token=%d" % number)).status == 200
        assert server.connection.reusable()


@pytest.mark.parametrize(
    "data",
    [
        OK + OK,  # an answer that nobody asked for would be the next user's
        OK + b"x",
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b'HTTP/1.1 200 OK\r\n\r\n{"active":false}',
    ],
)
async def test_what_ends_a_connection(data: bytes) -> None:
    server = Server(data)
    assert (await server.connection.post("/a", HEADERS, b"")).status == 200
    assert not server.connection.reusable()


@given(data=st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: OK[:17] + data))
@settings(max_examples=200)
def test_nothing_escapes_but_a_fault(data: bytes) -> None:
    async def both() -> None:
        results: list[object] = []
        for parts in ([data], [bytes((byte,)) for byte in data]):
            try:
                results.append(await asked(*parts))
            except Fault as error:
                results.append(type(error))
        assert results[0] == results[1]

    trio.run(both)
