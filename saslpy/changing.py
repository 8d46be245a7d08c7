"""A user's new password in the place of the old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from .chain import Chain
from .checking import Known, matching
from .guard import BackendFailed
from .hashing import Hashes, HashingFailed, Overloaded, making, reason_of
from .model import Accept, Account, Defer, Login, Reason, Reject
from .passwords.limits import MAX_PASSWORD
from .passwords.prepare import to_store

DEFAULT = ("ARGON2ID",)
"""What a new password is stored as where the backend's ``upgrade`` does not say."""


class Unchanged(Exception):
    """Why the password is not changed."""

    def __init__(self, verdict: Reject | Defer) -> None:
        super().__init__(verdict.reason.value)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A user's wish: ``new`` in the place of ``old``, in the backend that ``old`` was right for."""

    login: Login
    backend: str
    old: str = field(repr=False)
    new: str = field(repr=False)

    @property
    def same(self) -> bool:
        """Whether there is nothing to do."""
        return self.old == self.new


async def change(chain: Chain, hashes: Hashes, wish: Change, until: float) -> Accept | Reject | Defer:
    """Accept when the new password is the user's: it was stored, or there was nothing to store, since it is the old one.

    Of several secrets of one user (of his applications, say) only those that ``old`` is right for are replaced.
    """
    try:
        return Accept(await _changed(chain, hashes, wish, until), wish.backend)
    except Unchanged as why:
        return why.verdict
    except BackendFailed as failure:
        return failure.verdict(wish.backend)
    except (Overloaded, HashingFailed) as failure:
        return Defer(reason_of(failure), wish.backend, str(failure))


async def _changed(chain: Chain, hashes: Hashes, wish: Change, until: float) -> Account:
    """The account. Raises ``Unchanged``, ``BackendFailed`` and what hashes raise."""
    link = next((link for link in chain.links if link.name == wish.backend), None)
    if link is None or not link.backend.can_change:
        raise Unchanged(Reject(Reason.SERVICE_DENIED, wish.backend, "this backend cannot be written to"))
    account = await link.backend.lookup(wish.login, until)
    if account is None:
        raise Unchanged(Reject(Reason.UNKNOWN_USER, wish.backend))
    known, _ = chain.checker.usable(account, link.usual.default_scheme)
    old = await _matching(hashes, known, account.login, wish.old, until)
    if not old:
        raise Unchanged(Reject(Reason.WRONG_PASSWORD, wish.backend))
    if wish.same:
        return account
    wanted = link.upgrader.wanted if link.upgrader is not None else DEFAULT
    prepared = await _prepared(wish)
    new = [await _made(hashes, scheme, prepared, account.login, until) for scheme in wanted]
    if not await link.backend.replace_secrets(wish.login, old, new):
        raise Unchanged(Defer(Reason.BACKEND_FAILED, wish.backend, "somebody else has changed it meanwhile"))
    return account


async def _matching(hashes: Hashes, known: Sequence[Known], login: str, password: str, until: float) -> Sequence[str]:
    """The stored secrets that a password is right for."""
    if not known:
        return []
    _, which = await hashes.run(matching(known, password.encode("utf-8", "surrogatepass"), login), until)
    return [one.text for one, number in zip(known, which, strict=True) if number >= 0]


async def _prepared(wish: Change) -> bytes:
    """The new password as it is to be hashed. Raises ``Unchanged`` for one that would match nothing."""
    # SASLprep goes through it letter by letter
    text = await trio.to_thread.run_sync(to_store, wish.new, abandon_on_cancel=True)
    prepared = text.encode("utf-8", "surrogatepass")
    if max(len(prepared), len(wish.new.encode("utf-8", "surrogatepass"))) > MAX_PASSWORD:
        raise Unchanged(Reject(Reason.MALFORMED, wish.backend, f"a new password of over {MAX_PASSWORD} bytes"))
    return prepared


async def _made(hashes: Hashes, scheme: str, password: bytes, login: str, until: float) -> str:
    return str(await hashes.run(making(scheme, password, login), until))
