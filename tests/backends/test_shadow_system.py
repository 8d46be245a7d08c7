"""Shadow on this machine's own files, with users made and changed by Debian's tools. Needs root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from saslpy import passwords
from saslpy.model import Account, Login
from saslpy.passwords import UnusableSecret
from saslpy_shadow import Config
from saslpy_shadow.store import ShadowStore

from ..real.system import SystemUsers, run

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def users() -> Iterator[SystemUsers]:
    with SystemUsers() as users:
        users.add("joe", "geheim", "YESCRYPT", full_name="Joé Doe,Room 1")
        users.add("ann", "geheim", "SHA512")
        users.add("old", "geheim", "MD5")
        users.add("odd", "geheim", "MD5")
        users.add("new")
        yield users


@pytest.fixture(scope="module")
def store() -> ShadowStore:
    return ShadowStore(Config())


def account(store: ShadowStore, name: str) -> Account:
    found = store.lookup(Login.of(name))
    assert isinstance(found, Account)
    return found


def matches(found: Account, password: str) -> bool:
    """As the core looks at it."""
    try:
        return any(
            passwords.parse(stored).check(secret)
            for stored in found.secrets
            for secret in passwords.candidates(password)
        )
    except UnusableSecret:
        return False


@pytest.mark.parametrize(("label", "kind"), [("joe", "{CRYPT}$y$"), ("ann", "{CRYPT}$6$"), ("old", "{CRYPT}$1$")])
def test_every_kind_of_hash(users: SystemUsers, store: ShadowStore, label: str, kind: str) -> None:
    found = account(store, users.name(label))
    assert found.secrets[0].startswith(kind)
    assert matches(found, "geheim")
    for wrong in ("Geheim", "geheimx", "x" * 4000, "geheim\0x", "\udcff"):
        assert not matches(found, wrong)


def test_the_account(users: SystemUsers, store: ShadowStore) -> None:
    found = account(store, users.name("joe"))
    assert found.login == users.name("joe")
    assert (found.uid or 0) >= 1000
    assert (found.gid, found.home, found.name) == (65534, f"/home/{found.login}", "Joé Doe")
    assert not found.expired
    assert store.lookup(Login.of(users.name("joe").upper())) is None
    assert store.lookup(Login.of("root")) is None


def test_locks_and_dates(users: SystemUsers, store: ShadowStore) -> None:
    name = users.name("odd")
    assert matches(account(store, name), "geheim")
    run("passwd", "-q", "-l", name)
    assert account(store, name).secrets == ("{CRYPT}!",)
    run("passwd", "-q", "-u", name)
    assert matches(account(store, name), "geheim")
    for arguments, gone in (
        (("-E", "2020-01-01"), True),
        (("-E", "-1"), False),
        (("-d", "0"), True),
        (("-d", "2020-01-01", "-M", "30"), True),
        (("-M", "99999"), False),
    ):
        run("chage", *arguments, name)
        assert account(store, name).expired is gone, arguments
    run("passwd", "-q", "-d", name)
    assert account(store, name).secrets == ()


def test_without_a_password(users: SystemUsers, store: ShadowStore) -> None:
    found = account(store, users.name("new"))
    assert found.secrets == ("{CRYPT}!",)
    assert not any(matches(found, password) for password in ("!", "*", "x", " "))


def test_comings_and_goings(users: SystemUsers, store: ShadowStore) -> None:
    assert store.lookup(Login.of(users.name("late"))) is None
    name = users.add("late", "geheim", "MD5")
    assert matches(account(store, name), "geheim")
    run("chpasswd", "-c", "SHA512", stdin=f"{name}:other\n".encode())
    assert matches(account(store, name), "other")
    assert not matches(account(store, name), "geheim")


def test_probe_and_sample(users: SystemUsers, store: ShadowStore) -> None:
    assert store.probe().startswith("/etc/shadow: ")
    sample = store.sample()
    assert sample is not None
    assert not passwords.parse(sample).check(b"geheim")
