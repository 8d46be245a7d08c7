"""The master side of the Dovecot auth protocol, by its bytes; ⇥ is a tab, a line is a line.

And the invariants: whole or byte by byte the same, nothing but ``ProtocolError`` escapes, every id has its own answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.model import Account
from saslpy.protocols import ProtocolError
from saslpy.protocols.dovecot.fields import escape, parameters, split
from saslpy.protocols.dovecot.lines import MAX_LINE
from saslpy.protocols.dovecot.master import (
    MAX_REPLY,
    CacheStats,
    Fetch,
    FlushCache,
    ListUsers,
    MasterSide,
    PassLookup,
    Request,
    UserLookup,
    greeting,
)
from saslpy.protocols.dovecot.userdb import mask, passdb, userdb

COOKIE = "4cd8e1a0c7a5f2f4f1b9f40f0c0e7b21"


def wire(text: str) -> bytes:
    """Bytes of a transcript."""
    return text.replace("⇥", "\t").encode("latin-1") + b"\n"


def connected() -> MasterSide:
    """After the handshake."""
    side = MasterSide()
    assert take(side, "VERSION⇥1⇥1") == []
    return side


def take(side: MasterSide, *lines: str) -> list[Request]:
    return list(side.receive(b"".join(wire(text) for text in lines)))


# --- the handshake


def test_the_greeting_to_the_byte() -> None:
    assert greeting(26417) == wire("VERSION⇥1⇥1") + wire("SPID⇥26417")


@pytest.mark.parametrize("minor", [0, 1, 2, 99])
def test_any_minor_version_will_do(minor: int) -> None:
    side = MasterSide()
    assert take(side, f"VERSION⇥1⇥{minor}", "USER⇥1⇥joe⇥service=lmtp") == [UserLookup(1, "joe", "lmtp")]


# --- requests


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        # doveadm, lmtp and chasquid
        ("USER⇥1⇥joe@example.org⇥service=doveadm", UserLookup(1, "joe@example.org", "doveadm")),
        ("USER⇥7⇥joe⇥service=lmtp⇥lip=127.0.0.1⇥lport=24⇥rip=192.0.2.7⇥debug", UserLookup(7, "joe", "lmtp", "192.0.2.7")),
        # 2.4 says protocol=, and escapes the name
        ("USER⇥4294967295⇥a\x01tb\x011⇥protocol=imap⇥session=x", UserLookup(4294967295, "a\tb\1", "imap")),
        ("USER⇥1⇥⇥service=", UserLookup(1, "", "")),
        ("PASS⇥2⇥joe⇥service=lmtp", PassLookup(2, "joe", "lmtp")),
        ("LIST⇥3⇥user=*⇥service=doveadm", ListUsers(3, "*", "doveadm")),
        ("LIST⇥3⇥user=j?e*", ListUsers(3, "j?e*")),
        ("LIST⇥3", ListUsers(3)),
        (
            f"REQUEST⇥1⇥812⇥5⇥{COOKIE}⇥session_pid=815⇥request_auth_token",
            Fetch(1, 812, 5, COOKIE, session_pid=815, wants_token=True),
        ),
        (f"REQUEST⇥1⇥812⇥5⇥{COOKIE.upper()}", Fetch(1, 812, 5, COOKIE)),
        ("CACHE-FLUSH⇥9", FlushCache(9)),
        ("CACHE-FLUSH⇥9⇥joe⇥a\x01tb", FlushCache(9, ("joe", "a\tb"))),
        ("CACHE-STATS⇥9", CacheStats(9)),
        ("CACHE-STATUS⇥9", CacheStats(9)),
    ],
)  # fmt: skip
def test_requests(text: str, request_: Request) -> None:
    assert take(connected(), text) == [request_]


def test_names_that_are_not_utf8_come_as_surrogates_and_go_back_as_they_were() -> None:
    side = connected()
    [asked] = side.receive(b"USER\t1\tj\xf6e\tservice=lmtp\n")
    assert isinstance(asked, UserLookup)
    assert side.user(1, asked.name) == b"USER\t1\tj\xf6e\n"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("USER⇥1⇥joe⇥service=lmtp",), "no VERSION at the beginning"),
        (("VERSION⇥2⇥0",), "another major version"),
        (("VERSION⇥1",), "two numbers"),
        (("",), "no VERSION at the beginning"),
        (("VERSION⇥1⇥1", "VERSION⇥1⇥1"), "an unknown command"),
        (("VERSION⇥1⇥2", "CPID⇥812"), "has come to a master socket"),
        (("VERSION⇥1⇥1", "user⇥1⇥joe⇥service=lmtp"), "an unknown command"),
        (("VERSION⇥1⇥1", "AUTH⇥1⇥PLAIN⇥service=imap"), "an unknown command"),
        (("VERSION⇥1⇥1", ""), "an unknown command"),
        (("VERSION⇥1⇥1", "USER"), "without an id"),
        (("VERSION⇥1⇥1", "USER⇥0⇥joe⇥service=lmtp"), "an id is 0"),
        (("VERSION⇥1⇥1", "USER⇥4294967296⇥joe⇥service=lmtp"), "a number is none"),
        (("VERSION⇥1⇥1", "USER⇥-1⇥joe⇥service=lmtp"), "a number is none"),
        (("VERSION⇥1⇥1", "USER⇥1"), "without a name"),
        (("VERSION⇥1⇥1", "USER⇥1⇥joe"), "without a service"),
        (("VERSION⇥1⇥1", "PASS⇥1⇥joe⇥lip=127.0.0.1"), "without a service"),
        (("VERSION⇥1⇥1", "USER⇥1⇥joe⇥service=x", "PASS⇥1⇥joe⇥service=x"), "under way"),
        (("VERSION⇥1⇥1", "REQUEST⇥1⇥812⇥5"), "REQUEST wants"),
        (("VERSION⇥1⇥1", f"REQUEST⇥1⇥812⇥5⇥{COOKIE}0"), "REQUEST wants"),
        (("VERSION⇥1⇥1", "REQUEST⇥1⇥812⇥5⇥" + "g" * 32), "REQUEST wants"),
        (("VERSION⇥1⇥1", f"REQUEST⇥1⇥x⇥5⇥{COOKIE}"), "a number is none"),
        (("VERSION⇥1⇥1", f"REQUEST⇥1⇥812⇥5⇥{COOKIE}⇥session_pid=x"), "a number is none"),
        (("VERSION⇥1⇥1", "USER⇥1⇥" + "x" * MAX_LINE), "a line of over"),
    ],
)
def test_what_ends_the_connection(lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        take(MasterSide(), *lines)
    assert "joe" not in str(caught.value)


def test_a_cookie_is_not_printed() -> None:
    assert COOKIE not in repr(take(connected(), f"REQUEST⇥1⇥812⇥5⇥{COOKIE}"))


def test_an_id_is_free_again_after_its_answer() -> None:
    side = connected()
    answers: list[Callable[[], bytes]] = [
        lambda: side.user(1, "joe"),
        lambda: side.password(1, "joe"),
        lambda: side.not_found(1),
        lambda: side.fail(1),
        lambda: side.done(1),
        lambda: side.ok(1),
    ]
    for answer in answers:
        take(side, "USER⇥1⇥joe⇥service=lmtp")
        assert side.pending == 1
        answer()
        assert side.pending == 0
    take(side, "LIST⇥1")
    side.listed(1, "joe")
    assert side.pending == 1


# --- answers


def test_the_bytes_of_answers() -> None:
    side = MasterSide()
    assert side.user(1, "joe", b"uid=1000") == wire("USER⇥1⇥joe⇥uid=1000")
    assert side.user(1, "a\tb\n") == wire("USER⇥1⇥a\x01tb\x01n")
    assert side.password(2, "joe", b"proxy") == wire("PASS⇥2⇥user=joe⇥proxy")
    assert side.not_found(3) == wire("NOTFOUND⇥3")
    assert side.fail(4) == wire("FAIL⇥4")
    assert side.fail(4, "try again\nlater") == wire("FAIL⇥4⇥reason=try again\x01nlater")
    assert side.listed(5, "joe") == wire("LIST⇥5⇥joe")
    assert side.done(5) == wire("DONE⇥5")
    assert side.done(5, failed=True) == wire("DONE⇥5⇥fail")
    assert side.ok(6, 0) == wire("OK⇥6⇥0")


def test_what_no_client_could_read_is_a_failure() -> None:
    side = MasterSide()
    room = MAX_REPLY - len(wire("USER⇥1⇥joe⇥"))
    assert len(side.user(1, "joe", b"x" * room)) == MAX_REPLY
    assert side.user(1, "joe", b"x" * (room + 1)).startswith(b"FAIL\t1\treason=")


# --- accounts

JOE = Account("joe", ("{PLAIN}geheim",), 1000, 100, "/srv/joe", "/srv/joe/Maildir", "10000000S,1000C", "Joe")


def fields(account: Account, version: Any = "2.3") -> list[str]:
    return [field.decode() for field in userdb(account, version)]


def test_the_fields_of_2_3_and_of_2_4() -> None:
    both = ["uid=1000", "gid=100", "home=/srv/joe"]
    assert fields(JOE) == [*both, "mail=maildir:/srv/joe/Maildir", "quota_rule=*:bytes=10000000:messages=1000"]
    assert fields(JOE, "2.4") == [
        *both,
        "mail_driver=maildir",
        "mail_path=/srv/joe/Maildir",
        "quota_storage_size=10000000B",
        "quota_message_count=1000",
    ]


@pytest.mark.parametrize(
    ("quota", "rule"),
    [
        ("10000000S", "quota_rule=*:bytes=10000000"),
        ("1000C", "quota_rule=*:messages=1000"),
        ("1000C, 5S", "quota_rule=*:bytes=5:messages=1000"),
        ("5", "quota_rule=*:bytes=5"),
        ("0S", "quota_rule=*:bytes=0"),
        ("", ""),
        (None, ""),
        ("lots", ""),
        ("5S,", ""),
        ("-5S", ""),
        ("٣S", ""),
        ("9" * 30, ""),
    ],
)
def test_quotas(quota: str | None, rule: str) -> None:
    assert fields(Account("joe", quota=quota)) == ([rule] if rule else [])


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert fields(Account("joe")) == []
    assert fields(Account("joe", uid=0, gid=0)) == ["uid=0", "gid=0"]


def test_a_path_is_one_field_and_no_option_of_it() -> None:
    assert fields(Account("joe", maildir="/m/a:INBOX=/root\tb")) == ["mail=maildir:/m/a::INBOX=/root\1tb"]


def test_options_are_given_that_are_meant_for_dovecot() -> None:
    options = {
        "userdb_mail_max_userip_connections": "3",
        "userdb_namespace/inbox/prefix": "INBOX.",
        "userdb_mail_plugins": "quota\tacl",
        "disableimap": "1",
        "userdb_": "x",
        "userdb_x=y\t": "x",
        "userdb_A": "x",
        "passdb_proxy": "y",
    }
    assert fields(Account("joe", options=options)) == [
        "mail_max_userip_connections=3",
        "namespace/inbox/prefix=INBOX.",
        "mail_plugins=quota\1tacl",
    ]


@pytest.mark.parametrize("name", ["uid", "gid", "home", "chroot", "user", "system_groups_user", "master_user", "mail"])
def test_no_option_says_who_it_is(name: str) -> None:
    said = fields(Account("joe", uid=7, gid=7, home="/h", maildir="/m", options={"userdb_" + name: "0"}))
    assert said == ["uid=7", "gid=7", "home=/h", "mail=maildir:/m"]


def test_mail_in_another_format_comes_from_an_option() -> None:
    assert fields(Account("joe", options={"userdb_mail": "mdbox:~/mdbox"})) == ["mail=mdbox:~/mdbox"]


def test_a_proxy_is_told_where_and_never_a_secret() -> None:
    options = {
        "passdb_proxy": "y",
        "passdb_host": "10.0.0.1",
        "passdb_pass": "x",
        "passdb_nopassword": "y",
        "home": "/",
    }
    account = Account("joe", ("{PLAIN}geheim",), options=options)
    assert passdb(account) == [b"proxy=y", b"host=10.0.0.1"]
    assert not any(b"geheim" in field for field in userdb(account, "2.3"))


# --- masks


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", "joe ann@example.org [x] a.b"),
        ("", ""),
        ("joe", "joe"),
        ("JOE", "joe"),
        ("?oe", "joe"),
        ("*@example.org", "ann@example.org"),
        ("*@example?org", "ann@example.org"),
        ("[x]", "[x]"),
        ("[!j]*", ""),
        ("a.b", "a.b"),
        ("*n*@*.o*g", "ann@example.org"),
    ],
)
def test_masks(pattern: str, names: str) -> None:
    users = ["joe", "ann@example.org", "[x]", "a.b"]
    assert [user for user in users if mask(pattern).match(user)] == names.split()


def test_a_mask_that_goes_wrong_everywhere_is_no_work() -> None:
    assert not mask("*a" * 2000 + "b").match("a" * 3999 + "c")


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_masks_as_a_plain_matcher_has_them(pattern: str, name: str) -> None:
    def fits(p: str, n: str) -> bool:
        if not p:
            return not n
        if p[0] == "*":
            return any(fits(p[1:], n[i:]) for i in range(len(n) + 1))
        return bool(n) and p[0] in ("?", n[0]) and fits(p[1:], n[1:])

    assert bool(mask(pattern).match(name)) is fits(pattern, name)


# --- the invariants


def outcome(pieces: list[bytes]) -> list[Request | str]:
    """The requests, and why it ended."""
    side = MasterSide()
    seen: list[Request | str] = []
    try:
        for piece in pieces:
            for asked in side.receive(piece):
                seen.append(asked)
                side.not_found(asked.id)
    except ProtocolError as fault:
        seen.append(str(fault))
    return seen


word = st.sampled_from(
    b"VERSION USER PASS LIST REQUEST CACHE-FLUSH 1 2 0 service=imap user=* session_pid=5 joe".split()
) | st.sampled_from([COOKIE.encode(), b"\1t", b"", b"\xff"])
lines = st.lists(st.lists(word, max_size=6).map(b"\t".join), max_size=8).map(b"\n".join)
garbage = st.one_of(st.binary(max_size=400), lines, lines.map(lambda text: b"VERSION\t1\t1\n" + text + b"\n"))


@given(garbage)
def test_whole_or_byte_by_byte(data: bytes) -> None:
    assert outcome([data]) == outcome([data[i : i + 1] for i in range(len(data))])


@given(garbage, st.lists(st.integers(0, 2000), max_size=6))
def test_any_split_is_the_same(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assert outcome([data]) == outcome([data[start:end] for start, end in itertools.pairwise(places)])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.text(max_size=30))
def test_a_name_and_fields_come_back_as_they_went(name: str, value: str) -> None:
    account = Account(name, home=value.encode("utf-8", "replace").decode() or "/")
    reply = MasterSide().user(1, name, *userdb(account, "2.3"))
    assert reply.count(b"\n") == 1
    _, key, said, *more = split(reply[:-1])
    assert (key, said) == (b"1", escape(name.encode()))
    assert parameters(more)[b"home"] == (account.home or "").encode()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9, unique=True), st.randoms())
def test_requests_in_flight_are_answered_in_any_order(keys: list[int], chance: Any) -> None:
    side = connected()
    asked = take(side, *(f"USER⇥{key}⇥user{key}⇥service=lmtp" for key in keys))
    chance.shuffle(asked)
    for lookup in asked:
        assert isinstance(lookup, UserLookup)
        assert side.user(lookup.id, lookup.name) == wire(f"USER⇥{lookup.id}⇥user{lookup.id}")
    assert side.pending == 0
