"""The mechanisms against the examples of their standards, and against what they must refuse."""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.exchange import Challenge, Client, MalformedResponse, Mechanism, VerifyToken
from saslpy.mechanism_names import MECHANISMS
from saslpy.mechanisms import cram, named
from saslpy.mechanisms.cram import hmac_mechanism
from saslpy.mechanisms.scram import mechanism as scram
from saslpy.model import Reason, Reject
from saslpy.passwords import make

from ..transcript import Core, play, run

TIM = Core({"tim": "{PLAIN}tanstaaftanstaaf", "Kurt": "{PLAIN}xipj3plmq"})
CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"


def get(name: str) -> Mechanism:
    mechanism = named(name)
    assert mechanism is not None
    return mechanism


def test_names() -> None:
    assert named("plain") is named("PLAIN")
    assert named("NTLM") is None
    assert all(get(name).name == name for name in MECHANISMS)


# --- PLAIN


def test_plain_examples_of_rfc_4616() -> None:
    play("C: \0tim\0tanstaaftanstaaf\nok tim", get("PLAIN"), TIM)
    play("C: -\nS:\nC: Ursel\0Kurt\0xipj3plmq\nok Ursel", get("PLAIN"), TIM)


@pytest.mark.parametrize("message", [b"", b"tim", b"\0tim", b"\0tim\0a\0", b"\0\0\0\0", b"a\0b\0c\0d"])
def test_plain_has_two_nuls(message: bytes) -> None:
    with pytest.raises(MalformedResponse):
        run(get("PLAIN"), TIM, initial=message)


# --- LOGIN


def test_login() -> None:
    play("C: -\nS: Username:\nC: tim\nS: Password:\nC: tanstaaftanstaaf\nok tim", get("LOGIN"), TIM)
    play("C: tim\nS: Password:\nC: wrong\nno wrong-password", get("LOGIN"), TIM)


# --- CRAM-MD5


def cram_md5(challenge: bytes = CHALLENGE) -> Mechanism:
    return Mechanism("CRAM-MD5", "secret", partial(cram.run, lambda: challenge, "md5"))


@pytest.mark.parametrize("stored", ["{PLAIN}tanstaaftanstaaf", make("CRAM-MD5", "tanstaaftanstaaf")])
def test_cram_md5_example_of_rfc_2195(stored: str) -> None:
    core = Core({"tim": stored})
    said = f"C: -\nS: {CHALLENGE.decode()}\nC: tim "
    play(f"{said}b913a602c7eda7a495b4e6e7334d3890\nok tim", cram_md5(), core)
    play(f"{said}B913A602C7EDA7A495B4E6E7334D3890\nok tim", cram_md5(), core)
    play(f"{said}b913a602c7eda7a495b4e6e7334d3891\nno wrong-password", cram_md5(), core)
    play(f"C: -\nS: {CHALLENGE.decode()}\nC: tom {'0' * 32}\nno unknown-user", cram_md5(), core)


@pytest.mark.parametrize(
    ("name", "hash_name", "digest"),
    [
        ("CRAM-MD5", "md5", "b913a602c7eda7a495b4e6e7334d3890"),
        ("CRAM-SHA1", "sha1", "8cb10ed0a8b764ab0e05125dd6eaa295f19b5943"),
        ("CRAM-SHA256", "sha256", "f0011bbf7c1618ef90e3f18148e5eda4e15631c9c38ebef062bf7143ff72e944"),
    ],
)
def test_cram_of_a_challenge_that_was_made_elsewhere(name: str, hash_name: str, digest: str) -> None:
    play(f"C: -\nS: {CHALLENGE.decode()}\nC: tim {digest}\nok tim", hmac_mechanism(name, hash_name, CHALLENGE), TIM)


def test_cram_md5_takes_a_password_as_saslprep_has_it() -> None:
    composed, decomposed = "gr\u00fcn", "gru\u0308n"
    core = Core({"tim": f"{{PLAIN}}{decomposed}"})
    for typed in (composed, decomposed):
        digest = hmac.digest(typed.encode(), CHALLENGE, "md5").hex()
        play(f"C: -\nS: {CHALLENGE.decode()}\nC: tim {digest}\nok tim", cram_md5(), core)


