"""``saslpy user list`` and ``show`` with each kind of backend, as a user of the command sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saslpy import passwords

from ..backends.ldap import ACCESS, PEOPLE, SERVICE, SERVICE_PASSWORD, person, tree
from ..real.mariadb import MariaDb
from ..real.saslpy import configured, run
from ..real.shadow import settle
from ..real.slapd import Slapd
from ..real.system import SystemUsers

pytestmark = pytest.mark.real

SECRET = passwords.make("SHA512-CRYPT", "secret")


@pytest.fixture(scope="module")
def database() -> Iterator[MariaDb]:
    with MariaDb() as server:
        server.sql(
            f"""
            CREATE DATABASE mail; USE mail; CREATE TABLE users (login VARCHAR(80), pw VARCHAR(200), uid INT);
            INSERT INTO users VALUES ('joe@example.org', '{SECRET}', 8), ('ann@example.org', '{SECRET}', 9);
            """
        )
        yield server


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    people = (person("joe@example.org", "secret", uidNumber="8"), person("ann@example.org", "secret", uidNumber="9"))
    entries = [(dn, {**fields, "objectClass": ["inetOrgPerson", "extensibleObject"]}) for dn, fields in people]
    with Slapd(tree(*entries), database=ACCESS) as server:
        yield server


def backend(**keys: Any) -> str:
    return "[backend.mine]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def asked(place: Path, text: str, *arguments: str, status: int = 0) -> Any:
    """What the command says as JSON."""
    path = place / "saslpy.toml"
    if not path.exists():
        configured(place, text, auth='chain = ["mine"]')
    done = run("user", *arguments, "--backend", "mine", "--json", "--config", str(path))
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if status == 0 else done.stderr


def check(place: Path, text: str, schemes: list[str]) -> None:
    """Joe and Ann are listed, and Joe is shown."""
    listed = asked(place, text, "list")
    assert [user["login"] for user in listed] == ["ann@example.org", "joe@example.org"]
    assert [user["uid"] for user in listed] == [9, 8]
    assert listed[0]["schemes"] == schemes
    assert asked(place, text, "show", "joe@example.org")["uid"] == 8


def test_mysql(place: Path, database: MariaDb) -> None:
    columns = {"username": "login", "password": "pw", "uid": "uid"}
    table = "[backend.mine.columns]\n" + "".join(f'{key} = "{value}"\n' for key, value in columns.items())
    keys = backend(type="mysql", socket=str(database.socket), user="root", database="mail", table="users")
    check(place, keys + table, ["SHA512-CRYPT"])


def test_ldap(place: Path, directory: Slapd) -> None:
    keys = backend(
        type="ldap",
        urls=[directory.url],
        base=PEOPLE,
        filter="(uid={login})",
        bind_dn=SERVICE,
        bind_password=SERVICE_PASSWORD,
    )
    check(place, keys + '[backend.mine.attributes]\nuid = "uidNumber"\n', [])


def test_shadow_that_only_root_may_read(place: Path) -> None:
    """The passwords stay in the worker."""
    names = ("joe@example.org", "ann@example.org")
    stored = SECRET.partition("}")[2]
    (place / "shadow").write_text("".join(f"{name}:{stored}:19000:0:99999:7:::\n" for name in names))
    (place / "shadow").chmod(0o600)
    (place / "passwd").write_text(
        "".join(f"{name}:x:{uid}:1::/:/bin/sh\n" for name, uid in zip(names, (8, 9), strict=True))
    )
    settle(place)  # a list waits for files that are just being written
    text = backend(type="shadow", path=str(place / "shadow"), passwd=str(place / "passwd"), list_min_uid=5)
    configured(place, text, auth='chain = ["mine"]')
    path = place / "saslpy.toml"
    path.write_text(path.read_text().replace('user = "root"', 'user = "nobody"'))
    check(place, text, [])
    (place / "shadow").unlink()
    assert "backend.mine cannot be used: FileNotFoundError" in asked(place, text, "list", status=75)


def test_pam(place: Path) -> None:
    with SystemUsers() as users:
        name = users.add("joe")
        text = backend(type="pam")
        assert name in [user["login"] for user in asked(place, text, "list")]
        assert "no user" in asked(place, text, "show", users.name("tom"), status=1)


def test_what_cannot_be_listed(place: Path) -> None:
    text = backend(type="ldap", urls=["ldap://127.0.0.1:1"], user_dn=f"uid={{login}},{PEOPLE}")
    assert "cannot list its users" in asked(place, text, "list", status=1)
    assert "cannot look up a user" in asked(place, text, "show", "joe", status=1)


def test_half_a_list_is_none(place: Path, database: MariaDb) -> None:
    query = "SELECT login AS username, pw AS password FROM users WHERE login = %(login)s"
    keys = {"socket": str(database.socket), "user": "root", "database": "mail", "query": query}
    text = backend(type="mysql", **keys, list_query="SELECT login AS username, 'many' AS uid FROM users")
    assert "the row of 'joe@example.org'" in asked(place, text, "list", status=75)
