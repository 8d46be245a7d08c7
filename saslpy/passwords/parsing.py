"""From a stored string to a secret: ``{SCHEME}data`` or a bare string.

It runs on the event loop for every login, so it looks things up in tables and computes nothing.
"""

from __future__ import annotations

from . import passlibs
from .decode import from_base64, from_either, from_hex
from .limits import MAX_STORED
from .readers import ALIASES, FIXED, NAMES, SALTED, SUFFIXES, TEXT
from .secret import Fault, StoredSecret, UnusableSecret, malformed

LOCKED = frozenset({"*", "!", "!!", "x", "*LK*", "*NP*", "NP", "!*", "*!"})
"""What /etc/shadow and its imitators write where nobody may log in."""


def parse(stored: str, default_scheme: str = "CRYPT") -> StoredSecret:
    """The secret in a stored string. Cheap: nothing is hashed.

    ``default_scheme`` names what a string without braces is; "CRYPT" takes crypt(3) strings and all others that tell
    by themselves what they are. Raises ``UnusableSecret`` for what no password can match: locked, unknown, malformed,
    or too costly to check.
    """
    if len(stored) > MAX_STORED:
        raise malformed("stored secret", "too long")
    if stored.startswith("{"):
        name, brace, data = stored[1:].partition("}")
        if not brace:
            raise malformed("stored secret", "a brace that is not closed")
        if name.startswith("FSHP"):  # the only one that has its costs in the braces
            return passlibs.read_tail(("fshp",), stored)
    else:
        if stored in LOCKED or stored.startswith(("!$", "!!$", "*$")):
            raise UnusableSecret(Fault.LOCKED, "locked: no password matches it")
        if not stored:
            raise malformed("stored secret", "empty")
        name, data = default_scheme, stored
    return _read(name, data)


def _read(name: str, data: str) -> StoredSecret:
    scheme, encoding = split_name(name)
    if scheme != "PLAIN":
        _refuse_locks(scheme, data)
    if (reader := TEXT.get(scheme)) is not None:
        return reader(_text(scheme, data, encoding) if encoding else data)
    fixed = FIXED.get(scheme)
    binary = fixed[0] if fixed else SALTED[scheme]
    if encoding:
        return binary(_raw(scheme, data, encoding))
    return binary(from_either(scheme, data, fixed[1]) if fixed else from_base64(scheme, data))


def split_name(name: str) -> tuple[str, str]:
    """What stands in braces as (name without aliases, "HEX", "B64" or ""). Raises ``UnusableSecret``."""
    scheme, _, suffix = name.upper().partition(".") if name.isascii() else ("", "", "")
    scheme = ALIASES.get(scheme, scheme)
    encoding = SUFFIXES.get(suffix)
    if encoding is None or scheme not in NAMES:
        # not the name itself: a cleartext password may begin with a brace
        raise UnusableSecret(Fault.UNKNOWN, "the scheme in braces is unknown")
    return scheme, encoding


def _refuse_locks(scheme: str, data: str) -> None:
    if not data:
        raise malformed(scheme, "empty")
    if data in LOCKED or data[0] == "!" or (data[0] == "*" and len(data) != 41):  # MySQL's has 41 characters
        raise UnusableSecret(Fault.LOCKED, f"{scheme}: locked, no password matches it")


def _raw(scheme: str, data: str, encoding: str) -> bytes:
    return from_hex(scheme, data) if encoding == "HEX" else from_base64(scheme, data)


def _text(scheme: str, data: str, encoding: str) -> str:
    text = _raw(scheme, data, encoding).decode("utf-8", "surrogateescape")
    if scheme != "PLAIN":
        _refuse_locks(scheme, text)
    return text
