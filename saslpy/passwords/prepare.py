"""A password as the bytes that may have been hashed: as it was sent, and as SASLprep would have it (RFC 4013)."""

from __future__ import annotations

from .limits import MAX_PASSWORD

__all__ = ["candidates", "saslprep", "to_store"]


def candidates(password: str) -> tuple[bytes, ...]:
    """The bytes to try, in order; mostly one. The string is UTF-8 decoded with ``surrogateescape``.

    As it was sent comes first. A name typed on a Mac comes decomposed, and one from a phone composed, so for a password
    that is not ASCII the prepared form follows where it differs. Empty when the string is no text at all, or too
    long to match anything (``limits.MAX_PASSWORD``); SASLprep takes 12 us a character, so it belongs in a worker.
    """
    if password.isascii():
        return (password.encode("ascii"),)
    try:
        raw = password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return ()
    if len(raw) > MAX_PASSWORD:
        return ()
    prepared = saslprep(password)
    if not prepared or prepared == password:
        return (raw,)
    return (raw, prepared.encode("utf-8"))


def to_store(password: str) -> str:
    """The form that a new password is stored in: prepared, so that every spelling that a client may send is right for it.

    As it is where SASLprep prohibits it, and then right in that spelling alone.
    """
    return password if password.isascii() else saslprep(password) or password


def saslprep(text: str) -> str | None:
    """RFC 4013 with unassigned code points allowed (Unicode after 3.2), or None where it prohibits the text."""
    import stringprep as tables
    from unicodedata import ucd_3_2_0

    mapped = (" " if tables.in_table_c12(sign) else sign for sign in text if not tables.in_table_b1(sign))
    prepared = ucd_3_2_0.normalize("NFKC", "".join(mapped))
    prohibited = (
        tables.in_table_c12,
        tables.in_table_c21_c22,
        tables.in_table_c3,
        tables.in_table_c4,
        tables.in_table_c5,
        tables.in_table_c6,
        tables.in_table_c7,
        tables.in_table_c8,
        tables.in_table_c9,
    )
    if any(test(sign) for sign in prepared for test in prohibited):
        return None
    right_to_left = [tables.in_table_d1(sign) for sign in prepared]
    if any(right_to_left):  # RFC 3454, 6: no mixture, and such a character at both ends
        mixed = any(tables.in_table_d2(sign) for sign in prepared)
        if mixed or not (right_to_left[0] and right_to_left[-1]):
            return None
    return prepared
