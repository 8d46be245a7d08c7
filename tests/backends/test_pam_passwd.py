"""Who exists, by passwd, where PAM can only check passwords; and who is listed."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saslpy.model import NEVER_HERE, Account, Login
from saslpy_pam import Config
from saslpy_pam.codes import PamFailure

from ..real.pam import verifier
from ..real.system import SystemUsers

pytestmark = pytest.mark.real

Passwd = Callable[..., None]


def entry(name: str, uid: int, gecos: str = "", home: str = "") -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, 100, gecos, home or f"/home/{name}", "/bin/sh"))


ROOT = entry("root", 0)
PEOPLE = (ROOT, entry("daemon", 1), entry("joe", 1000, "Joé,Room 1"), entry("ann", 1001), entry("nobody", 65534))


@pytest.fixture
def passwd(monkeypatch: pytest.MonkeyPatch) -> Passwd:
    """Has passwd hold some entries."""

    def holds(*entries: pwd.struct_passwd) -> None:
        def by(field: str) -> Callable[[object], pwd.struct_passwd]:
            return lambda wanted: {getattr(one, field): one for one in reversed(entries)}[wanted]  # or KeyError

        monkeypatch.setattr(pwd, "getpwnam", by("pw_name"))
        monkeypatch.setattr(pwd, "getpwuid", by("pw_uid"))
        monkeypatch.setattr(pwd, "getpwall", lambda: list(entries))

    return holds


@pytest.fixture(scope="module")
def users() -> Iterator[SystemUsers]:
    with SystemUsers() as users:
        users.add("joe", "geheim", full_name="Joé Doe,Room 1")
        users.add("ann")
        yield users


# --- the machine's own


def test_the_systems_users(users: SystemUsers, tmp_path: Path) -> None:
    backend = verifier(tmp_path, domains=("example.org",))
    name = users.name("joe")
    found = backend.find(Login.of(f"{name}@example.org"))
    assert isinstance(found, Account)
    assert (found.login, found.name, found.home) == (name, "Joé Doe", f"/home/{name}")
    assert (found.uid, found.gid) == (pwd.getpwnam(name).pw_uid, 65534)
    assert found.aliases == (f"{name}@example.org",)
    assert backend.find(Login.of(users.name("ann"))) is not None  # with a locked password
    assert backend.find(Login.of(users.name("tom"))) is None
    assert backend.find(Login.of(f"{name}@example.net")) is None
    listed = {account.login: account for account in backend.accounts()}
    assert listed[name] == found
    assert users.name("ann") in listed
    assert not {"root", "daemon", "nobody"} & set(listed)


def test_a_name_that_appears(users: SystemUsers, tmp_path: Path) -> None:
    backend = verifier(tmp_path)
    assert backend.find(Login.of(users.name("late"))) is None
    assert backend.find(Login.of(users.add("late")))


# --- any other


def test_who_is_listed(passwd: Passwd, tmp_path: Path) -> None:
    passwd(*PEOPLE)
    assert verifier(tmp_path).accounts() == [
        Account("ann", uid=1001, gid=100, home="/home/ann"),
        Account("joe", uid=1000, gid=100, home="/home/joe", name="Joé"),
    ]
    assert {account.login for account in verifier(tmp_path, list_min_uid=1001).accounts()} == {"ann"}
    assert {account.login for account in verifier(tmp_path, list_min_uid=0).accounts()} == {"daemon", "joe", "ann"}
    assert len(verifier(tmp_path, list_min_uid=0, allow_root=True).accounts()) == 4


def test_two_of_one_name(passwd: Passwd, tmp_path: Path) -> None:
    passwd(*PEOPLE, entry("joe", 5000))
    assert [account.uid for account in verifier(tmp_path).accounts() if account.login == "joe"] == [1000]


def test_root_exists_and_may_not_log_in(passwd: Passwd, tmp_path: Path) -> None:
    passwd(*PEOPLE)
    root = verifier(tmp_path).find(Login.of("root"))
    assert isinstance(root, Account)
    assert root.disabled
    root = verifier(tmp_path, allow_root=True).find(Login.of("root"))
    assert isinstance(root, Account)
    assert not root.disabled


@pytest.mark.parametrize("name", ["a/b", "a:b", "+joe", "-joe", "joe\0", "joe\udcff", "j\noe"])
def test_what_is_nobodys_name(passwd: Passwd, tmp_path: Path, name: str) -> None:
    passwd(*PEOPLE)
    assert verifier(tmp_path).find(Login(name, name)) == NEVER_HERE


def test_a_passwd_that_cannot_be_read_is_no_nobody(passwd: Passwd, tmp_path: Path) -> None:
    passwd()
    backend = verifier(tmp_path)
    for ask in (lambda: backend.find(Login.of("joe")), backend.accounts):
        with pytest.raises(PamFailure, match="passwd cannot be read"):
            ask()


def test_a_home_that_is_no_text(passwd: Passwd, tmp_path: Path) -> None:
    passwd(*PEOPLE, entry("odd", 1002, home="/\udcff"))
    backend = verifier(tmp_path)
    for ask in (lambda: backend.find(Login.of("odd")), backend.accounts):
        with pytest.raises(PamFailure, match="not UTF-8"):
            ask()
    assert backend.find(Login.of("joe"))


def test_the_key() -> None:
    with pytest.raises(ValueError, match="list_min_uid: must be from 0"):
        Config(list_min_uid=-1)
