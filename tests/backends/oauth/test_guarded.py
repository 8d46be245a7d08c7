"""The contract of a ``TokenVerifier``, as the guard holds a plug-in to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from saslpy import Account, Login, Refusal, TokenVerifier
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import DOUBTS, Reason
from tests.fakes import Users, list_log
from tests.real.idp import Signer

from . import JOE, NOBODY, guarded, keys_of, refused

TOKEN = "2YotnFZFEjr1zCsicMWpAA"


class Says:
    """A verifier of tokens, and of nothing else, that answers one thing or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Login] = []

    def verify_token(self, login: Login, token: str) -> Any:
        self.asked.append(login)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@asynccontextmanager
async def guard_of(backend: Any) -> AsyncIterator[tuple[Guarded, list[str]]]:
    log, lines = list_log()
    async with Guarded.around("b", backend, 1.0, Health(log)) as guard:
        yield guard, lines


async def test_one_that_knows_tokens_alone() -> None:
    assert isinstance(Says(None), TokenVerifier)
    backend = Says(JOE)
    async with guard_of(backend) as (guard, _):
        assert (guard.has_tokens, guard.has_secrets, guard.has_verify) == (True, False, False)
        assert await guard.verify_token(NOBODY, TOKEN) == JOE
        assert backend.asked == [NOBODY]
        assert await guard.probe() == "loaded"
    async with guard_of(Users({})) as (guard, _):
        assert not guard.has_tokens


async def test_one_that_knows_nothing() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(TypeError, match=r"no lookup\(\), verify\(\) or verify_token\(\)")):
        async with guard_of(object()):
            pass


@pytest.mark.parametrize("reason", sorted(set(Reason) - DOUBTS))
async def test_a_definite_no(reason: Reason) -> None:
    async with guard_of(Says(Refusal(reason, "expired"))) as (guard, _):
        assert await guard.verify_token(NOBODY, TOKEN) == Refusal(reason, "expired")


@pytest.mark.parametrize(
    "answer",
    [None, True, "joe@example.org", Account(""), Account("a\nb"), Refusal(Reason.TIMEOUT), Refusal("no")],  # type: ignore[arg-type]
)
async def test_what_is_neither_yes_nor_no(answer: Any) -> None:
    async with guard_of(Says(answer)) as (guard, _):
        with pytest.raises(BackendFailed):
            await guard.verify_token(NOBODY, TOKEN)


@pytest.mark.parametrize("kind", [OSError, ValueError, KeyError, SystemExit, KeyboardInterrupt, StopIteration])
async def test_what_is_raised_shows_no_token(kind: type[BaseException]) -> None:
    async with guard_of(Says(kind(f"POST token={TOKEN} failed"))) as (guard, lines):
        with pytest.raises(BackendFailed) as caught:
            await guard.verify_token(NOBODY, TOKEN)
        down = guard.health.down("b")
    assert down is not None
    for told in (str(caught.value), caught.value.detail, down[1], *lines):
        assert TOKEN not in told


async def test_signed_tokens_behind_the_guard(file: Path, signer: Signer, tmp_path: Path) -> None:
    keys = {**keys_of(file, signer), "keys_file": str(file), "audience": ["mail"]}
    async with guarded(tmp_path, type="oauth", **keys) as guard:
        assert await guard.verify_token(NOBODY, signer.token()) == JOE
        assert refused(await guard.verify_token(NOBODY, signer.token(exp=1))) == "expired"
        assert await guard.probe() == "2 keys: RSA 2048 kid 'rsa', P-256 kid 'ec'"
        assert not guard.circuit_open
