"""What is sent in the hope of being taken for somebody: each of these is a definite no, and never an error of ours."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk

from saslpy.model import Refusal
from saslpy_oauth.signed import SignedTokens
from tests.real.idp import Signer, encoded, sign

from . import JOE, NOBODY, refused, signed


@pytest.fixture(scope="module")
def backend(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedTokens]:
    with signed(tmp_path_factory.mktemp("keys") / "keys.json", signer) as backend:
        yield backend


def said(backend: SignedTokens, token: str) -> str:
    """Why a token is refused; no piece of it may be told that could be used."""
    detail = refused(backend.verify_token(NOBODY, token))
    for secret in (token, token.rpartition(".")[2]):
        assert len(secret) < 8 or secret not in detail
    assert detail.isprintable() and len(detail) < 300
    return detail


def test_a_good_one(backend: SignedTokens, signer: Signer) -> None:
    for key in (signer.rsa, signer.ec):
        assert backend.verify_token(NOBODY, signer.token(key=key)) == JOE
    assert "token" not in repr(backend)


# --- the algorithm is ours to choose


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "nOnE", "", None, 5, ["RS256"], {"RS256": 1}, "RS256 ", "rs256"]
)
@pytest.mark.parametrize("signature", ["", "x"])
def test_no_signature(backend: SignedTokens, signer: Signer, name: Any, signature: str) -> None:
    header = {"typ": "JWT", "kid": "rsa", "alg": name}
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(signer.claims()).encode())}"
    detail = said(backend, f"{text}.{encoded(signature.encode())}")
    assert "is not allowed" in detail


@pytest.mark.parametrize("allowed", [None, ("RS256", "HS256", "ES256")])
def test_a_public_key_is_no_secret(signer: Signer, file: Path, allowed: tuple[str, ...] | None) -> None:
    """HS256 made with whatever everybody can know of our RSA key (RFC 8725, 2.1), be HS256 allowed or not."""
    public = signer.rsa.public_key
    spellings = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(signer.rsa.as_dict(private=False)).encode(),
        str(signer.rsa.as_dict(private=False)["n"]).encode(),
        signer.jwks().encode(),
    ]
    with signed(file, signer, algorithms=allowed) as backend:
        for secret in spellings:
            for kid in ("rsa", "ec", None):
                key = jwk.OctKey(secret, secret)  # import_key would not have it
                header = json.dumps({"alg": "HS256", "typ": "JWT", **({"kid": kid} if kid else {})})
                token = sign(header.encode(), json.dumps(signer.claims()).encode(), "HS256", key)
                assert said(backend, token) in (
                    "its algorithm 'HS256' is not allowed",
                    f"there is no key for it (kid {kid!r}, HS256)",
                )


def test_one_keys_algorithm_is_not_for_another(backend: SignedTokens, signer: Signer) -> None:
    token = signer.token(header={"alg": "RS256", "kid": "ec"})
    assert said(backend, token) == "there is no key for it (kid 'ec', RS256)"
    token = signer.token(header={"alg": "ES256", "kid": "rsa"}, key=signer.ec)
    assert said(backend, token) == "there is no key for it (kid 'rsa', ES256)"


# --- keys


@pytest.mark.parametrize(
    "kid",
    ["unknown", "", "RSA", "rsa ", "../../../../dev/null", "/etc/passwd", "rsa'; DROP TABLE keys", "a\0b", "x" * 256],
)
def test_an_unknown_kid(backend: SignedTokens, signer: Signer, kid: str) -> None:
    assert said(backend, signer.token(header={"kid": kid})).startswith("there is no key for it")


@pytest.mark.parametrize("kid", [5, ["rsa"], {"a": 1}, True, "x" * 257])
def test_a_kid_that_is_no_name(backend: SignedTokens, signer: Signer, kid: Any) -> None:
    assert said(backend, signer.token(header={"kid": kid})) == "its kid is no name"


def test_keys_that_the_token_brings(backend: SignedTokens, signer: Signer) -> None:
    """Whatever it says of where its key is: ours are in the file (RFC 8725, 3.5)."""
    stranger = Signer(signer.issuer)
    own = stranger.rsa.as_dict(private=False)
    for header in (
        {"jwk": own},
        {"jwk": own, "kid": None},
        {"jku": "http://127.0.0.1:9/keys", "kid": "rsa"},
        {"x5u": "http://127.0.0.1:9/cert", "kid": "rsa"},
        {"x5c": ["MIIB"], "kid": None},
    ):
        assert said(backend, stranger.token(header=header)) == "its signature is wrong"
        # they do no harm to a token that is ours
        assert backend.verify_token(NOBODY, signer.token(header={**header, "kid": "rsa"})) == JOE


def test_a_token_without_a_kid_is_tried_with_all(backend: SignedTokens, signer: Signer) -> None:
    assert backend.verify_token(NOBODY, signer.token(header={"kid": None})) == JOE
    assert said(backend, Signer(signer.issuer).token(header={"kid": None})) == "its signature is wrong"


def test_a_signature_of_nothing(backend: SignedTokens, signer: Signer) -> None:
    """CVE-2022-21449: r = s = 0 is no signature."""
    head, body, _ = signer.token(key=signer.ec).split(".")
    for size in (0, 1, 63, 64, 65, 2048):
        assert said(backend, f"{head}.{body}.{encoded(bytes(size))}") == "its signature is wrong"


# --- the header


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"crit": ["exp"], "exp": 1}, "its header has crit"),
        ({"crit": []}, "its header has crit"),
        ({"crit": ["b64"], "b64": False}, "its header has crit"),
        ({"b64": False}, "its header has b64"),
        ({"b64": True}, "its header has b64"),
        ({"enc": "A256GCM"}, "its header has enc"),
        ({"zip": "DEF"}, "its header has zip"),
        ({"cty": "JWT"}, "nested"),
        ({"typ": "dpop+jwt"}, "its type 'dpop+jwt' is not allowed"),
        ({"typ": "logout+jwt"}, "its type 'logout+jwt' is not allowed"),
        ({"typ": 5}, "its type 5 is not allowed"),
        ({"typ": ""}, "its type '' is not allowed"),
    ],
)
def test_headers_that_change_what_the_token_is(
    backend: SignedTokens, signer: Signer, header: dict[str, Any], told: str
) -> None:
    assert said(backend, signer.token(header=header)) == told


@pytest.mark.parametrize("kind", ["jwt", "JWT", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_types_that_are_allowed(backend: SignedTokens, signer: Signer, kind: str | None) -> None:
    assert backend.verify_token(NOBODY, signer.token(header={"typ": kind})) == JOE


# --- the form


def test_what_is_no_token(backend: SignedTokens, signer: Signer) -> None:
    token = signer.token()
    head, body, signature = token.split(".")
    for text in (
        "",
        ".",
        "..",
        "...",
        "x",
        "Bearer " + token,
        token + "\n",
        " " + token,
        token + ".",
        f"{head}.{body}",
        f"{head}..{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}=.{body}.{signature}",
        token.replace(".", "\uff0e"),
        token + "\udcff",
        token[:-1] + "\0",
        f"{head}+.{body}.{signature}",
        json.dumps({"payload": body, "protected": head, "signature": signature}),
    ):
        assert said(backend, text) == "no JWT"
    assert said(backend, f"{head}.AAAA.AAAA.AAAA.AAAA") == "encrypted, or no JWT"


def test_another_spelling_of_the_same_bytes(backend: SignedTokens, signer: Signer) -> None:
    """Base64 has bits to spare at its end; what differs there is not the token that was signed."""
    head, body, signature = signer.token().split(".")
    assert len(signature) % 4 == 2
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = letters[letters.index(signature[-1]) + 1]
    assert said(backend, f"{head}.{body}.{signature[:-1]}{other}") == "no JWT"


def test_a_token_of_100_kilobytes(backend: SignedTokens, signer: Signer) -> None:
    began = time.perf_counter()
    for text in (signer.token(padding="x" * 100_000), "x" * 100_000, "." * 100_000, "a." * 50_000):
        assert said(backend, text) == "too long"
    assert time.perf_counter() - began < 1


def test_json_that_is_nested_deeply(backend: SignedTokens, signer: Signer) -> None:
    deep = b"[" * 5000 + b"]" * 5000
    assert said(backend, signer.signed(b'{"a":' + deep + b"}")) == "its payload is nested too deeply"
    token = sign(b'{"a":' + deep[:3000] + deep[-3000:] + b',"alg":"RS256"}', b"{}", "RS256", signer.rsa)
    assert said(backend, token) == "its header is nested too deeply"


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"sub": "\xc0\xaf"}', "is not UTF-8"),
        (b"", "no JWT"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"{}{}", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"exp": ' + b"9" * 10_000 + b"}", "is not JSON"),
        (b'{"exp": NaN}', "holds a number that JSON does not have"),
        (b'{"exp": Infinity}', "holds a number that JSON does not have"),
        (b'{"exp": -Infinity}', "holds a number that JSON does not have"),
        (b"[]", "is no JSON object"),
        (b'"text"', "is no JSON object"),
        (b"null", "is no JSON object"),
        (b'{"a": {"b": 1, "b": 2}}', "holds a name twice"),
    ],
)
def test_payloads_that_are_no_claims(backend: SignedTokens, signer: Signer, payload: bytes, told: str) -> None:
    detail = said(backend, signer.signed(payload))
    assert detail in (told, f"its payload {told}")


@pytest.mark.parametrize("name", ["email", "exp", "aud", "iss", "email_verified"])
def test_a_claim_that_stands_there_twice(backend: SignedTokens, signer: Signer, name: str) -> None:
    """Which of the two the issuer's other programs read is not for us to guess."""
    text = json.dumps(signer.claims())
    for twice in (f'{text[:-1]}, "{name}": "eve@example.org"}}', f'{{"{name}": "eve@example.org", {text[1:]}'):
        assert said(backend, signer.signed(twice.encode())) == "its payload holds a name twice"


