"""Small texts: what tables hold as one text (lists, options by name), and a failure in words."""

from __future__ import annotations

from collections.abc import Iterable


def listed(text: str) -> tuple[str, ...]:
    """``a, b`` as a tuple."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def pairs(text: str) -> dict[str, str]:
    """``a=1, b=2`` as a dictionary; what has no ``=`` has an empty value."""
    items = (item.partition("=") for item in listed(text))
    return {key.strip(): value.strip() for key, _, value in items if key.strip()}


def first_of(error: BaseException) -> BaseException:
    """The error itself, or of a group (trio raises them) the first that is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def describe(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """A failure in one line for the log: its type and its message, cut to a sensible length.

    ``secrets`` are what the code that failed was given: a driver's message may show them. They are taken out first, since
    a cut, or blanks made one, would leave a part that nobody recognises.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = str(error)
    for secret in filter(None, secrets):
        for shown in (secret, repr(secret)[1:-1]):
            text = text.replace(shown, "…")
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
