"""What passlib, argon2-cffi and hashlib make is checked; passlib is the oracle here, by handlers of its own."""

from __future__ import annotations

import warnings

import pytest

from saslpy.passwords import parse, passlibs

PASSLIB = {
    "phpass": "PHPASS log2=7",
    "pbkdf2_sha1": "PBKDF2-SHA1 rounds=1000",
    "pbkdf2_sha256": "PBKDF2-SHA256 rounds=1000",
    "pbkdf2_sha512": "PBKDF2-SHA512 rounds=1000",
    "ldap_pbkdf2_sha1": "PBKDF2-SHA1 rounds=1000",
    "ldap_pbkdf2_sha256": "PBKDF2-SHA256 rounds=1000",
    "ldap_pbkdf2_sha512": "PBKDF2-SHA512 rounds=1000",
    "django_pbkdf2_sha1": "PBKDF2-SHA1 rounds=1000",
    "django_pbkdf2_sha256": "PBKDF2-SHA256 rounds=1000",
    "cta_pbkdf2_sha1": "CTA-PBKDF2-SHA1 rounds=1000",
    "dlitz_pbkdf2_sha1": "DLITZ-PBKDF2-SHA1 rounds=1000",
    "grub_pbkdf2_sha512": "GRUB-PBKDF2-SHA512 rounds=1000",
    "fshp": "FSHP rounds=1000",
    "apr_md5_crypt": "APR1-MD5",
    "atlassian_pbkdf2_sha1": "PKCS5S2",
    "sha1_crypt": "SHA1-CRYPT rounds=1000",
    "sha256_crypt": "SHA256-CRYPT rounds=1000",
    "sha512_crypt": "SHA512-CRYPT rounds=1000",
    "sun_md5_crypt": "SUN-MD5-CRYPT rounds=1000",
    "md5_crypt": "MD5-CRYPT",
    "des_crypt": "DES-CRYPT",
    "ldap_salted_sha1": "SSHA",
    "ldap_salted_sha256": "SSHA256",
    "ldap_salted_sha512": "SSHA512",
    "ldap_salted_md5": "SMD5",
    "ldap_sha1": "SHA",
    "ldap_md5": "LDAP-MD5",
    "mysql41": "MYSQL41",
    "scrypt": "SCRYPT N=16,r=8,p=1",
    "ldap_sha512_crypt": "SHA512-CRYPT rounds=1000",
}


@pytest.mark.parametrize("name", PASSLIB)
def test_what_passlib_made_is_checked(name: str) -> None:
    handler = passlibs.handler(name)
    rounds = {"phpass": 7, "scrypt": 4}.get(name, 1000)
    if "rounds" in getattr(handler, "setting_kwds", ()) and name != "atlassian_pbkdf2_sha1":
        handler = handler.using(rounds=rounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = handler.hash("sécrét".encode())
    secret = parse(stored)
    assert secret.kind == PASSLIB[name]
    assert secret.check("sécrét".encode())
    assert not secret.check(b"secret")
    assert not secret.check(b"\xff\xfe")


@pytest.mark.parametrize("name", ["hex_md4", "nthash", "mysql323"])
def test_bare_digests_of_passlib(name: str) -> None:
    scheme = {"hex_md4": "PLAIN-MD4", "nthash": "NTLM", "mysql323": "MYSQL323"}[name]
    stored = passlibs.handler(name).hash("sécrét".encode())
    for text, default in ((f"{{{scheme}}}{stored}", "CRYPT"), (stored, scheme)):
        assert parse(text, default).check("sécrét".encode())
        assert not parse(text, default).check(b"secret")
        assert not parse(text, default).check(b"\xff")


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        # passlib's documentation of bcrypt_sha256
        (
            "$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2",
            "BCRYPT-SHA256 cost=12",
        ),
        ("$bcrypt-sha256$2a,5$5Hg1DKFqPE8C2aflZ5vVoe$12BjNE0p7axMg55.Y/mHsYiVuFBDQyu", "BCRYPT-SHA256 cost=5"),
    ],
)
def test_bcrypt_sha256(stored: str, kind: str) -> None:
    secret = parse(stored)
    assert secret.kind == kind
    assert secret.check(b"password")
    assert not secret.check(b"Password")


def test_argon2_of_its_library() -> None:
    import argon2.low_level as argon2

    for kind in argon2.Type:
        made = argon2.hash_secret("sécrét".encode(), b"saltsalt", 1, 64, 2, 16, kind).decode()
        for stored in (made, "{ARGON2}" + made, "{CRYPT}" + made, "argon2" + made):
            secret = parse(stored)
            assert (secret.kind, secret.memory_kib) == (f"ARGON2{kind.name} m=64,t=1,p=2", 64)
            assert secret.check("sécrét".encode())
            assert not secret.check(b"secret")


def test_argon2_of_version_16() -> None:
    # argon2's own test suite
    stored = "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY"
    assert parse(stored).check(b"password")
    assert not parse(stored).check(b"Password")


def test_django_wraps_bcrypt() -> None:
    assert parse("bcrypt$$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW").check(b"U*U")


def test_libcrypt_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from saslpy.passwords import UnusableSecret, libcrypt, make

    stored = {
        name: make(name, "geheim") for name in ("SHA512-CRYPT", "MD5-CRYPT", "DES-CRYPT", "YESCRYPT", "BLF-CRYPT")
    }
    libcrypt.knows.cache_clear()
    libcrypt.usable.cache_clear()
    monkeypatch.setattr(libcrypt, "library", lambda: None)
    try:
        for name in ("SHA512-CRYPT", "MD5-CRYPT", "DES-CRYPT"):
            assert parse(stored[name]).check(b"geheim")
            assert not parse(stored[name]).check(b"anders")
            assert parse(make(name, "geheim")).check(b"geheim")
        for name in ("YESCRYPT", "BLF-CRYPT"):
            with pytest.raises(UnusableSecret, match="libcrypt does not know it"):
                parse(stored[name])
            with pytest.raises(ValueError, match="cannot make it"):
                make(name, "geheim")
    finally:
        libcrypt.knows.cache_clear()
        libcrypt.usable.cache_clear()
