"""What tables and directories hold as one text: lists, and options by name."""

from __future__ import annotations


def listed(text: str) -> tuple[str, ...]:
    """``a, b`` as a tuple."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def pairs(text: str) -> dict[str, str]:
    """``a=1, b=2`` as a dictionary; what has no ``=`` has an empty value."""
    items = (item.partition("=") for item in listed(text))
    return {key.strip(): value.strip() for key, _, value in items if key.strip()}
