"""Vectors of the RFCs, of MySQL's manual and of other programs, verbatim."""

from __future__ import annotations

import hashlib
import hmac
import random
from base64 import b64decode

import pytest

from saslpy.passwords import parse
from saslpy.passwords.derive import cram_md5_contexts, derive, hmac_md5, plaintext, scram_keys
from saslpy.passwords.digests import mysql41, mysql323
from saslpy.passwords.md5state import START, contexts, finish

CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"


@pytest.mark.parametrize(
    ("stored", "password"),
    [
        ("*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9", b"123456"),  # MySQL's PASSWORD()
        ("{MYSQL41}*2470c0c06dee42fd1618bb99005adca2ec9d1e19", b"password"),
        ("{MYSQL323}5d2e19393cc5ef67", b"password"),  # MySQL's OLD_PASSWORD()
        ("{MYSQL323}6f8c114b58f2ce9e", b"mypass"),  # MySQL 4.0's manual
        ("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", b"test12345"),  # phpass' own test
        ("$H$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", b"test12345"),
        ("{NTLM}8846f7eaee8fb117ad06bdd830b7586c", b"password"),
        ("{CRYPT}$3$$8846f7eaee8fb117ad06bdd830b7586c", b"password"),
        ("{PLAIN}*", b"*"),
        ("{plain}x", b"x"),
        ("{CLEARTEXT}!", b"!"),
        ("{Clear}{SSHA}", b"{SSHA}"),
    ],
)
def test_known_secrets(stored: str, password: bytes) -> None:
    secret = parse(stored)
    assert secret.check(password)
    assert not secret.check(password + b"!")
    assert not secret.check(b"")


def test_cram_md5_example_of_rfc_2195() -> None:
    key = contexts(b"tanstaaftanstaaf")
    assert hmac_md5(key, CHALLENGE).hex() == "b913a602c7eda7a495b4e6e7334d3890"
    stored = parse("{CRAM-MD5}" + (key.outer + key.inner).hex())
    assert stored.check(b"tanstaaftanstaaf")
    assert cram_md5_contexts(stored) == key
    assert cram_md5_contexts(parse("{PLAIN}tanstaaftanstaaf")) == key
    assert cram_md5_contexts(parse("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")) is None


def test_md5_blocks_are_those_of_hashlib() -> None:
    chance = random.Random(1321)
    start = b"".join(word.to_bytes(4, "little") for word in START)
    for length in (0, 1, 55, 56, 63, 64, 65, 119, 120, 200):
        data = chance.randbytes(length)
        assert finish(start, 0, data) == hashlib.md5(data).digest()
        assert hmac_md5(contexts(data or b"k"), b"message") == hmac.digest(data or b"k", b"message", "md5")


SCRAM = [
    ("SCRAM-SHA-1", "sha1", "QSXCR+Q6sek8bf92", "6dlGYMOdZcOPutkcNY8U2g7vK9Y=", "D+CSWLOshSulAsxiupA+qs2/fTE="),
    (
        "SCRAM-SHA-256",
        "sha256",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ),
]


@pytest.mark.parametrize(("mechanism", "hash_name", "salt", "stored_key", "server_key"), SCRAM)
def test_scram_keys_of_rfc_5802_and_7677(
    mechanism: str, hash_name: str, salt: str, stored_key: str, server_key: str
) -> None:
    made = derive(hash_name, b"pencil", b64decode(salt), 4096)
    assert (made.stored_key, made.server_key) == (b64decode(stored_key), b64decode(server_key))
    for stored in (
        f"{{{mechanism}}}4096,{salt},{stored_key},{server_key}",  # Dovecot
        f"{mechanism}$4096:{salt}${stored_key}:{server_key}",  # RFC 5803, PostgreSQL
        f"{mechanism} $ 4096:{salt} $ {stored_key}:{server_key}",
        f"{{{mechanism}}}{mechanism}$4096:{salt}${stored_key}:{server_key}",
    ):
        secret = parse(stored)
        assert secret.check(b"pencil")
        assert not secret.check(b"pencils")
        assert scram_keys(secret, mechanism) == made
        assert scram_keys(secret, mechanism + "-PLUS") == made
        assert scram_keys(secret, "SCRAM-SHA-512") is None


def test_plaintext_is_only_what_is_stored_in_the_clear() -> None:
    assert plaintext(parse("{PLAIN}geheim")) == b"geheim"
    assert plaintext(parse("{PLAIN-TRUNC}6-geheim")) is None


def test_mysql_functions() -> None:
    assert mysql41(b"mypass").hex().upper() == "6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"  # MySQL 5.7's manual
    assert mysql323(b"my pass") == mysql323(b"mypass")
