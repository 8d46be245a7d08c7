"""Stored passwords against who writes them: doveadm in both directions, the system's crypt, MySQL's published values."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy import passwords
from saslpy.passwords import Fault, UnusableSecret, limits, parse
from saslpy.passwords.md4 import md4

from ..real import need

LOGIN = "joe@example.org"
DOVEADM = [
    "MD5",
    "MD5-CRYPT",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA512",
    "SMD5",
    "SSHA",
    "SSHA256",
    "SSHA512",
    "PLAIN",
    "CLEAR",
    "CLEARTEXT",
    "CRAM-MD5",
    "HMAC-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "DIGEST-MD5",
    "PLAIN-MD4",
    "PLAIN-MD5",
    "LDAP-MD5",
    "PBKDF2",
    "CRYPT",
    "SHA256-CRYPT",
    "SHA512-CRYPT",
    "BLF-CRYPT",
    "DES-CRYPT",
    "ARGON2I",
    "SSHA.HEX",
    "SHA256.B64",
    "SSHA512.HEX",
    "PLAIN-MD5.B64",
]
OURS_ALONE = ("MYSQL41", "YESCRYPT")


def doveadm(*options: str) -> subprocess.CompletedProcess[str]:
    command = [need("doveadm", package="dovecot-core"), "pw", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def matches(stored: str, password: bytes) -> bool:
    try:
        return parse(stored).check(password)
    except UnusableSecret:
        return False


@pytest.mark.real
@pytest.mark.parametrize("scheme", DOVEADM)
@pytest.mark.parametrize("password", ["secret", "pässwörd", "x" * 70])
def test_what_doveadm_makes(scheme: str, password: str) -> None:
    made = doveadm("-s", scheme, "-p", password, "-u", LOGIN)
    assert made.returncode == 0, made.stderr
    secret = parse(made.stdout.strip())
    assert secret.check(password.encode(), LOGIN)
    for wrong in ("", "Secret", password + "x", "secret\0"):
        # DES takes eight characters, by its nature
        assert scheme in ("DES-CRYPT", "CRYPT") or not secret.check(wrong.encode(), LOGIN)
    assert made.stdout.strip().partition("}")[2] not in repr(secret)


@pytest.mark.real
@pytest.mark.parametrize("scheme", [name for name in passwords.SCHEMES if name not in OURS_ALONE])
def test_what_doveadm_takes(scheme: str) -> None:
    made = passwords.make(scheme, "secret", LOGIN)
    assert doveadm("-t", made, "-p", "secret", "-u", LOGIN).returncode == 0
    assert doveadm("-t", made, "-p", "Secret", "-u", LOGIN).returncode != 0


@pytest.mark.real
@pytest.mark.parametrize(
    "setting",
    [
        "ab",
        "_J9..rasm",
        "$1$saltsalt$",
        "$5$saltsaltsalt$",
        "$5$rounds=1234$saltsalt$",
        "$6$saltsaltsalt$",
        "$6$rounds=1000$saltsalt$",
        "$2a$04$abcdefghijklmnopqrstuu",
        "$2b$04$abcdefghijklmnopqrstuu",
        "$2y$04$abcdefghijklmnopqrstuu",
        "$y$j75$saltsaltsaltsalt$",
        "$y$j9T$saltsaltsaltsalt$",
        "$gy$j75$saltsaltsaltsalt$",
        "$7$CU..../....saltsaltsalt$",
        "$sha1$4$saltsalt$",
        "$md5,rounds=5000$saltsalt$",
        "$3$",
    ],
)
def test_what_the_systems_crypt_makes(setting: str) -> None:
    """perl calls crypt(3) by a way of its own."""
    script = "print crypt($ARGV[0], $ARGV[1])"
    made = subprocess.run(
        [need("perl", package="perl"), "-e", script, "secret", setting], capture_output=True, text=True, check=True
    ).stdout
    assert len(made) > 12, f"this libcrypt does not know {setting}"
    secret = parse(made)
    assert secret.check(b"secret")
    assert not secret.check(b"secreu")
    for damaged in (made[:-1], made[:-3], made[:-1] + ("a" if made[-1] != "a" else "b"), made + "x"):
        assert not matches(damaged, b"secret")


@pytest.mark.parametrize(
    ("stored", "password"),
    [
        ("*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "password"),  # MySQL's PASSWORD()
        ("{MYSQL323}5d2e19393cc5ef67", "password"),  # OLD_PASSWORD()
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "password"),  # Courier and LDAP
        ("{MD5RAW}5f4dcc3b5aa765d61d8327deb882cf99", "password"),
        ("{md5}5f4dcc3b5aa765d61d8327deb882cf99", "password"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password"),
        ("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "test12345"),  # phpass, its own test
        (
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
            ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
            "pencil",
        ),  # RFC 7677
        ("{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=", "pencil"),
    ],
)
def test_published_values(stored: str, password: str) -> None:
    secret = parse(stored, "SCRAM-SHA-256" if stored.startswith("SCRAM") else "CRYPT")
    assert secret.check(password.encode())
    assert not secret.check(b"other")


def test_md4_of_rfc_1320() -> None:
    assert md4(b"").hex() == "31d6cfe0d16ae931b73c59d7e0c089c0"
    assert md4(b"message digest").hex() == "d9130a8164549fe818874806e1c7014b"


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        ("", Fault.MALFORMED),
        ("*", Fault.LOCKED),
        ("!", Fault.LOCKED),
        ("!!", Fault.LOCKED),
        ("x", Fault.LOCKED),
        ("*LK*", Fault.LOCKED),
        ("!$6$saltsalt$" + "x" * 86, Fault.LOCKED),
        ("secret", Fault.UNKNOWN),
        ("$99$salt$hash", Fault.UNKNOWN),
        ("{UNKNOWN}secret", Fault.UNKNOWN),
        ("{PLAIN}", Fault.MALFORMED),
        ("{CRYPT}", Fault.MALFORMED),
        ("{CRYPT}*", Fault.LOCKED),
        ("{SSHA}", Fault.MALFORMED),
        ("{SSHA}c2FsdA==", Fault.MALFORMED),
        ("{SHA256}AA==", Fault.MALFORMED),
        ("{SCRAM-SHA-256}4096,c2FsdA==,AA==,AA==", Fault.MALFORMED),
        ("$6$saltsalt$short", Fault.MALFORMED),
        ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$YQ", Fault.MALFORMED),
        ("$6$rounds=999999999$saltsalt$" + "x" * 86, Fault.TOO_COSTLY),
        ("$2y$31$" + "x" * 53, Fault.TOO_COSTLY),
        ("$y$jT5$saltsaltsaltsalt$" + "x" * 43, Fault.TOO_COSTLY),
        ("$7$U..../....saltsaltsalt$" + "x" * 43, Fault.TOO_COSTLY),
        ("{ARGON2ID}$argon2id$v=19$m=99999999,t=9,p=1$c2FsdHNhbHQ$" + "Y" * 43, Fault.TOO_COSTLY),
        ("{PBKDF2}$1$salt$999999999$" + "0" * 40, Fault.TOO_COSTLY),
        ("{SCRAM-SHA-256}999999999,c2FsdA==,AA==,AA==", Fault.TOO_COSTLY),
    ],
)
def test_what_never_matches(stored: str, fault: Fault) -> None:
    with pytest.raises(UnusableSecret) as error:
        parse(stored)
    assert error.value.reason is fault, error.value
    assert len(stored) < 20 or stored[-15:] not in str(error.value)


def test_dovecots_default_argon2_is_allowed() -> None:
    secret = parse("{ARGON2ID}$argon2id$v=19$m=262144,t=3,p=1$c2FsdHNhbHQ$" + "Y" * 43)
    assert secret.memory_kib == 262144


known = st.builds("{{{}}}{}".format, st.sampled_from(sorted(passwords.KNOWN)), st.text())


@given(st.one_of(st.text(), known))
def test_whatever_is_stored(stored: str) -> None:
    """It can be used or it is refused, and a check never raises."""
    try:
        secret = parse(stored)
    except UnusableSecret:
        return
    assert secret.check(b"secret", LOGIN) in (True, False)


@given(st.text())
def test_whatever_is_typed(password: str) -> None:
    raw, *more = passwords.candidates(password)
    assert raw == password.encode("utf-8", "surrogateescape")
    assert len(more) <= 1


def test_one_password_typed_on_two_systems() -> None:
    composed, decomposed = "pässwörd", "pa\u0308sswo\u0308rd"
    secret = parse(passwords.make("SSHA512", composed))
    assert any(secret.check(attempt) for attempt in passwords.candidates(decomposed))


def test_the_longest_password_is_no_other() -> None:
    secret = parse(passwords.make("SHA512-CRYPT", "x" * limits.CRYPT_PASSWORD))
    assert secret.check(b"x" * limits.CRYPT_PASSWORD)
    assert not secret.check(b"x" * (limits.CRYPT_PASSWORD + 1))
    with pytest.raises(ValueError, match="up to 72 bytes"):
        passwords.make("BLF-CRYPT", "x" * 73)


def test_threads_do_not_mix_their_hashes() -> None:
    pairs = [
        (parse(passwords.make(scheme, f"pw{number}")), f"pw{number}".encode())
        for number, scheme in enumerate(("MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "SSHA512") * 2)
    ]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for step in range(40):
            secret, password = pairs[(seed + step) % len(pairs)]
            other = pairs[(seed + step + 1) % len(pairs)][1]
            if not secret.check(password) or secret.check(other):
                wrong.append(threading.get_ident())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert wrong == []
