"""The whole daemon with a directory behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy.assemble import authenticator
from saslpy.model import Accept, Defer
from saslpy.testing import ORIGIN, settings_of
from tests.fakes import list_log
from tests.real.saslpy import ask, back_within, configured, folder, run, serving
from tests.real.slapd import Slapd

from . import PEOPLE, SERVICE, SERVICE_PASSWORD, USERS, person, searching, tree

pytestmark = pytest.mark.real

PASSWORD = USERS["joe@example.org"]


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    with Slapd(tree(*(person(*user) for user in USERS.items()))) as server:
        yield server


def backend(server: Slapd, *, driver: str = "ldap3") -> str:
    return f"""
[backend.directory]
type = "ldap"
urls = ["{server.url}"]
driver = "{driver}"
bind_dn = "{SERVICE}"
bind_password_file = "ldap.password"
base = "{PEOPLE}"
filter = "(&(objectClass=person)(uid={{login}}))"
"""


def test_check_serve_and_an_outage(directory: Slapd) -> None:
    with folder() as place:
        (place / "ldap.password").write_text(SERVICE_PASSWORD + "\n")
        config = configured(place, backend(directory), 'chain = ["directory"]\nmin_seconds = 0')
        checked = run("check", "--config", str(config))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert f"{directory.url} by ldap3" in checked.stdout
        with serving(config) as daemon:
            assert ask(place, "joe@example.org", PASSWORD) == "accept"
            assert ask(place, "joe", PASSWORD, "example.org") == "accept"
            assert ask(place, "joe@example.org", PASSWORD + "x") == "reject"
            assert ask(place, "*", PASSWORD) == "reject"
            directory.stop()
            assert ask(place, "joe@example.org", PASSWORD + "y") == "defer"
            down = run("check", "--config", str(config))
            assert down.returncode == 1
            directory.start()
            back_within(3.0, place, "joe@example.org", PASSWORD)
            log = daemon.log.read_text()
        for secret in (PASSWORD, SERVICE_PASSWORD):
            assert secret not in log + checked.stdout + down.stdout


def test_check_tells_of_attributes_that_the_directory_does_not_have(directory: Slapd) -> None:
    with folder() as place:
        (place / "ldap.password").write_text(SERVICE_PASSWORD + "\n")
        keys = backend(directory) + 'attributes = { disabled = "departmentNumbr" }\n'
        checked = run("check", "--config", str(configured(place, keys, 'chain = ["directory"]')))
        assert checked.returncode == 1
        told = "attributes.disabled: the directory's schema has no attribute departmentNumbr"
        assert told in checked.stdout + checked.stderr


async def test_one_bad_entry_is_no_outage(tmp_path: Path, driver: str) -> None:
    twins = [person(uid, "s3cret", mail="twin@example.org") for uid in ("twin1", "twin2")]
    ann = person("ann", "s3cret", mail="ann@example.org", roomNumber="perhaps")
    joe = person("joe", "s3cret", mail="joe@example.org")
    log, lines = list_log()
    with Slapd(tree(*twins, ann, joe)) as server:
        keys = searching(filter="(mail={login})", attributes={"disabled": "roomNumber"})
        section = {"type": "ldap", "urls": [server.url], "driver": driver, **keys}
        async with authenticator(settings_of(tmp_path, section), log) as door:
            for login in ("twin@example.org", "ann@example.org"):
                assert isinstance(await door.verify(login, "", "s3cret", ORIGIN), Defer)
                assert isinstance(await door.verify("joe@example.org", "", "s3cret", ORIGIN), Accept)
    assert not [line for line in lines if "event=backend-" in line]


def test_a_configuration_with_faults(directory: Slapd) -> None:
    with folder() as place:
        config = configured(place, backend(directory).replace("))", ")"), 'chain = ["directory"]')
        checked = run("check", "--config", str(config))
        assert checked.returncode == 1
        text = checked.stdout + checked.stderr
        assert "backend.directory.filter: unbalanced" in text
