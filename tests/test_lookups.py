"""Who a chain's backends say exists: what none of them can tell is a doubt, never a no."""

from __future__ import annotations

from typing import Any

import pytest

from saslpy import Account, Login, lookups
from saslpy.exchange import Candidate
from saslpy.guard import BackendFailed
from saslpy.model import Defer, Reason, Reject


class Backend:
    """Just what a lookup asks of a guarded backend."""

    def __init__(self, users: tuple[str, ...] | None, verifies: bool = False) -> None:
        self.users = users
        self.can_find = users is not None
        self.has_verify = verifies
        self.can_list = False

    async def find(self, login: Login, until: float) -> Account | None:
        return Account(login.name) if self.users and login.name in self.users else None


class Link:
    name = "backend"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend


STORE, EMPTY, TOKENS, PASSWORDS = Backend(("joe",)), Backend(()), Backend(None), Backend(None, verifies=True)


@pytest.mark.parametrize(
    ("backends", "kind"),
    [
        ((STORE,), Candidate),
        ((EMPTY,), Reject),
        ((TOKENS,), Defer),
        ((PASSWORDS,), Defer),
        ((TOKENS, EMPTY), Reject),
        ((PASSWORDS, EMPTY), Defer),
        ((TOKENS, STORE), Candidate),
        ((PASSWORDS, STORE), Candidate),
    ],
)
async def test_who_exists(backends: tuple[Backend, ...], kind: type) -> None:
    links: Any = [Link(backend) for backend in backends]
    found = await lookups.find(links, Login.of("joe"))
    assert isinstance(found, kind)
    if isinstance(found, Reject):
        assert found.reason is Reason.UNKNOWN_USER


async def test_a_list_of_nobody_who_can_tell_is_no_empty_list() -> None:
    links: Any = [Link(TOKENS)]
    with pytest.raises(BackendFailed, match="no backend can list"):
        await lookups.accounts(links)
