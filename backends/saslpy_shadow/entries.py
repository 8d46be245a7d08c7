"""One line of shadow(5) or passwd(5), and whether an account has run out. Pure: bytes and a day in, values out.

    joe:$y$j9T$…:20000:0:99999:7:14:20500:          name, password, last change, min, max, warn, inactive, expire, reserved
    joe:x:1000:1000:Joe Doe,Room 1:/home/joe:/bin/sh

Days are counted from 1970-01-01; an empty field is no date, and so is -1 (chage -E -1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from saslpy.backend import BadRecord

SHADOW_FIELDS = 9
PASSWD_FIELDS = 7


class MalformedLine(BadRecord):
    """A line cannot be read. The message holds no field of it."""


@dataclass(frozen=True, slots=True)
class ShadowEntry:
    """A line of /etc/shadow; days, None where the field is empty."""

    password: str = field(repr=False)
    last_change: int | None = None
    max_age: int | None = None
    inactive: int | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class PasswdEntry:
    """A line of /etc/passwd, without what nobody needs."""

    uid: int
    gid: int
    name: str | None
    home: str | None


def shadow_entry(line: bytes) -> ShadowEntry:
    """Raises ``MalformedLine``."""
    fields = _fields(line, SHADOW_FIELDS)
    try:
        password = fields[1].decode("ascii")  # crypt(3) writes nothing else
    except UnicodeDecodeError:
        raise MalformedLine("the password's field is not ASCII") from None
    last_change, _, max_age, _, inactive, expires = map(_days, fields[2:8])
    return ShadowEntry(password, last_change, max_age, inactive, expires)


def passwd_entry(line: bytes) -> PasswdEntry:
    """Raises ``MalformedLine``."""
    fields = _fields(line, PASSWD_FIELDS)
    if not (fields[2].isdigit() and fields[3].isdigit()):
        raise MalformedLine("uid or gid is no number")
    try:
        home = fields[5].decode()
    except UnicodeDecodeError:
        raise MalformedLine("the home directory is not UTF-8") from None
    name = fields[4].partition(b",")[0].decode("utf-8", "replace").strip()
    return PasswdEntry(int(fields[2]), int(fields[3]), name or None, home or None)


def expired(entry: ShadowEntry, today: int) -> str | None:
    """Why nobody may log in with this entry on a day, None when somebody may. The order and the bounds are pam_unix's."""
    if entry.expires is not None and today >= entry.expires:
        return "the account has expired"
    if entry.last_change is None:  # ageing is switched off
        return None
    if entry.last_change == 0:
        return "the password must be changed"
    age = today - entry.last_change  # negative when a clock was wrong: not our user's fault
    if entry.max_age is None or age <= entry.max_age:
        return None
    if entry.inactive is not None and age > entry.max_age + entry.inactive:
        return "the password has expired, and the account is inactive"
    return "the password has expired"


def secret(password: str) -> tuple[str, ...]:
    """The field as the core's stored secret: none for an empty field, which would let everybody in.

    In braces it is a crypt(3) string whatever the configuration's ``default_scheme``, and whatever it begins with. Of a
    locked password only the lock is told.
    """
    if not password:
        return ()
    return ("{CRYPT}" + (password[0] if password[0] in "!*" else password),)


def disguised(password: str) -> str | None:
    """A secret of the same kind and cost that is nobody's; None for a field that is no password."""
    if len(password) < 13 or password[0] in "!*":
        return None
    # the digest's end backwards, but for the last sign, in which some kinds do not use all bits
    return "{CRYPT}" + password[:-9] + password[-9:-1][::-1] + password[-1]


def _fields(line: bytes, count: int) -> list[bytes]:
    fields = line.split(b":")
    if len(fields) != count:
        raise MalformedLine(f"{len(fields)} fields, not {count}")
    return fields


def _days(text: bytes) -> int | None:
    """A number of days; None where there is none."""
    if not text:
        return None
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18:
        raise MalformedLine("a day is no number")
    days = int(text)
    return None if days < 0 else days
