"""The HTTP socket, in this process; fakes stand behind the door."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy import Account
from saslpy.checks import warnings
from saslpy.config import ConfigError
from saslpy.listeners.http import HttpListen, Upstreams
from saslpy.protocols.http1 import MAX_BODY
from saslpy.servers.accepting import AcceptLoop
from saslpy.servers.http_front import http_server
from saslpy.servers.sockets import TcpPlace, listening
from saslpy.settings import load

from ..doors import door_before
from ..fakes import Broken, Slow, Users
from . import fronts
from .fronts import read_all

JOE = Account("joe@example.org", ("{PLAIN}secret",), uid=1000, home="/home/joe")
STORE: dict[str, str | Account] = {
    "joe@example.org": JOE,
    "JOE": JOE,
    "off@example.org": Account("off@example.org", ("{PLAIN}secret",), disabled=True),
    "blank": Account(" blank", ("{PLAIN}secret",)),
}
UPSTREAMS = Upstreams(imap="127.0.0.1:143", smtp="[::1]:25")
FIELDS = "Content-Type: application/json\r\n"


class Front(fronts.Front):
    """A running HTTP server; its ``path`` is that of a unix socket."""

    def __init__(self, listen: HttpListen, port: int, lines: list[str]) -> None:
        super().__init__(listen.path or Path(), lines)
        self.listen, self.port = listen, port

    async def connect(self) -> trio.SocketStream:
        if self.listen.path is not None:
            return await super().connect()
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, path: str, question: Any = None, fields: str = FIELDS, method: str = "POST") -> tuple[int, Any]:
        """A status, and the JSON behind it or the header's fields."""
        body = b"" if question is None else json.dumps(question).encode()
        head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        return parsed(await self.say(head.encode() + body))

    async def nginx(self, **fields: str) -> tuple[int, Any]:
        """The answer to one of nginx's questions."""
        given = {"auth_method": "plain", "auth_protocol": "imap", **fields}
        lines = "".join(f"{name.replace('_', '-').title()}: {value}\r\n" for name, value in given.items())
        return await self.ask("/nginx", None, lines, "GET")


def parsed(data: bytes) -> tuple[int, Any]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert fields["Cache-Control"] == "no-store"
    found = {key: value for key, value in fields.items() if key.startswith("Auth-")}
    return int(first.split()[1]), json.loads(body) if body else found


@asynccontextmanager
async def front(
    listen: HttpListen, *backends: Any, timeout: float = 3.0, place: TcpPlace | None = None
) -> AsyncIterator[Front]:
    where = place or listen.place
    async with door_before(*backends, timeout=timeout) as at:
        with listening(where) as sock:
            server = http_server(listen, listen.offers(("PLAIN", "LOGIN")), at.door, at.log)
            at.nursery.start_soon(AcceptLoop("http", sock, server, 100, at.log).run, at.nursery)
            yield Front(listen, sock.getsockname()[1] if isinstance(where, TcpPlace) else 0, at.lines)


@pytest.fixture
def unix(place: Path) -> HttpListen:
    return HttpListen(protocol="http", path=place / "http", upstreams=UPSTREAMS)


def on(unix: HttpListen, **options: Any) -> HttpListen:
    return HttpListen(protocol="http", path=unix.path, **{"upstreams": UPSTREAMS, **options})


# --- programs


def question(password: str = "secret", login: str = "joe@example.org", **more: str) -> dict[str, str]:
    return {"login": login, "password": password, **more}


