"""HTTP requests and responses, by their bytes; and the invariant: whole or byte by byte, the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.http1 import MAX_BODY, MAX_CHUNKS, MAX_HEAD, Answer, HttpFault, HttpSide, Request, json_answer

POST = b'POST /login?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\r\n{"login":"x"}'
CHUNKED = (
    b"POST /user HTTP/1.1\r\nhost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'6;name=x\r\n{"logi\r\n7\r\nn":"x"}\r\n0\r\nTrailer: y\r\n\r\n'
)
GET = b"GET /nginx HTTP/1.0\r\nAuth-User: joe\r\n\r\n"
YES = Answer(200, ((b"Auth-Status", b"OK"),))


def only(data: bytes) -> tuple[HttpSide, Request]:
    side = HttpSide()
    side.receive(data)
    request = side.next()
    assert request is not None
    return side, request


def test_a_body_with_a_length_and_one_in_chunks() -> None:
    _, request = only(POST)
    assert (request.method, request.path, request.body) == ("POST", "/login", b'{"login":"x"}')
    _, request = only(CHUNKED)
    assert (request.path, request.body) == ("/user", b'{"login":"x"}')


def test_a_body_has_only_so_many_chunks() -> None:
    """Sixty thousand of one byte each would keep all others waiting for half a second."""
    head = b"POST /user HTTP/1.1\r\nhost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    most = b"1\r\nx\r\n" * MAX_CHUNKS
    side, request = only(head + most + b"0\r\n\r\n")
    assert request.body == b"x" * MAX_CHUNKS
    side.answer(YES)
    side.receive(head + most + b"1\r\n")
    assert side.next() is None
    side.receive(b"x")
    with pytest.raises(HttpFault, match="in over 1024 chunks") as caught:
        side.next()
    assert caught.value.status == 413


def test_the_bytes_of_a_response() -> None:
    side, request = only(GET)
    assert request.one(b"auth-user") == b"joe"
    assert side.answer(YES) == (
        b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nContent-Length: 0\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    assert side.ended, "HTTP/1.0 has one request"
    side, _ = only(POST)
    assert side.answer(json_answer(503, {"verdict": "defer"}, (b"Retry-After", b"3"))) == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 3\r\nContent-Length: 21\r\n"
        b'Cache-Control: no-store\r\n\r\n{"verdict": "defer"}\n'
    )
    assert not side.ended


def test_requests_behind_each_other_are_answered_in_turn() -> None:
    side, request = only(POST + CHUNKED + GET)
    for path in ("/login", "/user", "/nginx"):
        assert request.path == path
        assert side.next() is None, "the next one waits for the answer"
        side.answer(YES)
        assert side.halfway == (path != "/nginx")
        request = side.next() or request


def test_a_client_that_waits_until_it_may_send_its_body() -> None:
    side = HttpSide()
    head, body = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n").split(b'{"', 1)
    side.receive(head)
    assert side.next() is None
    assert side.go_on() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert side.go_on() == b""
    side.receive(b'{"' + body)
    assert side.next() is not None


def test_the_last_answer_says_so() -> None:
    side, _ = only(POST)
    assert b"\r\nConnection: close\r\n" in side.answer(YES, last=True)
    assert side.ended


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"CONNECT", b"BREW"])
def test_any_method_can_be_answered(method: bytes) -> None:
    side, _ = only(GET.replace(b"GET", method).replace(b"1.0", b"1.1").replace(b"Auth-User", b"Host"))
    said = side.answer(json_answer(405, {"error": "no"}))
    assert said.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert said.endswith(b"\r\n\r\n" if method == b"HEAD" else b"}\n")


def test_an_upgrade_is_not_heard() -> None:
    side, _ = only(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert side.answer(YES).startswith(b"HTTP/1.1 200 OK")
    assert not side.ended


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0\3joe\0\6secret\0\4smtp\0\0", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nA b: c\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nA: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * (MAX_HEAD // 6 + 1), 431),
        (b"GET /" + b"x" * MAX_HEAD, 431),
        (b"POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + b"x" * 0x10001, 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n", 400),
    ],
)
def test_a_fault_is_answered_and_is_the_end(data: bytes, status: int) -> None:
    side = HttpSide()
    with pytest.raises(HttpFault) as caught:
        side.receive(data)
        while side.next() is not None:
            raise AssertionError("a request")
    assert caught.value.status == status
    assert side.answerable
    assert side.answer(json_answer(status, {"error": caught.value.text}), last=True).startswith(
        b"HTTP/1.1 %d " % status
    )
    assert side.ended


def test_the_end_of_what_comes() -> None:
    side = HttpSide()
    side.receive(b"")
    assert (side.next(), side.ended) == (None, True)
    side = HttpSide()
    side.receive(POST[:-1])
    assert side.next() is None
    side.receive(b"")
    with pytest.raises(HttpFault):
        side.next()


def test_a_field_that_is_there_twice() -> None:
    _, request = only(GET.replace(b"\r\n\r\n", b"\r\nAuth-User: root\r\n\r\n"))
    with pytest.raises(HttpFault, match="auth-user is there twice"):
        request.one(b"auth-user")


def test_nothing_secret_is_shown() -> None:
    _, request = only(POST.replace(b"Host: localhost", b"Host: x\r\nAuth-Pass: s3cret"))
    assert "s3cret" not in repr(request)
    assert "login" not in repr(request).replace("/login", "")
    assert "s3cret" not in repr(Answer(200, ((b"Auth-Pass", b"s3cret"),)))


def outcome(pieces: list[bytes]) -> list[Request | int]:
    """What comes of the pieces, each request answered: requests, and the status of a fault."""
    side, found = HttpSide(), list[Request | int]()
    try:
        for piece in [*pieces, b""]:
            if side.ended:
                break
            side.receive(piece)
            while not side.ended and (request := side.next()) is not None:
                found.append(request)
                side.answer(YES)
            side.go_on()
    except HttpFault as fault:
        found.append(fault.status)
        if side.answerable:
            side.answer(YES, last=True)
    return found


LINES = [b"GET / HTTP/1.1", b"POST /login HTTP/1.1", b"Host: x", b"Content-Length: 3", b"Transfer-Encoding: chunked"]
LINES += [b"", b"3", b"abc", b"0", b"Expect: 100-continue", b"Connection: close", b"Auth-User: joe", b"GET / HTTP/1.0"]
almost = st.lists(st.sampled_from(LINES)).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
spoiled = st.builds(
    lambda data, at, piece: data[:at] + piece + data[at:], almost, st.integers(0, 200), st.binary(max_size=3)
)


@given(st.one_of(st.binary(max_size=300), almost, spoiled))
def test_whole_or_byte_by_byte(data: bytes) -> None:
    """The same requests and the same fault; nothing but ``HttpFault`` escapes."""
    assert outcome([data]) == outcome([data[i : i + 1] for i in range(len(data))])
