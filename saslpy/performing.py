"""What a mechanism asks of the core, done: passwords and tokens checked, users looked up, rights judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import lookups
from .exchange import (
    Candidate,
    Candidates,
    Conclude,
    Effect,
    Enter,
    Lookup,
    LookupScram,
    ScramCandidate,
    Trust,
    Verify,
    VerifyToken,
)
from .model import Accept, Account, Defer, Login, Origin, Reason, Reject, Verdict
from .names import MalformedName, folded

if TYPE_CHECKING:
    from .rules import Rules

NOBODY = Login("", "")


class Performer:
    """Performs the steps of one exchange, by the rules that are in force at each. ``login`` is whom it was about last."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.login = NOBODY

    async def perform(self, effect: Effect, rules: Rules, until: float) -> Any:  # noqa: PLR0911 (a case each)
        """The result of a step, by ``until`` (``trio.current_time``)."""
        match effect:
            case Verify():
                return await self._verify(effect, rules, until)
            case Lookup():
                return await self._lookup(effect.name, rules, until)
            case LookupScram():
                return await self._lookup_scram(effect, rules, until)
            case Conclude():
                return await self._conclude(effect, rules, until)
            case VerifyToken():
                return await self._verify_token(effect, rules, until)
            case Trust():
                return await self._trust(effect, rules, until)
            case Enter():
                return self._enter(effect, rules)

    async def _verify(self, step: Verify, rules: Rules, until: float) -> Verdict:
        self.login, fault = rules.login(step.name, "", step.password, self.origin)
        if fault is not None:
            return fault
        verdict = await rules.chain(self.login, self.origin).verify(self.login, step.password, self.origin, until)
        return await self._acting(verdict, self.login, step.authzid, rules, until)

    async def _lookup(self, name: str, rules: Rules, until: float) -> Candidates:
        self.login, fault = rules.name(name, "", self.origin)
        if fault is not None:
            return Candidates((), fault)
        chain = rules.chain(self.login, self.origin)
        return await lookups.candidates(chain.links, chain.checker, self.login, until)

    async def _lookup_scram(self, step: LookupScram, rules: Rules, until: float) -> ScramCandidate | Defer:
        found = await self._lookup(step.name, rules, until)
        chain = rules.chain(self.login, self.origin)
        keys = await rules.keys.of(step.mechanism, self.login.name, found, chain, until)
        # the first store that knows a user is the last one that is asked
        return replace(keys, telling=True) if isinstance(keys, ScramCandidate) and chain.several_stores else keys

    async def _conclude(self, step: Conclude, rules: Rules, until: float) -> Verdict:
        verdict = lookups.judged(step.candidate, self.origin)
        return await self._acting(verdict, self.login, step.authzid, rules, until)

    async def _verify_token(self, step: VerifyToken, rules: Rules, until: float) -> Verdict:
        asked = NOBODY
        if step.name:
            asked, fault = rules.name(step.name, "", self.origin)
            self.login = asked
            if fault is not None:
                return fault
        links = rules.chain(asked, self.origin).links
        answer = await lookups.verify_token(links, asked, step.token, until)
        if isinstance(answer, Reject | Defer):
            return answer
        account, link = answer
        owner, fault = rules.name(account.login, "", self.origin)
        if fault is not None:
            return replace(fault, backend=link.name)
        self.login = self.login if step.name else owner
        if all(link.backend is not other.backend for other in rules.chain(owner, self.origin).links):
            # else who issues tokens for one domain could name the master user of another
            return Reject(Reason.INVALID_TOKEN, link.name, "its owner belongs to another route")
        verdict = await self._known(owner, rules, until, Accept(link.template.fill(account), link.name))
        return await self._acting(verdict, owner, step.name, rules, until)

    async def _trust(self, step: Trust, rules: Rules, until: float) -> Verdict:
        self.login, fault = rules.name(step.name, "", self.origin)
        if fault is not None:
            return fault
        verdict = await self._known(self.login, rules, until)
        return await self._acting(verdict, self.login, step.authzid, rules, until)

    def _enter(self, step: Enter, rules: Rules) -> Verdict:
        name = rules.anonymous
        self.login = Login(step.trace or name, step.trace or name, "", step.trace, self.origin)
        return Accept(Account(name)) if name else Reject(Reason.AUTHZ_DENIED, detail="nobody may be anonymous")

    async def _known(self, login: Login, rules: Rules, until: float, alone: Accept | None = None) -> Verdict:
        """The account of one whom somebody else has identified, as our stores have it.

        ``alone`` is the answer where no store knows users at all. A user whom they do not know has no mailbox here.
        """
        links = rules.chain(login, self.origin).links
        if alone is not None and not any(link.backend.has_verify or link.backend.has_secrets for link in links):
            return alone
        found = await lookups.find(links, login, until)
        return lookups.judged(found, self.origin) if isinstance(found, Candidate) else found

    async def _acting(self, verdict: Verdict, proved: Login, authzid: str, rules: Rules, until: float) -> Verdict:
        """The verdict on acting as ``authzid``: oneself, by any of one's names, or anybody for a master user.

        ``proved`` is who the client has proved to be.
        Only who has proved who he is hears anything of it: it is no way to find out who exists.
        """
        if not authzid or not isinstance(verdict, Accept):
            return verdict
        account = verdict.account
        try:
            wanted = rules.names.login(authzid, "", self.origin)
        except MalformedName as fault:
            return Reject(Reason.AUTHZ_DENIED, verdict.backend, str(fault))
        own = {folded(name) for name in (proved.name, account.login, *account.aliases)}
        if folded(wanted.name) in own:
            return verdict
        if folded(account.login) not in rules.masters:
            return Reject(Reason.AUTHZ_DENIED, verdict.backend, f"wanted to act as {wanted.name}")
        found = await lookups.find(rules.chain(wanted, self.origin).links, wanted, until)
        other = lookups.judged(found, self.origin) if isinstance(found, Candidate) else found
        if isinstance(other, Accept):
            return replace(other, master=account.login)
        # the audit line names the master user, whose own password was right
        return replace(other, detail=f"wanted to act as {wanted.name}" + (f": {other.detail}" if other.detail else ""))
