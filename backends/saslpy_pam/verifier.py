"""Whether PAM takes a login. Plain blocking code for a worker process that is killed at the deadline."""

from __future__ import annotations

import pwd
from dataclasses import replace
from typing import TYPE_CHECKING

from saslpy.backend import Found
from saslpy.model import NEVER_HERE, Account, Login, Origin, Reason, Refusal

from .checkup import described, refuse_faulty
from .codes import STACK_SAYS, SUCCESS, PamFailure, refusal
from .conversation import MAX_ANSWER
from .libpam import Libpam, Question
from .services import service_file

if TYPE_CHECKING:
    from . import Config

UNSAFE = frozenset("/:")
"""Signs that no user's name has, and of which modules make paths (pam_faillock, pam_timestamp) or lines."""


NOBODY = 65534
"""The user whom nothing belongs to (Linux's overflowuid)."""


class PamVerifier:
    """Asks PAM. Nothing is kept from one login to the next."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._files = config.service_files()
        self._domains = tuple(domain.lower() for domain in config.domains)
        self._libpam = Libpam()

    def find(self, login: Login) -> Found:
        """What passwd says of a user. Raises ``PamFailure``."""
        user = self._user(login)
        if not user or not user.isprintable() or not UNSAFE.isdisjoint(user) or user[0] in "-+":
            return NEVER_HERE
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            _refuse_unreadable()
            return None
        account = self._account_of(entry)
        return replace(account, disabled=True) if self._is_barred(entry) else account

    def accounts(self) -> list[Account]:
        """Those whom passwd lists, from ``list_min_uid`` on. Raises ``PamFailure``."""
        entries = pwd.getpwall()
        if not any(entry.pw_uid == 0 for entry in entries):
            raise PamFailure("passwd cannot be read: not even uid 0 is found in it")
        return [
            self._listed(entry)
            for entry in {entry.pw_name: entry for entry in reversed(entries)}.values()  # the first of two counts
            if self._config.list_min_uid <= entry.pw_uid != NOBODY and not self._is_barred(entry)
        ]

    def _listed(self, entry: pwd.struct_passwd) -> Account:
        try:
            return self._account_of(entry)
        except PamFailure as fault:
            raise PamFailure(f"{entry.pw_name[:80]!r}: {fault}") from None

    def verify(self, login: Login, password: str) -> Account | Refusal:
        """The account, or what PAM has said against it. Raises ``PamFailure`` when it could not say.

        Both are handed over as the bytes that came: what to try else would count as a wrong password in pam_faillock.
        """
        origin = login.origin or Origin("")
        service = self._service(origin)
        if service is None:
            return Refusal(Reason.SERVICE_DENIED, f"{origin.service[:64]!r} is not among the services", asked=False)
        user = self._user(login)
        question = self._question(service, user, password, origin)
        if isinstance(question, Refusal):
            return question
        # libpam would fall to the service "other", whose no looks like a wrong password
        service_file(service, self._config.confdir)
        outcome = self._libpam.ask(question)
        if outcome.code in STACK_SAYS:
            refuse_faulty(service, user, self._config.confdir)
        if outcome.code != SUCCESS:
            return refusal(outcome.stage, outcome.code, service)
        return self._account(outcome.user)

    def probe(self) -> str:
        """The stacks that will be asked. Raises when a service file or a module of it is missing."""
        return "; ".join(described(service, self._config.confdir) for service in self._files.values())

    def _user(self, login: Login) -> str:
        return login.local if login.domain and login.domain in self._domains else login.name

    def _service(self, origin: Origin) -> str | None:
        """The PAM service for a caller's; None for one that is not allowed."""
        return self._files.get("") or self._files.get(origin.service)

    def _question(self, service: str, user: str, password: str, origin: Origin) -> Question | Refusal:
        try:
            name, secret = user.encode("utf-8", "surrogateescape"), password.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return Refusal(Reason.MALFORMED, "no text", asked=False)
        if b"\0" in name or b"\0" in secret or not name or not secret:
            return Refusal(Reason.MALFORMED, "empty, or a NUL", asked=False)
        if not UNSAFE.isdisjoint(user) or user[0] in "-+":
            return Refusal(Reason.UNKNOWN_USER, "no user has such a name", asked=False)
        if len(secret) > MAX_ANSWER:
            return Refusal(Reason.WRONG_PASSWORD, f"PAM knows no passwords of over {MAX_ANSWER} bytes", asked=False)
        rhost = origin.client.encode("ascii", "replace").replace(b"\0", b"?")
        return Question(service, name, secret, rhost, self._config.confdir)

    def _account(self, user: bytes) -> Account | Refusal:
        """What passwd says of a user whom PAM has accepted; his name as it is spelled there."""
        try:
            name = user.decode()
        except UnicodeDecodeError:
            raise PamFailure("PAM_USER is not UTF-8") from None
        if not name:
            raise PamFailure("PAM_USER is empty")
        try:
            entry = pwd.getpwnam(name)
        except KeyError:  # a virtual user, such as pam_userdb's
            _refuse_unreadable()
            return Account(name, aliases=self._aliases(name))
        if self._is_barred(entry):
            return Refusal(Reason.DISABLED, "uid 0, and allow_root is not set")
        return self._account_of(entry)

    def _is_barred(self, entry: pwd.struct_passwd) -> bool:
        return entry.pw_uid == 0 and not self._config.allow_root

    def _account_of(self, entry: pwd.struct_passwd) -> Account:
        full_name = _text(entry.pw_gecos, "replace").partition(",")[0].strip()
        return Account(
            _text(entry.pw_name),
            uid=entry.pw_uid,
            gid=entry.pw_gid,
            home=_text(entry.pw_dir) or None,
            name=full_name or None,
            aliases=self._aliases(entry.pw_name),
        )

    def _aliases(self, name: str) -> tuple[str, ...]:
        return () if "@" in name else tuple(f"{name}@{domain}" for domain in self._domains)


def _refuse_unreadable() -> None:
    """Python says KeyError too when passwd could not be asked (no descriptor left, say). Raises ``PamFailure``."""
    try:
        pwd.getpwuid(0)
    except KeyError:
        raise PamFailure("passwd cannot be read: not even uid 0 is found in it") from None


def _text(value: str, errors: str = "strict") -> str:
    """A field of passwd without the surrogates that Python makes of other encodings. Raises ``PamFailure``."""
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", errors)
    except UnicodeDecodeError:
        raise PamFailure("the user's entry in passwd is not UTF-8") from None
