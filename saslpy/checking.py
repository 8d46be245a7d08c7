"""A password against an account's stored secrets, in the hash pool; and the same cost for users who do not exist."""

from __future__ import annotations

from collections.abc import Sequence

from . import passwords
from .hashing import HashPool
from .model import Account, Reason
from .observe.log import Log
from .passwords import StoredSecret, UnusableSecret

FALLBACK = "SHA512-CRYPT"
"""The kind that an unknown user costs before any secret of the store has been seen."""

MAX_KINDS = 16


class Checker:
    """Checks passwords. ``forbidden`` are scheme names that never match, whatever is stored."""

    def __init__(self, pool: HashPool, log: Log, forbidden: frozenset[str] = frozenset()) -> None:
        self._pool = pool
        self._log = log
        self._forbidden = forbidden

    async def check(self, account: Account, password: str, usual: Usual) -> Reason | None:
        """None when the password is right, else why not. Raises ``hashing.Overloaded``."""
        usable, reason = self._usable(account, usual.default_scheme)
        if not usable:
            # a locked account must not answer faster than one with a wrong password
            await self.pretend(password, usual)
            return reason
        for secret in usable:
            usual.saw(secret)
        right = await self._any(usable, passwords.candidates(password), account.login)
        return None if right else Reason.WRONG_PASSWORD

    async def pretend(self, password: str, usual: Usual) -> None:
        """Spend the time that a check of the store's usual kind takes."""
        await self._any([usual.secret()], passwords.candidates(password), "")

    async def _any(self, secrets: Sequence[StoredSecret], tries: Sequence[bytes], login: str) -> bool:
        def work() -> bool:
            # all of them, though one may match early: how long it takes must not tell which
            results = [secret.check(attempt, login) for secret in secrets for attempt in tries]
            return any(results)

        return await self._pool.run(work, max(secret.memory_kib for secret in secrets))

    def _usable(self, account: Account, default_scheme: str) -> tuple[list[StoredSecret], Reason]:
        usable = []
        reason = Reason.UNUSABLE_SECRET
        for stored in account.secrets:
            try:
                secret = passwords.parse(stored, default_scheme)
            except UnusableSecret as error:
                self._log.warning("unusable-secret", login=account.login, detail=str(error))
                continue
            if secret.scheme in self._forbidden:
                reason = Reason.WEAK_SCHEME
                self._log.warning("forbidden-scheme", login=account.login, scheme=secret.scheme)
            else:
                usable.append(secret)
        return usable, reason


class Usual:
    """The kind of secret that a store usually holds, learnt from those it has shown."""

    def __init__(self, default_scheme: str = "CRYPT") -> None:
        self.default_scheme = default_scheme
        self._seen: dict[str, int] = {}
        self._most = 0
        self._usual: StoredSecret | None = None

    @property
    def known(self) -> bool:
        """Whether any secret has been seen."""
        return self._usual is not None

    def saw(self, secret: StoredSecret) -> None:
        """Count a secret. The last of the commonest kind is kept: to check it costs just what a real login costs."""
        if secret.kind not in self._seen and len(self._seen) >= MAX_KINDS:
            return
        count = self._seen[secret.kind] = self._seen.get(secret.kind, 0) + 1
        if count >= self._most:
            self._most, self._usual = count, secret

    def saw_stored(self, stored: str) -> None:
        """Count a secret as it is stored; one that is not usable teaches nothing."""
        try:
            self.saw(passwords.parse(stored, self.default_scheme))
        except UnusableSecret:
            return

    def secret(self) -> StoredSecret:
        """A secret of the usual kind; before one is known, one of an ordinary kind that nobody knows."""
        return self._usual or _fallback()


def _fallback() -> StoredSecret:
    global _made  # noqa: PLW0603 (made once, at the first need)
    if _made is None:
        _made = passwords.parse(passwords.make(FALLBACK, "no user has this password"))
    return _made


_made: StoredSecret | None = None
