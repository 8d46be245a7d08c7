"""The shared contract against every backend, the real ones included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from saslpy import passwords
from saslpy.testing import OutageContract, StoreContract
from saslpy_sqlite.store import SqliteStore

from ..real.mariadb import MariaDb

USERS = {
    "joe@example.org": "s3cret joe",
    "ann@example.org": "pässwörd",
    "bare": "x1y2",
    "O'Neill@example.org": "quote'd",
}


class TestStatic(StoreContract):
    right = USERS
    aliases = {"JOE@example.org": "joe@example.org", "joe@EXAMPLE.ORG": "joe@example.org", "BARE": "bare"}

    def settings(self, folder: Path) -> dict[str, object]:
        return {
            "type": "static",
            "users": {login: passwords.make("SSHA512", password) for login, password in self.right.items()},
        }


class TestSqlite(StoreContract):
    right = USERS
    aliases = {"JOE@example.org": "joe@example.org", "sales@example.org": "joe@example.org"}

    def settings(self, folder: Path) -> dict[str, object]:
        path = folder / "users.db"
        if not path.exists():
            store = SqliteStore(path)
            for login, password in self.right.items():
                store.add(login, [passwords.make("SHA512-CRYPT", password)])
            with store._writing() as connection:
                connection.execute(
                    "INSERT INTO aliases SELECT 'sales@example.org', id FROM users WHERE login LIKE 'joe%'"
                )
            store.close()
        return {"type": "sqlite", "path": str(path)}


class TestSqliteOutage(TestSqlite, OutageContract):
    """The file is moved away, and back."""

    def stop(self, folder: Path) -> None:
        for file in folder.glob("users.db*"):
            file.rename(folder / f"away.{file.name}")

    def start(self, folder: Path) -> None:
        for file in folder.glob("away.*"):
            file.rename(folder / file.name.removeprefix("away."))


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[MariaDb]:
    with MariaDb() as server:
        server.sql(
            "CREATE DATABASE mail; CREATE TABLE mail.users (email VARCHAR(2000), pw VARCHAR(255), INDEX (email(100)))"
        )
        for login, password in USERS.items():
            name = login.replace("'", "''")
            server.sql(f"INSERT INTO mail.users VALUES ('{name}', '{passwords.make('SHA512-CRYPT', password)}')")
        TestMysqlTable.database = server
        yield server


@pytest.mark.real
class TestMysqlTable(StoreContract, OutageContract):
    right = USERS
    aliases = {"JOE@example.org": "joe@example.org"}  # its collation does not know upper and lower case

    database: ClassVar[MariaDb]

    def settings(self, folder: Path) -> dict[str, object]:
        return {
            "type": "mysql",
            "socket": str(self.database.socket),
            "user": "root",
            "database": "mail",
            "table": "users",
            "columns": {"username": "email", "password": "pw"},
        }

    def stop(self, folder: Path) -> None:
        self.database.stop()

    def start(self, folder: Path) -> None:
        self.database.start()


class TestMysqlQuery(TestMysqlTable):
    def settings(self, folder: Path) -> dict[str, object]:
        return {
            "type": "mysql",
            "hosts": [f"127.0.0.1:{self.database.port}"],
            "user": "root",
            "database": "mail",
            "query": "SELECT email AS username, pw AS password FROM users WHERE email = %(login)s",
        }


class TestMysqlHanging(TestMysqlTable):
    def stop(self, folder: Path) -> None:
        self.database.pause()

    def start(self, folder: Path) -> None:
        self.database.resume()
