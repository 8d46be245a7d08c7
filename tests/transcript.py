"""A mechanism played against a dialogue: ``C:`` is what the client sends, ``S:`` what it must hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saslpy.exchange import (
    Bind,
    Candidate,
    Candidates,
    Challenge,
    Client,
    Conclude,
    Done,
    Enter,
    Lookup,
    LookupScram,
    Mechanism,
    ScramCandidate,
    Trust,
    Verify,
    VerifyToken,
)
from saslpy.model import Accept, Account, Reason, Reject, Verdict
from saslpy.passwords import parse
from saslpy.passwords.derive import scram_keys

NO = Reject(Reason.WRONG_PASSWORD)
UNKNOWN = Reject(Reason.UNKNOWN_USER)


class Core:
    """Performs steps as the core does, from a table of names and stored secrets. ``asked`` keeps the steps."""

    def __init__(self, users: Mapping[str, str], bound: Mapping[str, bytes] | None = None) -> None:
        self.users = users
        self.bound = bound or {}
        self.asked: list[Any] = []

    def perform(self, step: Any) -> Any:
        self.asked.append(step)
        match step:
            case Verify(name, password, authzid):
                stored = self.users.get(name)
                right = stored is not None and parse(stored).check(password.encode("utf-8", "surrogateescape"))
                return yes(authzid or name) if right else NO
            case VerifyToken(name, token):
                return yes(name or "owner") if token == "good" else Reject(Reason.INVALID_TOKEN)
            case Lookup(name):
                return Candidates((self.candidate(name),), NO) if name in self.users else Candidates((), UNKNOWN)
            case LookupScram(name, mechanism):
                candidate = self.candidate(name if name in self.users else "nobody")
                keys = scram_keys(candidate.secrets[0], mechanism)
                assert keys is not None
                known = name in self.users and name != "nobody"
                return ScramCandidate(keys, candidate if known else None, NO if known else UNKNOWN)
            case Conclude(candidate, authzid):
                return yes(authzid or candidate.account.login)
            case Trust(name, authzid):
                return yes(authzid or name)
            case Enter():
                return yes("anonymous")
            case Bind(kind):
                return self.bound.get(kind)
        raise AssertionError(step)

    def candidate(self, name: str) -> Candidate:
        store: Any = None
        return Candidate(Account(name), store, (parse(self.users[name]),))


def yes(name: str) -> Accept:
    return Accept(Account(name))


def run(mechanism: Mechanism, core: Core, *responses: bytes, **client: Any) -> tuple[list[bytes], Done]:
    """The challenges that were sent, and the end. Raises what the mechanism raises (``MalformedResponse``)."""
    flow = mechanism.run(Client(**client))
    heard: list[bytes] = []
    left = list(responses)
    value: Any = None
    while True:
        try:
            step = flow.send(value)
        except StopIteration as end:
            assert not left, f"nobody waited for {left}"
            done: Done = end.value
            return heard, done
        if isinstance(step, Challenge):
            heard.append(step.data)
            value = left.pop(0)
        else:
            value = core.perform(step)


def play(dialogue: str, mechanism: Mechanism, core: Core, **client: Any) -> Verdict:
    """Play ``C: text`` and ``S: text`` lines and a last one, ``ok NAME`` or ``no REASON``; the verdict.

    A first ``C:`` is the initial response; ``C: -`` in its place says that there is none. A ``S:`` behind the last
    ``C:`` is the final data.
    """
    lines = [line.strip() for line in dialogue.strip().splitlines()]
    *said, ending = lines
    client_said = [line[3:].encode() for line in said if line.startswith("C:")]
    expected = [line[3:].encode() for line in said if line.startswith("S:")]
    first, *rest = client_said
    heard, done = run(mechanism, core, *rest, initial=None if first == b"-" else first, **client)
    if done.final is not None:
        heard.append(done.final)
    assert heard == [text.strip() if text.strip() == b"" else text for text in expected]
    word, _, name = ending.partition(" ")
    if word == "ok":
        assert isinstance(done.verdict, Accept), done.verdict
        assert done.verdict.account.login == name
    else:
        assert isinstance(done.verdict, Reject), done.verdict
        assert done.verdict.reason.value == name
    return done.verdict
