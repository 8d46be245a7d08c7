"""Asking an issuer (RFC 7662) that answers, refuses, hangs, is gone, comes back, and talks nonsense."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy.guard import BackendFailed
from saslpy.model import Account, Login, Reason, Refusal
from saslpy_oauth import Config, open_backend
from saslpy_oauth.compact import MAX_TOKEN
from saslpy_oauth.endpoint import Fault
from saslpy_oauth.introspection import Introspection
from tests.fakes import list_log
from tests.real.idp import SECRET, Idp, Signer

from . import JOE, NOBODY, guarded, refused

TOKEN = "opaque-2YotnFZFEjr1zCsicMWpAA"
CLAIMS = {"email": "joe@example.org", "email_verified": True, "aud": "mail"}


@asynccontextmanager
async def opened(idp: Idp, **changed: Any) -> AsyncIterator[Introspection]:
    """A backend that asks there, without the guard."""
    table = {**idp.keys(), **changed}
    del table["type"]
    for key in ("client_secret_file", "ca_file"):
        if table.get(key):
            table[key] = Path(table[key])
    table["audience"] = tuple(table["audience"])
    manager = open_backend(Config(**{key: value for key, value in table.items() if value is not None}))
    async with manager as backend:  # type: ignore[union-attr]
        assert isinstance(backend, Introspection)
        yield backend


async def fails(backend: Introspection, token: str = TOKEN, seconds: float = 5.0) -> str:
    """That it could not be found out; why, without the token and the secret."""
    with pytest.raises(Fault) as caught, trio.fail_after(seconds):
        await backend.verify_token(NOBODY, token)
    for secret in (token, SECRET, "Basic"):
        assert secret not in str(caught.value)
    return str(caught.value)


async def test_a_token_that_is_active(idp: Idp) -> None:
    idp.tokens[TOKEN] = CLAIMS
    async with opened(idp) as backend:
        for login in (NOBODY, Login.of("joe@example.org"), Login.of("ann@example.org")):
            assert await backend.verify_token(login, TOKEN) == JOE
        assert idp.asked == [TOKEN] * 3
        assert idp.connections == 1


async def test_signed_tokens_are_asked_about_as_well(idp: Idp, signer: Signer) -> None:
    token = signer.token()
    idp.tokens[token] = signer.claims()
    async with opened(idp, issuer=signer.issuer, scopes=("email",)) as backend:
        assert await backend.verify_token(NOBODY, token) == JOE
        assert refused(await backend.verify_token(NOBODY, signer.token(sub="f:2"))) == "not active"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": "never"}, "its exp is no time"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"aud": "other"}, "for another audience: 'other'"),
        ({"aud": None}, "for another audience: None"),
        ({"email": None}, "it names no user (email)"),
        ({"email": "joe\0"}, "its email is no login: a control character (0x00)"),
        ({"email_verified": False}, "its address is not verified (email_verified)"),
    ],
)
async def test_an_active_token_that_is_not_for_us(idp: Idp, claims: dict[str, Any], told: str) -> None:
    idp.tokens[TOKEN] = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    async with opened(idp) as backend:
        assert refused(await backend.verify_token(NOBODY, TOKEN)) == told


async def test_issuer_and_scopes_are_checked_where_they_are_configured(idp: Idp) -> None:
    idp.tokens[TOKEN] = CLAIMS
    async with opened(idp, issuer="https://a") as backend:
        assert refused(await backend.verify_token(NOBODY, TOKEN)).startswith("from another issuer")
    async with opened(idp, scopes=("mail",)) as backend:
        assert refused(await backend.verify_token(NOBODY, TOKEN)) == "lacks the scope mail"
    idp.tokens[TOKEN] = {"email": "joe@example.org", "email_verified": True}
    async with opened(idp, audience=()) as backend:
        assert await backend.verify_token(NOBODY, TOKEN) == JOE


async def test_tokens_with_signs_that_mean_something(idp: Idp) -> None:
    async with opened(idp) as backend:
        for token in ("a&token=b", "a=b;c", "a+b/c==", "%00%0d%0a", "a?b#c", "'\"<>\\{}|^`~", "x" * MAX_TOKEN):
            idp.tokens[token] = CLAIMS
            assert await backend.verify_token(NOBODY, token) == JOE
            assert idp.asked[-1] == token


async def test_what_cannot_be_a_token_is_not_sent(idp: Idp) -> None:
    async with opened(idp) as backend:
        for token in ("", " ", "a b", "a\r\nX: y", "a\0", "ä", "\udcff", "x" * (MAX_TOKEN + 1), "x" * 100_000):
            answer = await backend.verify_token(NOBODY, token)
            assert answer == Refusal(Reason.INVALID_TOKEN, "too long, or no token", asked=False)
    assert idp.asked == []


# --- what is no answer


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (201, "it answers 201"),
        (204, "it answers 204"),
        (301, "a redirect, which is not followed"),
        (307, "a redirect, which is not followed"),
        (400, "is it an introspection endpoint?"),
        (401, "client_id or the secret is not accepted there"),
        (403, "client_id may not ask there"),
        (404, "there is nothing at this path"),
        (429, "it answers 429"),
        (500, "it answers 500"),
        (503, "it answers 503"),
    ],
)
async def test_a_status(idp: Idp, status: int, told: str) -> None:
    """Whatever is said with it: an active token in an error is none."""
    idp.tokens[TOKEN] = CLAIMS
    idp.status = status
    idp.headers = {"Location": "https://127.0.0.1:9/elsewhere"}
    async with opened(idp) as backend:
        assert told in await fails(backend)


async def test_a_wrong_secret_is_our_fault_and_not_the_users(idp: Idp, tmp_path: Path) -> None:
    idp.tokens[TOKEN] = CLAIMS
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    log, lines = list_log()
    table = {**idp.keys(), "client_secret_file": str(secret)}
    async with guarded(tmp_path, log, **table) as guard:
        with pytest.raises(BackendFailed, match="401: client_id or the secret is not accepted there"):
            await guard.verify_token(NOBODY, TOKEN)
        with pytest.raises(BackendFailed, match="401"):
            await guard.probe()
    assert any("event=backend-down" in line and "401" in line for line in lines)
    assert not any(TOKEN in line or "wrong" in line for line in lines)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "is not JSON"),
        (b"<html>", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[]", "is no JSON object"),
        (b"null", "is no JSON object"),
        (b"{}", "does not say whether the token is active"),
        (b'{"active": null}', "does not say whether the token is active"),
        (b'{"active": "true"}', "does not say whether the token is active"),
        (b'{"active": 1}', "does not say whether the token is active"),
        (b'{"active": true, "active": false}', "holds a name twice"),
        (b'{"error": "server_error"}', "does not say whether the token is active"),
        (b"[" * 60_000, "is nested too deeply"),
        (b'{"active": true, "x": "' + b"x" * 65536 + b'"}', "is longer than 65536 bytes"),
    ],
)
async def test_a_body_that_says_nothing(idp: Idp, body: bytes, told: str) -> None:
    idp.body = body
    async with opened(idp) as backend:
        assert told in await fails(backend)
        idp.body = None
        idp.tokens[TOKEN] = CLAIMS
        assert await backend.verify_token(NOBODY, TOKEN) == JOE  # the next one is not harmed


@pytest.mark.parametrize(
    "raw", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"\0" * 20000]
)
async def test_what_is_no_http(idp: Idp, raw: bytes) -> None:
    idp.raw = raw
    async with opened(idp) as backend:
        await fails(backend)


async def test_an_answer_for_the_next_user(idp: Idp) -> None:
    """Two answers to one question: the second one belongs to nobody."""
    answers = [
        b'{"active": false}',
        b'{"active": true, "email": "eve@example.org", "email_verified": true, "aud": "mail"}',
    ]
    idp.raw = b"".join(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in answers)
    async with opened(idp) as backend:
        assert refused(await backend.verify_token(NOBODY, TOKEN)) == "not active"
        idp.raw = None
        assert refused(await backend.verify_token(NOBODY, TOKEN)) == "not active"
        assert idp.connections == 2


# --- the way there


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idp]:
    """One whose certificate another authority has signed."""
    with Idp(tmp_path_factory.mktemp("stranger")) as idp:
        yield idp


async def test_a_certificate_that_is_not_trusted(idp: Idp, stranger: Idp) -> None:
    stranger.reset()
    for ca_file in (idp.ca_file, None):
        async with opened(stranger, ca_file=ca_file) as backend:
            assert "its certificate is not trusted" in await fails(backend)
            with pytest.raises(Fault, match="not trusted"):
                await backend.probe()
    assert stranger.asked == []


async def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    with Idp(tmp_path, names=("idp.example.net",)) as other:
        async with opened(other) as backend:
            assert "Hostname mismatch" in await fails(backend)
        assert other.asked == []


async def test_a_server_without_tls(idp: Idp, tmp_path: Path) -> None:
    with Idp(tmp_path, tls=False) as plain:
        url = plain.url.replace("http:", "https:")
        async with opened(plain, introspection_url=url, ca_file=idp.ca_file) as backend:
            assert "TLS" in await fails(backend)
        assert plain.asked == []
        plain.tokens[TOKEN] = CLAIMS
        async with opened(plain) as backend:  # on this machine it may be
            assert await backend.verify_token(NOBODY, TOKEN) == JOE
            assert await backend.probe() == f"{plain.url} answers"


async def test_nobody_is_there(idp: Idp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with opened(idp, introspection_url=f"https://localhost:{port}/") as backend:
        assert "cannot be reached: Connection refused" in await fails(backend)
    async with opened(idp, introspection_url=f"https://{'x' * 64}.example/") as backend:  # longer than names may be
        assert "its name is not found" in await fails(backend)


async def test_a_resolver_that_hangs(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads cannot be ended: so few wait for it, however many ask."""
    go, waiting = threading.Event(), []

    def hangs(*_: object, **__: object) -> list[Any]:
        waiting.append(1)
        go.wait(20)
        return []

    monkeypatch.setattr("saslpy_oauth.dial.socket.getaddrinfo", hangs)

    async def one(backend: Introspection) -> None:
        with trio.move_on_after(0.1):
            await backend.verify_token(NOBODY, TOKEN)

    async with opened(idp) as backend, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one, backend)
    assert len(waiting) == 2
    go.set()


