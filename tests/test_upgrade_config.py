"""``upgrade`` in a configuration: which stores can, which schemes there are, and what belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saslpy.config import ConfigError
from saslpy.settings import from_table

SQLITE: dict[str, Any] = {"type": "sqlite", "path": "users.db"}
STATIC: dict[str, Any] = {"type": "static", "users": {"joe": "{PLAIN}x"}}
MYSQL: dict[str, Any] = {"type": "mysql", "user": "mail", "database": "mail"}
QUERY = "SELECT password FROM users WHERE email = %(login)s"
UPDATE = "UPDATE users SET password = %(password)s WHERE email = %(login)s AND password = %(old)s"
LDAP: dict[str, Any] = {
    "type": "ldap",
    "urls": ["ldap://127.0.0.1"],
    "base": "dc=example",
    "filter": "(uid={login})",
    "password_attribute": "userPassword",
    "bind_dn": "cn=writer,dc=example",
    "bind_password": "x",
}


def faults(folder: Path, backend: dict[str, Any], upgrade: object, forbid: tuple[str, ...] = ()) -> list[str]:
    tables: dict[str, object] = {
        "auth": {"chain": ["mine"], "passwords": {"forbid": list(forbid)}},
        "backend": {"mine": {**backend, **({} if upgrade is None else {"upgrade": upgrade})}},
        "listen": [{"protocol": "saslauthd", "path": "mux"}],
    }
    try:
        from_table(tables, folder / "saslpy.toml")
    except ConfigError as error:
        return error.faults
    return []


@pytest.mark.parametrize(
    ("backend", "upgrade"),
    [
        (SQLITE, None),
        (SQLITE, "ARGON2ID"),
        (SQLITE, ["ARGON2ID", "SCRAM-SHA-256"]),
        (SQLITE, "yescrypt"),
        (STATIC, None),
        (STATIC, []),
        (MYSQL | {"schema": "postfixadmin"}, "ARGON2ID"),
        (MYSQL | {"table": "users", "columns": {"username": "u", "password": "p"}}, ["ARGON2ID"]),
        (MYSQL | {"table": "users", "columns": {"username": "u", "password": "p"}, "update": UPDATE}, ["ARGON2ID"]),
        (MYSQL | {"query": QUERY, "update": UPDATE}, "ARGON2ID"),
        (MYSQL | {"query": QUERY}, None),
        (LDAP, "SSHA512"),
        (LDAP | {"bind_dn": "", "bind_password": ""}, None),
    ],
)
def test_what_can_be(tmp_path: Path, backend: dict[str, Any], upgrade: object) -> None:
    assert faults(tmp_path, backend, upgrade) == []


@pytest.mark.parametrize(
    ("backend", "upgrade", "fault"),
    [
        (STATIC, "ARGON2ID", "upgrade: a store of type 'static' cannot be written to"),
        ({"type": "pam"}, "ARGON2ID", "upgrade: a store of type 'pam' cannot be written to"),
        ({"type": "shadow"}, "ARGON2ID", "upgrade: a store of type 'shadow' cannot be written to"),
        (SQLITE, "ARGON3", "upgrade: cannot make 'ARGON3'"),
        (SQLITE, "PLAIN", "upgrade: PLAIN is no upgrade for anything"),
        (SQLITE, 7, "upgrade: expected"),
        (SQLITE, ["ARGON2ID", "YESCRYPT"], "upgrade: ARGON2ID and YESCRYPT: one is enough"),
        (MYSQL | {"schema": "extmail"}, ["ARGON2ID", "SCRAM-SHA-256"], "holds one secret for each user"),
        (LDAP, ["ARGON2ID", "SCRAM-SHA-256"], "holds one secret for each user"),
        (MYSQL | {"query": QUERY}, "ARGON2ID", "upgrade: needs update"),
        (MYSQL | {"query": QUERY, "update": UPDATE}, None, "update: is never run without upgrade"),
        (LDAP | {"password_attribute": ""}, "ARGON2ID", "upgrade: needs password_attribute"),
        (LDAP | {"bind_dn": "", "bind_password": ""}, "ARGON2ID", "upgrade: needs bind_dn"),
        (LDAP, "PBKDF2", "upgrade: no directory knows PBKDF2; there are ARGON2ID, "),
    ],
)
def test_what_cannot_be(tmp_path: Path, backend: dict[str, Any], upgrade: object, fault: str) -> None:
    told = faults(tmp_path, backend, upgrade)
    assert all(line.startswith("backend.mine.") for line in told)
    assert any(fault in line for line in told)


def test_a_scheme_that_is_forbidden(tmp_path: Path) -> None:
    expected = "backend.mine.upgrade: [auth.passwords] forbids %s: nobody could log in after the upgrade"
    assert faults(tmp_path, SQLITE, "argon2", ("ARGON2ID",)) == [expected % "ARGON2ID"]
    assert faults(tmp_path, SQLITE, "CRYPT", ("SHA512-CRYPT",)) == [expected % "CRYPT"]
    assert faults(tmp_path, SQLITE, "CRYPT", ("MD5-CRYPT",)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("%(old)s", "%(olt)s", "'%(olt)s' is no parameter; there are %(login)s, "),
        ("%(old)s", "%s", "'%s' is no parameter"),
        ("%(old)s", "%(old)d", "'%(old)d' is no parameter"),
        (" AND password = %(old)s", "", "%(old)s is missing"),
        ("password = %(password)s", "password = ''", "%(password)s is missing"),
        ("email = %(login)s AND ", "", "whose password is it?"),
        ("%(old)s", "'%(old)s'", "%(old)s stands in quotes"),
        ("UPDATE", "REPLACE", "must be an UPDATE"),
        ("WHERE", "# WHERE\n", "has no WHERE"),
        ("UPDATE", "DELETE FROM users; UPDATE", "must be an UPDATE"),
        ("AND", "; DELETE FROM users WHERE", "must be one statement"),
    ],
)
def test_statements_that_would_do_harm(tmp_path: Path, old: str, new: str, fault: str) -> None:
    (first,) = faults(tmp_path, MYSQL | {"query": QUERY, "update": UPDATE.replace(old, new)}, "ARGON2ID")
    assert first.startswith("backend.mine.update: ")
    assert fault in first


def test_a_statement_may_have_per_cent_signs_and_a_semicolon(tmp_path: Path) -> None:
    update = UPDATE + " AND email LIKE '%%@%%';"
    assert faults(tmp_path, MYSQL | {"query": QUERY, "update": update}, "ARGON2ID") == []