@pytest.mark.parametrize(
    "response", [b"", b"tim", b"tim ", b"tim xyz", b"tim " + b"0" * 31, b"tim " + b"0 " * 16, b"tim \xff"]
)
def test_cram_md5_refuses(response: bytes) -> None:
    with pytest.raises(MalformedResponse):
        run(cram_md5(), TIM, response)


def test_challenges_differ_and_are_of_the_form_of_rfc_2195() -> None:
    made = {cram.new_challenge() for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith(b"<") and one.endswith(b">") and one.count(b"@") == 1 for one in made)


# --- SCRAM

SHA1 = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
SHA256 = (
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
NONCE1, OURS1 = "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"
NONCE256, OURS256 = "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"


def sha1(nonce: str = OURS1) -> Mechanism:
    return scram("SCRAM-SHA-1", nonce.encode)


def test_scram_sha_1_example_of_rfc_5802() -> None:
    play(
        f"""
        C: n,,n=user,r={NONCE1}
        S: r={NONCE1}{OURS1},s=QSXCR+Q6sek8bf92,i=4096
        C: c=biws,r={NONCE1}{OURS1},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=
        S: v=rmF9pqV8S7suAoZWja4dJRkFsKQ=
        ok user
        """,
        sha1(),
        Core({"user": SHA1}),
    )


def test_scram_sha_256_example_of_rfc_7677() -> None:
    play(
        f"""
        C: n,,n=user,r={NONCE256}
        S: r={NONCE256}{OURS256},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096
        C: c=biws,r={NONCE256}{OURS256},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
        S: v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        ok user
        """,
        scram("SCRAM-SHA-256", OURS256.encode),
        Core({"user": SHA256}),
    )


def test_scram_of_an_unknown_user_goes_on_to_the_proof() -> None:
    final = f"c=biws,r={NONCE1}{OURS1},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    heard, done = run(sha1(), Core({"nobody": SHA1}), final.encode(), initial=f"n,,n=user,r={NONCE1}".encode())
    assert heard == [f"r={NONCE1}{OURS1},s=QSXCR+Q6sek8bf92,i=4096".encode()]
    assert done.verdict == Reject(Reason.UNKNOWN_USER)
    assert done.final is None


class ScramClient:
    """The client's side, by RFC 5802."""

    def __init__(self, hash_name: str, name: str, password: str, gs2: str = "n,,", data: bytes = b"") -> None:
        self.hash_name, self.password, self.gs2, self.data = hash_name, password, gs2, data
        self.bare = f"n={name},r=nonce".encode()

    @property
    def first(self) -> bytes:
        return self.gs2.encode() + self.bare

    def final(self, server_first: bytes) -> bytes:
        parts = dict(part.split(b"=", 1) for part in server_first.split(b","))
        bound = base64.b64encode(self.gs2.encode() + self.data)
        without = b"c=" + bound + b",r=" + parts[b"r"]
        self.message = b",".join((self.bare, server_first, without))
        salt, rounds = base64.b64decode(parts[b"s"]), int(parts[b"i"])
        self.salted = hashlib.pbkdf2_hmac(self.hash_name, self.password.encode(), salt, rounds)
        client_key = hmac.digest(self.salted, b"Client Key", self.hash_name)
        signature = hmac.digest(hashlib.new(self.hash_name, client_key).digest(), self.message, self.hash_name)
        return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))

    @property
    def server_final(self) -> bytes:
        key = hmac.digest(self.salted, b"Server Key", self.hash_name)
        return b"v=" + base64.b64encode(hmac.digest(key, self.message, self.hash_name))


def both(mechanism: Mechanism, client: ScramClient, core: Core, **options: Any) -> Any:
    """Play both sides; the end."""
    flow = mechanism.run(Client(initial=client.first, **options))
    value: Any = None
    while True:
        try:
            step = flow.send(value)
        except StopIteration as end:
            return end.value
        value = client.final(step.data) if isinstance(step, Challenge) else core.perform(step)


