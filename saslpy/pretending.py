"""SCRAM keys for users who do not exist, and salts for those whose password is stored in the clear.

A server that refuses an unknown name, or gives it another salt each time, tells strangers who exists. So an unknown
user gets the salt that this name always gets, and the usual count of iterations; only the proof is wrong then.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .names import folded
from .passwords.scram import MECHANISMS, ScramKeys

ITERATIONS = 4096
"""Of keys that are made from a password in the clear, and of unknown users before any stored key was seen (RFC 7677, 4)."""

SALT = 16
"""Bytes of a salt of ours."""

KEY_FILE = "salts.key"


@dataclass(frozen=True, slots=True)
class Kind:
    """How keys of a mechanism usually look. ``iterations`` as stored; ``clear``: made from a password in the clear."""

    iterations: int = ITERATIONS
    salt: int = SALT
    clear: bool = False


@dataclass(slots=True, eq=False)
class Pretence:
    """Makes keys up. ``secret`` is what nobody may know who is to be misled; the same one gives the same salts."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _seen: dict[str, Kind] = field(default_factory=dict, repr=False)

    def saw(self, mechanism: str, kind: Kind) -> None:
        """Learn what is usual, from the first keys that are seen; strangers, who choose the later ones, change nothing."""
        self._seen.setdefault(mechanism, kind)

    def usual(self, mechanism: str) -> Kind | None:
        """The kind that unknown users have, None before any was seen."""
        return self._seen.get(mechanism)

    def salt(self, mechanism: str, login: str, size: int = SALT) -> bytes:
        """The salt of this name, whose case counts as little as it does in our stores (``names.folded``)."""
        salt = b""
        while len(salt) < size:
            salt += self._made(f"salt{len(salt)}", mechanism, login)
        return salt[:size]

    def keys(self, mechanism: str, login: str) -> ScramKeys:
        """Keys that no password gives."""
        kind = self.usual(mechanism) or Kind()
        hash_name = MECHANISMS[mechanism]
        size = hmac.new(b"", b"", hash_name).digest_size
        stored, server = (self._made(what, mechanism, login)[:size].ljust(size, b"\0") for what in ("stored", "server"))
        return ScramKeys(hash_name, kind.iterations, self.salt(mechanism, login, kind.salt), stored, server)

    def _made(self, what: str, mechanism: str, login: str) -> bytes:
        name = folded(login).encode("utf-8", "surrogatepass")
        return hmac.digest(self.secret, b"\0".join((what.encode(), mechanism.encode(), name)), "sha512")


def kept_secret(folder: Path) -> bytes:
    """The secret in the state folder, made there at the first time; after a restart salts must be the same.

    Where nothing can be kept, one that is made from the machine's id (machine-id(5)), which strangers do not know; where
    there is none, a new one.
    """
    path = folder / KEY_FILE
    with suppress(OSError):
        return _read(path) or _made(path)
    return _of_machine()


def _read(path: Path) -> bytes | None:
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        return None
    return kept if len(kept) >= 32 else None


def _made(path: Path) -> bytes:
    """A new one, put in its place in one step: of two that start at a time both use the same."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    with fresh.open("wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        if _read(path) is None:  # cut short by a full disk
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    made = _read(path)
    if made is None:
        raise OSError("the file cannot be read back")
    return made


def _of_machine() -> bytes:
    try:
        identity = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        identity = b""
    return (
        hmac.digest(identity, b"saslpy: salts of users who do not exist", "sha512")
        if identity
        else secrets.token_bytes(32)
    )
