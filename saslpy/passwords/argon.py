"""Argon2 in its own PHC spelling, ``$argon2id$v=19$m=65536,t=3,p=1$salt$output`` (RFC 9106); computed by argon2-cffi."""

from __future__ import annotations

from .decode import from_base64, to_base64
from .limits import ARGON2_KIB, ARGON2_LANES, ARGON2_OUTPUT, ARGON2_WORK
from .patterns import compiled
from .secret import StoredSecret, malformed, within

TYPES = {"argon2d": "D", "argon2i": "I", "argon2id": "ID"}


def read(text: str) -> StoredSecret:
    """The secret of an argon2 string."""
    match = compiled(
        r"\$(argon2id?|argon2d)\$(?:v=(?:16|19)\$)?m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,4})"
        r"\$([+/0-9A-Za-z]+)\$([+/0-9A-Za-z]+)"
    ).fullmatch(text)
    if match is None:
        raise malformed("ARGON2", "truncated, or not of its form")
    scheme = match[1].upper()
    memory, passes, lanes = int(match[2]), int(match[3]), int(match[4])
    within(scheme, memory, ARGON2_KIB, "KiB of memory")
    within(scheme, memory * passes, ARGON2_WORK, "KiB of memory times passes")
    within(scheme, passes, ARGON2_WORK >> 9, "passes")
    within(scheme, lanes, ARGON2_LANES, "lanes")
    salt, output = from_base64(scheme, match[5]), from_base64(scheme, match[6])
    # the library refuses stray bits behind the last byte, and would then call every password wrong
    if to_base64(salt).rstrip("=") != match[5] or to_base64(output).rstrip("=") != match[6]:
        raise malformed(scheme, "its salt or output is not base64 of whole bytes")
    if len(output) < ARGON2_OUTPUT or len(salt) < 8 or memory < 8 * lanes:
        raise malformed(scheme, "its output, salt or memory is below what argon2 makes")
    kind = f"{scheme} m={memory},t={passes},p={lanes}"
    return StoredSecret(scheme, kind, memory, _verify, (TYPES[match[1]], text))


def _verify(data: tuple[str, str], password: bytes, _login: str) -> bool:
    import argon2.low_level as argon2
    from argon2.exceptions import HashingError, VerificationError, VerifyMismatchError

    kind, text = data
    try:
        return argon2.verify_secret(text.encode(), password, argon2.Type[kind])
    except VerifyMismatchError:
        return False
    except (VerificationError, HashingError) as error:
        # its form was read, so this is no memory, or no thread for a lane: not a wrong password
        raise MemoryError(f"argon2: {error}") from None


def make(kind: str, password: bytes, salt: bytes, memory: int, passes: int, lanes: int) -> str:  # noqa: PLR0913, PLR0917
    """An argon2 string with 32 bytes of output. ``memory`` is in KiB."""
    import argon2.low_level as argon2

    return argon2.hash_secret(password, salt, passes, memory, lanes, 32, argon2.Type[kind]).decode("ascii")
