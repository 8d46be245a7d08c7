"""Hash upgrades in a real directory, which must know the new hash: whoever binds goes on doing so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trio

from saslpy import passwords
from saslpy.assemble import authenticator
from saslpy.model import Login, Origin
from saslpy.passwords.parsing import parse
from saslpy.testing import settings_of
from saslpy_ldap.rules import DIRECTORY_NAMES
from tests.fakes import list_log
from tests.real.slapd import SUFFIX, Slapd
from tests.upgrades import Site, site

from . import PEOPLE, READER, SERVICE, SERVICE_PASSWORD, person, searching, tree

pytestmark = pytest.mark.real

LOGIN, PASSWORD = "joe@example.org", "s3cret joe"
DN = f"uid={LOGIN},{PEOPLE}"

ACCESS = f"""\
access to attrs=userPassword by dn.exact="{READER}" write by dn.exact="{SERVICE}" read by anonymous auth by * none
access to * by dn.exact="{SERVICE}" read by dn.exact="{READER}" read by self read by * none
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    people = tree(person(LOGIN, None, userPassword="{SSHA}later", mail="joe.user@example.org"))
    with Slapd(people, database=ACCESS, modules=("argon2.so", "pw-sha2.so")) as running:
        yield running


@pytest.fixture
def directory(server: Slapd) -> Iterator[Slapd]:
    """Joe's password is stored as MD5-CRYPT, as at the beginning."""
    store(server, passwords.make("MD5-CRYPT", PASSWORD).replace("{MD5-CRYPT}", "{CRYPT}"))
    yield server
    if not server.running:
        server.start()


def store(server: Slapd, *values: str) -> None:
    lines = "\n".join(f"userPassword: {value}" for value in values)
    server.modify(f"dn: {DN}\nchangetype: modify\nreplace: userPassword\n{lines}\n")


def section(server: Slapd, driver: str, **changes: object) -> dict[str, object]:
    keys: Mapping[str, object] = searching(
        bind_dn=READER, bind_password=SERVICE_PASSWORD, password_attribute="userPassword", default_scheme="PLAIN"
    )
    return {"type": "ldap", "urls": [server.url], "driver": driver, "upgrade": "ARGON2ID", **keys, **changes}


async def stored(one: Site) -> tuple[str, ...]:
    account = await one.chain.links[0].backend.lookup(Login.of(LOGIN))
    assert account is not None
    return account.secrets


async def binds(folder: Path, server: Slapd, password: str) -> str:
    """What the directory itself says to a user who comes with a password."""
    settings = settings_of(folder, {"type": "ldap", "urls": [server.url], **searching()})
    async with authenticator(settings, list_log()[0]) as door:
        return type(await door.verify(LOGIN, "", password, Origin("test"))).__name__.lower()


@pytest.mark.parametrize("scheme", [*DIRECTORY_NAMES])
async def test_the_directory_knows_what_is_written(tmp_path: Path, directory: Slapd, driver: str, scheme: str) -> None:
    if scheme.startswith("SSHA"):
        store(directory, passwords.make("SMD5", PASSWORD))
    async with site(tmp_path, section(directory, driver, upgrade=scheme)) as one:
        before = await stored(one)
        assert await one.upgraded(LOGIN, PASSWORD + "x") == "reject"
        assert await stored(one) == before
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        (after,) = await stored(one)
        assert after.startswith(f"{{{DIRECTORY_NAMES[scheme]}}}")
        assert parse(after).scheme == ("SHA512-CRYPT" if scheme == "CRYPT" else scheme)
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert await one.upgraded(LOGIN, PASSWORD + "x") == "reject"
        assert one.upgrades.counts == {"written": 1}
    assert await binds(tmp_path, directory, PASSWORD) == "accept"
    assert await binds(tmp_path, directory, PASSWORD + "x") == "reject"