def test_a_header_with_a_name_twice(backend: SignedTokens, signer: Signer) -> None:
    payload = json.dumps(signer.claims()).encode()
    token = sign(b'{"alg":"none","alg":"RS256","kid":"rsa"}', payload, "RS256", signer.rsa)
    assert said(backend, token) == "its header holds a name twice"


# --- the claims; tests/backends/oauth/test_claims.py has the rules in full


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"aud": "other"}, "for another audience: 'other'"),
        ({"aud": None}, "for another audience: None"),
        ({"iss": "https://evil.example.org"}, "from another issuer: 'https://evil.example.org'"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "it does not say when it ends (exp)"),
        ({"exp": "99999999999"}, "its exp is no time"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"email": ["joe@example.org"]}, "it names no user (email)"),
        ({"email": "joe@example.org\0"}, "its email is no login: a control character (0x00)"),
        ({"email_verified": False}, "its address is not verified (email_verified)"),
    ],
)
def test_claims(backend: SignedTokens, signer: Signer, claims: dict[str, Any], told: str) -> None:
    assert said(backend, signer.token(**claims)) == told
    assert said(backend, Signer(signer.issuer).token(**claims)) == "its signature is wrong"  # which is looked at first


# --- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(text=st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){1,4}", fullmatch=True))
def test_no_text_is_an_error(backend: SignedTokens, text: str) -> None:
    said(backend, text)


@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x"]), JSON, max_size=6),
    payload=st.binary(max_size=100),
    signature=st.binary(max_size=300),
    algorithm=st.sampled_from(["RS256", "ES256", "PS512", "EdDSA"]),
)
def test_no_header_and_no_signature_is_an_error(
    backend: SignedTokens, header: dict[str, Any], payload: bytes, signature: bytes, algorithm: str
) -> None:
    for whole in (header, {**header, "alg": algorithm}, {"alg": algorithm, "kid": "rsa"}, {"alg": algorithm}):
        text = json.dumps(whole).encode()
        said(backend, f"{encoded(text)}.{encoded(payload)}.{encoded(signature)}")


@given(claims=st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "email", "email_verified"]), JSON))
def test_no_claims_are_an_error(backend: SignedTokens, signer: Signer, claims: dict[str, Any]) -> None:
    answer = backend.verify_token(NOBODY, signer.signed(json.dumps({**signer.claims(), **claims}).encode()))
    if isinstance(answer, Refusal):
        assert refused(answer)
    else:  # joe, or whom it says in his place
        assert answer == JOE or isinstance(claims["email"], str)
