"""Whatever is stored: a secret or ``UnusableSecret``. Whatever is tried: an answer. And threads do not mix them up."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saslpy.passwords import KNOWN, SCHEMES, UnusableSecret, candidates, make, parse, warm_up
from saslpy.passwords.readers import NAMES

LOGIN = "joe@example.org"
CHEAP = {"ARGON2ID": {"m": 8, "t": 1}, "ARGON2I": {"m": 8, "t": 1}, "BLF-CRYPT": {"cost": 4}, "YESCRYPT": {"cost": 1}}
CHEAP |= {name: {"rounds": 1000} for name in ("SHA512-CRYPT", "SHA256-CRYPT", "CRYPT", "PBKDF2")}
MADE = [make(name, "geheim", LOGIN, **CHEAP.get(name, {})) for name in SCHEMES]
OTHERS = [
    "$pbkdf2-sha256$1000$c2FsdA$" + "A" * 43,
    "$scrypt$ln=4,r=8,p=1$c2FsdA$" + "A" * 43,
    "pbkdf2_sha256$1000$salt$" + "A" * 43 + "=",
    "$P$5" + "a" * 30,
    "$apr1$salt$" + "a" * 22,
    "$md5$salt$$" + "a" * 22,
    "$sha1$100$saltsalt$" + "a" * 28,
    "$7$2/..../....salt$" + "a" * 43,
    "$gy$j0.$salt$" + "a" * 43,
    "_/..." + "a" * 15,
    "*" + "A" * 40,
    "$bcrypt-sha256$v=2,t=2b,r=4$n79VH.0Q2TMWmt3Oqt9uku$" + "a" * 31,
    "{FSHP1|8|100}" + "A" * 56,
    "$p5k2$64$salt$" + "A" * 32,
    "grub.pbkdf2.sha512.100." + "AB" * 8 + "." + "CD" * 64,
    "{PKCS5S2}" + "A" * 64,
    "{NTLM}" + "a" * 32,
    "{PLAIN-TRUNC}6-geheim",
]

anything = st.text(st.characters(exclude_categories=()), max_size=200)
signs = st.text("$./*!{}=,:-_+ 0123456789abcdefhjmprstvxyzABCDEFT\n\0é", max_size=60)


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A real secret with a piece cut out, and another put in."""
    stored = draw(st.sampled_from(MADE + OTHERS))
    start = draw(st.integers(0, len(stored)))
    end = draw(st.integers(start, min(len(stored), start + 8)))
    return stored[:start] + draw(st.one_of(signs.map(lambda text: text[:4]), st.just(""))) + stored[end:]


@st.composite
def named(draw: st.DrawFn) -> str:
    """A known scheme with some data."""
    suffix = draw(st.sampled_from(["", ".HEX", ".b64", ".x"]))
    return f"{{{draw(st.sampled_from(sorted(NAMES)))}{suffix}}}{draw(st.one_of(anything, signs))}"


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(anything, signs, mangled(), named()),
    st.sampled_from(["CRYPT", "PLAIN", "SSHA", "PLAIN-MD5", "nonsense", ""]),
)
def test_parse_gives_a_secret_or_the_reason(stored: str, default_scheme: str) -> None:
    try:
        secret = parse(stored, default_scheme)
    except UnusableSecret as error:
        assert error.reason in {"locked", "unknown", "malformed", "too-costly"}
        return
    assert secret.scheme in KNOWN
    assert secret.kind.startswith(secret.scheme)
    # what mangling made costly is not computed here: the limits have tests of their own
    costs = [int(number) for number in re.findall("[0-9]+", secret.kind.partition(" ")[2])]
    if max(costs, default=0) <= 20_000 and secret.memory_kib < 20_000:
        assert secret.check(b"another password \xff", "joe@\ud800") in {False, True}


@settings(max_examples=300, deadline=None)
@given(anything)
def test_candidates_never_fail(password: str) -> None:
    for attempt in candidates(password):
        for stored in MADE[-12:]:
            parse(stored).check(attempt, password)


def test_eight_threads_with_mixed_hashes() -> None:
    warm_up()
    secrets = [parse(stored) for stored in MADE]
    faults: list[object] = []

    def work(number: int) -> None:
        for turn in range(6):
            for secret in secrets[number:] + secrets[:number]:
                right = (number + turn) % 2 == 0
                if secret.check(b"geheim" if right else b"geheiM", LOGIN) is not right:
                    faults.append(secret)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_importing_loads_no_library() -> None:
    program = (
        "import sys, saslpy.passwords as p; p.parse('{SSHA}A8HbktTnms5aBbA8fuulgaRZlr8MwMbH').check(b'x')\n"
        "assert not {'argon2', 'passlib', 'ctypes', 'stringprep', 'trio'} & set(sys.modules)\n"
        "p.warm_up()\n"
        "assert {'argon2', 'ctypes'} <= set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_memory_is_no_wrong_password() -> None:
    program = """if True:
        import resource
        from saslpy.passwords import parse, warm_up
        warm_up()
        resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
        for stored in (
            "$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43,
            "$y$jET$F5Jx5fExrKuPp53xLKQ..1$" + "a" * 43,
            "$gy$jET$F5Jx5fExrKuPp53xLKQ..1$" + "a" * 43,
            "$7$EU..../....salt$" + "a" * 43,
            "$scrypt$ln=18,r=8,p=1$c2FsdA$" + "A" * 43,
        ):
            secret = parse(stored)
            try:
                raise SystemExit(f"{secret.kind}: {secret.check(b'x')}")
            except MemoryError:
                assert stored[:2] != "$y" or not secret.check(b"x" * 512)
        assert not parse("$y$j0.$F5Jx5fExrKuPp53xLKQ..1$" + "a" * 43).check(b"x")
        assert not parse("$y$j0.$z$" + "a" * 43).check(b"x")  # a salt that yescrypt refuses
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_argon2_without_memory_or_threads_is_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    import argon2.low_level
    from argon2.exceptions import VerificationError

    secret = parse(make("ARGON2ID", "secret", m=64, t=1, p=2))
    assert secret.check(b"secret")
    assert not secret.check(b"wrong")
    for why in ("Threading failure", "Memory allocation error"):

        def fails(*_args: object, why: str = why) -> bool:
            raise VerificationError(why)

        monkeypatch.setattr(argon2.low_level, "verify_secret", fails)
        with pytest.raises(MemoryError):
            secret.check(b"secret")
