"""Real libpam with stacks of our own in a private folder: needs no root."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from saslpy.model import Account, Login, Reason, Refusal
from saslpy_pam import Config
from saslpy_pam.codes import FAILURES, REFUSALS, PamFailure
from saslpy_pam.libpam import NoConfdir, Question
from saslpy_pam.services import ServiceMissing
from saslpy_pam.stack import StackError
from saslpy_pam.verifier import PamVerifier

from ..real.pam import YES, from_, reason, stack, userdb_stack, verifier

pytestmark = pytest.mark.real


@pytest.fixture
def users(tmp_path: Path) -> Callable[[dict[str, str]], PamVerifier]:
    """A stack over a database of users."""

    def make(passwords: dict[str, str]) -> PamVerifier:
        userdb_stack(tmp_path, passwords)
        return verifier(tmp_path)

    return make


# --- answers


def test_yes_and_no(users: Callable[[dict[str, str]], PamVerifier]) -> None:
    asked = users({"joe@example.org": "geheim", "ann": "pässwörd"})
    assert asked.verify(Login.of("joe@example.org"), "geheim") == Account("joe@example.org")
    assert asked.verify(Login.of("ann"), "pässwörd") == Account("ann")
    assert reason(asked.verify(Login.of("ann"), "geheim")) is Reason.WRONG_PASSWORD
    assert reason(asked.verify(Login.of("bob"), "geheim")) is Reason.UNKNOWN_USER
    assert reason(asked.verify(Login.of("Ann"), "pässwörd")) is Reason.UNKNOWN_USER


def test_a_database_that_is_gone_is_no_no(users: Callable[[dict[str, str]], PamVerifier], tmp_path: Path) -> None:
    asked = users({"ann": "geheim"})
    (tmp_path / "users.db").rename(tmp_path / "away.db")
    with pytest.raises(PamFailure, match=r"^service 'smtp': pam_authenticate returned \d+, PAM_\w+_\w+: ") as failure:
        asked.verify(Login.of("ann"), "geheim")
    assert "geheim" not in str(failure.value)
    assert "ann" not in str(failure.value)
    (tmp_path / "away.db").rename(tmp_path / "users.db")
    assert asked.verify(Login.of("ann"), "geheim") == Account("ann")


NAMES = {code: name.removeprefix("PAM_").lower() for code, (name, *_) in {**REFUSALS, **FAILURES}.items()}
NAMES[21] = "authtok_recover_err"
SAID_BY_PAM_DEBUG = sorted(set(NAMES) - {25, 31})  # "ignore" and "incomplete" never come out of libpam


@pytest.mark.parametrize("code", SAID_BY_PAM_DEBUG)
@pytest.mark.parametrize("stage", ["auth", "acct"])
def test_each_code_through_libpam(tmp_path: Path, stage: str, code: int) -> None:
    other = "success"
    auth, acct = (NAMES[code], other) if stage == "auth" else (other, NAMES[code])
    module = f"pam_debug.so auth={auth} acct={acct}"
    stack(tmp_path, "smtp", f"auth required {module}", f"account required {module}")
    ask = verifier(tmp_path)
    if code in REFUSALS:
        wanted = Reason.SERVICE_DENIED if (stage, code) == ("acct", 7) else REFUSALS[code][1]
        assert reason(ask.verify(Login.of("joe"), "x")) is wanted
    else:
        with pytest.raises(PamFailure, match=f" returned {code}, {FAILURES[code][0]}"):
            ask.verify(Login.of("joe"), "x")


def test_a_stack_without_an_opinion_is_no_yes(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth [default=ignore] pam_debug.so auth=authinfo_unavail", YES)
    assert isinstance(verifier(tmp_path).verify(Login.of("joe"), "x"), Refusal)


def test_permit_and_deny(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    assert verifier(tmp_path).verify(Login.of("nobody-at-all"), "x") == Account("nobody-at-all")
    stack(tmp_path, "smtp", "auth required pam_deny.so", YES)
    assert reason(verifier(tmp_path).verify(Login.of("joe"), "x")) is Reason.WRONG_PASSWORD
    stack(tmp_path, "smtp", "auth required pam_permit.so", "account required pam_deny.so")
    assert reason(verifier(tmp_path).verify(Login.of("joe"), "x")) is Reason.SERVICE_DENIED


def test_the_account_is_passwds(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    account = verifier(tmp_path, domains=("Example.org",)).verify(Login.of("daemon@example.org"), "x")
    assert account == Account("daemon", uid=1, gid=1, home="/usr/sbin", name="daemon", aliases=("daemon@example.org",))
    # in another domain he is somebody else
    assert verifier(tmp_path, domains=("a.b",)).verify(Login.of("daemon@example.org"), "x") == Account(
        "daemon@example.org"
    )


def test_root_is_let_in_only_when_that_is_said(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    assert reason(verifier(tmp_path).verify(Login.of("root"), "x")) is Reason.DISABLED
    allowed = verifier(tmp_path, allow_root=True).verify(Login.of("root"), "x")
    assert isinstance(allowed, Account)
    assert allowed.uid == 0


def test_the_name_is_the_modules(tmp_path: Path) -> None:
    """pam_ftp puts the first of its users in the place of every other."""
    stack(tmp_path, "smtp", "auth required pam_ftp.so users=daemon,typed", YES)
    account = verifier(tmp_path).verify(Login.of("typed"), "x@y")
    assert isinstance(account, Account)
    assert (account.login, account.uid) == ("daemon", 1)


# --- services


def test_the_callers_service_is_looked_up_in_a_list(tmp_path: Path) -> None:
    stack(tmp_path, "mail-smtp", "auth required pam_permit.so", YES)
    stack(tmp_path, "mail-imap", "auth required pam_deny.so", YES)
    ask = verifier(tmp_path, service="mail-{service}", services=("smtp", "imap"))
    assert isinstance(ask.verify(from_("joe"), "x"), Account)
    assert reason(ask.verify(from_("joe", service="imap"), "x")) is Reason.WRONG_PASSWORD
    for service in ("pop3", "", "SMTP", "../mail-smtp", "smtp\0", "x" * 300, "mail-smtp"):
        answer = ask.verify(from_("joe", service=service), "x")
        assert isinstance(answer, Refusal)
        assert answer.reason is Reason.SERVICE_DENIED
        assert len(answer.detail) < 200
    assert reason(ask.verify(Login.of("joe"), "x")) is Reason.SERVICE_DENIED


def test_one_service_for_all(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    assert isinstance(verifier(tmp_path).verify(from_("joe", service="../x"), "x"), Account)


def test_a_missing_service_is_no_wrong_password() -> None:
    """libpam would ask "other", which says no after two seconds."""
    ask = PamVerifier(Config(service="saslpy-no-such-service"))
    start = time.monotonic()
    with pytest.raises(ServiceMissing):
        ask.verify(Login.of("joe"), "x")
    with pytest.raises(ServiceMissing):
        ask.probe()
    assert time.monotonic() - start < 0.2


def test_a_missing_module_is_no_wrong_password(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth required pam_no_such_module.so", YES)
    ask = verifier(tmp_path)
    with pytest.raises(PamFailure, match="returned 28, PAM_MODULE_UNKNOWN"):
        ask.verify(Login.of("joe"), "x")
    with pytest.raises(StackError, match="there is no module pam_no_such_module"):
        ask.probe()


@pytest.mark.parametrize(
    "line",
    [
        "complete nonsense",
        "auth requird pam_permit.so",
        "auth [success=okay] pam_permit.so",
        "auth include nothing",
        "auth sufficient pam_no_such_module.so",
        "",
    ],
)
def test_what_libpam_says_to_a_faulty_stack_is_no_refusal(tmp_path: Path, line: str) -> None:
    """Its answer is PAM_PERM_DENIED, or pam_deny's."""
    for rest in ([], ["auth required pam_deny.so"] if line else []):
        stack(tmp_path, "smtp", line, *rest, YES)
        with pytest.raises(StackError):
            verifier(tmp_path).verify(Login.of("joe"), "x")


