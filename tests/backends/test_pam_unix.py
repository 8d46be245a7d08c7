"""pam_unix with real users of this machine. Needs root."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy.model import Account, Login, Reason, Refusal
from saslpy_pam import Config
from saslpy_pam.verifier import PamVerifier

from ..real.pam import stack, system_stack
from ..real.system import SystemUsers, run

pytestmark = pytest.mark.real

SHIPPED = Path(__file__).parents[2] / "contrib/pam.d"
COMPOSED, DECOMPOSED = "p\u00e4ss", "pa\u0308ss"


@pytest.fixture(scope="module")
def users() -> Iterator[SystemUsers]:
    with SystemUsers() as users:
        users.add("joe", "geheim", "YESCRYPT", full_name="Joé Doe,Room 1,123")
        users.add("ann", "geheim", "SHA512")
        users.add("old", "geheim", "MD5")
        users.add("bytes", b"l\xe4tin", "MD5")
        users.add("nfc", COMPOSED, "MD5")
        users.add("odd", "geheim", "MD5")
        yield users


def ask(users: SystemUsers, label: str, password: str, folder: Path = SHIPPED, service: str = "saslpy") -> object:
    return PamVerifier(Config(confdir=folder, service=service)).verify(Login.of(users.name(label)), password)


def reason(answer: object) -> Reason:
    assert isinstance(answer, Refusal), answer
    return answer.reason


@pytest.mark.parametrize("label", ["joe", "ann", "old"])
def test_right_and_wrong(users: SystemUsers, label: str) -> None:
    account = ask(users, label, "geheim")
    assert isinstance(account, Account)
    assert account.login == users.name(label)
    for wrong in ("Geheim", "geheim ", "geheimx", "x" * 4000):
        assert reason(ask(users, label, wrong)) is Reason.WRONG_PASSWORD
    assert reason(ask(users, label, "geheim\0x")) is Reason.MALFORMED


def test_what_passwd_knows(users: SystemUsers) -> None:
    account = ask(users, "joe", "geheim")
    assert isinstance(account, Account)
    assert account.uid is not None
    assert account.uid >= 1000
    assert account.gid == 65534
    assert account.home == f"/home/{account.login}"
    assert account.name == "Joé Doe"
    assert account.secrets == ()


def test_unknown_users(users: SystemUsers) -> None:
    for label in ("nobody", "JOE", "x" * 900):
        assert reason(ask(users, label, "geheim")) is Reason.UNKNOWN_USER


def test_bytes_are_handed_over_as_they_came(users: SystemUsers) -> None:
    assert isinstance(ask(users, "bytes", b"l\xe4tin".decode("utf-8", "surrogateescape")), Account)
    assert reason(ask(users, "bytes", "lätin")) is Reason.WRONG_PASSWORD
    assert isinstance(ask(users, "nfc", COMPOSED), Account)
    assert reason(ask(users, "nfc", DECOMPOSED)) is Reason.WRONG_PASSWORD


def test_locked_expired_to_be_changed(users: SystemUsers) -> None:
    name = users.name("odd")
    run("passwd", "-q", "-l", name)
    assert reason(ask(users, "odd", "geheim")) is Reason.WRONG_PASSWORD  # pam_unix does not tell
    run("passwd", "-q", "-u", name)
    assert isinstance(ask(users, "odd", "geheim"), Account)
    for option, value in (("-E", "2020-01-01"), ("-E", "0")):
        run("chage", option, value, name)
        answer = ask(users, "odd", "geheim")
        assert reason(answer) is Reason.EXPIRED
        assert "PAM_ACCT_EXPIRED" in str(answer)
    # with a wrong password nobody learns that the account has expired
    assert reason(ask(users, "odd", "wrong")) is Reason.WRONG_PASSWORD
    run("chage", "-E", "-1", "-d", "0", name)
    answer = ask(users, "odd", "geheim")
    assert reason(answer) is Reason.EXPIRED
    assert "must be changed" in str(answer)
    run("chage", "-d", "2020-01-01", "-M", "30", "-I", "10", name)
    answer = ask(users, "odd", "geheim")
    assert reason(answer) is Reason.EXPIRED
    assert "PAM_AUTHTOK_EXPIRED" in str(answer)
    run("chage", "-M", "99999", "-I", "-1", name)
    assert isinstance(ask(users, "odd", "geheim"), Account)


def test_an_account_without_a_password_is_closed(users: SystemUsers, tmp_path: Path) -> None:
    """Debian's common-auth says nullok, with which any password at all would do."""
    name = users.add("empty", "x", "MD5")
    run("passwd", "-q", "-d", name)
    for options in ("nullok", "", "nullok nodelay"):
        stack(tmp_path, "smtp", f"auth required pam_unix.so {options}", "account required pam_unix.so")
        for password in ("x", "geheim", " "):
            assert isinstance(ask(users, "empty", password, tmp_path, "smtp"), Refusal), options


def test_a_wrong_password_takes_no_two_seconds(users: SystemUsers, tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth required pam_unix.so", "account required pam_unix.so")
    start = time.monotonic()
    for label in ("old", "nobody"):
        assert isinstance(ask(users, label, "wrong", tmp_path, "smtp"), Refusal)
    assert time.monotonic() - start < 1


def test_a_service_of_the_system(users: SystemUsers) -> None:
    with system_stack("auth required pam_unix.so", "account required pam_unix.so") as service:
        verifier = PamVerifier(Config(service=service))
        assert verifier.probe().startswith(f"{service} (/etc/pam.d/{service}: auth pam_unix; account pam_unix")
        assert isinstance(verifier.verify(Login.of(users.name("old")), "geheim"), Account)
        assert isinstance(verifier.verify(Login.of(users.name("old")), "wrong"), Refusal)
