"""What matches nothing, and why; what a check may cost; what names mean."""

from __future__ import annotations

import pytest

from saslpy.passwords import KNOWN, SCHEMES, Fault, UnusableSecret, make, parse, weak
from saslpy.passwords.readers import NAMES

SHA512 = "$6$saltsaltsaltsalt$" + "a" * 86
BCRYPT = "$2y$10$abcdefghijklmnopqrstuu" + "a" * 31
ARGON2 = "$argon2id$v=19$m={m},t={t},p={p}$c2FsdHNhbHQ$" + "a" * 42 + "E"
YESCRYPT = "$y${}$F5Jx5fExrKuPp53xLKQ..1$" + "a" * 43
KEY256 = "A" * 43 + "="


def refused(stored: str, default_scheme: str = "CRYPT") -> UnusableSecret:
    """Why a stored secret cannot be used. No part of it is in the message."""
    with pytest.raises(UnusableSecret) as caught:
        parse(stored, default_scheme)
    text = f"{caught.value} {caught.value!r}"
    assert "aaaa" not in text
    assert "AAAA" not in text
    return caught.value


@pytest.mark.parametrize("mark", ["*", "!", "!!", "x", "*LK*", "!" + SHA512, "!!" + SHA512, "*" + SHA512, "*0", "*1"])
def test_locked(mark: str) -> None:
    assert refused(mark).reason is Fault.LOCKED
    if mark:
        for scheme in (
            "CRYPT",
            "SSHA",
            "SHA512-CRYPT",
            "ARGON2ID",
            "PLAIN-MD5",
            "SCRAM-SHA-256",
            "PBKDF2",
            "PLAIN-TRUNC",
        ):
            assert refused(f"{{{scheme}}}{mark}").reason is Fault.LOCKED


@pytest.mark.parametrize("mark", ["*", "!", "!!", "x", "!" + SHA512])
@pytest.mark.parametrize("default_scheme", ["PLAIN", "CLEARTEXT", "PLAIN-MD5", "SSHA", "MYSQL41"])
def test_a_bare_lock_is_one_whatever_the_default(mark: str, default_scheme: str) -> None:
    assert refused(mark, default_scheme).reason is Fault.LOCKED


@pytest.mark.parametrize(
    "stored",
    [
        "{UNKNOWN}abc",
        "{}abc",
        "{SASL}joe",
        "{SSHA.XYZ}abcd",
        "$9$abc$def",
        "$$",
        "secret",
        "5ebe2294ecd0e0f08eab7690d2a6ee69",
        "ab" + "a" * 10,
    ],
)
def test_unknown(stored: str) -> None:
    assert refused(stored).reason is Fault.UNKNOWN


def test_the_name_of_an_unknown_scheme_is_not_told() -> None:
    # a cleartext password may begin with a brace
    assert "aaaaaa" not in str(refused("{aaaaaa}b", "PLAIN"))


@pytest.mark.parametrize("scheme", sorted(NAMES))
def test_a_scheme_without_data_matches_nothing(scheme: str) -> None:
    assert refused(f"{{{scheme}}}").reason is Fault.MALFORMED


