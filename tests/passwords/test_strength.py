"""Which stored secrets deserve better ones: the order of schemes, costs, and what an old scheme did not see."""

from __future__ import annotations

import pytest

from saslpy import passwords
from saslpy.passwords.parsing import parse
from saslpy.passwords.readers import KNOWN
from saslpy.passwords.schemes import RECIPES
from saslpy.passwords.strength import (
    LEAST,
    ORDER,
    RANKS,
    TODAY,
    cheaper,
    cost,
    deserves,
    holds,
    memory_kib,
    parsed_as,
    sees_all,
    upgradable,
)

ARGON2 = "{ARGON2ID}$argon2id$v=19$m=%d,t=%d,p=%d$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
YESCRYPT = "$y$%s$abcdefgh$" + "a" * 43
BCRYPT = "$2y$%02d$abcdefghijklmnopqrstuu" + "a" * 31
SHA512 = "$6$rounds=%d$ab$" + "a" * 86
SCRAM = "{SCRAM-SHA-256}%d,c2FsdA==," + "A" * 43 + "=," + "A" * 43 + "="
PBKDF2 = "$pbkdf2-sha256$%d$c2FsdHNhbHQ$" + "A" * 43


def test_every_scheme_that_is_read_has_its_place() -> None:
    assert set(RANKS) == KNOWN
    assert sum(map(len, ORDER)) == len(RANKS)


@pytest.mark.parametrize("scheme", [name for name in RECIPES if name not in ("CRAM-MD5", "DIGEST-MD5")])
def test_what_is_made_today_deserves_nothing(scheme: str) -> None:
    made = parse(passwords.make(scheme, "secret", "joe@example.org"))
    assert made.scheme == parsed_as(scheme)
    assert not cheaper(made)
    assert not deserves(made, scheme)
    assert cost(made) == TODAY.get(made.scheme, cost(made))
    assert memory_kib(scheme) == (0 if made.memory_kib <= 4 else made.memory_kib)


@pytest.mark.parametrize(
    ("stored", "scheme", "expected"),
    [
        # a weaker scheme
        ("{PLAIN}secret", "ARGON2ID", True),
        ("$1$abcdefgh$" + "a" * 22, "ARGON2ID", True),
        ("$1$abcdefgh$" + "a" * 22, "SHA512-CRYPT", True),
        ("{SSHA}" + "A" * 31 + "=", "SSHA512", True),
        (SHA512 % 1_000_000, "ARGON2ID", True),
        (SHA512 % 5000, "BLF-CRYPT", True),
        (BCRYPT % 14, "ARGON2ID", True),
        (PBKDF2 % 1_000_000, "BLF-CRYPT", True),
        # a stronger one, or an equal one
        (ARGON2 % (8, 1, 1), "SHA512-CRYPT", False),
        (BCRYPT % 10, "SHA512-CRYPT", False),
        (YESCRYPT % "j9T", "ARGON2ID", False),
        (ARGON2 % (19456, 2, 1), "YESCRYPT", False),
        (PBKDF2 % 100_000, "SHA256-CRYPT", False),
        # the same, or an equal one, and its costs
        (ARGON2 % (19456, 1, 1), "ARGON2ID", True),
        (ARGON2 % (8, 1, 1), "ARGON2ID", True),
        (ARGON2 % (8, 1, 1), "YESCRYPT", True),
        (ARGON2 % (65536, 3, 4), "ARGON2ID", False),
        (ARGON2 % (47104, 1, 1), "ARGON2ID", False),
        (YESCRYPT % "j7T", "ARGON2ID", True),
        (YESCRYPT % "jBT", "YESCRYPT", False),
        (BCRYPT % 9, "BLF-CRYPT", True),
        (BCRYPT % 12, "BLF-CRYPT", False),
        (SHA512 % 1000, "SHA512-CRYPT", True),
        (SHA512 % 1000, "CRYPT", True),
        (SHA512 % 5000, "CRYPT", False),
        (PBKDF2 % 1000, "SHA256-CRYPT", True),
        (SCRAM % 4096, "SCRAM-SHA-256", True),
        (SCRAM % 15000, "SCRAM-SHA-256", False),
    ],
)
def test_an_upgrade_is_one(stored: str, scheme: str, expected: bool) -> None:
    assert deserves(parse(stored), scheme) is expected


def test_no_upgrade_goes_round_in_circles() -> None:
    targets = [name for name in RECIPES if RANKS[parsed_as(name)] >= LEAST]
    made = {name: parse(passwords.make(name, "secret")) for name in targets}
    for one in targets:
        for other in targets:
            assert not (deserves(made[one], other) and deserves(made[other], one)), (one, other)


@pytest.mark.parametrize(
    ("scheme", "password", "expected"),
    [
        ("DES-CRYPT", b"12345678", True),
        ("DES-CRYPT", b"123456789", False),
        ("DES-CRYPT", "pä".encode(), False),
        ("BLF-CRYPT", b"x" * 72, True),
        ("BLF-CRYPT", b"x" * 73, False),
        ("MD5-CRYPT", b"x" * 100, True),
    ],
)
def test_what_the_old_scheme_did_not_see(scheme: str, password: bytes, expected: bool) -> None:
    made = parse(passwords.make(scheme, "short"))
    assert sees_all(made, password) is expected


