"""What a hash worker can be asked, as plain values: a question must be able to cross to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from . import schemes
from .parsing import parse
from .prepare import candidates
from .scram import derive

Stored: TypeAlias = tuple[bytes, str]
"""A stored secret in UTF-8 (surrogates too: "surrogatepass"), and the name of the scheme of one without braces."""


def check(stored: Sequence[Stored], password: bytes, login: bytes) -> bool:
    """Whether the password is that of one of the secrets.

    All of them are computed, though one may match early: how long it takes must not tell which.
    """
    tries = candidates(_text(password))
    secrets = [parse(_text(text), default) for text, default in stored]
    name = _text(login)
    results = [secret.check(attempt, name) for secret in secrets for attempt in tries]
    return any(results)


def matching(stored: Sequence[Stored], password: bytes, login: bytes) -> tuple[list[bytes], list[int]]:
    """The bytes that are tried for a password, and for each secret the place of those that are right, -1 for none."""
    tries = list(candidates(_text(password)))
    secrets = [parse(_text(text), default) for text, default in stored]
    name = _text(login)
    right = [[place for place, attempt in enumerate(tries) if secret.check(attempt, name)] for secret in secrets]
    return tries, [places[0] if places else -1 for places in right]


def make(scheme: str, password: bytes, login: bytes, costs: Mapping[str, int]) -> str:
    """A new stored secret. Raises ``ValueError`` like ``schemes.make``."""
    return schemes.make(scheme, _text(password), _text(login), **costs)


def scram(hash_name: str, password: bytes, salt: bytes, iterations: int) -> str:
    """The stored key and the server key of a password (``scram.derive``) in hex, one behind the other."""
    made = derive(hash_name, password, salt, iterations)
    return (made.stored_key + made.server_key).hex()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


TASKS: dict[str, Callable[..., Any]] = {"check": check, "matching": matching, "make": make, "scram": scram}
"""All that may be asked, by name."""