@pytest.mark.parametrize(
    "stored",
    [
        "{SSHA",
        "",
        SHA512[:-1],
        SHA512 + "a",
        SHA512 + "\n",
        "$6$" + "a" * 86,
        "$6$rounds=999$ab$" + "a" * 86,
        "$6$rounds=05000$ab$" + "a" * 86,
        "$6$rounds=٥٠٠٠$ab$" + "a" * 86,
        "$6$sa:lt$" + "a" * 86,
        "$6$säl$" + "a" * 86,
        BCRYPT[:-1],
        "$2y$03$" + BCRYPT[7:],
        "$1$saltsalt$" + "a" * 21,
        "a:" + "a" * 11,
        "_...." + "a" * 15,
        "$y$j9$salt$" + "a" * 43,
        YESCRYPT.format("j9T."),
        YESCRYPT.format("j9Tzzz"),
        YESCRYPT.format("j9T..."),
        YESCRYPT.format("j9T1."),  # g, which nobody defined
        YESCRYPT.format("j9T50"),  # NROM
        YESCRYPT.format("jzT"),
        YESCRYPT.format("j9T")[:-1],
        "$7$C...../....salt$" + "a" * 43,
        ARGON2.format(m=64, t=1, p=1)[:-22],
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AA",  # an output of one byte
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + "a" * 43,  # two bits too many
        "$argon2id$v=19$m=64,t=1,p=1$c2E$" + "a" * 42 + "E",
        "$argon2id$v=19$m=8,t=1,p=2$c2FsdHNhbHQ$" + "a" * 42 + "E",
        "$argon2id$v=20$m=64,t=1,p=1$c2FsdHNhbHQ$" + "a" * 42 + "E",
        "{SHA}",
        "{SHA}====",
        "{SHA}AA==",
        "{SHA}not base64",
        "{SHA256}" + "A" * 42 + "==",
        "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",  # a digest and no salt
        "{SSHA}AAAA",
        "{SMD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
        "{PLAIN-MD5}5ebe2294",
        "{LDAP-MD5}Xr4ilA==",
        "{MD5}Xr4ilA==",
        "{CRAM-MD5}" + "a" * 62,
        "{DIGEST-MD5}" + "a" * 30,
        "{MYSQL41}" + "A" * 38,
        "*" + "G" * 40,
        "{MYSQL323}" + "a" * 14,
        "{SCRAM-SHA-256}4096,c2FsdA==,AAAA,AAAA",
        f"{{SCRAM-SHA-256}}4096,,{KEY256},{KEY256}",
        f"{{SCRAM-SHA-256}}0,c2FsdA==,{KEY256},{KEY256}",
        f"{{SCRAM-SHA-1}}4096,c2FsdA==,{KEY256},{KEY256}",
        f"{{SCRAM-SHA-1}}SCRAM-SHA-256$4096:c2FsdA==${KEY256}:{KEY256}",
        "{PBKDF2}$1$salt$1000$" + "a" * 38,
        "{PBKDF2}$1$salt$0$" + "a" * 40,
        "$pbkdf2-sha256$1000$c2FsdA$AAAA",
        "$pbkdf2-sha256$1000$c2FsdA$" + "A" * 200,
        "$pbkdf2-sha256$1000$c2FsdA",
        "$scrypt$ln=4,r=8,p=1$c2FsdA$AAAA",
        "$scrypt$ln=17,r=1,p=1$c2FsdA$" + "A" * 43,
        "$P$5abcdefgh",
        "$P$." + "a" * 30,
        "$apr1$salt$short",
        "$p5k2$3e8$aaaa$bbbb",
        "{PKCS5S2}AAAA",
        "{PLAIN-TRUNC}secret",
        "{PLAIN-TRUNC}0-",
        "{PLAIN-TRUNC}3-abc",
        "{PLAIN-TRUNC}-secret",
        "{PLAIN}a\0b",
        "{PLAIN}\ud800",
        "{PLAIN.B64}",
        "{PLAIN.B64}====",
        "{PLAIN.HEX}00",
        "{PLAIN}" + "a" * 4097,
        "a" * 9000,
    ],
)
def test_malformed(stored: str) -> None:
    assert refused(stored).reason is Fault.MALFORMED


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("$6$rounds=999999999$ab$" + "a" * 86, "SHA512-CRYPT: 999999999 rounds, the cap is 2000000"),
        ("$5$rounds=1000001$ab$" + "a" * 43, "SHA256-CRYPT: 1000001 rounds, the cap is 1000000"),
        ("$2y$31$" + BCRYPT[7:], "BLF-CRYPT: 31 as cost (log2 of the rounds), the cap is 15"),
        ("_zzzz" + "a" * 15, "BSDI-CRYPT: 16777215 iterations, the cap is 8000000"),
        ("$md5,rounds=4000000000$ab$$" + "a" * 22, "SUN-MD5-CRYPT: 4000000000 rounds, the cap is 1000000"),
        ("$sha1$4000000000$ab$" + "a" * 28, "SHA1-CRYPT: 4000000000 rounds, the cap is 2000000"),
        (YESCRYPT.format("jGT"), "YESCRYPT: 2097152 KiB of memory (times t), the cap is 1048576"),
        (YESCRYPT.format("j9T/kz"), "YESCRYPT: 1835008 KiB of memory (times t), the cap is 1048576"),
        (YESCRYPT.format(".FT"), "YESCRYPT: 1048576 KiB of memory (times p and t), the cap is 524288"),
        ("$7$HU..../....salt$" + "a" * 43, "SCRYPT-CRYPT: 2097152 KiB of memory (times p), the cap is 524288"),
        ("$7$CU....zzzz.salt$" + "a" * 43, "SCRYPT-CRYPT: 1099511562240 KiB of memory (times p), the cap is 524288"),
        (ARGON2.format(m=2097152, t=1, p=1), "ARGON2ID: 2097152 KiB of memory, the cap is 1048576"),
        (ARGON2.format(m=1048576, t=3, p=1), "ARGON2ID: 3145728 KiB of memory times passes, the cap is 2097152"),
        (ARGON2.format(m=64, t=30000, p=1), "ARGON2ID: 30000 passes, the cap is 4096"),
        (ARGON2.format(m=1024, t=1, p=64), "ARGON2ID: 64 lanes, the cap is 16"),
        ("{PBKDF2}$1$salt$900000000$" + "a" * 40, "PBKDF2: 900000000 iterations, the cap is 3000000"),
        ("$pbkdf2-sha512$4000000000$c2FsdA$" + "A" * 43, "PBKDF2-SHA512: 4000000000 iterations, the cap is 3000000"),
        (
            f"{{SCRAM-SHA-256}}999999999,c2FsdA==,{KEY256},{KEY256}",
            "SCRAM-SHA-256: 999999999 iterations, the cap is 3000000",
        ),
        ("$scrypt$ln=30,r=8,p=1$c2FsdA$" + "A" * 43, "SCRYPT: 1073741824 KiB of memory (times p), the cap is 524288"),
        ("$P$S" + "a" * 30, "PHPASS: 30 as log2 of the rounds, the cap is 19"),
    ],
)
def test_too_costly(stored: str, message: str) -> None:
    error = refused(stored)
    assert (str(error), error.reason) == (message, Fault.TOO_COSTLY)