async def test_the_three_answers(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        yes = {"verdict": "accept", "login": "joe@example.org", "uid": 1000, "home": "/home/joe"}
        assert await http.ask("/login", question()) == (200, yes)
        assert await http.ask("/login", question(userdb="2.3")) == (
            200,
            {**yes, "userdb": ["uid=1000", "home=/home/joe"]},
        )
        no = {"verdict": "reject", "reason": "wrong-credentials"}
        assert await http.ask("/login", question("wrong")) == (403, no)
        assert await http.ask("/login", question(login="nobody")) == (403, no)
        assert await http.ask("/login", question("x", login="off@example.org")) == (403, no)
        assert await http.ask("/login", question(login="off@example.org")) == (
            403,
            {"verdict": "reject", "reason": "disabled"},
        )
    async with front(unix, Broken()) as http:
        assert await http.ask("/login", question()) == (503, {"verdict": "defer", "reason": "backend-failed"})
        assert b"\r\nRetry-After: 3\r\n" in await http.say(raw("/login", question()))
    async with front(unix, Slow(), timeout=0.05) as http:
        assert await http.ask("/login", question()) == (503, {"verdict": "defer", "reason": "timeout"})


def raw(path: str, asked: Any, version: str = "1.0") -> bytes:
    body = json.dumps(asked).encode()
    return f"POST {path} HTTP/{version}\r\nHost: x\r\n{FIELDS}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def test_lookups(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        status, found = await http.ask("/user", {"login": "JOE"})
        assert (status, found["login"]) == (200, "joe@example.org")
        assert (await http.ask("/user", {"login": "off@example.org"}))[0] == 200, "mail is still delivered"
        assert await http.ask("/user", {"login": "nobody"}) == (403, {"verdict": "reject", "reason": "unknown-user"})
        assert await http.ask("/user", {"login": ""}) == (403, {"verdict": "reject", "reason": "malformed"})
        assert http.lines == [], "nobody has tried to log in"
    async with front(unix, Broken()) as http:
        assert await http.ask("/user", {"login": "joe"}) == (503, {"verdict": "defer", "reason": "backend-failed"})


async def test_the_audit_line(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        await http.ask("/login", question(service="imap", client="192.0.2.7"))
    (line,) = http.lines
    assert "service=imap mechanism=PLAIN client=192.0.2.7" in line
    assert f"caller={os.getpid()}:{os.getuid()} " in line


async def test_faulty_questions(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        assert await http.ask("/login", {"login": "joe"}) == (400, {"error": "password is missing"})
        assert await http.ask("/login", question(), "Content-Type: text/plain\r\n") == (
            415,
            {"error": "the body must be application/json"},
        )
        assert (await http.ask("/login", question(), "Content-Type: application/json; charset=utf-8\r\n"))[0] == 200
        assert (await http.ask("/login", question(), method="GET"))[0] == 405
        assert await http.ask("/", {}) == (404, {"error": "there is no such path; there are /login, /user, /nginx"})
        assert (await http.ask("/login", {"login": "x" * MAX_BODY, "password": ""}))[0] == 413
        assert await http.ask("/login", question("s\udcffcret")) == (
            403,
            {"verdict": "reject", "reason": "wrong-credentials"},
        )
    assert not any("secret" in line or "s\\udc" in line for line in http.lines)


async def test_passwords_in_the_clear_can_be_forbidden(unix: HttpListen) -> None:
    users = Users(STORE)
    async with front(on(unix, mechanisms=("CRAM-MD5",)), users) as http:
        assert (await http.ask("/login", question()))[0] == 404
        assert (await http.nginx(auth_user="joe@example.org", auth_pass="secret"))[1]["Auth-Status"].startswith(
            "This way"
        )
    assert users.asked == []


# --- who may ask


@pytest.mark.parametrize("field", ["Origin: null", "Sec-Fetch-Site: same-origin", "origin: http://localhost"])
async def test_browsers_are_refused(unix: HttpListen, field: str) -> None:
    users = Users(STORE)
    async with front(unix, users) as http:
        assert await http.ask("/login", question(), f"{FIELDS}{field}\r\n") == (
            400,
            {"error": "browsers are not answered"},
        )
        assert (await http.ask("/nginx", None, f"Auth-Method: plain\r\n{field}\r\n", "GET"))[0] == 400
    assert users.asked == []


async def test_a_secret(unix: HttpListen, place: Path) -> None:
    (place / "key").write_text("0penSesame!\n")
    listen = HttpListen(protocol="http", address="127.0.0.1:0", secret_file=place / "key", secret_header="X-Key")
    users = Users(STORE)
    async with front(listen, users) as http:
        for given in ("", "X-Key:\r\n", "X-Key: 0pensesame!\r\n", "X-Auth-Key: 0penSesame!\r\n"):
            assert await http.ask("/user", {"login": "JOE"}, FIELDS + given) == (
                401,
                {"error": "the secret in X-Key is missing or wrong"},
            )
        assert users.asked == []
        assert (await http.ask("/user", {"login": "JOE"}, FIELDS + "x-key: 0penSesame!\r\n"))[0] == 200
        assert (await http.ask("/nginx", None, "X-Key: 0penSesame!\r\n", "GET"))[0] == 404, "there are no upstreams"
        early = raw("/user", {"login": "JOE"}, "1.1").partition(b"\r\n\r\n")[0] + b"\r\nExpect: 100-continue\r\n\r\n"
        assert parsed(await http.say(early))[0] == 401, "before the body"
    assert not any("esame" in line for line in http.lines)
    assert "0penSesame" not in repr(listen)


async def test_on_loopback_without_a_secret(place: Path) -> None:
    listen = HttpListen(protocol="http", address="127.0.0.1:0")
    async with front(listen, Users(STORE)) as http:
        assert (await http.ask("/login", question()))[0] == 200
        assert (await http.ask("/user", {"login": "JOE"}))[0] == 401, "403 would be: there is no such user"
        for host, status in (
            ("127.0.0.1", 200),
            ("127.0.0.1:9000", 200),
            ("[::1]:9000", 200),
            ("localhost", 200),
            ("LOCALHOST:1", 200),
            ("evil.example", 421),
            ("evil.example:80", 421),
            ("192.0.2.1", 421),
            ("localhost.evil.example", 421),
        ):
            said = await http.say(raw("/login", question()).replace(b"Host: x", f"Host: {host}".encode()))
            assert parsed(said)[0] == status, host


@pytest.mark.parametrize("what", ["upstream_password_file", "EXTERNAL"])
async def test_strangers_get_no_password_and_are_believed_no_certificate(place: Path, what: str) -> None:
    """Everybody who has a login on this machine reaches its loopback; nginx is known by the secret."""
    (place / "key").write_text("0penSesame")
    (place / "upstream").write_text("proxypw")
    more: dict[str, Any] = {"upstreams": UPSTREAMS, "secret_file": place / "key"}
    more |= {"mechanisms": ("PLAIN", what)} if what == "EXTERNAL" else {what: place / "upstream"}
    right = {"auth_user": "JOE", "auth_pass": "secret"}
    address = "127.0.0.1:0"
    async with front(HttpListen(protocol="http", address=address, **more), Users(STORE)) as http:
        assert (await http.nginx(**right, x_auth_key="0penSesame"))[1]["Auth-Status"] == "OK"
    del more["secret_file"]
    with pytest.raises(ValueError, match=f"secret_file: is required with {what} over TCP"):
        HttpListen(protocol="http", address=address, **more)
    # what systemd has opened is known only when it is there
    passed, users = HttpListen(protocol="http", systemd="http", **more), Users(STORE)
    async with front(passed, users, place=TcpPlace("127.0.0.1", 0)) as http:
        assert await http.nginx(**right) == (
            401,
            {"error": "over TCP nginx must have a secret (secret_file) to ask this socket"},
        )
    assert users.asked == []


# --- nginx


async def test_nginx(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        assert await http.nginx(auth_user="JOE", auth_pass="secret", client_ip="192.0.2.7") == (
            200,
            {"Auth-Status": "OK", "Auth-Server": "127.0.0.1", "Auth-Port": "143", "Auth-User": "joe@example.org"},
        )
        assert "service=imap mechanism=PLAIN client=192.0.2.7" in http.lines[-1]
        assert await http.nginx(auth_user="JOE", auth_pass="secret", auth_protocol="smtp") == (
            200,
            {"Auth-Status": "OK", "Auth-Server": "::1", "Auth-Port": "25", "Auth-User": "joe@example.org"},
        )
        no = "[AUTHENTICATIONFAILED] Invalid login or password"
        assert await http.nginx(auth_user="JOE", auth_pass="x") == (200, {"Auth-Status": no, "Auth-Wait": "3"})
        assert await http.nginx(auth_user="JOE", auth_pass="", auth_login_attempt="10") == (200, {"Auth-Status": no})
        smtp = await http.nginx(auth_user="JOE", auth_pass="x", auth_protocol="smtp")
        assert smtp[1]["Auth-Error-Code"] == "535 5.7.8"
    async with front(on(unix, auth_wait=1), Broken()) as http:
        later = "[UNAVAILABLE] Temporary server problem, try again later"
        assert await http.nginx(auth_user="JOE", auth_pass="x") == (200, {"Auth-Status": later, "Auth-Wait": "1"})


async def test_what_nginx_cannot_be_told(unix: HttpListen) -> None:
    """To nginx the first is a fault of ours; the others are "try again" to its client, and told in our log."""
    async with front(unix, Users(STORE)) as http:
        assert (await http.nginx(auth_user="100%", auth_pass="x"))[0] == 400
        twice = "Auth-Method: plain\r\nAuth-Protocol: imap\r\nAuth-User: JOE\r\nAuth-User: root\r\n"
        assert await http.ask("/nginx", None, twice, "GET") == (400, {"error": "auth-user is there twice"})
        told = await http.nginx(auth_user="JOE", auth_pass="secret", auth_protocol="pop3")
        assert told[1]["Auth-Status"].startswith("[SYS/TEMP]")
        told = await http.nginx(auth_user="blank", auth_pass="secret")
        assert told[1]["Auth-Status"].startswith("[UNAVAILABLE]")
    assert [line.split()[2] for line in http.lines if "level=error" in line] == [
        "event=no-upstream",
        "event=cannot-tell-nginx",
    ]


async def test_nginx_without_a_login(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        refused = await http.nginx(auth_method="none", auth_protocol="smtp", auth_smtp_to="<joe@example.org>")
        assert refused[1]["Auth-Error-Code"] == "530 5.7.0"
    async with front(on(unix, upstreams=Upstreams(mail="127.0.0.1:2525", imap="127.0.0.1:143")), Users(STORE)) as http:
        assert await http.nginx(auth_method="none", auth_protocol="smtp") == (
            200,
            {"Auth-Status": "OK", "Auth-Server": "127.0.0.1", "Auth-Port": "2525"},
        )
        assert (await http.nginx(auth_method="none"))[1]["Auth-Status"] == "Authentication required"


def digest(password: str, salt: str) -> str:
    return hmac.new(password.encode(), salt.encode(), hashlib.md5).hexdigest()


async def test_nginx_with_cram_md5(unix: HttpListen, place: Path) -> None:
    (place / "upstream").write_text("proxypw")
    salt = "<1896.697170952@mail.example.org>"
    right = {"auth_user": "JOE", "auth_method": "cram-md5", "auth_salt": salt, "auth_pass": digest("secret", salt)}
    listen = on(unix, mechanisms=("CRAM-MD5",), upstream_password_file=place / "upstream")
    async with front(listen, Users(STORE)) as http:
        yes = (await http.nginx(**right))[1]
        assert (yes["Auth-User"], yes["Auth-Pass"]) == ("joe@example.org", "proxypw")
        assert "mechanism=CRAM-MD5" in http.lines[-1]
        assert "Auth-Pass" not in (await http.nginx(**right, auth_protocol="smtp"))[1]
        wrong = await http.nginx(**{**right, "auth_pass": digest("wrong", salt)})
        assert wrong[1]["Auth-Status"].startswith("[AUTHENTICATIONFAILED]")
        assert (await http.nginx(**{**right, "auth_pass": "zz"}))[1]["Auth-Status"].startswith("[AUTHENTICATIONFAILED]")
        apop = await http.nginx(**{**right, "auth_method": "apop"})
        assert apop[1]["Auth-Status"] == "This way to log in is not available here"
    async with front(on(unix, mechanisms=("CRAM-MD5",)), Users(STORE)) as http:
        assert (await http.nginx(**right))[1]["Auth-Status"].startswith("This way"), "with what would nginx log in?"
        assert (await http.nginx(**right, auth_protocol="smtp"))[1]["Auth-Status"] == "OK"
    async with front(listen, Broken()) as http:
        assert (await http.nginx(**right))[1]["Auth-Status"].startswith("[UNAVAILABLE]")
    assert "proxypw" not in repr(listen)


async def test_nginx_with_certificates(unix: HttpListen) -> None:
    right = {
        "auth_method": "external",
        "auth_protocol": "smtp",
        "auth_ssl": "on",
        "auth_ssl_verify": "SUCCESS",
        "auth_ssl_subject": "CN=JOE,O=Example",
    }
    async with front(on(unix, mechanisms=("EXTERNAL",)), Users(STORE)) as http:
        assert (await http.nginx(**right))[1]["Auth-User"] == "joe@example.org"
        for change in (
            {"auth_ssl_verify": "NONE"},
            {"auth_ssl_verify": "FAILED:expired"},
            {"auth_ssl_subject": "CN=nobody"},
            {"auth_ssl_subject": "O=JOE"},
            {"auth_user": "off@example.org"},
        ):
            assert (await http.nginx(**{**right, **change}))[1]["Auth-Error-Code"] == "535 5.7.8", change
    async with front(unix, Users(STORE)) as http:
        assert (await http.nginx(**right))[1]["Auth-Error-Code"] == "504 5.5.4", "it must be listed"


# --- connections


async def test_a_request_whose_end_is_not_certain(unix: HttpListen) -> None:
    """Whoever stands before us may see one request where we saw two (request smuggling)."""
    behind = b"0\r\n\r\n" + raw("/login", question())
    async with front(unix, users := Users(STORE)) as http:
        for version, length in (("1.1", "Content-Length: 5\r\n"), ("1.0", "")):
            head = f"POST /login HTTP/{version}\r\nHost: x\r\n{FIELDS}{length}Transfer-Encoding: chunked\r\n\r\n"
            said = await http.say(head.encode() + behind)
            assert said.count(b"HTTP/1.1 ") == 1
            assert parsed(said) == (400, {"error": "it is not certain where the request ends"})
    assert users.asked == []


async def test_requests_in_one_connection(unix: HttpListen) -> None:
    """Behind each other before the first is answered, in chunks, and one after a while."""
    body = json.dumps(question()).encode()
    chunked = (
        f"POST /login HTTP/1.1\r\nHost: x\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n".encode()
        + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        + b"0\r\n\r\n"
    )
    async with front(unix, Users(STORE)) as http, await http.connect() as stream:
        await stream.send_all(raw("/login", question(), "1.1") + raw("/login", question("wrong"), "1.1") + chunked)
        await trio.sleep(0.05)
        await stream.send_all(raw("/user", {"login": "nobody"}))
        said = await read_all(stream)
        assert [part.split()[0] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"403", b"200", b"403"]


async def test_a_flood_of_requests_leaves_others_their_turn(unix: HttpListen) -> None:
    """Answers that need no look do not hold the loop until all that was sent is done."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with front(unix, Users(STORE)) as http, await http.connect() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await trio.sleep(0.01)
        before = turns
        await stream.send_all(raw("/user", {"login": ""}, "1.1") * 200)
        said = b""
        with trio.fail_after(10):
            while said.count(b"HTTP/1.1 403") < 200:
                said += await stream.receive_some()
        nursery.cancel_scope.cancel()
        assert turns - before > 150


async def test_byte_by_byte(unix: HttpListen) -> None:
    data = raw("/login", question())
    async with front(unix, Users(STORE)) as http:
        assert parsed(await http.say(*[data[i : i + 1] for i in range(len(data))]))[0] == 200


async def test_garbage_ends_its_connection_and_nothing_else(unix: HttpListen) -> None:
    async with front(unix, Users(STORE)) as http:
        assert parsed(await http.say(b"\0\3joe\0\6secret\0\4smtp\0\0"))[0] == 400
        assert parsed(await http.say(b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 20_000))[0] == 431
        assert parsed(await http.say(raw("/login", {"login": "x" * 500_000})))[0] == 413
        assert parsed(await http.say(raw("/login", question())[:-1], end=True))[0] == 400
        assert await http.say(end=True) == b""
        assert (await http.ask("/login", question()))[0] == 200
    assert sum("event=protocol-error" in line for line in http.lines) == 1, "told at most once a second"
    assert not any("secret" in line for line in http.lines)


async def test_silence(unix: HttpListen) -> None:
    async with front(on(unix, read_timeout=0.1, idle_timeout=0.2), Users(STORE)) as http:
        start = trio.current_time()
        assert await http.say() == b""
        assert trio.current_time() - start >= 0.2
        async with await http.connect() as stream:
            await stream.send_all(b"POST /login HTTP/1.1\r\n")
            with trio.fail_after(2), pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError, EOFError)):
                while True:  # a byte now and then gains no time
                    await trio.sleep(0.03)
                    await stream.send_all(b"X: y\r\n")
    assert "half a request, and no more of it in 0.1 s" in "".join(http.lines)


async def test_a_client_that_goes_away(unix: HttpListen) -> None:
    async with front(unix, Slow(0.05), timeout=1.0) as http:
        async with await http.connect() as stream:
            await stream.send_all(raw("/login", question()))
        await trio.sleep(0.2)
        assert (await http.ask("/login", question()))[0] == 403
    assert not any("internal-error" in line for line in http.lines)


# --- configuration


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanisms": ("SCRAM-SHA-256",)}, r"mechanisms\[0\]: SCRAM-SHA-256 is not served here"),
        ({"auth_wait": 0}, "auth_wait: must be from 1 to 60"),
        ({"idle_timeout": 0}, "idle_timeout: must be from"),
        ({"secret_header": "X_Key"}, "secret_header: letters"),
        ({"address": "0.0.0.0:9000", "allow_remote": True}, "secret_file: is required with allow_remote"),
        ({"address": "0.0.0.0:9000"}, "address: passwords would cross the network"),
        ({"secret_file": Path("/nonexistent")}, "secret_file: /nonexistent: No such file"),
    ],
)
def test_faults_in_the_configuration(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HttpListen(**{"protocol": "http", "address": "127.0.0.1:9000", **options})


@pytest.mark.parametrize("secret", [" 0pen", "0pen ", "0p\ten", "\u00f6pen"])
def test_a_secret_that_no_header_can_hold(place: Path, secret: str) -> None:
    (place / "key").write_text(secret)
    with pytest.raises(ValueError, match=r"secret_file: .* printable ASCII") as caught:
        HttpListen(protocol="http", address="127.0.0.1:9000", secret_file=place / "key")
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "server", ["localhost:143", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "::1:143", "[x]:1", ""]
)
def test_upstreams_are_addresses(server: str) -> None:
    with pytest.raises(ValueError, match="imap: "):
        Upstreams(imap=server)
    assert Upstreams(imap="[0::1]:143", pop3="127.0.0.1:110").servers() == {
        "imap": ("::1", 143),
        "pop3": ("127.0.0.1", 110),
    }


def test_mechanisms_by_default(unix: HttpListen) -> None:
    auth = ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN", "EXTERNAL", "OAUTHBEARER")
    assert unix.offers(auth) == ("CRAM-MD5", "PLAIN", "LOGIN")
    assert on(unix, mechanisms=("EXTERNAL",)).offers(auth) == ("EXTERNAL",)


def test_secrets_that_everybody_may_read(place: Path) -> None:
    for name in ("key", "proxy"):
        (place / name).write_text("0penSesame")
        (place / name).chmod(0o644)
    (place / "proxy").chmod(0o600)
    (place / "saslpy.toml").write_text(
        '[auth]\nchain = ["local"]\n[backend.local]\ntype = "static"\nusers = {}\n'
        '[[listen]]\nprotocol = "http"\npath = "http"\nsecret_file = "key"\nupstream_password_file = "proxy"\n'
        'upstreams = { imap = "localhost:143" }\n'
    )
    with pytest.raises(ConfigError, match=r"listen\[0\].upstreams.imap: 'localhost' is no IP address"):
        load(place / "saslpy.toml")
    (place / "saslpy.toml").write_text((place / "saslpy.toml").read_text().replace("localhost", "127.0.0.1"))
    settings = load(place / "saslpy.toml")
    assert settings.listen[0].offers(("PLAIN",)) == ("PLAIN",)
    told = [(what, detail) for what, detail in warnings(settings) if what.startswith("listen")]
    assert told == [
        ("listen[0].secret_file", f"{place}/key holds secrets and everybody may read it; chmod o-r {place}/key")
    ]
    assert "0penSesame" not in repr(settings)


def test_h11_is_loaded_for_such_a_socket_alone() -> None:
    code = (
        "import sys, saslpy.preload, saslpy.daemon; print('h11' in sys.modules, 'saslpy.servers.http' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False False\n"
