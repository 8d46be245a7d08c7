"""The keys that a user proves his password by in SCRAM: stored, made from a password in the clear, or made up."""

from __future__ import annotations

from dataclasses import dataclass

from . import passwords
from .chain import Chain
from .exchange import Candidate, Candidates, ScramCandidate
from .guard import BackendFailed
from .hashing import Hashes, HashingFailed, Overloaded, Task, reason_of
from .model import Defer, Reason, Reject
from .passwords import UnusableSecret
from .passwords.derive import plaintext, scram_keys
from .passwords.prepare import to_store
from .passwords.scram import MECHANISMS, ScramKeys
from .pretending import ITERATIONS, SALT, Kind, Pretence


@dataclass(slots=True, eq=False)
class KeyMaker:
    """Finds the keys. What they usually look like is learnt from users who exist, and used for those who do not."""

    hashes: Hashes
    pretence: Pretence

    async def of(
        self, mechanism: str, login: str, found: Candidates, chain: Chain, until: float
    ) -> ScramCandidate | Defer:
        """The keys of the first candidate who has any; made-up ones where nobody has."""
        try:
            if self.pretence.usual(mechanism) is None:
                await self._learn(mechanism, chain, until)
            for candidate in found.found:
                keys = await self._keys(mechanism, login, candidate, until)
                if keys is not None:
                    return ScramCandidate(keys, candidate, found.otherwise)
            if isinstance(found.otherwise, Defer):
                return found.otherwise  # the store that failed may have the salt
            otherwise = Reject(Reason.UNUSABLE_SECRET, found.otherwise.backend) if found.found else found.otherwise
            return ScramCandidate(await self._made_up(mechanism, login, chain, until), None, otherwise)
        except (Overloaded, HashingFailed) as failure:
            return Defer(reason_of(failure), detail=str(failure))

    async def _keys(self, mechanism: str, login: str, candidate: Candidate, until: float) -> ScramKeys | None:
        for secret in candidate.secrets:
            if (keys := scram_keys(secret, mechanism)) is not None:
                self.pretence.saw(mechanism, Kind(keys.iterations, len(keys.salt)))
                return keys
        for secret in candidate.secrets:
            if (password := plaintext(secret)) is not None:
                self.pretence.saw(mechanism, Kind(clear=True))
                return await self._derived(mechanism, login, password, until)
        return None

    async def _derived(self, mechanism: str, login: str, password: bytes, until: float) -> ScramKeys:
        """Keys of a password in the clear; SASLprep is what the client does to it, too (RFC 5802, 2.2)."""
        hash_name = MECHANISMS[mechanism]
        salt = self.pretence.salt(mechanism, login)
        prepared = to_store(password.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        task = Task(
            "scram",
            (hash_name, prepared, salt, ITERATIONS),
            kind=f"{mechanism} i={ITERATIONS}",
            size=len(prepared) + SALT,
        )
        made = bytes.fromhex(await self.hashes.run(task, until))
        half = len(made) // 2
        return ScramKeys(hash_name, ITERATIONS, salt, made[:half], made[half:])

    async def _made_up(self, mechanism: str, login: str, chain: Chain, until: float) -> ScramKeys:
        usual = self.pretence.usual(mechanism)
        if usual is not None and usual.clear:
            await self._derived(mechanism, login, b"no user has this password", until)  # for the time that it takes
        return self.pretence.keys(mechanism, login)

    async def _learn(self, mechanism: str, chain: Chain, until: float) -> None:
        """From any secret that the first store shows."""
        link = next((link for link in chain.links if link.backend.has_secrets), None)
        if link is None:
            return
        try:
            stored = await link.backend.sample(until)
            secret = passwords.parse(stored, link.usual.default_scheme) if stored is not None else None
        except (BackendFailed, UnusableSecret):
            return
        if secret is None:
            return
        if (keys := scram_keys(secret, mechanism)) is not None:
            self.pretence.saw(mechanism, Kind(keys.iterations, len(keys.salt)))
        elif plaintext(secret) is not None:
            self.pretence.saw(mechanism, Kind(clear=True))
