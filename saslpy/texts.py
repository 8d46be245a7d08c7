"""Small texts: what tables hold as one text (lists, options by name), and a failure in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_BYTES = re.compile(r"(-?[0-9]+)(?:\.0*)?S?", re.ASCII)


def listed(text: str) -> tuple[str, ...]:
    """``a, b`` as a tuple."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def pairs(text: str) -> dict[str, str]:
    """``a=1, b=2`` as a dictionary; what has no ``=`` has an empty value."""
    items = (item.partition("=") for item in listed(text))
    return {key.strip(): value.strip() for key, _, value in items if key.strip()}


def quota(text: str) -> str | None:
    """A quota in maildirquota form ("10000000S,1000C"); a number alone is bytes, and no number above 0 is no quota."""
    text = text.strip()
    if alone := _BYTES.fullmatch(text):
        return f"{int(alone[1])}S" if int(alone[1]) > 0 else None
    return text or None


def first_of(error: BaseException) -> BaseException:
    """The error itself, or of a group (trio raises them) the first that is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def describe(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """A failure in one line for the log: its type and its message, cut to a sensible length.

    ``secrets`` are what the code that failed was given: a driver's message may show them. Then the type alone is told: what
    would be left around a gap tells everybody who knows the message what stood there.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = str(error)
    if any(shown in text for secret in secrets if secret for shown in _spellings(secret)):
        return f"{type(error).__name__} (its text shows what is secret)"
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def _spellings(secret: str) -> Iterator[str]:
    """How a message may show it: as it is, as Python, JSON or a URL has it, and in base64."""
    # here: they take milliseconds to import, and few processes ever need them
    import base64  # noqa: PLC0415
    import json  # noqa: PLC0415
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    raw = secret.encode("utf-8", "surrogatepass")
    yield from (secret, repr(secret)[1:-1], repr(raw)[2:-1], json.dumps(secret)[1:-1])
    yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))
    yield base64.b64encode(raw).decode().rstrip("=")