@pytest.mark.parametrize("kind", ["tls-exporter", "tls-server-end-point", "tls-unique"])
def test_scram_plus_is_bound_to_the_channel(kind: str) -> None:
    mechanism = scram("SCRAM-SHA-256-PLUS")
    core = Core({"user": SHA256}, {kind: b"\0the channel\xff"})
    client = ScramClient("sha256", "user", "pencil", f"p={kind},,", b"\0the channel\xff")
    done = both(mechanism, client, core)
    assert done.verdict.account.login == "user"
    assert done.final == client.server_final
    elsewhere = ScramClient("sha256", "user", "pencil", f"p={kind},,", b"another channel")
    with pytest.raises(MalformedResponse, match="channel"):
        both(mechanism, elsewhere, core)
    done = both(mechanism, client, Core({"user": SHA256}))
    assert done.verdict.reason is Reason.MALFORMED


def test_scram_carries_an_authorization_identity() -> None:
    core = Core({"us,er=": SHA256})
    client = ScramClient("sha256", "us=2Cer=3D", "pencil", "n,a=other=2C,")
    done = both(scram("SCRAM-SHA-256"), client, core)
    assert done.verdict.account.login == "other,"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=user",
        b"n,,r=nonce,n=user",
        b"n,,m=x,n=user,r=nonce",
        b"n,,n=,r=nonce",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=a\x7f",
        b"n,,n=us=er,r=nonce",
        b"n,,n=us=2cer,r=nonce",
        b"n,b=x,n=user,r=nonce",
        b"n,a=,n=user,r=nonce",
        b"F,n,,n=user,r=nonce",
        b"x,,n=user,r=nonce",
        b"p=tls-unique,,n=user,r=nonce",  # not with this mechanism
        b"n,,n=user,r=nonce,x",
        b"n,,n=user,r=nonce,1=x",
        b"n,,n=user,r=nonce,m=must",
        b"n,,n=us\0er,r=nonce",
        b"n,,n=user,r=" + b"x" * 1025,
    ],
)
def test_scram_refuses_a_first_message(message: bytes) -> None:
    with pytest.raises(MalformedResponse):
        run(sha1(), Core({"user": SHA1}), initial=message)


def test_scram_hears_of_a_downgrade() -> None:
    core = Core({"user": SHA256})
    client = ScramClient("sha256", "user", "pencil", "y,,")
    assert both(scram("SCRAM-SHA-256"), client, core).verdict.account.login == "user"
    with pytest.raises(MalformedResponse, match="taken"):
        both(scram("SCRAM-SHA-256"), client, core, plus_offered=True)
    with pytest.raises(MalformedResponse, match="binding"):
        both(scram("SCRAM-SHA-256-PLUS"), ScramClient("sha256", "user", "pencil"), core)


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"c=biws",
        f"c=biws,r={NONCE1}{OURS1}".encode(),
        f"c=biws,r={NONCE1},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=".encode(),
        f"c=eSws,r={NONCE1}{OURS1},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=".encode(),
        f"r={NONCE1}{OURS1},c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=".encode(),
        f"c=biws,r={NONCE1}{OURS1},p=v0X8v3Bz2T0CJGbJQyF0X+HI4T".encode(),
        f"c=biws,r={NONCE1}{OURS1},p=!".encode(),
    ],
)
def test_scram_refuses_a_final_message(final: bytes) -> None:
    with pytest.raises(MalformedResponse):
        run(sha1(), Core({"user": SHA1}), final, initial=f"n,,n=user,r={NONCE1}".encode())


# --- EXTERNAL, ANONYMOUS


def test_external() -> None:
    play("C: -\nS:\nC: \nok joe", get("EXTERNAL"), TIM, certificate="joe")
    play("C: other\nok other", get("EXTERNAL"), TIM, certificate="joe")
    play("C: other\nno no-certificate", get("EXTERNAL"), TIM)
    with pytest.raises(MalformedResponse):
        run(get("EXTERNAL"), TIM, initial=b"a\0", certificate="joe")