# --- connections


async def test_a_kept_connection_that_has_ended(idp: Idp) -> None:
    idp.tokens[TOKEN] = CLAIMS
    async with opened(idp) as backend:
        for number in range(1, 4):
            assert await backend.verify_token(NOBODY, TOKEN) == JOE
            assert idp.connections == number
            idp.hang_up()


async def test_a_restart_is_not_noticed(idp: Idp) -> None:
    idp.tokens[TOKEN] = CLAIMS
    async with opened(idp) as backend:
        assert await backend.verify_token(NOBODY, TOKEN) == JOE
        await trio.to_thread.run_sync(idp.stop)
        assert "Connection refused" in await fails(backend)
        await trio.to_thread.run_sync(idp.start)
        assert await backend.verify_token(NOBODY, TOKEN) == JOE


async def test_a_connection_that_ends_while_it_is_used_is_tried_once_more(idp: Idp) -> None:
    """The server hangs up just as the question comes: nothing tells before."""
    idp.tokens[TOKEN] = CLAIMS
    async with opened(idp) as backend:
        assert await backend.verify_token(NOBODY, TOKEN) == JOE
        idp.raw = b""
        assert "it closed the connection without an answer" in await fails(backend)
        assert idp.asked == [TOKEN] * 3  # on the old one, and once on a new one
        assert idp.connections == 2


