"""From a row to an ``Account``: numbers, yes and no, quotas and lists in the many forms that tables have them."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from saslpy.backend import BadRecord
from saslpy.model import Account
from saslpy.texts import listed, pairs, quota

Row: TypeAlias = Mapping[str, Any]

DENIED_SERVICES = {
    "deny_smtpd": ("smtp", "submission"),
    "deny_imap": ("imap",),
    "deny_pop3": ("pop3",),
    "deny_webmail": ("webmail",),
}

_YES = {"1", "y", "yes", "t", "true", "on", "\x01"}  # "\x01": BIT(1)
_NO = {"", "0", "n", "no", "f", "false", "off", "\x00"}


class BadRow(BadRecord):
    """The store's answer about one login makes no sense. The message holds no value of the row."""


def account_of(row: Row, login: str, base: str = "") -> Account:
    """The account in a row. ``base`` is the folder that relative paths are in. Raises ``BadRow``."""
    password = text(row, "password")
    # most tables have few of these columns, and every login comes through here
    rest = {name: read(row, base) for name, read in READERS.items() if row.get(name) is not None}
    denied_by = [key for key in DENIED_SERVICES if row.get(key) is not None and _is_set(row, key)]
    return Account(
        login=canonical(row) or login,
        secrets=(password,) if password else (),
        disabled=_disabled(row),
        deny_services=tuple(name for key in denied_by for name in DENIED_SERVICES[key]),
        **rest,
    )


def canonical(row: Row) -> str:
    """The store's own spelling of the login, empty where it has none. Raises ``BadRow``."""
    if isinstance(row.get("username"), int | float | Decimal):
        # MySQL compares a number with a text as numbers: 0 equals every name that begins with a letter
        raise BadRow("the column for username holds numbers, not text")
    return text(row, "username")


def same_as(name: str) -> tuple[bytes, str]:
    """What two spellings of one login have in common, and the logins of two people do not.

    A collation takes much more for equal: ``jose`` is ``José`` to it, and ``strasse`` is ``straße``. Here, case counts for
    nothing between A and Z, and in the domain, which the core has in lower case; nor do trailing blanks, with which the
    core asks for nobody.
    """
    composed = name if name.isascii() else unicodedata.normalize("NFC", name)
    local, at, domain = composed.rstrip(" ").rpartition("@")
    if not at:
        local, domain = domain, ""
    return local.encode("utf-8", "surrogatepass").lower(), at + domain.lower()


def text(row: Row, key: str) -> str:
    """A value as text, "" for NULL. Raises ``BadRow``."""
    value = row.get(key)
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadRow(f"the value of {key} is not UTF-8") from None
    return str(value)


def _id(row: Row, key: str) -> int | None:
    value = text(row, key).strip()
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise BadRow(f"the value of {key} is not a number from 0 up")
    return int(value)


def _path(row: Row, key: str, base: str) -> str | None:
    value = text(row, key)
    if not value or not base or value.startswith("/"):
        return value or None
    if ".." in value.split("/"):
        raise BadRow(f"the value of {key} leads out of mail_base")
    return posixpath.join(base, value).rstrip("/")


def _disabled(row: Row) -> bool:
    inactive = "active" in row and not _is_set(row, "active")
    # where the domain has no row, it has no say
    shut = row.get("domain_active") is not None and not _is_set(row, "domain_active")
    return inactive or shut or _is_set(row, "disabled")


def _is_set(row: Row, key: str) -> bool:
    found = row.get(key)
    if found is None or isinstance(found, int):
        return bool(found)
    value = text(row, key).strip(" ").lower()
    if value in _YES:
        return True
    if value in _NO:
        return False
    if re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", value):
        return float(value) != 0
    raise BadRow(f"the value of {key} is neither yes nor no")


READERS: dict[str, Callable[[Row, str], Any]] = {
    "uid": lambda row, _base: _id(row, "uid"),
    "gid": lambda row, _base: _id(row, "gid"),
    "home": lambda row, base: _path(row, "home", base),
    "maildir": lambda row, base: _path(row, "maildir", base),
    "quota": lambda row, _base: quota(text(row, "quota")),
    "name": lambda row, _base: text(row, "name") or None,
    "options": lambda row, _base: pairs(text(row, "options")),
    "aliases": lambda row, _base: listed(text(row, "aliases")),
    "expired": lambda row, _base: _is_set(row, "expired"),
    "allow_nets": lambda row, _base: listed(text(row, "allow_nets")),
}
"""The fields of an account that are read from a column of the same name, where it is not NULL."""
