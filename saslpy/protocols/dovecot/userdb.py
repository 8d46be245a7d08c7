"""What Dovecot's mail processes are told of an account: the fields of its userdb, and those of its passdb for proxies.

Any field that is none of Dovecot's own is a setting, which then holds for this user's session. So options of an account
are handed on only where their name says that they are meant for Dovecot (``userdb_quota_rule``, as in its own SQL queries),
and never those that say as whom a process runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from typing import Literal

from ...model import Account
from .fields import pair

Version = Literal["2.3", "2.4"]
"""Of Dovecot: the settings for a user's mail and quota have other names in 2.4."""

USERDB, PASSDB = "userdb_", "passdb_"
"""What the names of options begin with that Dovecot shall have."""

_OPTION = re.compile(r"[a-z][a-z0-9_/]*", re.ASCII)
_OURS = frozenset(
    ("anonymous", "auth_mech", "auth_token", "auth_user", "chroot", "gid", "home", "master_user", "original_user")
).union(("reason", "system_groups_user", "system_user", "temp", "uid", "user"))
"""Fields that an option never sets: who is logged in, and as whom the process runs."""

_QUOTA = re.compile(r"(?P<number>[0-9]{1,18})(?P<kind>[SC]?)", re.ASCII)


def userdb(account: Account, version: Version) -> list[bytes]:
    """The fields after USER, the user's name not included."""
    fields = [pair(name, value) for name, value in _own(account)]
    if account.maildir:
        fields += _maildir(account.maildir, version)
    fields += _quota(account.quota or "", version)
    return [*fields, *_options(account, USERDB, fields)]


def passdb(account: Account) -> list[bytes]:
    """The fields after PASS: where the user's connections are to be proxied to. Never a secret."""
    return [field for field in _options(account, PASSDB, []) if b"pass" not in field.partition(b"=")[0]]


def _own(account: Account) -> Iterator[tuple[bytes, str]]:
    if account.uid is not None:
        yield b"uid", str(account.uid)
    if account.gid is not None:
        yield b"gid", str(account.gid)
    if account.home:
        yield b"home", account.home


def _maildir(path: str, version: Version) -> list[bytes]:
    if version == "2.4":
        return [pair(b"mail_driver", "maildir"), pair(b"mail_path", path)]
    # a colon ends the path, and options follow; two are one in it
    return [pair(b"mail", "maildir:" + path.replace(":", "::"))]


def _quota(quota: str, version: Version) -> list[bytes]:
    """A quota in maildirquota form, "10000000S,1000C", as Dovecot says it; nothing for what is none."""
    limits = {}
    for part in quota.split(","):
        found = _QUOTA.fullmatch(part.strip())
        if found is None:
            return []
        limits[found["kind"] or "S"] = found["number"]
    if version == "2.4":
        names = (("S", b"quota_storage_size", "B"), ("C", b"quota_message_count", ""))
        return [pair(name, limits[kind] + unit) for kind, name, unit in names if kind in limits]
    rule = ":".join(name + limits[kind] for kind, name in (("S", "bytes="), ("C", "messages=")) if kind in limits)
    return [pair(b"quota_rule", "*:" + rule)]


def _options(account: Account, prefix: str, taken: list[bytes]) -> Iterator[bytes]:
    names = {field.partition(b"=")[0] for field in taken}
    for option, value in account.options.items():
        name = option.removeprefix(prefix)
        if option.startswith(prefix) and _OPTION.fullmatch(name) and name not in _OURS and name.encode() not in names:
            yield pair(name.encode(), value)


def mask(pattern: str) -> re.Pattern[str]:
    """What the names fit that LIST asks for: ``*`` and ``?``, without regard to case."""
    # its brackets are no sets here; that of which a ``*`` has taken too much is not gone through again (atomic groups)
    return re.compile(translate(pattern.replace("[", "[[]")), re.IGNORECASE)
