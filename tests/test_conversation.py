"""Exchanges through the door: who may be whom, what is audited, and what strangers can learn of who exists."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from saslpy import Account, Login, Reason, passwords
from saslpy.authenticator import Authenticator, Bounds, Route, Rules
from saslpy.conversation import Conversation
from saslpy.exchange import Bind, Challenge, Done
from saslpy.hashing import HashThreads
from saslpy.mechanisms import named
from saslpy.model import Accept, Defer, Origin, Reject
from saslpy.names import NamePolicy
from saslpy.pretending import Pretence
from saslpy.scramkeys import KeyMaker

from .doors import door_before
from .fakes import Broken, Users

SCRAM = passwords.make("SCRAM-SHA-256", "pencil", rounds=5000)
USERS = {
    "joe": Account("joe", ("{PLAIN}pencil",), aliases=("post@example.org",)),
    "ann": Account("ann", (SCRAM,)),
    "old": Account("old", ("{PLAIN}pencil",), expired=True),
    "off": Account("off", (SCRAM,), disabled=True),
    "boss": Account("boss", ("{PLAIN}pencil",)),
    "hashed": Account("hashed", (passwords.make("SSHA", "pencil"),)),
    "post@example.org": Account("joe", ("{PLAIN}pencil",)),
}
ORIGIN = Origin("dovecot", "smtp", client="192.0.2.7")


@asynccontextmanager
async def door(*backends: Any, **rules: Any) -> AsyncIterator[tuple[Authenticator, list[str]]]:
    """A door before these backends, and its log."""
    bounds = Bounds(min_seconds=rules.pop("min_seconds", 0.0))
    keys = KeyMaker(HashThreads(), Pretence(rules.pop("salts", b"secret" * 8)))
    async with door_before(*backends, bounds=bounds, keys=keys, **rules) as at:
        yield at.door, at.lines


def begin(door: Authenticator, mechanism: str, origin: Origin = ORIGIN) -> Conversation:
    found = named(mechanism)
    assert found is not None
    return door.begin(found, origin)


async def plain(door: Authenticator, name: str, password: str, authzid: str = "") -> Any:
    step = await begin(door, "PLAIN").start(f"{authzid}\0{name}\0{password}".encode())
    assert isinstance(step, Done)
    return step.verdict


async def cram(door: Authenticator, name: str, password: str) -> Any:
    conversation = begin(door, "CRAM-MD5")
    step = await conversation.start()
    assert isinstance(step, Challenge)
    digest = hmac.digest(password.encode(), step.data, "md5").hex()
    step = await conversation.respond(f"{name} {digest}".encode())
    assert isinstance(step, Done)
    return step.verdict


async def first(door: Authenticator, name: str, gs2: str = "n,,") -> tuple[Conversation, Any]:
    conversation = begin(door, "SCRAM-SHA-256")
    return conversation, await conversation.start(f"{gs2}n={name},r=nonce".encode())


async def scram(door: Authenticator, name: str, password: str, gs2: str = "n,,") -> Any:
    conversation, step = await first(door, name, gs2)
    if isinstance(step, Done):
        return step.verdict
    parts = dict(part.split(b"=", 1) for part in step.data.split(b","))
    without = b"c=" + base64.b64encode(gs2.encode()) + b",r=" + parts[b"r"]
    message = b",".join((f"n={name},r=nonce".encode(), step.data, without))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts[b"s"]), int(parts[b"i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))
    done = await conversation.respond(without + b",p=" + proof)
    assert isinstance(done, Done)
    if isinstance(done.verdict, Accept):
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        assert done.final == b"v=" + base64.b64encode(hmac.digest(server_key, message, "sha256"))
    return done.verdict


async def salt(door: Authenticator, name: str) -> bytes:
    _, step = await first(door, name)
    assert isinstance(step, Challenge)
    return step.data.partition(b",")[2]


async def test_every_mechanism_accepts_and_refuses() -> None:
    async with door(Users(USERS)) as (asked, lines):
        for how in (plain, cram, scram):
            assert (await how(asked, "joe", "pencil")).account.login == "joe"
            assert (await how(asked, "joe", "wrong")).reason is Reason.WRONG_PASSWORD
            assert (await how(asked, "nobody", "pencil")).reason is Reason.UNKNOWN_USER
            assert (await how(asked, "old", "pencil")).reason is Reason.EXPIRED
            assert (await how(asked, "old", "wrong")).reason is Reason.WRONG_PASSWORD
            assert (await how(asked, "jo e ", "pencil")).reason is Reason.MALFORMED
        assert (await scram(asked, "ann", "pencil")).account.login == "ann"
        assert (await scram(asked, "off", "pencil")).reason is Reason.DISABLED
        assert (await scram(asked, "hashed", "pencil")).reason is Reason.UNUSABLE_SECRET
        assert (await cram(asked, "ann", "pencil")).reason is Reason.WRONG_PASSWORD
    audited = [line for line in lines if "event=login" in line]
    assert len(audited) == 3 * 6 + 4
    assert "mechanism=SCRAM-SHA-256" in audited[-2]
    assert "reason=unusable-secret login=hashed service=smtp" in audited[-2]
    assert not any("pencil" in line for line in lines)


async def test_a_forbidden_scheme_serves_no_mechanism() -> None:
    async with door(Users(USERS), forbidden=frozenset({"PLAIN"})) as (asked, _):
        for how in (plain, cram, scram):
            assert isinstance(await how(asked, "joe", "pencil"), Reject)
        assert isinstance(await scram(asked, "ann", "pencil"), Accept)


async def test_a_store_that_fails_is_a_doubt_in_every_mechanism() -> None:
    async with door(Broken()) as (asked, lines):
        for how in (plain, cram, scram):
            verdict = await how(asked, "joe", "pencil")
            assert isinstance(verdict, Defer)
            assert verdict.reason is Reason.BACKEND_FAILED
    assert sum("verdict=defer" in line for line in lines) == 3


@pytest.mark.parametrize("how", [plain, cram])
async def test_a_doubt_outweighs_a_no_and_not_a_yes(how: Any) -> None:
    async with door(Broken(), Users(USERS)) as (asked, _):
        assert isinstance(await how(asked, "joe", "pencil"), Accept)
        assert isinstance(await how(asked, "joe", "wrong"), Defer)
        assert isinstance(await how(asked, "nobody", "wrong"), Defer)


async def test_scram_with_a_doubt() -> None:
    async with door(Broken(), Users(USERS)) as (asked, _):
        assert isinstance(await scram(asked, "joe", "pencil"), Accept)
        assert isinstance(await scram(asked, "joe", "wrong"), Defer)
        assert isinstance(await scram(asked, "nobody", "wrong"), Defer)


async def test_on_reject_next_tries_the_next_account() -> None:
    first = Users({"joe": "{PLAIN}other"})
    async with door(first, Users(USERS), on_reject="next") as (asked, _):
        assert isinstance(await cram(asked, "joe", "pencil"), Accept)
        assert isinstance(await cram(asked, "joe", "other"), Accept)
    async with door(first, Users(USERS)) as (asked, _):
        assert isinstance(await cram(asked, "joe", "pencil"), Reject)


# --- who may act as whom


@pytest.mark.parametrize(
    ("name", "password", "authzid", "expected"),
    [
        ("joe", "pencil", "joe", "joe"),
        ("joe", "pencil", "JOE", "joe"),
        ("joe", "pencil", "post@example.org", "joe"),
        ("post@example.org", "pencil", "joe", "joe"),
        ("joe", "pencil", "ann", Reason.AUTHZ_DENIED),
        ("joe", "pencil", "nobody", Reason.AUTHZ_DENIED),
        ("joe", "pencil", "a b ", Reason.AUTHZ_DENIED),
        ("joe", "wrong", "ann", Reason.WRONG_PASSWORD),
        ("nobody", "wrong", "joe", Reason.UNKNOWN_USER),
        ("boss", "pencil", "ann", "ann"),
        ("boss", "pencil", "off", Reason.DISABLED),
        ("boss", "pencil", "nobody", Reason.UNKNOWN_USER),
        ("boss", "wrong", "ann", Reason.WRONG_PASSWORD),
    ],
)
async def test_the_authorization_identity(name: str, password: str, authzid: str, expected: str | Reason) -> None:
    async with door(Users(USERS), masters=frozenset({"boss"})) as (asked, lines):
        verdict = await plain(asked, name, password, authzid)
        other = await scram(asked, name, password, f"n,a={authzid},")
    for got in (verdict, other):
        assert (got.reason if isinstance(expected, Reason) else got.account.login) == expected
    if name == "boss" and expected == "ann":
        assert verdict.master == "boss"
        assert "login=ann" in lines[-1]
        assert "master=boss" in lines[-1]
    if name == "boss" and expected in (Reason.DISABLED, Reason.UNKNOWN_USER):
        assert "login=boss service" in lines[-1]
        assert f'detail="wanted to act as {authzid}"' in lines[-1], "whose absence it is"


# --- who exists


async def test_unknown_users_look_like_known_ones() -> None:
    async with door(Users(USERS)) as (asked, _):
        unknown = [await salt(asked, "nobody") for _ in range(2)]
        assert unknown[0] == unknown[1] == await salt(asked, "NOBODY")
        assert await salt(asked, "somebody") != unknown[0]
        assert await salt(asked, "joe") == await salt(asked, "JOE".lower())
        for _ in range(3):
            await salt(asked, "ann")
        assert await salt(asked, "nobody") == unknown[0], "no stranger changes what is usual"
    async with door(Users(USERS)) as (asked, _):
        await salt(asked, "ann")  # the first keys that are seen
        assert (await salt(asked, "nobody")).endswith(b",i=5000")
        assert len(await salt(asked, "nobody")) == len(await salt(asked, "ann"))
    async with door(Users(USERS)) as (again, _):
        assert await salt(again, "nobody") == unknown[0]
    async with door(Users(USERS), salts=b"other" * 8) as (other, _):
        assert await salt(other, "nobody") != unknown[0]


async def test_a_refusal_has_a_floor_in_time() -> None:
    async with door(Users(USERS), min_seconds=0.1) as (asked, _):
        for how in (plain, cram, scram):
            start = trio.current_time()
            assert isinstance(await how(asked, "joe", "wrong"), Reject)
            assert trio.current_time() - start >= 0.1
        start = trio.current_time()
        assert isinstance(await begin(asked, "PLAIN").start(b"nonsense"), Done)
        assert trio.current_time() - start >= 0.1


# --- exchanges


async def test_a_cancelled_exchange_is_no_attempt() -> None:
    async with door(Users(USERS)) as (asked, lines):
        conversation = begin(asked, "LOGIN")
        assert isinstance(await conversation.start(), Challenge)
        conversation.cancel()
    assert lines == []


async def test_a_malformed_response_is_a_no_and_audited() -> None:
    async with door(Users(USERS)) as (asked, lines):
        step = await begin(asked, "PLAIN").start(b"joe\0pencil")
        assert isinstance(step, Done)
        assert step.verdict == Reject(Reason.MALFORMED, detail="1 NULs in place of 2")
        long = await begin(asked, "PLAIN").start(b"x" * 65_537)
        assert isinstance(long, Done)
        assert isinstance(long.verdict, Reject)
    assert len(lines) == 2


async def test_each_step_goes_by_the_rules_of_its_time() -> None:
    async with door(Users(USERS)) as (asked, _), door(Users({"joe": "{PLAIN}new"})) as (other, _):
        conversation = begin(asked, "LOGIN")
        await conversation.start()
        await conversation.respond(b"joe")
        asked.rules = other.rules
        step = await conversation.respond(b"new")
        assert isinstance(step, Done)
        assert isinstance(step.verdict, Accept)


async def test_more_than_the_door_takes_is_a_doubt() -> None:
    async with door(Users(USERS)) as (asked, _):
        asked.rules.pending = asked.rules.bounds.pending
        assert (await plain(asked, "joe", "pencil")).reason is Reason.OVERLOAD
        found = await asked.find("joe", "", ORIGIN)
        assert isinstance(found, Defer)


async def test_external_needs_a_certificate_and_an_account() -> None:
    async with door(Users(USERS), masters=frozenset({"boss"})) as (asked, lines):
        for certificate, authzid, expected in (
            ("joe", b"", "joe"),
            ("joe", b"ann", Reason.AUTHZ_DENIED),
            ("boss", b"ann", "ann"),
            ("off", b"", Reason.DISABLED),
            ("nobody", b"", Reason.UNKNOWN_USER),
            ("", b"joe", Reason.NO_CERTIFICATE),
        ):
            origin = Origin("dovecot", "smtp", certificate=certificate)
            step = await begin(asked, "EXTERNAL", origin).start(authzid)
            assert isinstance(step, Done)
            verdict: Any = step.verdict
            assert (verdict.account.login if isinstance(verdict, Accept) else verdict.reason) == expected
    assert len(lines) == 6


async def test_anonymous_is_off_unless_it_has_a_name() -> None:
    async with door(Users(USERS)) as (asked, _):
        step = await begin(asked, "ANONYMOUS").start(b"trace")
        assert isinstance(step, Done)
        assert isinstance(step.verdict, Reject)
    async with door(Users(USERS), anonymous="guest") as (asked, lines):
        step = await begin(asked, "ANONYMOUS").start(b"a trace\nwith=more")
        assert isinstance(step, Done)
        assert isinstance(step.verdict, Accept)
        assert step.verdict.account.login == "guest"
    assert 'asked="a trace\\nwith=more"' in lines[-1]


class Tokens:
    """Knows two tokens."""

    async def verify_token(self, login: Login, token: str) -> Any:
        owners: Mapping[str, str] = {"joes": "joe", "strangers": "stranger", "bosses": "boss"}
        from saslpy import Refusal

        return Account(owners[token]) if token in owners else Refusal(Reason.INVALID_TOKEN)


@pytest.mark.parametrize(
    ("name", "token", "expected"),
    [
        ("joe", "joes", "joe"),
        ("", "joes", "joe"),
        ("post@example.org", "joes", "joe"),
        ("ann", "joes", Reason.AUTHZ_DENIED),
        ("ann", "bosses", "ann"),
        ("joe", "bad", Reason.INVALID_TOKEN),
        ("stranger", "strangers", Reason.UNKNOWN_USER),
    ],
)
async def test_a_token_is_for_its_owner(name: str, token: str, expected: str | Reason) -> None:
    async with door(Users(USERS), Tokens(), masters=frozenset({"boss"})) as (asked, lines):
        conversation = begin(asked, "OAUTHBEARER")
        step = await conversation.start(
            f"n,a={name},\x01auth=Bearer {token}\x01\x01".encode() if name else b"n,,\x01auth=Bearer joes\x01\x01"
        )
        if isinstance(step, Challenge):
            step = await conversation.respond(b"\x01")
        assert isinstance(step, Done)
        verdict: Any = step.verdict
        assert (verdict.account.login if isinstance(verdict, Accept) else verdict.reason) == expected
        assert isinstance(await plain(asked, "joe", "pencil"), Accept)  # the token backend is no password backend
    assert not any("joes" in line or "bosses" in line for line in lines)


async def test_an_issuer_speaks_for_its_own_route_alone() -> None:
    boss = Account("boss", ("{PLAIN}pencil",))
    async with door(Users({"boss": boss, "joe@a.example": Account("joe@a.example")})) as (asked, _):
        everybody = asked.rules.routes[0]
        async with door(Tokens(), Users({"joe@a.example": Account("joe@a.example")})) as (other, _):
            issuers = Route(other.rules.routes[0].chain, frozenset({"a.example"}))
            asked.rules = Rules([issuers, everybody], NamePolicy(), masters=frozenset({"boss"}))
            conversation = begin(asked, "XOAUTH2")
            step = await conversation.start(b"user=joe@a.example\x01auth=Bearer bosses\x01\x01")
            assert isinstance(step, Challenge)
            step = await conversation.respond(b"")
            assert isinstance(step, Done)
            assert isinstance(step.verdict, Reject)
            assert step.verdict.reason is Reason.INVALID_TOKEN


async def test_a_refused_token_counts_before_its_client_answers() -> None:
    async with door(Users(USERS), Tokens(), min_seconds=0.1) as (asked, lines):
        start = trio.current_time()
        conversation = begin(asked, "XOAUTH2")
        assert isinstance(await conversation.start(b"user=joe\x01auth=Bearer bad\x01\x01"), Challenge)
        assert trio.current_time() - start >= 0.1
        assert ["reason=invalid-token" in line for line in lines] == [True]
        assert isinstance(await conversation.respond(b""), Done)
    assert len(lines) == 1


async def test_letters_that_stores_tell_apart_are_two_people() -> None:
    users = Users({"jos\u00e9": "{PLAIN}a", "JOS\u00c9": "{PLAIN}b", "ann": SCRAM})
    async with door(users, masters=frozenset({"jos\u00e9"})) as (asked, _):
        assert isinstance(await plain(asked, "jos\u00e9", "a", "ann"), Accept)
        assert (await plain(asked, "JOS\u00c9", "b", "ann")).reason is Reason.AUTHZ_DENIED


async def test_channel_binding_is_asked_for() -> None:
    async with door(Users(USERS)) as (asked, _):
        conversation = begin(asked, "SCRAM-SHA-256-PLUS")
        step = await conversation.start(b"p=tls-exporter,,n=joe,r=nonce")
        assert isinstance(step, Challenge)
        nonce = step.data.split(b",")[0]
        bound = base64.b64encode(b"p=tls-exporter,,data")
        step = await conversation.respond(b"c=" + bound + b"," + nonce + b",p=AAAA")
        assert step == Bind("tls-exporter")
        step = await conversation.bind(b"data")
        assert isinstance(step, Done)
        assert isinstance(step.verdict, Reject)
        assert step.verdict.reason is Reason.WRONG_PASSWORD


# --- questions about users


async def test_find() -> None:
    async with door(Users(USERS)) as (asked, lines):
        found = await asked.find("joe", "", ORIGIN)
        assert isinstance(found, Account)
        assert await asked.find("nobody", "", ORIGIN) == Reject(Reason.UNKNOWN_USER)
        assert isinstance(await asked.find("a b ", "", ORIGIN), Reject)
    assert lines == []
    async with door(Users(USERS), Broken()) as (asked, _):
        assert isinstance(await asked.find("joe", "", ORIGIN), Account)
        assert isinstance(await asked.find("nobody", "", ORIGIN), Defer)
