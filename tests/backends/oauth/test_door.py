"""The whole way of a token: from what the client sends to the account, as a front end sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy.assemble import authenticator
from saslpy.authenticator import Authenticator
from saslpy.exchange import Challenge, Done
from saslpy.mechanisms import named
from saslpy.model import Accept, Defer, Reason, Reject, Verdict
from saslpy.settings import Settings, from_table
from saslpy.testing import ORIGIN
from tests.fakes import list_log
from tests.real.idp import Idp, Signer
from tests.real.saslpy import configured, run

from . import sections

JOE = "joe@example.org"
USERS = {JOE: {"password": "{PLAIN}secret", "home": "/srv/joe"}, "ann@example.org": "{PLAIN}x"}


def table(file: Path, signer: Signer) -> dict[str, Any]:
    """The section of signed tokens."""
    file.write_text(signer.jwks())
    return {"type": "oauth", "keys_file": str(file), "issuer": signer.issuer, "audience": ["mail"]}


def settings(folder: Path, **backends: dict[str, Any]) -> Settings:
    whole = {
        "auth": {"chain": ["local", *backends], "min_seconds": 0.0, "mechanisms": ["PLAIN", "OAUTHBEARER", "XOAUTH2"]},
        "backend": {"local": {"type": "static", "users": USERS}, **backends},
        "listen": [{"protocol": "saslauthd", "path": "mux"}],
    }
    return from_table(whole, folder / "saslpy.toml")


@asynccontextmanager
async def opened(folder: Path, **backends: dict[str, Any]) -> AsyncIterator[tuple[Authenticator, list[str]]]:
    log, lines = list_log()
    async with authenticator(settings(folder, **backends), log) as door:
        yield door, lines


async def verdict(door: Authenticator, token: str, name: str = JOE, mechanism: str = "XOAUTH2") -> Verdict:
    found = named(mechanism)
    assert found is not None
    conversation = door.begin(found, ORIGIN)
    head = f"user={name}" if mechanism == "XOAUTH2" else f"n,{'a=' + name if name else ''},"
    step = await conversation.start(f"{head}\x01auth=Bearer {token}\x01\x01".encode())
    if isinstance(step, Challenge):
        assert token.encode() not in step.data
        step = await conversation.respond(b"\x01")
    assert isinstance(step, Done)
    return step.verdict


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_a_signed_token(file: Path, signer: Signer, tmp_path: Path, mechanism: str) -> None:
    token = signer.token()
    async with opened(tmp_path, sso=table(file, signer)) as (door, lines):
        assert mechanism in door.offered([mechanism])
        yes = await verdict(door, token, JOE, mechanism)
        assert isinstance(yes, Accept)
        assert (yes.account.login, yes.account.home, yes.master) == (JOE, "/srv/joe", "")  # from the store
        # not as somebody else, whose account there is
        no = await verdict(door, token, "ann@example.org", mechanism)
        assert isinstance(no, Reject) and no.reason is Reason.AUTHZ_DENIED
        no = await verdict(door, signer.token(exp=1), JOE, mechanism)
        assert isinstance(no, Reject) and (no.reason, no.detail) == (Reason.INVALID_TOKEN, "expired")
        no = await verdict(door, signer.token(email="nobody@example.org"), "nobody@example.org", mechanism)
        assert isinstance(no, Reject) and no.reason is Reason.UNKNOWN_USER
    assert not any(token in line or token.rpartition(".")[2] in line for line in lines)
    assert "reason=invalid-token" in lines[-2] and "detail=expired" in lines[-2]


async def test_a_client_that_does_not_say_who_it_is(file: Path, signer: Signer, tmp_path: Path) -> None:
    """RFC 7628, 3.1: the authzid may be empty; then the token's own user counts."""
    async with opened(tmp_path, sso=table(file, signer)) as (door, _):
        yes = await verdict(door, signer.token(), "", "OAUTHBEARER")
        assert isinstance(yes, Accept) and yes.account.login == JOE


async def test_a_password_does_not_go_to_the_backend_of_tokens(file: Path, signer: Signer, tmp_path: Path) -> None:
    async with opened(tmp_path, sso=table(file, signer)) as (door, _):
        assert isinstance(await door.verify(JOE, "", "secret", ORIGIN), Accept)
        no = await door.verify(JOE, "", signer.token(), ORIGIN)
        assert isinstance(no, Reject) and no.reason is Reason.WRONG_PASSWORD


async def test_two_issuers(idp: Idp, file: Path, signer: Signer, tmp_path: Path) -> None:
    """A token is one of either; while one of them is away, what the other does not know is left open."""
    idp.tokens["opaque"] = {"email": JOE, "email_verified": True, "aud": "mail"}
    async with opened(tmp_path, sso=table(file, signer), other=idp.keys()) as (door, _):
        for token in ("opaque", signer.token()):
            assert isinstance(await verdict(door, token), Accept)
        assert isinstance(await verdict(door, "unknown"), Reject)
        await trio.to_thread.run_sync(idp.stop)
        assert isinstance(await verdict(door, signer.token()), Accept)
        assert isinstance(await verdict(door, "opaque"), Defer)


def test_saslpy_check(idp: Idp, file: Path, signer: Signer, place: Path) -> None:
    file.write_text(signer.jwks())
    config = configured(place, sections(str(file), signer, idp))
    done = run("check", "--config", str(config))
    assert "2 keys: RSA 2048 kid 'rsa', P-256 kid 'ec'" in done.stdout
    assert f"{idp.url} answers (TLSv1.3)" in done.stdout
    assert done.returncode == 0
    idp.stop()
    file.write_text(signer.jwks()[:-5])
    done = run("check", "--config", str(config))
    assert done.returncode == 1
    assert f"backend.sso.keys_file: {file}: is not JSON" in done.stderr
    file.write_text(signer.jwks())
    done = run("check", "--config", str(config))
    assert done.returncode == 1
    assert f"{idp.url}: cannot be reached: Connection refused" in done.stdout