@pytest.mark.parametrize(
    ("stored", "kind", "memory"),
    [
        (ARGON2.format(m=262144, t=3, p=1), "ARGON2ID m=262144,t=3,p=1", 262144),  # Dovecot's default
        (YESCRYPT.format("jFT"), "YESCRYPT flavour=47,N=262144,r=32,p=1,t=0", 1048576),  # gensalt's costliest
        ("$7$CU..../....salt$" + "a" * 43, "SCRYPT-CRYPT N=16384,r=32,p=1", 65536),
        ("$scrypt$ln=16,r=8,p=1$c2FsdA$" + "A" * 43, "SCRYPT N=65536,r=8,p=1", 65536),
        (SHA512, "SHA512-CRYPT rounds=5000", 0),
        ("$6$rounds=656000$ab$" + "a" * 86, "SHA512-CRYPT rounds=656000", 0),
        ("$5$rounds=535000$ab$" + "a" * 43, "SHA256-CRYPT rounds=535000", 0),
        ("{PBKDF2}$1$salt$5000$" + "a" * 40, "PBKDF2 rounds=5000", 0),
        ("_/..." + "a" * 15, "BSDI-CRYPT count=1", 0),
    ],
)
def test_kinds(stored: str, kind: str, memory: int) -> None:
    secret = parse(stored)
    assert (secret.kind, secret.memory_kib) == (kind, memory)
    assert "aaaa" not in repr(secret)
    assert secret.scheme in KNOWN


def test_what_a_bare_string_is() -> None:
    md5, sha = "5ebe2294ecd0e0f08eab7690d2a6ee69", "5en6G6MezRroT3XKqkdPOmY/BfQ="
    for stored, default_scheme in (
        (md5, "PLAIN-MD5"),
        (md5, "md5"),
        (sha, "SHA"),
        ("secret", "PLAIN"),
        (md5, "MD5RAW"),
    ):
        assert parse(stored, default_scheme).check(b"secret")
    assert parse("!secret", "PLAIN").check(b"!secret")
    assert parse("{SHA}" + sha, "PLAIN").scheme == "SHA"
    for name in ("{MD5}", "{md5}", "{LDAP-MD5}", "{PLAIN-MD5}", "{MD5RAW}"):
        assert parse(name + md5).check(b"secret")
        assert parse(name + "Xr4ilOzQ4PCOq3aQ0qbuaQ==").check(b"secret")
        assert parse(name + "Xr4ilOzQ4PCOq3aQ0qbuaQ").check(b"secret")


def test_a_crypt_string_is_what_its_prefix_says() -> None:
    for name in ("CRYPT", "DES-CRYPT", "crypt", "ARGON2ID"):
        assert parse(f"{{{name}}}{SHA512}").scheme == "SHA512-CRYPT"


def test_bcrypt_salts_with_chance_in_their_last_bits() -> None:
    stored = make("BLF-CRYPT", "geheim", cost=4)
    salted = stored[: stored.index("$2y$") + 28]
    last = stored[len(salted)]
    odd = {".": "/", "O": "P", "e": "f", "u": "v"}[last]
    assert parse(salted + odd + stored[len(salted) + 1 :]).check(b"geheim")


def test_what_is_weak() -> None:
    strong = {"ARGON2ID", "ARGON2I", "YESCRYPT", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "CRYPT", "PBKDF2"}
    assert {name for name in SCHEMES if not weak(name)} == strong | {"SCRAM-SHA-1", "SCRAM-SHA-256"}
    for name in ("cleartext", "NTLM", "MYSQL323", "SHA1", "ssha.hex", "HMAC-MD5", "PHPASS", "NT-CRYPT", "BSDI-CRYPT"):
        assert weak(name)
    for name in ("GOST-YESCRYPT", "PBKDF2-SHA256", "BCRYPT-SHA256", "argon2", "bcrypt"):
        assert not weak(name)
