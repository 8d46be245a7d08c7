"""SQL that writes: one better secret in the place of the one that was checked, for the hash upgrade on login."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .queries import _OPAQUE, _PERCENT, quote, table_layout

if TYPE_CHECKING:
    from . import Config

PARAMETERS = ("login", "local", "domain", "password", "old")


def update_of(config: Config) -> str:
    """The statement, its parameters by name; empty where a query says nothing about where its rows come from."""
    if config.update or config.query:
        return config.update
    if config.schema:  # both presets have their users there
        return _update("mailbox", "username", "password")
    layout = table_layout(config.table, config.columns, config.where)
    update = _update(layout.source, layout.key, quote(config.columns["password"]))
    return f"{update} AND {layout.where}" if layout.where else update


def _update(table: str, key: str, column: str) -> str:
    # the collation of the column itself may take another password, stored meanwhile, for the old one
    return (
        f"UPDATE {table} SET {column} = %(password)s WHERE {key} = %(login)s AND {column} = %(old)s COLLATE utf8mb4_bin"
    )


def check_update(update: str) -> None:
    """Raise ValueError for a statement that would fail at the first upgrade, or harm more than it should."""
    used = {_parameter(match) for match in _PERCENT.finditer(update)}
    if not used & {"login", "local", "domain"}:
        raise ValueError("update: uses none of %(login)s, %(local)s, %(domain)s: whose password is it?")
    if "password" not in used:
        raise ValueError("update: %(password)s is missing: the new stored password")
    if "old" not in used:
        raise ValueError(
            "update: %(old)s is missing: compare it, or a password that was changed meanwhile is overwritten"
        )
    for opaque in _OPAQUE.finditer(update):
        inside = [match[0] for match in _PERCENT.finditer(opaque[0]) if match["name"]]
        if inside:
            where = "a comment" if opaque[0][0] in "-#/" else "quotes"
            raise ValueError(f"update: {inside[0]} stands in {where}; write it bare, the quotes are added")
    bare = _OPAQUE.sub(" ", update).strip("; \t\r\n")
    if not re.match(r"update\b", bare, re.IGNORECASE):
        raise ValueError("update: must be an UPDATE")
    if ";" in bare:
        raise ValueError("update: must be one statement")
    if not re.search(r"\bwhere\b", bare, re.IGNORECASE):
        raise ValueError("update: has no WHERE")


def _parameter(match: re.Match[str]) -> str:
    """The name of the parameter, or "" for ``%%``. Raises ValueError."""
    if match[0] == "%%":
        return ""
    if match["name"] not in PARAMETERS or match["kind"] != "s":
        known = ", ".join(f"%({name})s" for name in PARAMETERS)
        raise ValueError(f"update: {match[0]!r} is no parameter; there are {known}, and %% for a per cent sign")
    return match["name"]
