"""New secrets: they match, they differ, and what cannot be made is told."""

from __future__ import annotations

import pytest

from saslpy.passwords import KNOWN, SCHEMES, UnusableSecret, make, parse

LOGIN = "joe@example.org"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_round_trip(scheme: str) -> None:
    long = "sécrét" if scheme == "DES-CRYPT" else "sécrét of some length\udcff"
    stored = make(scheme, long, LOGIN)
    assert stored.startswith(f"{{{scheme}}}")
    secret = parse(stored)
    assert secret.scheme == ("SHA512-CRYPT" if scheme == "CRYPT" else scheme)
    assert secret.scheme in KNOWN
    raw = long.encode("utf-8", "surrogateescape")
    assert secret.check(raw, LOGIN)
    for wrong in (b"", raw[:-1], b"s", raw + b"\0", raw + b"\0junk", b"a" * 4000, b"a" * 5000):
        assert not secret.check(wrong, LOGIN)
    # nothing of the secret shows
    assert (
        repr(secret) == f"StoredSecret(scheme={secret.scheme!r}, kind={secret.kind!r}, memory_kib={secret.memory_kib})"
    )


@pytest.mark.parametrize(
    "scheme",
    sorted(
        set(SCHEMES)
        - {"PLAIN", "SHA", "SHA256", "SHA512", "PLAIN-MD5", "LDAP-MD5", "MYSQL41", "CRAM-MD5", "DIGEST-MD5"}
    ),
)
def test_salts_are_fresh(scheme: str) -> None:
    assert make(scheme, "geheim") != make(scheme, "geheim")


@pytest.mark.parametrize("scheme", sorted(set(SCHEMES) - {"PLAIN"}))
def test_a_truncated_one_matches_nothing(scheme: str) -> None:
    stored = make(scheme, "geheim", LOGIN).rstrip("=")  # padding may be missing: nothing is lost with it
    start = stored.index("}") + 1
    for end in {len(stored) - 1, len(stored) - 4, (start + len(stored)) // 2, start + 1, start}:
        try:
            secret = parse(stored[:end])
        except UnusableSecret:
            continue
        assert not secret.check(b"geheim", LOGIN)


@pytest.mark.parametrize(
    ("scheme", "cost", "kind"),
    [
        ("SHA512-CRYPT", {"rounds": 1000}, "SHA512-CRYPT rounds=1000"),
        ("SHA256-CRYPT", {"rounds": 5000}, "SHA256-CRYPT rounds=5000"),
        ("BLF-CRYPT", {"cost": 5}, "BLF-CRYPT cost=5"),
        ("YESCRYPT", {"cost": 1}, "YESCRYPT flavour=47,N=1024,r=8,p=1,t=0"),
        ("ARGON2ID", {"m": 64, "t": 1, "p": 2}, "ARGON2ID m=64,t=1,p=2"),
        ("PBKDF2", {"rounds": 10}, "PBKDF2 rounds=10"),
        ("SCRAM-SHA-1", {"rounds": 4096}, "SCRAM-SHA-1 i=4096"),
    ],
)
def test_costs(scheme: str, cost: dict[str, int], kind: str) -> None:
    secret = parse(make(scheme, "geheim", "", **cost))
    assert secret.kind == kind
    assert secret.check(b"geheim")


@pytest.mark.parametrize(
    ("scheme", "password", "cost", "message"),
    [
        ("NOSUCH", "geheim", {}, "cannot make 'NOSUCH'; there are ARGON2ID"),
        ("PLAIN-TRUNC", "geheim", {}, "cannot make"),
        ("MYSQL323", "geheim", {}, "cannot make"),
        ("SSHA.XYZ", "geheim", {}, "cannot make"),
        ("PLAIN", "", {}, "not empty"),
        ("ARGON2ID", "a\0b", {}, "no NUL"),
        ("PLAIN", "\ud800", {}, "not text"),
        ("BLF-CRYPT", "a" * 73, {}, "BLF-CRYPT: takes passwords of up to 72 bytes, this one has 73"),
        ("DES-CRYPT", "a" * 9, {}, "8 bytes"),
        ("SHA512-CRYPT", "a" * 512, {}, "511 bytes"),
        ("SSHA", "a" * 4097, {}, "4096 bytes"),
        ("DIGEST-MD5", "geheim", {}, "needs the login"),
        ("SHA512-CRYPT", "geheim", {"rounds": 10**9}, "SHA512-CRYPT: rounds is from 1000 to 2000000"),
        ("SHA512-CRYPT", "geheim", {"cost": 5}, "has no cost 'cost'; it has rounds"),
        ("SSHA", "geheim", {"rounds": 5}, "it has none"),
        ("BLF-CRYPT", "geheim", {"cost": 31}, "cost is from 4 to 15"),
        ("ARGON2ID", "geheim", {"m": 8, "p": 2}, "8 KiB for each"),
        ("ARGON2ID", "geheim", {"m": 1 << 20, "t": 3}, "m times t"),
        ("SHA512-CRYPT.HEX", "geheim", {}, "is text"),
    ],
)
def test_what_cannot_be_made(scheme: str, password: str, cost: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")) as caught:
        make(scheme, password, "", **cost)
    assert "geheim" not in str(caught.value)


def test_names_are_free_in_their_case() -> None:
    assert make("ssha512.hex", "geheim").startswith("{SSHA512.HEX}")
    assert make("sha256.base64", "geheim").startswith("{SHA256.B64}")
    assert make("argon2", "geheim").startswith("{ARGON2ID}$argon2id$")
    assert make("Cleartext", "geheim") == "{CLEARTEXT}geheim"
    for name in ("ssha512.hex", "sha256.base64", "argon2", "bcrypt", "sha1", "hmac-md5"):
        assert parse(make(name, "geheim")).check(b"geheim")


def test_bcrypt_takes_the_first_72_bytes_of_a_longer_password() -> None:
    secret = parse(make("BLF-CRYPT", "a" * 72, cost=4))
    assert secret.check(b"a" * 72)
    assert secret.check(b"a" * 100)  # as every bcrypt of the field does
    assert not secret.check(b"a" * 71)
    assert not secret.check(b"a" * 512)


def test_digest_md5_is_of_one_login() -> None:
    secret = parse(make("DIGEST-MD5", "geheim", "joe@example.org"))
    assert secret.check(b"geheim", "joe@example.org")
    assert not secret.check(b"geheim", "joe@example.com")
    assert not secret.check(b"geheim")
