"""The bytes that a password may have been hashed as."""

from __future__ import annotations

import unicodedata

import pytest

from saslpy.passwords import candidates, make, parse
from saslpy.passwords.prepare import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013, 3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", None),
        ("\u0627\u0031", None),
        # RFC 3454
        ("a\u00a0b", "a b"),
        ("\u0627a\u0627", None),
        ("\u06271\u0628", "\u06271\u0628"),
        ("\u0221", "\u0221"),  # unassigned in Unicode 3.2
        ("\U0001f511", "\U0001f511"),
        ("\ue000", None),  # private use
        ("\ufffd", None),
        ("\u200e", None),
        ("\udcff", None),
        ("e\u0301", "é"),
        ("\u00ad", ""),
    ],
)
def test_saslprep(text: str, prepared: str | None) -> None:
    assert saslprep(text) == prepared


def test_passlib_prepares_alike() -> None:
    from passlib.utils import saslprep as theirs

    for text in (
        "I\u00adX",
        "\u00aa",
        "\u2168",
        "a\u00a0b",
        "\u06271\u0628",
        "ﬁn",
        "Å",
        "e\u0301\u0323",
        "½",
        "\u1680x",
    ):
        assert saslprep(text) == theirs(text)


@pytest.mark.parametrize(
    ("password", "tries"),
    [
        ("secret", (b"secret",)),
        ("", (b"",)),
        ("\x07", (b"\x07",)),
        ("é", ("é".encode(),)),
        ("e\u0301", ("e\u0301".encode(), "é".encode())),
        ("\u00ad", ("\u00ad".encode(),)),  # nothing is left of it
        ("\udcff\udcfe", (b"\xff\xfe",)),  # Latin-1, as it came
        ("é\udcff", (b"\xc3\xa9\xff",)),
        ("\ud800", ()),  # no text, and no bytes that could have been sent
        ("🔑", ("🔑".encode(),)),
        ("ﬁ", ("ﬁ".encode(), b"fi")),
    ],
)
def test_candidates(password: str, tries: tuple[bytes, ...]) -> None:
    assert candidates(password) == tries


@pytest.mark.parametrize("scheme", ["SHA512-CRYPT", "ARGON2ID", "SCRAM-SHA-256", "SSHA"])
def test_composed_is_found_from_decomposed(scheme: str) -> None:
    composed = unicodedata.normalize("NFC", "Zürich")
    decomposed = unicodedata.normalize("NFD", composed)
    secret = parse(make(scheme, composed))
    assert [secret.check(attempt) for attempt in candidates(decomposed)] == [False, True]
    assert [secret.check(attempt) for attempt in candidates(composed)] == [True]
    as_typed = parse(make(scheme, decomposed))
    assert [as_typed.check(attempt) for attempt in candidates(decomposed)] == [True, False]