def test_the_probe_tells_the_stacks(tmp_path: Path) -> None:
    for name in ("smtp", "imap"):
        stack(tmp_path, name, "auth required pam_permit.so", YES)
    told = verifier(tmp_path, service="{service}", services=("smtp", "imap")).probe()
    one = "auth pam_permit; account pam_permit)"
    assert told == f"smtp ({tmp_path}/smtp: {one}; imap ({tmp_path}/imap: {one}"


def test_an_old_libpam_says_what_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    monkeypatch.setattr("saslpy_pam.libpam._start_confdir", lambda: None)
    with pytest.raises(NoConfdir, match="confdir: "):
        verifier(tmp_path).verify(Login.of("joe"), "x")


# --- what modules see


def test_modules_see_the_clients_address(tmp_path: Path) -> None:
    rule = "pam_succeed_if.so quiet"
    stack(tmp_path, "smtp", f"auth required {rule} rhost = 2001:db8::7", "auth required pam_permit.so", YES)
    ask = verifier(tmp_path)
    assert isinstance(ask.verify(from_("daemon", "2001:db8::7"), "x"), Account)
    for client in ("2001:db8::8", "", "2001:db8::7\0", "é"):
        assert reason(ask.verify(from_("daemon", client), "x")) is Reason.WRONG_PASSWORD
    assert reason(ask.verify(Login.of("daemon"), "x")) is Reason.WRONG_PASSWORD


