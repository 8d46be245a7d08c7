"""PAM without PAM: configuration, the table of codes, the conversation, service files read for `saslpy check`."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.config import Reader
from saslpy.model import Reason, Refusal
from saslpy_pam import Config, plugin
from saslpy_pam.checkup import described, refuse_faulty
from saslpy_pam.codes import AUTH_ERR, FAILURES, REFUSALS, PamFailure, Stage, refusal
from saslpy_pam.conversation import MAX_MESSAGES, Conversation
from saslpy_pam.services import ServiceMissing, service_file
from saslpy_pam.stack import Rule, StackError, rules

from ..real.pam import YES, stack


def test_the_driver_is_imported_by_open_alone() -> None:
    code = "import sys, saslpy_pam; assert 'pamela' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (plugin.driver, plugin.extra, plugin.local) == ("pamela", "pam", True)


# --- configuration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"service": ""}, "service: '' is no service name"),
        ({"service": "../login"}, "service: '../login' is no"),
        ({"service": "/etc/pam.d/login"}, "service: "),
        ({"service": "SMTP"}, "service: 'SMTP' is no service name: lower-case"),
        ({"service": ".."}, "service: "),
        ({"service": "{user}"}, "service: "),
        ({"service": "x\0"}, "service: "),
        ({"service": "{service}"}, "services: is required"),
        ({"services": ("smtp",)}, "services: goes with"),
        ({"service": "{service}", "services": ("smtp", "a/b")}, r"services\[1\]: 'a/b' is no"),
        ({"service": "{service}", "services": ("..",)}, r"services\[0\]: "),
        ({"service": "{service}", "services": ("smtp", "smtp")}, r"services\[1\]: 'smtp' stands there twice"),
        ({"domains": ("",)}, r"domains\[0\]: "),
        ({"domains": ("example.org", "joe@example.org")}, r"domains\[1\]: expected a domain"),
    ],
)
def test_faults(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Config(**changes)


def test_the_loader_reads_it_and_names_the_fields() -> None:
    reader = Reader(Path("/etc/saslpy"))
    table = {"service": "mail-{service}", "services": ["smtp", "imap"], "confdir": "pam.d"}
    read = reader.section(Config, table, "backend.system")
    assert read is not None
    assert read.service_files() == {"smtp": "mail-smtp", "imap": "mail-imap"}
    assert read.confdir == Path("/etc/saslpy/pam.d")
    reader.section(Config, {"servise": "x", "domains": "example.org"}, "backend.system")
    reader.section(Config, {"service": "{service}", "services": ["smtp", "x y"]}, "backend.system")
    assert reader.faults == [
        "backend.system.servise: unknown key; did you mean 'service'?",
        "backend.system.domains: expected array, got str",
        "backend.system.services[1]: 'x y' is no service name",
    ]


# --- codes


def test_every_code_of_linux_pam_has_one_meaning() -> None:
    assert sorted([*REFUSALS, *FAILURES]) == list(range(1, 32))


@pytest.mark.parametrize("stage", [Stage.AUTH, Stage.ACCOUNT])
def test_what_is_no_refusal_is_a_failure(stage: Stage) -> None:
    for code in (*FAILURES, 32, 99, -1):
        with pytest.raises(PamFailure, match=f"'smtp': {stage} returned {code}, "):
            refusal(stage, code, "smtp")
    for code, (name, reason, _) in REFUSALS.items():
        answer = refusal(stage, code, "smtp")
        if (stage, code) == (Stage.ACCOUNT, AUTH_ERR):
            assert answer.reason is Reason.SERVICE_DENIED
        else:
            assert answer.reason is reason
        assert name in answer.detail


def test_nothing_is_refused_before_a_module_was_asked() -> None:
    for code in range(1, 33):
        with pytest.raises(PamFailure):
            refusal(Stage.START, code, "smtp")


def test_reasons() -> None:
    assert [refusal(Stage.AUTH, code, "x").reason for code in (7, 10, 11, 12, 13)] == [
        Reason.WRONG_PASSWORD,
        Reason.UNKNOWN_USER,
        Reason.DISABLED,
        Reason.EXPIRED,
        Reason.EXPIRED,
    ]
    assert isinstance(refusal(Stage.ACCOUNT, 6, "x"), Refusal)


# --- the conversation

TALK = Conversation(b"joe", b"geheim")


def test_the_password_is_given_to_hidden_prompts_alone() -> None:
    assert TALK.answers([1]) == [b"geheim"]
    assert TALK.answers([2]) == [b"joe"]
    assert TALK.answers([3, 1, 4, 2, 1]) == [None, b"geheim", None, b"joe", b"geheim"]
    assert "geheim" not in repr(TALK)


@given(st.lists(st.integers(-5, 300), max_size=40))
def test_whatever_else_is_asked_is_refused(styles: list[int]) -> None:
    answers = TALK.answers(styles)
    right = 0 < len(styles) <= MAX_MESSAGES and all(style in (1, 2, 3, 4) for style in styles)
    assert (answers is not None) == right
    for style, answer in zip(styles, answers or (), strict=bool(answers)):
        assert (answer == b"geheim") == (style == 1)


# --- service files


def test_a_missing_service_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceMissing, match=r"nothing: there is no such service file; PAM would ask \"other\""):
        service_file("nothing", tmp_path)
    with pytest.raises(ServiceMissing, match=r"^/etc/pam.d/saslpy-no-such-service: there"):
        service_file("saslpy-no-such-service")
    assert service_file("other") == Path("/etc/pam.d/other")


def test_a_whole_stack_is_read(tmp_path: Path) -> None:
    stack(tmp_path, "deep", "account requisite pam_deny.so", "auth required pam_permit.so")
    stack(tmp_path, "common", "auth [success=1  default=ignore] pam_unix.so nullok # why", "password required x.so")
    stack(
        tmp_path,
        "smtp",
        "#%PAM-1.0",
        "",
        "@include common",
        "AUTH \\",
        "  required pam_succeed_if.so \\",
        "  quiet uid >= 1000",
        "-auth optional pam_gone.so",
        "account substack deep",
        "session required no-such-session-module.so",
    )
    assert [(rule.kind, rule.control, rule.name, rule.quiet) for rule in rules(tmp_path / "smtp", tmp_path)] == [
        ("auth", "[success=1  default=ignore]", "pam_unix", False),
        ("auth", "required", "pam_succeed_if", False),
        ("auth", "optional", "pam_gone", True),
        ("account", "requisite", "pam_deny", False),
    ]
    assert described("smtp", tmp_path).startswith(
        f"smtp ({tmp_path}/smtp: auth pam_unix, pam_succeed_if, pam_gone; account pam_deny; an outage of pam_unix looks"
    )


PERMIT = "auth required pam_permit.so"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([YES, "auth required pam_no_such.so passwd=geheim"], r"smtp:2: auth: there is no module pam_no_such\.so"),
        (["-auth required pam_no_such.so", YES], "smtp:1: auth: there is no module"),
        ([PERMIT, "account required /nowhere/pam_x.so"], "account: there is no module /nowhere/pam_x.so"),
        (["@include nothing"], "smtp: includes nothing, which is not there"),
        (["auth include nothing"], "smtp: includes nothing"),
        (["account substack nothing"], "smtp: includes nothing"),
        (["", "auth required"], r"smtp:2: PAM cannot read this line"),
        (["auth passwd=geheim"], r"smtp:1: PAM cannot read this line$"),
        (["auth [success=ok pam_permit.so"], r"smtp:1: PAM cannot read this line$"),
        (["auht required pam_permit.so geheim"], r"smtp:1: expected auth, account, password or session$"),
        (["auth requird pam_permit.so geheim"], r"smtp:1: PAM does not know this control$"),
        (["auth [sucess=ok] pam_permit.so"], r"smtp:1: PAM does not know this control"),
        (["auth [success=okay] pam_permit.so"], r"smtp:1: PAM does not know this control"),
        (["auth [] pam_permit.so"], r"smtp:1: PAM does not know this control"),
        (["@include smtp"], "included more than 16 files deep"),
        ([""], "smtp: has no auth lines, and neither has"),
        ([PERMIT], "smtp: has no account lines, and neither has"),
    ],
)
def test_stacks_that_cannot_work(tmp_path: Path, lines: list[str], message: str) -> None:
    stack(tmp_path, "other", "session required pam_permit.so")
    stack(tmp_path, "smtp", *lines)
    for look in (lambda: described("smtp", tmp_path), lambda: refuse_faulty("smtp", "joe", tmp_path)):
        with pytest.raises(StackError, match=message) as fault:
            look()
        assert "geheim" not in str(fault.value)


def test_without_lines_of_a_kind_those_of_other_are_asked(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", PERMIT)
    with pytest.raises(StackError, match="smtp: includes other, which is not there"):
        described("smtp", tmp_path)
    stack(tmp_path, "other", "auth required pam_deny.so", "account required pam_deny.so")
    told = 'auth pam_permit; account pam_deny; its account lines are those of "other")'
    assert described("smtp", tmp_path).endswith(told)


@pytest.mark.parametrize(
    "line", ["-auth optional pam_no.so", "-auth sufficient pam_no.so", "auth optional $ISA/pam_no.so"]
)
def test_modules_that_may_be_missing(tmp_path: Path, line: str) -> None:
    stack(tmp_path, "smtp", PERMIT, line, YES)
    refuse_faulty("smtp", "joe", tmp_path)


def test_a_blind_pam_unix_is_no_wrong_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root its failure is forgotten by Debian's common-auth, and pam_deny speaks."""
    monkeypatch.setattr("saslpy_pam.checkup.cannot_read_shadow", lambda: True)
    unix, deny = "auth [success=1 default=ignore] pam_unix.so nullok", "auth requisite pam_deny.so"
    stack(tmp_path, "smtp", unix, deny, PERMIT, "auth optional pam_permit.so", YES)
    with pytest.raises(StackError, match="smtp: pam_unix may not read /etc/shadow"):
        refuse_faulty("smtp", "joe", tmp_path)
    refuse_faulty("smtp", pwd.getpwuid(os.geteuid()).pw_name, tmp_path)
    assert "pam_unix knows only our own user's password" in described("smtp", tmp_path)
    for others in ([unix, "auth [success=1 default=ignore] pam_userdb.so", deny], ["auth required pam_unix.so"]):
        stack(tmp_path, "smtp", *others, YES)
        refuse_faulty("smtp", "joe", tmp_path)


@pytest.mark.parametrize(
    ("control", "forgets"),
    [
        ("required", False),
        ("sufficient", True),
        ("optional", False),
        ("[success=1 default=ignore]", True),
        ("[success=2 default=1]", True),
        ("[success=done authinfo_unavail=die default=ignore]", False),
        ("[success=ok user_unknown=ignore default=bad]", False),
    ],
)
def test_which_rules_hide_an_outage(control: str, forgets: bool) -> None:
    assert Rule("auth", control, "pam_x.so", "x:1").forgets is forgets


def test_the_file_that_we_ship_works_and_hides_nothing() -> None:
    folder = Path(__file__).parents[2] / "contrib/pam.d"
    text = described("saslpy", folder)
    assert "auth pam_unix; account pam_unix" in text
    assert "looks like a wrong password" not in text
