"""The client side of the Dovecot auth protocol, by its bytes; ⇥ is a tab, a line is a line.

And the invariants: whole or byte by byte the same, nothing but ``ProtocolError`` escapes, and two exchanges that are
interleaved in any way get their own answers.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.mechanism_names import MECHANISMS
from saslpy.protocols import ProtocolError
from saslpy.protocols.dovecot.client import ClientSide
from saslpy.protocols.dovecot.events import Begin, Binding, Event, Hello, Over, Response
from saslpy.protocols.dovecot.fields import (
    escape,
    line,
    number,
    pair,
    parameters,
    split,
    unescape,
)
from saslpy.protocols.dovecot.lines import MAX_LINE, LineReader

JOE, JOE_RESPONSE = b"\0joe\0secret", "AGpvZQBzZWNyZXQ="


def wire(text: str) -> bytes:
    """Bytes of a transcript."""
    return text.replace("⇥", "\t").encode("latin-1") + b"\n"


def connected(minor: int = 0, mechanisms: Sequence[str] = MECHANISMS) -> ClientSide:
    """After the handshake."""
    side = ClientSide(mechanisms)
    assert take(side, f"VERSION⇥1⇥{minor}", "CPID⇥26417") == [Hello()]
    side.greeting(1, 1, "")
    return side


def take(side: ClientSide, *lines: str) -> list[Event]:
    return list(side.receive(b"".join(wire(text) for text in lines)))


# --- the handshake


def test_the_greeting_to_the_byte() -> None:
    side = ClientSide(("PLAIN", "LOGIN", "SCRAM-SHA-256"))
    greeting = side.version + side.greeting(26417, 1, "4cd8e1a0c7a5f2f4f1b9f40f0c0e7b21")
    assert greeting == b"".join(
        wire(text)
        for text in (
            "VERSION⇥1⇥2",
            "MECH⇥PLAIN⇥plaintext",
            "MECH⇥LOGIN⇥plaintext",
            "MECH⇥SCRAM-SHA-256⇥mutual-auth",
            "SPID⇥26417",
            "CUID⇥1",
            "COOKIE⇥4cd8e1a0c7a5f2f4f1b9f40f0c0e7b21",
            "DONE",
        )
    )
    assert not side.waits


def test_the_flags_of_every_mechanism() -> None:
    side = connected(4)
    said = [fields for fields in map(split, side.greeting(1, 1, "").splitlines()) if fields[0] == b"MECH"]
    assert {fields[1].decode(): b" ".join(fields[2:]).decode() for fields in said} == {
        "PLAIN": "plaintext",
        "LOGIN": "plaintext",
        "XOAUTH2": "plaintext",
        "OAUTHBEARER": "plaintext",
        "CRAM-MD5": "dictionary active",
        "SCRAM-SHA-1": "mutual-auth",
        "SCRAM-SHA-256": "mutual-auth",
        "SCRAM-SHA-1-PLUS": "mutual-auth channel-binding",
        "SCRAM-SHA-256-PLUS": "mutual-auth channel-binding",
        "ANONYMOUS": "anonymous",
        "EXTERNAL": "",
    }


@pytest.mark.parametrize(("minor", "plus"), [(0, False), (1, False), (2, False), (3, True), (4, True), (99, True)])
def test_channel_binding_is_for_those_who_can_do_it(minor: int, plus: bool) -> None:
    side = ClientSide(("SCRAM-SHA-256-PLUS", "PLAIN"))
    assert side.waits
    assert side.version == wire("VERSION⇥1⇥4")
    take(side, f"VERSION⇥1⇥{minor}", "CPID⇥1")
    assert (b"-PLUS" in side.greeting(1, 1, "")) is plus
    assert (list(side.offered or ()), side.binds) == (
        (["SCRAM-SHA-256-PLUS", "PLAIN"], True) if plus else (["PLAIN"], False)
    )
    event = take(side, "AUTH⇥1⇥SCRAM-SHA-256-PLUS⇥service=smtp⇥resp=eA==")[0]
    assert isinstance(event, Begin if plus else Over)


def test_what_was_offered_stays_so_whatever_is_said_later() -> None:
    side = ClientSide(("SCRAM-SHA-1-PLUS", "LOGIN"))
    side.greeting(1, 1, "")
    take(side, "VERSION⇥1⇥4", "CPID⇥1")
    assert side.offered == ["LOGIN"]
    assert not side.binds
    assert take(side, "AUTH⇥1⇥SCRAM-SHA-1-PLUS⇥service=smtp") == [Over(1, wire("FAIL⇥1⇥reason=unknown mechanism"))]


def test_the_version_is_told_before_anything_that_comes_with_it() -> None:
    side = ClientSide(("SCRAM-SHA-1-PLUS", "LOGIN"))
    for event in side.receive(b"VERSION\t1\t4\nCPID\t1\nAUTH\t1\tSCRAM-SHA-1-PLUS\tservice=imap\n"):
        if isinstance(event, Hello):
            side.greeting(1, 1, "")
        else:
            assert event == Begin(1, "SCRAM-SHA-1-PLUS", None, "imap")


def test_a_name_that_is_too_long_is_not_told() -> None:
    side = connected()
    assert side.fail(1, "x" * 1024, "temp_fail") == wire(f"FAIL⇥1⇥user={'x' * 1024}⇥code=temp_fail")
    assert side.fail(1, "x" * 1025, "temp_fail") == wire("FAIL⇥1⇥code=temp_fail")
    assert side.fail(1, "é" * 513) == wire("FAIL⇥1"), "it is bytes that count"
    assert len(side.ok(1, "\t" * 1024, pair(b"original_user", "\t" * 1024), pair(b"auth_user", "\t" * 1024))) < 8192


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("CPID⇥1",), "neither VERSION nor CPID"),
        (("AUTH⇥1⇥PLAIN⇥service=smtp",), "neither VERSION nor CPID"),
        (("VERSION⇥1⇥0", "AUTH⇥1⇥PLAIN⇥service=smtp"), "neither VERSION nor CPID"),
        (("VERSION⇥1⇥0", "VERSION⇥1⇥0"), "neither VERSION nor CPID"),
        (("VERSION⇥1⇥0", "CPID"), "neither VERSION nor CPID"),
        (("VERSION⇥1⇥0", "CPID⇥0"), "an id is 0"),
        (("VERSION⇥1⇥0", "CPID⇥x"), "a number is none"),
        (("VERSION⇥2⇥0",), "another major version"),
        (("VERSION⇥1",), "two numbers"),
        (("VERSION⇥1⇥-1",), "a number is none"),
        (("",), "neither VERSION nor CPID"),
        (("GET / HTTP/1.1",), "neither VERSION nor CPID"),
    ],
)
def test_a_handshake_that_is_none(lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        take(ClientSide(("PLAIN",)), *lines)


# --- what peers were seen to say (Postfix 3.7.11, Exim 4.96, Dovecot 2.3.19.1)


def test_postfix() -> None:
    side = connected(0)
    asked = f"AUTH⇥1⇥PLAIN⇥service=smtp⇥nologin⇥lip=127.0.0.1⇥rip=127.0.0.1⇥resp={JOE_RESPONSE}"
    assert take(side, asked) == [Begin(1, "PLAIN", JOE, "smtp", "127.0.0.1", login_follows=False)]
    assert side.ok(1, "joe") == wire("OK⇥1⇥user=joe")
    assert take(side, asked.replace("⇥1⇥", "⇥2⇥").replace("⇥resp=" + JOE_RESPONSE, "")) == [
        Begin(2, "PLAIN", None, "smtp", "127.0.0.1", login_follows=False)
    ]
    assert side.challenge(2, b"") == wire("CONT⇥2⇥")
    assert take(side, f"CONT⇥2⇥{JOE_RESPONSE}") == [Response(2, JOE)]
    assert side.fail(2, "joe") == wire("FAIL⇥2⇥user=joe")
    assert side.fail(3, "joe", "temp_fail") == wire("FAIL⇥3⇥user=joe⇥code=temp_fail")
    assert side.fail(4, "joe", reason="custom reason text") == wire("FAIL⇥4⇥user=joe⇥reason=custom reason text")
    [begin] = take(side, "AUTH⇥17⇥PLAIN⇥service=smtp⇥nologin⇥resp==")
    assert isinstance(begin, Begin)
    assert begin.initial == b""


def test_exim() -> None:
    asked = f"AUTH⇥1⇥PLAIN⇥service=smtp⇥secured⇥valid-client-cert⇥rip=127.0.0.1⇥lip=NULL⇥nologin⇥resp={JOE_RESPONSE}"
    assert take(connected(0), asked) == [
        Begin(1, "PLAIN", JOE, "smtp", "127.0.0.1", secured=True, login_follows=False),
    ]


def test_dovecot() -> None:
    asked = (
        "AUTH⇥1⇥PLAIN⇥service=imap⇥secured=tls⇥session=ABC+/⇥lip=::1⇥rip=2001:db8::7⇥lport=143⇥rport=40112⇥"
        f"valid-client-cert⇥cert_username=joe⇥final-resp-ok⇥no-penalty⇥client_id=x\x01ty⇥resp={JOE_RESPONSE}"
    )
    expected = Begin(1, "PLAIN", JOE, "imap", "2001:db8::7", secured=True, certificate="joe", takes_final=True)
    assert take(connected(2), asked) == [expected]
    assert take(connected(4), asked.replace("service=", "protocol=")) == [expected]


def test_a_name_is_no_certificates_unless_one_was_verified() -> None:
    [begin] = take(connected(), "AUTH⇥1⇥EXTERNAL⇥service=smtp⇥cert_username=joe⇥resp=")
    assert isinstance(begin, Begin)
    assert begin.certificate == ""


def test_case_and_order_and_unknown_parameters() -> None:
    [begin] = take(connected(2), "AUTH⇥4294967295⇥pLaIn⇥⇥x=y⇥nologin⇥x⇥rip=192.0.2.7⇥service=smtp⇥resp=")
    assert begin == Begin(4294967295, "PLAIN", b"", "smtp", "192.0.2.7", login_follows=False)


# --- initial responses


@pytest.mark.parametrize(
    ("given", "old", "new"),
    [
        ("", None, None),
        ("⇥resp=", None, b""),
        ("⇥resp==", b"", b""),
        ("⇥resp", None, None),
        ("⇥resp=eA==", b"x", b"x"),
    ],
)
def test_no_response_and_an_empty_one(given: str, old: bytes | None, new: bytes | None) -> None:
    for minor in range(5):
        [begin] = take(connected(minor), f"AUTH⇥1⇥PLAIN⇥service=smtp{given}")
        assert isinstance(begin, Begin)
        assert begin.initial == (old if minor < 2 else new)


def test_nothing_follows_the_response() -> None:
    with pytest.raises(ProtocolError, match="follows resp="):
        take(connected(), f"AUTH⇥1⇥PLAIN⇥service=smtp⇥resp={JOE_RESPONSE}⇥nologin")
    with pytest.raises(ProtocolError, match="follows resp="):
        take(connected(), "AUTH⇥1⇥PLAIN⇥service=smtp⇥resp=⇥")


BAD_BASE64 = [
    "A",
    "AA",
    "AAA",
    "AAAA=",
    "====",
    "AA=A",
    "A A=",
    "AAAA\r",
    "&AAA",
    "AA==AA==",
    "#",
    "A===",
    "AAAA!",
]


@pytest.mark.parametrize("data", BAD_BASE64)
def test_bad_base64_ends_its_request_alone(data: str) -> None:
    side = connected()
    told = wire("FAIL⇥1⇥code=invalid_base64⇥reason=invalid base64 data")
    begun = take(side, "AUTH⇥2⇥PLAIN⇥service=smtp", f"AUTH⇥1⇥PLAIN⇥service=smtp⇥resp={data}")
    assert begun == [Begin(2, "PLAIN", None, "smtp"), Over(1, told)]
    take(side, "AUTH⇥1⇥PLAIN⇥service=smtp")
    side.challenge(1, b"")
    side.challenge(2, b"")
    if data != "#":
        assert take(side, f"CONT⇥1⇥{data}", f"CONT⇥2⇥{JOE_RESPONSE}") == [Over(1, told), Response(2, JOE)]


# --- what ends a connection


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("AUTH⇥0⇥PLAIN⇥service=smtp", "an id is 0"),
        ("AUTH⇥x⇥PLAIN⇥service=smtp", "a number is none"),
        ("AUTH⇥⇥PLAIN⇥service=smtp", "a number is none"),
        ("AUTH⇥-1⇥PLAIN⇥service=smtp", "a number is none"),
        ("AUTH⇥+1⇥PLAIN⇥service=smtp", "a number is none"),
        ("AUTH⇥4294967296⇥PLAIN⇥service=smtp", "more than 32 bits"),
        ("AUTH⇥" + "9" * 5000 + "⇥PLAIN⇥service=smtp", "more than 32 bits"),
        ("AUTH⇥7⇥PLAIN⇥service=smtp", "under way"),
        ("AUTH⇥1⇥PLAIN", "without a service"),
        ("AUTH⇥1⇥PLAIN⇥service=⇥resp=", "without a service"),
        ("AUTH⇥1⇥PLAIN⇥resp=⇥service=smtp", "follows resp="),
        ("AUTH⇥1", "without a service"),
        ("AUTH", "without an id"),
        ("CONT", "without an id"),
        ("CANCEL", "without an id"),
        ("CONT⇥0⇥", "an id is 0"),
        ("CANCEL⇥x", "a number is none"),
        ("HELLO⇥1", "an unknown command"),
        ("auth⇥1⇥PLAIN⇥service=smtp", "an unknown command"),
        ("AUTH⇥1⇥PLAIN⇥service=smtp\r", None),
        ("CPID⇥26417", "an unknown command"),
        ("VERSION⇥1⇥0", "an unknown command"),
        ("", "an unknown command"),
    ],
)
def test_what_is_not_this_protocol(text: str, why: str | None) -> None:
    side = connected()
    take(side, "AUTH⇥7⇥PLAIN⇥service=smtp")
    if why is None:  # a CR is no part of a line's end
        [begin] = take(side, text)
        assert isinstance(begin, Begin)
        assert begin.service == "smtp\r"
        return
    with pytest.raises(ProtocolError, match=why):
        take(side, text)


def test_a_line_has_16_kib() -> None:
    begin = b"AUTH\t1\tPLAIN\tservice=smtp\tresp="
    fits = b"A" * ((MAX_LINE - len(begin) - 1) // 4 * 4)
    side = connected()
    assert isinstance(next(side.receive(begin + fits + b"\n")), Begin)
    for data in (begin + fits + b"AAAA\n", begin + fits + b"AAAA", b"x" * MAX_LINE):
        side = connected()
        with pytest.raises(ProtocolError, match="a line of over 16384 bytes"):
            list(side.receive(data))
    assert list(connected().receive(b"x" * (MAX_LINE - 1))) == []


def test_lines_before_a_bad_one_count() -> None:
    side, events = connected(), []
    with pytest.raises(ProtocolError):
        for event in side.receive(wire("AUTH⇥1⇥PLAIN⇥service=smtp") + b"x" * MAX_LINE):
            events.append(event)
    assert events == [Begin(1, "PLAIN", None, "smtp")]


# --- what ends an exchange


def test_an_unknown_mechanism_is_refused_and_its_id_free() -> None:
    side = connected(0, ("PLAIN",))
    for name in ("SCRAM-SHA-256", "GSSAPI", "", "\x01t", "PLAIN "):
        assert take(side, f"AUTH⇥1⇥{name}⇥service=smtp⇥resp=?") == [Over(1, wire("FAIL⇥1⇥reason=unknown mechanism"))]
    assert isinstance(take(side, "AUTH⇥1⇥PLAIN⇥service=smtp")[0], Begin)


def test_a_response_to_nothing() -> None:
    side = connected()
    unknown = Over(9, wire("FAIL⇥9⇥code=temp_fail⇥reason=the exchange has timed out"))
    assert take(side, "CONT⇥9⇥AAAA") == [unknown]
    assert take(side, "CONT⇥9") == [unknown]
    take(side, "AUTH⇥9⇥PLAIN⇥service=smtp")
    assert take(side, "CONT⇥9⇥AAAA") == [Over(9, wire("FAIL⇥9⇥reason=this was not asked for"))]
    assert take(side, "CONT⇥9⇥AAAA") == [unknown]


def test_an_empty_response() -> None:
    side = connected()
    take(side, "AUTH⇥1⇥SCRAM-SHA-1⇥service=smtp⇥resp=eA==")
    for text in ("CONT⇥1⇥", "CONT⇥1", "CONT⇥1⇥⇥more"):
        side.challenge(1, b"v=")
        assert take(side, text) == [Response(1, b"")]


def test_cancelling() -> None:
    for minor in range(6):
        side = connected(minor)
        for asked in (False, True):
            take(side, "AUTH⇥1⇥LOGIN⇥service=smtp")
            if asked:
                side.challenge(1, b"Username:")
            assert take(side, "CANCEL⇥1") == [Over(1, wire("CANCELLED⇥1") if minor >= 4 else b"")]
        assert take(side, "CANCEL⇥1") == [Over(1)], "it has ended, or never was"
        assert take(side, "CONT⇥1⇥AAAA")[0] == Over(1, wire("FAIL⇥1⇥code=temp_fail⇥reason=the exchange has timed out"))


def test_channel_binding() -> None:
    side = connected(3)
    take(side, "AUTH⇥5⇥SCRAM-SHA-1-PLUS⇥service=smtp⇥resp=eA==")
    cases = [
        ("CONT⇥5⇥#⇥channel_binding=AAEC", Binding(5, b"\0\1\2")),
        ("CONT⇥5⇥#⇥x=y⇥channel_binding=AAEC", Binding(5, b"\0\1\2")),
        ("CONT⇥5⇥#⇥channel_binding=", Binding(5, None)),
        ("CONT⇥5⇥#", Binding(5, None)),
        ("CONT⇥5⇥#⇥channel_binding=A", Over(5, wire("FAIL⇥5⇥code=invalid_base64⇥reason=invalid base64 data"))),
    ]
    for text, expected in cases:
        assert side.bind(5, "tls-exporter") == wire("CONT⇥5⇥#⇥channel_binding=tls-exporter")
        assert take(side, text) == [expected]
    for binds, text in ((True, "CONT⇥6⇥AAAA"), (False, "CONT⇥6⇥#⇥channel_binding=AAAA")):
        take(side, "AUTH⇥6⇥SCRAM-SHA-1-PLUS⇥service=smtp⇥resp=eA==")
        _ = side.bind(6, "tls-exporter") if binds else side.challenge(6, b"x")
        assert take(side, text) == [Over(6, wire("FAIL⇥6⇥reason=this was not asked for"))]


def test_the_words_of_the_end() -> None:
    side = connected(2)
    assert side.ok(1, "joe", final=b"v=x") == wire("OK⇥1⇥user=joe⇥resp=dj14")
    assert side.ok(1, "joe", final=b"") == wire("OK⇥1⇥user=joe⇥resp=")
    assert side.ok(1, "anonymous", b"anonymous") == wire("OK⇥1⇥user=anonymous⇥anonymous")
    assert side.ok(1, "joe", pair(b"auth_user", "boss")) == wire("OK⇥1⇥user=joe⇥auth_user=boss")
    assert side.ok(1, "a\tb\nc\x01\0\r") == wire("OK⇥1⇥user=a\x01tb\x01nc\x011\x010\x01r")
    assert side.ok(1, "j\udcffoe") == wire("OK⇥1⇥user=j\xffoe")
    assert side.fail(1) == wire("FAIL⇥1")


def test_no_secret_is_printed() -> None:
    side = connected(3)
    take(side, "AUTH⇥6⇥PLAIN⇥service=smtp")
    side.challenge(6, b"")
    events = take(side, f"AUTH⇥1⇥PLAIN⇥service=smtp⇥resp={JOE_RESPONSE}", f"CONT⇥6⇥{JOE_RESPONSE}")
    assert len(events) == 2
    assert not any("secret" in repr(event) for event in events)


# --- fields and lines


@given(st.binary())
def test_escapes(value: bytes) -> None:
    escaped = escape(value)
    assert unescape(escaped) == value
    assert not set(escaped) & set(b"\0\t\r\n")
    assert split(line(b"X", pair(b"name", value))[:-1]) == [b"X", b"name=" + escaped]
    assert parameters([pair(b"name", value), b"bare"]) == {b"name": value, b"bare": b""}


def test_escapes_that_mean_little() -> None:
    assert unescape(b"\x01x\x01=\x01\x01\x01") == b"x=\x01"


@given(st.one_of(st.binary(max_size=12), st.integers(-2, 2**33).map(lambda value: b"%d" % value)))
def test_numbers(data: bytes) -> None:
    good = data.isdigit() and len(data) <= 10 and int(data) < 2**32
    try:
        assert number(data) == int(data)
        assert good
    except ProtocolError:
        assert not good


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
def test_lines_whole_or_byte_by_byte(pieces: list[bytes], most: int) -> None:
    def lines(parts: list[bytes]) -> list[bytes | str]:
        reader, found = LineReader(most), list[bytes | str]()
        try:
            for part in parts:
                found.extend(reader.receive(part))
        except ProtocolError:
            found.append("too long")
        return found

    data = b"\n".join(pieces)
    assert lines([data]) == lines([data[i : i + 1] for i in range(len(data))])


# --- fuzz

IDS = st.sampled_from([b"1", b"2", b"3", b"0", b"", b"x", b"4294967296", b"01"])
BASE64 = st.one_of(st.binary(max_size=40).map(base64.b64encode), st.sampled_from([b"", b"=", b"#", b"A", b"%"]))
PARAMETERS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"service=smtp", b"protocol=imap", b"nologin", b"secured", b"final-resp-ok", b"rip=NULL", b""]
        ),
        st.builds(lambda data: b"resp=" + data, BASE64),
        st.builds(lambda data: b"channel_binding=" + data, BASE64),
        st.binary(max_size=10).map(lambda data: data.replace(b"\n", b"")),
    ),
    max_size=4,
)
NAMES = st.sampled_from([name.encode() for name in MECHANISMS] + [b"plain", b"X"])
LINES = st.one_of(
    st.builds(lambda key, name, more: line(b"AUTH", key, name, b"service=smtp", *more), IDS, NAMES, PARAMETERS),
    st.builds(lambda key, name, more: line(b"AUTH", key, name, *more), IDS, NAMES, PARAMETERS),
    st.builds(lambda key, data, more: line(b"CONT", key, data, *more), IDS, BASE64, PARAMETERS),
    st.builds(lambda key: line(b"CANCEL", key), IDS),
    st.binary(max_size=60),
)


def outcome(minor: int, pieces: list[bytes]) -> list[Event | str]:
    """What comes of the pieces. Every exchange is asked something at once, by what its id is."""
    side, seen = connected(minor), list[Event | str]()
    try:
        for piece in pieces:
            for event in side.receive(piece):
                seen.append(event)
                if not isinstance(event, Hello | Over):
                    _ = side.bind(event.id, "tls-exporter") if event.id == 2 else side.challenge(event.id, b"x")
    except ProtocolError as fault:
        seen.append(str(fault))
    return seen


@given(st.integers(0, 4), st.lists(LINES, max_size=8).map(b"".join))
def test_whole_or_byte_by_byte(minor: int, data: bytes) -> None:
    """The same events and the same end; nothing but ``ProtocolError`` escapes."""
    assert outcome(minor, [data]) == outcome(minor, [data[i : i + 1] for i in range(len(data))])


@given(st.binary(max_size=300))
def test_garbage_instead_of_a_handshake(data: bytes) -> None:
    side = ClientSide(MECHANISMS)
    try:
        assert list(side.receive(data)) in ([], [Hello()])
    except ProtocolError:
        return


def script(key: int, first: int, turns: int) -> list[tuple[bytes, Event]]:
    """One client's lines, and what each of them means."""
    name = "LOGIN" if turns else "PLAIN"
    said: list[tuple[bytes, Event]] = [
        (wire(f"AUTH⇥{key}⇥{name}⇥service=smtp⇥resp=eA=="), Begin(key, name, b"x", "smtp"))
    ]
    for turn in range(turns):
        data = bytes([first, turn])
        said.append((line(b"CONT", b"%d" % key, base64.b64encode(data)), Response(key, data)))
    return said


@given(st.integers(0, 5), st.integers(0, 5), st.data())
def test_two_clients_interleaved_get_their_own(one: int, two: int, data: st.DataObject) -> None:
    """Two exchanges on one connection, their lines in any order, in pieces of any size."""
    waiting = {1: script(1, 10, one), 2: script(2, 20, two)}
    expected: dict[int, list[Event]] = {key: [event for _, event in lines] for key, lines in waiting.items()}
    stream = b""
    while any(waiting.values()):
        key = data.draw(st.sampled_from([key for key, lines in waiting.items() if lines]))
        stream += waiting[key].pop(0)[0]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    side, got = connected(), dict[int, list[Event]]({1: [], 2: []})
    for start, end in itertools.pairwise(sorted({0, len(stream), *cuts})):
        for event in side.receive(stream[start:end]):
            assert not isinstance(event, Hello)
            got[event.id].append(event)
            side.challenge(event.id, b"next")
    assert got == expected