async def test_of_several_values_the_others_stay(tmp_path: Path, directory: Slapd, driver: str) -> None:
    phone, mine = passwords.make("SSHA", "of the phone"), passwords.make("SSHA", PASSWORD)
    store(directory, phone, mine)
    async with site(tmp_path, section(directory, driver)) as one:
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        after = await stored(one)
        assert phone in after
        assert mine not in after
        assert len(after) == 2
        assert await one.upgraded(LOGIN, "of the phone") == "accept"
        assert one.upgrades.counts == {"written": 2}
        assert [parse(secret).scheme for secret in await stored(one)] == ["ARGON2ID", "ARGON2ID"]


async def test_many_logins_at_a_time(tmp_path: Path, directory: Slapd, driver: str) -> None:
    async with site(tmp_path, section(directory, driver)) as one, trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(one.upgraded, LOGIN, PASSWORD)
    assert one.upgrades.counts["written"] == 1


async def test_a_login_by_another_attribute(tmp_path: Path, directory: Slapd, driver: str) -> None:
    keys = section(directory, driver, filter="(mail={login})", login_attribute="uid")
    async with site(tmp_path, keys) as one:
        assert await one.upgraded("joe.user@example.org", PASSWORD) == "accept"
        assert one.upgrades.counts == {"written": 1}


async def test_a_password_that_was_changed_meanwhile_stays(tmp_path: Path, directory: Slapd, driver: str) -> None:
    new = passwords.make("SSHA", "another")
    async with site(tmp_path, section(directory, driver)) as one:
        assert await one.login(LOGIN, PASSWORD) == "accept"
        store(directory, new)
        await one.upgrades.finished()
        assert one.upgrades.counts == {"changed": 1}
        assert await stored(one) == (new,)


async def test_changed_between_the_search_and_the_change(
    tmp_path: Path, directory: Slapd, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = passwords.make("SSHA", "another")
    async with site(tmp_path, section(directory, driver)) as one:
        backend = one.chain.links[0].backend.backend
        modify = backend._directory.modify

        def late(*args: object) -> object:
            store(directory, new)
            return modify(*args)

        monkeypatch.setattr(backend._directory, "modify", late)
        assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        assert one.upgrades.counts == {"changed": 1}
        assert await stored(one) == (new,)


async def test_without_the_right_to_write(tmp_path: Path, directory: Slapd, driver: str) -> None:
    async with site(tmp_path, section(directory, driver, bind_dn=SERVICE)) as one:
        for _ in range(3):
            assert await one.upgraded(LOGIN, PASSWORD) == "accept"
        (line,) = one.told("upgrade-failed")
        assert "modify: insufficientAccessRights (50)" in line
        assert one.told("backend-down") == []
        assert one.upgrades.counts == {"failed": 1}
        text = "\n".join(one.lines)
        assert PASSWORD not in text
        assert "$" not in text


async def test_with_a_password_policy_the_log_says_what_to_do(tmp_path: Path, driver: str) -> None:
    policy = f"cn=policy,{SUFFIX}"
    people = tree(
        (policy, {"objectClass": ["device", "pwdPolicy"], "cn": "policy", "pwdAttribute": "userPassword"}),
        person(LOGIN, None, userPassword=passwords.make("MD5-CRYPT", PASSWORD).replace("{MD5-CRYPT}", "{CRYPT}")),
    )
    overlay = f'overlay ppolicy\nppolicy_default "{policy}"\n{ACCESS}'
    with Slapd(people, database=overlay, modules=("argon2.so", "ppolicy.so")) as server:
        async with site(tmp_path, section(server, driver)) as one:
            assert await one.upgraded(LOGIN, PASSWORD) == "accept"
            (line,) = one.told("upgrade-failed")
            assert "(53): Must supply correct old password to change to new one" in line
            assert "with slapo-ppolicy no hash can be upgraded: leave out upgrade" in line


async def test_gone_when_it_is_written(tmp_path: Path, directory: Slapd, driver: str) -> None:
    async with site(tmp_path, section(directory, driver)) as one:
        assert await one.login(LOGIN, PASSWORD) == "accept"
        directory.stop()
        await one.upgrades.finished()
        assert len(one.told("upgrade-failed")) == 1
        assert one.told("backend-down") == []
