"""Who is in every store of the matrix, and what each row of it sends."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A user of a store. The login is ``local@example.org``; what is typed may be spelled otherwise."""

    local: str
    password: str
    disabled: bool = False
    expired: bool = False

    @property
    def login(self) -> str:
        """The whole name."""
        return f"{self.local}@{DOMAIN}"


def nfc(text: str) -> str:
    """Composed: é is one character."""
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    """Decomposed: é is an e and an accent."""
    return unicodedata.normalize("NFD", text)


DOMAIN = "example.org"
LONGEST = "long " + "x" * 3995
"""4,000 bytes."""

JOE = User("joe", "s3cret joe")
OFF = User("off", "s3cret off", disabled=True)
OLD = User("old", "s3cret old", expired=True)
LONG = User("long", LONGEST)
COMPOSED = User("renee", nfc("pässwörd"))
DECOMPOSED = User("andre", nfd("pässwörd"))
COMPOSED_NAME = User(nfc("zoë"), "s3cret zoe")
DECOMPOSED_NAME = User(nfd("chloé"), "s3cret chloe")

USERS = (JOE, OFF, OLD, LONG, COMPOSED, DECOMPOSED, COMPOSED_NAME, DECOMPOSED_NAME)

assert len(LONGEST.encode()) == 4000
assert nfc("pässwörd") != nfd("pässwörd")

CREDENTIALS: dict[str, tuple[str, str]] = {
    "right": (JOE.login, JOE.password),
    "wrong": (JOE.login, "s3cret jim"),
    "unknown user": (f"nobody@{DOMAIN}", JOE.password),
    "disabled, right password": (OFF.login, OFF.password),
    "expired, right password": (OLD.login, OLD.password),
    "empty password": (JOE.login, ""),
    "right password and a NUL": (JOE.login, JOE.password + "\0"),
    "right login and a NUL": (JOE.login + "\0", JOE.password),
    "NUL within the login": (f"joe\0@{DOMAIN}", JOE.password),
    "4,000 bytes, right": (LONG.login, LONGEST),
    "4,000 bytes, wrong": (LONG.login, LONGEST[:-1] + "y"),
    "password NFC, typed NFC": (COMPOSED.login, nfc("pässwörd")),
    "password NFC, typed NFD": (COMPOSED.login, nfd("pässwörd")),
    "password NFD, typed NFC": (DECOMPOSED.login, nfc("pässwörd")),
    "password NFD, typed NFD": (DECOMPOSED.login, nfd("pässwörd")),
    "login NFC, typed NFC": (nfc(COMPOSED_NAME.login), COMPOSED_NAME.password),
    "login NFC, typed NFD": (nfd(COMPOSED_NAME.login), COMPOSED_NAME.password),
    "login NFD, typed NFC": (nfc(DECOMPOSED_NAME.login), DECOMPOSED_NAME.password),
    "login NFD, typed NFD": (nfd(DECOMPOSED_NAME.login), DECOMPOSED_NAME.password),
}
"""What a row sends: login and password. "NFC" and "NFD" before the comma are what the store holds."""