def test_modules_see_service_and_terminal(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$PAM_USER $PAM_SERVICE $PAM_TTY $PAM_RHOST" >{tmp_path}/seen\n')
    script.chmod(0o755)
    stack(tmp_path, "smtp", f"auth required pam_exec.so quiet {script}", "auth required pam_permit.so", YES)
    assert isinstance(verifier(tmp_path).verify(from_("joe", "192.0.2.7"), "x"), Account)
    assert (tmp_path / "seen").read_text() == "joe smtp saslpy 192.0.2.7\n"


def test_the_password_arrives_byte_by_byte(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ncat >{tmp_path}/seen\n")
    script.chmod(0o755)
    stack(tmp_path, "smtp", f"auth required pam_exec.so quiet expose_authtok {script}", YES)
    ask = verifier(tmp_path)
    for sent in (b"geheim", "pässwörd".encode(), "a\u0308".encode(), b"\xff\xfe latin \xe4", b"x" * 511, b" \t "):
        assert isinstance(ask.verify(Login.of("joe"), sent.decode("utf-8", "surrogateescape")), Account)
        assert (tmp_path / "seen").read_bytes().rstrip(b"\0") == sent


def test_what_pam_is_not_asked(tmp_path: Path) -> None:
    """Each would be accepted by this stack, if it were asked."""
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    ask = verifier(tmp_path)
    for name, password, wanted in (
        ("joe", "x\0y", Reason.MALFORMED),
        ("joe\0", "x", Reason.MALFORMED),
        ("joe", "", Reason.MALFORMED),
        ("", "x", Reason.MALFORMED),
        ("joe", "\ud800", Reason.MALFORMED),
        ("joe", "x" * 512, Reason.WRONG_PASSWORD),
        ("joe", "x" * 4000, Reason.WRONG_PASSWORD),
        ("joe", "é" * 256, Reason.WRONG_PASSWORD),
        ("../../etc/passwd", "x", Reason.UNKNOWN_USER),
        ("joe:x", "x", Reason.UNKNOWN_USER),
        ("-joe", "x", Reason.UNKNOWN_USER),
    ):
        assert reason(ask.verify(Login.of(name), password)) is wanted, (name, len(password))
    with pytest.raises(ValueError, match="a NUL"):
        Question("smtp", b"joe", b"x\0y")


# --- contrib/pam.d/saslpy


SHIPPED = Path(__file__).parents[2] / "contrib" / "pam.d" / "saslpy"


def test_an_outage_locks_nobody_out(tmp_path: Path) -> None:
    """The stack with pam_faillock as it is shipped, with pam_debug in the place of pam_unix."""
    lines = [line for line in SHIPPED.read_text().splitlines() if line.startswith("#auth")]
    (before,) = [number for number, line in enumerate(lines) if "faillock.so preauth" in line]
    shipped = [line[1:].replace("deny=10", f"deny=3 dir={tmp_path}/tally") for line in lines[before : before + 4]]
    (tmp_path / "tally").mkdir()

    def answers(code: str, times: int) -> list[Account | Refusal | None]:
        """What comes of some logins while pam_unix would say that; None for a failure."""
        lines = [line.replace("pam_unix.so nodelay", f"pam_debug.so auth={code}") for line in shipped]
        stack(tmp_path, "smtp", *lines, YES)
        found: list[Account | Refusal | None] = []
        for _ in range(times):
            try:
                found.append(verifier(tmp_path).verify(Login.of("nobody"), "x"))
            except PamFailure:
                found.append(None)
        return found

    assert answers("authinfo_unavail", 5) == [None] * 5
    assert [type(one) for one in answers("success", 1)] == [Account]
    assert [type(one) for one in answers("auth_err", 3)] == [Refusal] * 3
    assert [type(one) for one in answers("success", 1)] == [Refusal]  # locked


def test_a_passwd_that_cannot_be_asked_is_no_virtual_user(
    users: Callable[[dict[str, str]], PamVerifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_key: object) -> None:
        raise KeyError

    asked = users({"ann": "geheim"})
    assert asked.verify(Login.of("ann"), "geheim") == Account("ann")
    for name in ("getpwnam", "getpwuid"):  # as CPython does with no descriptor left
        monkeypatch.setattr(f"pwd.{name}", gone)
    with pytest.raises(PamFailure, match="passwd cannot be read"):
        asked.verify(Login.of("ann"), "geheim")
