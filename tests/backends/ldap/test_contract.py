"""The shared contract, for each way to ask a directory and with each driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from saslpy.testing import OutageContract, StoreContract, VerifierContract

from ...real.pythonldap import need_python_ldap
from ...real.slapd import Slapd
from . import ACCESS, PEOPLE, READER, USERS, person, searching, tree

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", autouse=True)
def directory() -> Iterator[Slapd]:
    with Slapd(tree(*(person(*user) for user in USERS.items())), database=ACCESS) as server:
        _Ldap.server = server
        yield server


class _Ldap:
    right: ClassVar[Mapping[str, str]] = USERS
    server: ClassVar[Slapd]
    driver: ClassVar[str] = "ldap3"
    keys: ClassVar[dict[str, object]]

    @pytest.fixture(autouse=True)
    def driver_is_there(self) -> None:
        if self.driver == "python-ldap":
            need_python_ldap()

    def settings(self, folder: Path) -> dict[str, object]:
        return {"type": "ldap", "urls": [self.server.url], "driver": self.driver, **self.keys}

    def stop(self, folder: Path) -> None:
        self.server.stop()

    def start(self, folder: Path) -> None:
        self.server.start()


class _Hanging(_Ldap):
    def stop(self, folder: Path) -> None:
        self.server.pause()

    def start(self, folder: Path) -> None:
        self.server.resume()


class TestSearchThenBind(_Ldap, VerifierContract, OutageContract):
    aliases = {"JOE@example.org": "joe@example.org", "joe@EXAMPLE.ORG": "joe@example.org", "BARE": "bare"}
    keys = searching()


class TestSearchThenBindHanging(_Hanging, OutageContract):
    keys = searching(query_timeout=0.3)


class TestDirectBind(_Ldap, VerifierContract, OutageContract):
    aliases = {"joe@EXAMPLE.ORG": "joe@example.org"}
    keys = {"user_dn": f"uid={{login}},{PEOPLE}"}


class TestStore(_Ldap, StoreContract, OutageContract):
    aliases = {"JOE@example.org": "joe@example.org"}
    keys = searching(bind_dn=READER, password_attribute="userPassword")


class TestFastSearchThenBind(TestSearchThenBind):
    driver = "python-ldap"


class TestFastSearchThenBindHanging(TestSearchThenBindHanging):
    driver = "python-ldap"


class TestFastDirectBind(TestDirectBind):
    driver = "python-ldap"


class TestFastStore(TestStore):
    driver = "python-ldap"