def test_further_schemes_that_do_not_see_all() -> None:
    assert not sees_all(parse("{PLAIN-TRUNC}6-secret"), b"secretly")
    old = parse("{MYSQL323}6f8c114b58f2ce9e")
    assert sees_all(old, b"secret")
    assert not sees_all(old, b"se cret")


def test_what_a_new_scheme_can_hold() -> None:
    assert holds("BLF-CRYPT", b"x" * 72)
    assert not holds("BLF-CRYPT", b"x" * 73)
    assert not holds("SHA512-CRYPT", b"x" * 512)
    assert holds("ARGON2ID", b"x" * 4096)
    assert not holds("ARGON2ID", b"")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("ARGON2ID", ("ARGON2ID",)),
        ("argon2", ("ARGON2ID",)),
        (["SCRAM-SHA-256", "ARGON2ID"], ("ARGON2ID", "SCRAM-SHA-256")),
        ("SSHA512", ("SSHA512",)),
        ("SCRAM-SHA-256", ("SCRAM-SHA-256",)),
        ((), ()),
    ],
)
def test_the_schemes_of_a_configuration(given: str | list[str], names: tuple[str, ...]) -> None:
    assert upgradable(given) == names
    assert upgradable(names) == names


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("ARGON3", "cannot make 'ARGON3'"),
        ("", "cannot make ''"),
        ("PLAIN", "no upgrade for anything"),
        ("SHA256", "no upgrade for anything"),
        ("CRAM-MD5", "no upgrade for anything"),
        (["ARGON2ID", "argon2"], "twice"),
        (["ARGON2ID", "SHA512-CRYPT"], "one is enough"),
    ],
)
def test_what_is_no_upgrade(given: str | list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        upgradable(given)


FURTHER = {
    "APR1-MD5": "$apr1$abcdefgh$" + "a" * 22,
    "ARGON2D": ARGON2.replace("argon2id", "argon2d") % (19456, 2, 1),
    "BCRYPT-SHA256": "$bcrypt-sha256$v=2,t=2b,r=12$" + "a" * 22 + "$" + "a" * 31,
    "BSDI-CRYPT": "_J9..abcd" + "a" * 11,
    "CTA-PBKDF2-SHA1": "$p5k2$2710$oX9ZZOcNgYoAsYL-8bqxKg==$AU2JLf2rNxWoZxWxRCluY0u6h6c=",
    "DLITZ-PBKDF2-SHA1": "$p5k2$2710$.pPqsEwHD7MiECU0$b8TQ5AMQemtlaSgegw5Je.JBE3QQhLbO",
    "FSHP": "{FSHP1|16|16384}" + "A" * 64,
    "GOST-YESCRYPT": "$gy$j9T$abcdefgh$" + "a" * 43,
    "GRUB-PBKDF2-SHA512": "grub.pbkdf2.sha512.10000." + "AB" * 16 + "." + "AB" * 64,
    "MYSQL323": "{MYSQL323}" + "ab" * 8,
    "NT-CRYPT": "$3$$" + "ab" * 16,
    "NTLM": "{NTLM}" + "ab" * 16,
    "PBKDF2-SHA1": "$pbkdf2$100000$c2FsdHNhbHQ$" + "A" * 27,
    "PBKDF2-SHA256": PBKDF2 % 100_000,
    "PBKDF2-SHA512": "$pbkdf2-sha512$100000$c2FsdHNhbHQ$" + "A" * 86,
    "PHPASS": "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0",
    "PKCS5S2": "{PKCS5S2}" + "A" * 64,
    "PLAIN-MD4": "{PLAIN-MD4}" + "ab" * 16,
    "PLAIN-TRUNC": "{PLAIN-TRUNC}6-secret",
    "SCRAM-SHA-512": "{SCRAM-SHA-512}15000,c2FsdA==," + "A" * 86 + "==," + "A" * 86 + "==",
    "SCRYPT": "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43,
    "SCRYPT-CRYPT": "$7$C6..../....abcd$" + "a" * 43,
    "SHA1-CRYPT": "$sha1$100000$abcdefgh$" + "a" * 28,
    "SHA384": "{SHA384}" + "ab" * 48,
    "SSHA384": "{SSHA384}" + "A" * 76,
    "SUN-MD5-CRYPT": "$md5,rounds=4000$ab$$" + "a" * 22,
}
"""Schemes that are read and not made, as they would be made today."""


def test_no_scheme_is_forgotten() -> None:
    assert set(FURTHER) | {parsed_as(name) for name in RECIPES} == KNOWN


@pytest.mark.parametrize(("scheme", "stored"), FURTHER.items())
def test_what_is_read_and_not_made(scheme: str, stored: str) -> None:
    secret = parse(stored)
    assert secret.scheme == scheme
    assert not cheaper(secret)
    assert deserves(secret, "ARGON2ID") is (RANKS[scheme] < RANKS["ARGON2ID"])
    assert sees_all(secret, b"secret") is (scheme != "PLAIN-TRUNC")
