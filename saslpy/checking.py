"""A password against an account's stored secrets, in a hash worker; and the same cost for users who do not exist.

What takes a microsecond (``passwords.QUICK``) is computed here and now: to ask a worker would take fifty times as long, and
it would wait behind others' bcrypt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from . import passwords
from .hashing import Hashes, Task
from .model import Account, Reason
from .observe.log import Log
from .passwords import StoredSecret, UnusableSecret
from .passwords.limits import MAX_PASSWORD
from .passwords.tasks import Stored

FALLBACK = "SHA512-CRYPT"
"""The kind that an unknown user costs before any secret of the store has been seen."""

MAX_KINDS = 16

AT_ONCE = 256
"""Bytes of a password, in ASCII, that is compared here; longer ones, and those that must be prepared, go to a worker."""


class Checker:
    """Checks passwords. ``forbidden`` are scheme names that never match, whatever is stored."""

    def __init__(self, hashes: Hashes, log: Log, forbidden: frozenset[str] = frozenset()) -> None:
        self._hashes = hashes
        self._log = log
        self._forbidden = forbidden

    async def check(self, account: Account, password: str, usual: Usual, until: float = inf) -> list[Known] | Reason:
        """The secrets that count when the password is that of one of them, else why it is not right.

        Raises ``hashing.Overloaded`` and ``HashingFailed``.
        """
        usable, reason = self.usable(account, usual.default_scheme)
        if not usable:
            # a locked account must not answer faster than one with a wrong password
            await self.pretend(password, usual, until)
            return reason
        for known in usable:
            usual.saw(known)
        right = await self._any(usable, password, account.login, until)
        return usable if right else Reason.WRONG_PASSWORD

    async def pretend(self, password: str, usual: Usual, until: float = inf) -> None:
        """Spend the time that a check of the store's usual kind takes."""
        await self._any([usual.known_or_fallback()], password, "", until)

    async def _any(self, secrets: Sequence[Known], password: str, login: str, until: float) -> bool:
        raw = password.encode("utf-8", "surrogatepass")
        if len(raw) > MAX_PASSWORD:
            return False  # it matches nothing, whoever the user is
        if len(raw) <= AT_ONCE and raw.isascii() and all(known.secret.scheme in passwords.QUICK for known in secrets):
            matches = [known.secret.check(raw, login) for known in secrets]  # each, whichever is right
            return any(matches)
        stored = [known.stored for known in secrets]
        right = await self._hashes.run(
            Task(
                "check",
                (stored, raw, login.encode("utf-8", "surrogatepass")),
                kind=secrets[0].secret.kind if len(secrets) == 1 else f"{len(secrets)} secrets",
                memory_kib=max(known.secret.memory_kib for known in secrets),
                size=sum(len(text) for text, _ in stored) + len(raw),
            ),
            until,
        )
        return right is True

    def usable(self, account: Account, default_scheme: str) -> tuple[list[Known], Reason]:
        """The secrets that count, and why there is none if so."""
        usable = []
        reason = Reason.UNUSABLE_SECRET
        for stored in account.secrets:
            try:
                usable.append(Known.counting(stored, default_scheme, self._forbidden))
            except Forbidden as error:
                reason = Reason.WEAK_SCHEME
                self._log.warning("forbidden-scheme", login=account.login, scheme=error.scheme)
            except UnusableSecret as error:
                self._log.warning("unusable-secret", login=account.login, detail=str(error))
        return usable, reason


class Forbidden(ValueError):
    """A secret that never matches, since the configuration forbids its scheme."""

    def __init__(self, scheme: str) -> None:
        super().__init__(f"{scheme} is forbidden")
        self.scheme = scheme


@dataclass(slots=True, eq=False)
class Known:
    """A usable secret, and the same as it is stored, which is what a hash worker gets."""

    secret: StoredSecret
    stored: Stored = field(repr=False)

    @classmethod
    def parsed(cls, stored: str, default_scheme: str) -> Known:
        """From a store's text. Raises ``UnusableSecret``."""
        return cls(passwords.parse(stored, default_scheme), (stored.encode("utf-8", "surrogatepass"), default_scheme))

    @classmethod
    def counting(cls, stored: str, default_scheme: str, forbidden: frozenset[str]) -> Known:
        """The same, of a scheme that is not ``forbidden``. Raises ``UnusableSecret``, or ``Forbidden`` where it is."""
        known = cls.parsed(stored, default_scheme)
        if known.secret.scheme in forbidden:
            raise Forbidden(known.secret.scheme)
        return known

    @property
    def text(self) -> str:
        """As the store gave it."""
        return self.stored[0].decode("utf-8", "surrogatepass")


def matching(known: Sequence[Known], password: bytes, login: str) -> Task:
    """Which of these secrets a password is right for (``passwords.tasks.matching``)."""
    return Task(
        "matching",
        ([one.stored for one in known], password, login.encode("utf-8", "surrogatepass")),
        kind="matching",
        memory_kib=max(one.secret.memory_kib for one in known),
        size=sum(len(one.stored[0]) for one in known) + len(password),
    )


class Usual:
    """The kind of secret that a store usually holds, learnt from those it has shown."""

    def __init__(self, default_scheme: str = "CRYPT") -> None:
        self.default_scheme = default_scheme
        self._seen: dict[str, int] = {}
        self._most = 0
        self._usual: Known | None = None

    @property
    def known(self) -> bool:
        """Whether any secret has been seen."""
        return self._usual is not None

    def saw(self, known: Known) -> None:
        """Count a secret. The last of the commonest kind is kept: to check it costs just what a real login costs."""
        kind = known.secret.kind
        if kind not in self._seen and len(self._seen) >= MAX_KINDS:
            return
        count = self._seen[kind] = self._seen.get(kind, 0) + 1
        if count >= self._most:
            self._most, self._usual = count, known

    def saw_stored(self, stored: str) -> None:
        """Count a secret as it is stored; one that is not usable teaches nothing."""
        try:
            self.saw(Known.parsed(stored, self.default_scheme))
        except UnusableSecret:
            return

    def known_or_fallback(self) -> Known:
        """A secret of the usual kind; before one is known, one of an ordinary kind that nobody knows."""
        return self._usual or _fallback()


def _fallback() -> Known:
    global _made  # noqa: PLW0603 (made once, at the first need)
    if _made is None:
        _made = Known.parsed(passwords.make(FALLBACK, "no user has this password"), "CRYPT")
    return _made


_made: Known | None = None