async def test_many_at_a_time_share_few_connections(idp: Idp) -> None:
    names = [f"user{number}@example.org" for number in range(60)]
    idp.tokens = {f"token-{name}": {**CLAIMS, "email": name} for name in names}
    idp.delay = 0.005
    wrong: list[str] = []

    async with opened(idp, pool_size=4) as backend:

        async def one(name: str) -> None:
            if await backend.verify_token(NOBODY, f"token-{name}") != Account(name):
                wrong.append(name)
            refused(await backend.verify_token(NOBODY, f"no-{name}"))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(one, name)
    assert wrong == []
    assert idp.connections == 4


async def test_a_cancelled_question_leaves_nothing_for_the_next(idp: Idp) -> None:
    idp.tokens = {"slow": {**CLAIMS, "email": "slow@example.org"}, TOKEN: CLAIMS}
    async with opened(idp, pool_size=1) as backend:
        for seconds in (0.0, 0.001, 0.01, 0.05):
            idp.delay = 0.1
            with trio.move_on_after(seconds):
                await backend.verify_token(NOBODY, "slow")
            idp.delay = 0.0
            assert await backend.verify_token(NOBODY, TOKEN) == JOE


# --- behind the guard


async def test_one_that_hangs_is_not_waited_for_by_everybody(idp: Idp, tmp_path: Path) -> None:
    idp.tokens[TOKEN] = CLAIMS
    idp.hangs = True
    log, lines = list_log()
    async with guarded(tmp_path, log, **idp.keys(), timeout=0.2) as guard:
        for name in ("ann", "joe", "tom"):
            began = trio.current_time()
            with pytest.raises(BackendFailed) as caught:
                await guard.verify_token(Login.of(name), TOKEN)
            assert caught.value.reason is Reason.TIMEOUT
            assert trio.current_time() - began < 2
        assert guard.circuit_open
        began = trio.current_time()
        with pytest.raises(BackendFailed):
            await guard.verify_token(Login.of("kim"), TOKEN)
        assert trio.current_time() - began < 0.1
        idp.hangs = False
        with trio.fail_after(10):
            while guard.circuit_open:
                await trio.sleep(0.05)
                try:
                    assert await guard.verify_token(NOBODY, TOKEN) == JOE
                except BackendFailed:
                    continue
    assert [line.split("event=")[1].split()[0] for line in lines] == ["backend-down", "backend-up"]
    assert not any(TOKEN in line for line in lines)


async def test_a_server_that_accepts_and_says_nothing(idp: Idp, tmp_path: Path) -> None:
    """No TLS handshake either."""
    with socket.create_server(("127.0.0.1", 0), backlog=10) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/"
        async with guarded(tmp_path, **{**idp.keys(), "introspection_url": url, "timeout": 0.2}) as guard:
            with trio.fail_after(5), pytest.raises(BackendFailed) as caught:
                await guard.verify_token(NOBODY, TOKEN)
            assert caught.value.reason is Reason.TIMEOUT


async def test_the_probe(idp: Idp, tmp_path: Path) -> None:
    async with guarded(tmp_path, **idp.keys()) as guard:
        assert await guard.probe() == f"{idp.url} answers (TLSv1.3)"
        await trio.to_thread.run_sync(idp.stop)
        with pytest.raises(BackendFailed, match="cannot be reached"):
            await guard.probe()
