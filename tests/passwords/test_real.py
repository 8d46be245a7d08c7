"""Both ways against Dovecot, the system's crypt and Courier: they make and we check, we make and they check."""

from __future__ import annotations

import ctypes

import pytest

from saslpy.passwords import SCHEMES, make, making, parse
from saslpy.passwords.limits import YESCRYPT_KIB
from saslpy.passwords.yescrypt import parameters

from .oracles import LOGIN, courier_takes, doveadm_makes, doveadm_takes, perl_crypt

pytestmark = pytest.mark.real

DOVECOT = [
    "ARGON2I",
    "ARGON2ID",
    "BLF-CRYPT",
    "CLEAR",
    "CLEARTEXT",
    "CRAM-MD5",
    "CRYPT",
    "DES-CRYPT",
    "DIGEST-MD5",
    "HMAC-MD5",
    "LDAP-MD5",
    "MD5",
    "MD5-CRYPT",
    "PBKDF2",
    "PLAIN",
    "PLAIN-MD4",
    "PLAIN-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA256-CRYPT",
    "SHA512",
    "SHA512-CRYPT",
    "SMD5",
    "SSHA",
    "SSHA256",
    "SSHA512",
    "SSHA.HEX",
    "SSHA512.hex",
    "SHA.HEX",
    "SHA256.B64",
    "SHA512.BASE64",
    "PLAIN-MD5.B64",
    "LDAP-MD5.HEX",
    "CRAM-MD5.B64",
    "DIGEST-MD5.B64",
    "PLAIN.B64",
    "SHA512-CRYPT.HEX",
    "MD5-CRYPT.B64",
    "SCRAM-SHA-1.HEX",
]

PASSWORD = "sécrét Ω"


@pytest.mark.parametrize("scheme", DOVECOT)
def test_what_dovecot_made_is_checked(scheme: str) -> None:
    secret = parse(doveadm_makes(scheme, PASSWORD))
    assert secret.check(PASSWORD.encode(), LOGIN)
    assert not secret.check(b"secret", LOGIN)
    assert not secret.check(b"", LOGIN)


@pytest.mark.parametrize(
    "scheme", [*sorted(set(SCHEMES) - {"YESCRYPT", "MYSQL41", "DES-CRYPT"}), "CLEARTEXT", "SHA1", "SSHA.HEX"]
)
def test_what_we_made_is_taken_by_dovecot(scheme: str) -> None:
    stored = make(scheme, PASSWORD, LOGIN)
    assert doveadm_takes(stored, PASSWORD)
    assert not doveadm_takes(stored, "secret")


def test_dovecot_knows_what_plain_trunc_is() -> None:
    for stored, password, right in (
        ("6-secret", "secretly", True),
        ("6-secret", "secre", False),
        ("9-secret", "secret!", False),
    ):
        assert doveadm_takes("{PLAIN-TRUNC}" + stored, password) is right
        assert parse("{PLAIN-TRUNC}" + stored).check(password.encode()) is right


@pytest.mark.parametrize("login", ["joe", "joe@example.org", "joe@b@example.org"])
def test_dovecot_finds_the_same_realm(login: str) -> None:
    assert doveadm_takes(make("DIGEST-MD5", PASSWORD, login), PASSWORD, login)


SETTINGS = [
    "ab",
    "_J9..rasm",
    "_/...abcd",
    "$1$saltsalt$",
    "$1$$",
    "$md5$abcdefgh$",
    "$md5,rounds=1000$abcdefgh$",
    "$sha1$1000$abcdefgh$",
    "$5$saltstring",
    "$5$rounds=1234$saltstring$",
    "$6$saltstring",
    "$6$rounds=1234$saltstring$",
    "$2a$05$abcdefghijklmnopqrstuu",
    "$2b$05$abcdefghijklmnopqrstuu",
    "$2x$05$abcdefghijklmnopqrstuu",
    "$2y$05$abcdefghijklmnopqrstuu",
    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1",
    "$y$j75$F5Jx5fExrKuPp53xLKQ..1",
    "$y$j75..$F5Jx5fExrKuPp53xLKQ..1",
    "$y$j75/.$F5Jx5fExrKuPp53xLKQ..1",
    "$y$.75.0$F5Jx5fExrKuPp53xLKQ..1",
    "$gy$j75$F5Jx5fExrKuPp53xLKQ..1",
    "$7$AU..../....F5Jx5fExrKuPp53xLKQ..1",
    "$3$",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_crypt_made_is_checked(setting: str) -> None:
    for password in (b"secret", PASSWORD.encode(), b"p" * 100, b"\xff\xfe", b" "):
        stored = perl_crypt(password, setting)
        assert parse(stored).check(password)
        assert parse("{CRYPT}" + stored).check(password)
        assert not parse(stored).check(b"another")
        assert not parse(stored).check(b"")


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name.endswith("CRYPT")])
def test_what_we_made_is_taken_by_crypt(scheme: str) -> None:
    stored = make(scheme, "geheim").partition("}")[2]
    assert perl_crypt(b"geheim", stored) == stored
    assert perl_crypt(b"anders", stored) != stored


@pytest.mark.parametrize("cost", range(1, 12))
def test_yescrypt_costs_are_those_of_gensalt(cost: int) -> None:
    library = ctypes.CDLL("libcrypt.so.1")
    out = ctypes.create_string_buffer(192)
    library.crypt_gensalt_rn.restype = ctypes.c_char_p
    setting = library.crypt_gensalt_rn(b"$y$", ctypes.c_ulong(cost), b"0" * 16, 16, out, 192).decode()
    ours = making.yescrypt({"cost": cost})
    assert (ours[:6], len(ours)) == (setting[:6], len(setting))
    assert parameters("YESCRYPT", ours[3:6])[1] <= YESCRYPT_KIB


@pytest.mark.parametrize("scheme", ["SHA", "SSHA", "SHA256", "SHA512", "CRYPT", "LDAP-MD5", "MD5RAW", "MD5-CRYPT"])
def test_what_we_made_is_taken_by_courier(scheme: str) -> None:
    name = {"LDAP-MD5": "MD5", "MD5RAW": "MD5RAW", "MD5-CRYPT": "CRYPT"}.get(scheme, scheme)
    data = make("PLAIN-MD5" if scheme == "MD5RAW" else scheme, PASSWORD).partition("}")[2]
    stored = f"{{{name}}}{data}"
    assert courier_takes(stored, PASSWORD)
    assert not courier_takes(stored, "secret")
    assert parse(stored).check(PASSWORD.encode())
