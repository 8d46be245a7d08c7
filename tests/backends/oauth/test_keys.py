"""Files of keys: what is in them, what is left out, and what is no file of keys."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk

from saslpy_oauth.keys import ALGORITHMS, ASYMMETRIC, BadKeys, read
from tests.real.idp import Signer, encoded

SECRET = encoded(bytes(range(64)))


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def public(key: Any, **changed: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **changed}


def pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def fault(data: bytes, algorithms: tuple[str, ...] = ASYMMETRIC) -> str:
    with pytest.raises(BadKeys) as caught:
        read(data, algorithms)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_set(signer: Signer) -> None:
    keys = read(signer.jwks().encode(), ASYMMETRIC)
    assert str(keys) == "2 keys: RSA 2048 kid 'rsa', P-256 kid 'ec'"
    assert keys.keys[0].algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert keys.keys[1].algorithms == {"ES256"}
    assert str(signer.rsa.as_dict(private=False)["n"]) not in repr(keys)


def test_one_key_alone(signer: Signer) -> None:
    assert str(read(json.dumps(public(signer.ec)).encode(), ASYMMETRIC)) == "1 key: P-256 kid 'ec'"


def test_the_keys_algorithm_is_the_only_one(signer: Signer) -> None:
    keys = read(jwks(public(signer.rsa, alg="PS256", use="sig")), ASYMMETRIC)
    assert keys.keys[0].algorithms == {"PS256"}
    assert fault(jwks(public(signer.rsa, alg="ES256"))).startswith("holds no key to check tokens with")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "P-256"),
        (ec.generate_private_key(ec.SECP384R1()), "P-384"),
        (ec.generate_private_key(ec.SECP521R1()), "P-521"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pem(key: Any, kind: str) -> None:
    for text in (pem(key), pem(key).replace(b"\n", b"\r\n"), b"Issued to: us\n" + pem(key) + b"\n", pem(key) * 2):
        keys = read(text, ASYMMETRIC)
        assert {str(one) for one in keys.keys} == {kind}
    assert fault(pem(key), ("HS256",)).endswith(f"({kind}: the allowed algorithms are others)")


def test_what_does_not_belong_into_the_file(signer: Signer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        text = key.private_bytes(Encoding.PEM, form, NoEncryption())
        assert fault(text).startswith("holds a private key")
        assert fault(pem(key) + text).startswith("holds a private key")
    assert fault(jwks(signer.rsa.as_dict(private=True))) == "holds a private key, 'rsa'; give the public one"
    certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert fault(certificate).startswith("holds a certificate; give its key: openssl x509")


def test_what_is_passed_over(signer: Signer) -> None:
    """Keys of an issuer that are for something else (RFC 7517, 5): Keycloak has one for encryption beside the other."""
    others = [
        public(signer.rsa, use="enc", kid="enc"),
        public(signer.rsa, alg="RSA-OAEP", kid="oaep"),
        public(signer.rsa, key_ops=["encrypt"], kid="ops"),
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "pq"},
        public(jwk.ECKey.generate_key("secp256k1"), kid="k1"),
        {
            "kty": "OKP",
            "crv": "X25519",
            "x": encoded(bytes(x25519.X25519PrivateKey.generate().public_key().public_bytes_raw())),
        },
        {"kty": "oct", "k": SECRET, "kid": "secret"},
        {"kty": "RSA", "n": encoded(b"\x80" + bytes(126) + b"\x01"), "e": "AQAB", "kid": "short"},
    ]
    keys = read(jwks(*others, public(signer.ec)), ASYMMETRIC)
    assert str(keys) == (
        "1 key: P-256 kid 'ec'; of no use: 'enc': not for signatures, RSA 2048 kid 'oaep': the allowed algorithms are "
        "others, 'ops': not for signatures, 'pq': of the kind 'AKP', the curve secp256k1, the curve X25519, symmetric kid "
        "'secret': the allowed algorithms are others, RSA 1024: from 2048 to 16384 bits are wanted"
    )
    assert fault(jwks(*others)).startswith("holds no key to check tokens with ('enc'")
    assert fault(jwks()) == "holds no key to check tokens with (it is empty)"


def test_secrets() -> None:
    for size, able in ((64, {"HS256", "HS384", "HS512"}), (48, {"HS256", "HS384"}), (32, {"HS256"})):
        key = {"kty": "oct", "k": encoded(bytes(range(size)))}
        assert read(jwks(key), ALGORITHMS).keys[0].algorithms == able
    assert "a secret of 31 bytes: 32 are wanted" in fault(jwks({"kty": "oct", "k": encoded(bytes(31))}), ALGORITHMS)
    assert "a secret of 0 bytes" in fault(jwks({"kty": "oct", "k": ""}), ALGORITHMS)


def test_a_public_key_in_the_place_of_a_secret(signer: Signer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for text in (
        pem(key),
        b"\n" + pem(key),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    ):
        told = fault(jwks({"kty": "oct", "k": encoded(text)}), ALGORITHMS)
        assert told in ("holds a public key in the place of a secret", "holds a key that cannot be read (ValueError)")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is neither PEM nor a JWK Set, or cut short"),
        (b"\0\1\2", "is neither PEM nor a JWK Set, or cut short"),
        (b"-----BEGIN PUBLIC KEY-----\nMIIB", "is neither PEM nor a JWK Set, or cut short"),
        (b"<html>503</html>", "is neither PEM nor a JWK Set, or cut short"),
        (b"{", "is not JSON"),
        (b'{"keys": [', "is not JSON"),
        (b'{"keys": [], "keys": []}', "holds a name twice"),
        (b"{}", 'is no JWK Set: {"keys": [...]}'),
        (b'{"keys": {}}', 'is no JWK Set: {"keys": [...]}'),
        (b'{"keys": ["a"]}', 'is no JWK Set: {"keys": [...]}'),
        (b'{"error": "not found"}', 'is no JWK Set: {"keys": [...]}'),
        (b'{"keys": [{}]}', "holds no key to check tokens with (None: of the kind None)"),
        (b'{"keys": [{"kty": "RSA"}]}', "holds a key that cannot be read (KeyError)"),
        (b'{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}', "holds a key that cannot be read (NoToken)"),
        (
            b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
            "holds a key that cannot be read (ValueError)",
        ),
        (
            b'{"keys": [{"kty": "EC", "crv": "P-256", "x": 5, "y": "AA"}]}',
            "holds a key that cannot be read (KeyParameterError)",
        ),
        (b'{"keys": [{"kty": "oct", "k": 5}]}', "holds a key that cannot be read (TypeError)"),
        (b'{"keys": [{"kty": "RSA", "kid": 5}]}', "holds a key whose kid is no text"),
    ],
)
def test_what_is_no_file_of_keys(data: bytes, told: str) -> None:
    assert fault(data) == told


def test_too_many(signer: Signer) -> None:
    assert len(read(jwks(*[public(signer.ec)] * 64), ASYMMETRIC).keys) == 64
    assert fault(jwks(*[public(signer.ec)] * 65)) == "holds more than 64 keys"


NAMES = st.sampled_from(["kty", "n", "e", "crv", "x", "y", "k", "kid", "alg", "use", "key_ops", "d", "x5c"])
TEXTS = st.sampled_from(
    ["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig", "verify", "RS256", SECRET, "A" * 344]
)
VALUES = TEXTS | st.text() | st.none() | st.integers() | st.lists(TEXTS, max_size=3)


@given(table=st.dictionaries(NAMES, VALUES), text=st.binary(max_size=100))
def test_whatever_it_holds_it_is_keys_or_a_fault(table: dict[str, Any], text: bytes) -> None:
    for data in (
        jwks(table),
        text,
        b"{" + text,
        b"-----BEGIN PUBLIC KEY-----\n" + text + b"\n-----END PUBLIC KEY-----",
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning would be a line on stderr, which is no log line
            try:
                read(data, ALGORITHMS)
            except BadKeys as error:
                assert SECRET not in str(error)