def test_anonymous() -> None:
    play("C: sirhc@example.org\nok anonymous", get("ANONYMOUS"), TIM)
    with pytest.raises(MalformedResponse):
        run(get("ANONYMOUS"), TIM, initial=b"x" * 256)


# --- OAUTHBEARER, XOAUTH2


def test_oauthbearer_example_of_rfc_7628() -> None:
    message = base64.b64decode(
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRj"
        "Mk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    core = Core({})
    heard, done = run(get("OAUTHBEARER"), core, b"\x01", initial=message)
    assert core.asked == [VerifyToken("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")]
    assert heard == [b'{"status":"invalid_token"}']
    assert done.verdict == Reject(Reason.INVALID_TOKEN)
    assert done.attempt


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (b"n,a=joe,\x01auth=Bearer good\x01\x01", "joe"),
        (b"n,,\x01auth=bearer  good\x01\x01", "owner"),
        (b"y,a=j=2Coe,\x01host=h\x01port=25\x01auth=BEARER good\x01\x01", "j,oe"),
    ],
)
def test_oauthbearer(message: bytes, name: str) -> None:
    assert run(get("OAUTHBEARER"), Core({}), initial=message)[1].verdict.account.login == name  # type: ignore[union-attr]


def test_oauthbearer_that_only_asks_is_no_attempt() -> None:
    heard, done = run(get("OAUTHBEARER"), Core({}), b"\x01", initial=b"n,,\x01auth=\x01\x01")
    assert heard == [b'{"status":"invalid_token"}']
    assert not done.attempt


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,a=joe,auth=Bearer good\x01\x01",
        b"n,a=joe,\x01auth=Bearer good\x01",
        b"n,a=joe,\x01auth=Basic good\x01\x01",
        b"n,a=joe,\x01auth=Bearer \x01\x01",
        b"n,a=joe,\x01auth=Bearer go od\x01\x01",
        b"n,a=joe,\x01auth=Bearer go\nod\x01\x01",
        b"n,a=joe,\x01auth=Bearer g\xc3\xbc\x01\x01",
        b"n,a=joe,\x01auth=Bearer good\x01auth=Bearer bad\x01\x01",
        b"n,a=joe,\x01auth\x01\x01",
        b"n,a=joe,\x01\x01",
        b"p=tls-unique,a=joe,\x01auth=Bearer good\x01\x01",
        b"n,a=joe,x\x01auth=Bearer good\x01\x01",
    ],
)
def test_oauthbearer_refuses(message: bytes) -> None:
    with pytest.raises(MalformedResponse):
        run(get("OAUTHBEARER"), Core({}), initial=message)


def test_xoauth2() -> None:
    play("C: user=joe\x01auth=Bearer good\x01\x01\nok joe", get("XOAUTH2"), Core({}))
    heard, done = run(get("XOAUTH2"), Core({}), b"", initial=b"user=joe\x01auth=Bearer bad\x01\x01")
    assert heard == [b'{"status":"401","schemes":"bearer","scope":"mail"}']
    assert done.verdict == Reject(Reason.INVALID_TOKEN)
    for message in (b"", b"auth=Bearer good\x01\x01", b"user=joe\x01auth=good\x01\x01", b"user=joe\x01\x01"):
        with pytest.raises(MalformedResponse):
            run(get("XOAUTH2"), Core({}), initial=message)


# --- whatever comes


@pytest.mark.parametrize("name", MECHANISMS)
@given(messages=st.lists(st.binary(max_size=80), min_size=4, max_size=4), first=st.none() | st.binary(max_size=80))
def test_nothing_but_malformed_response_escapes(name: str, messages: list[bytes], first: bytes | None) -> None:
    stored = SHA1 if "SHA-1" in name else SHA256
    core = Core({"user": stored, "nobody": stored})
    flow = get(name).run(Client(first, "joe"))
    value: Any = None
    left = list(messages)
    try:
        while True:
            step = flow.send(value)
            value = left.pop(0) if isinstance(step, Challenge) else core.perform(step)
    except (StopIteration, MalformedResponse):
        return
