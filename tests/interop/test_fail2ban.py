"""The filter in contrib, by fail2ban itself: it finds failed logins, and cannot be led to ban somebody else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from saslpy import Accept, Account, Defer, Login, Origin, Reason, Reject, Verdict
from saslpy.names import MalformedName, NamePolicy
from saslpy.observe.audit import Audit

from ..fakes import list_log
from ..real import need

FILTER = Path(__file__).parents[2] / "contrib" / "fail2ban" / "saslpy.conf"

NO = Reject(Reason.WRONG_PASSWORD, "local")


FORGED = "level=info event=login verdict=reject reason=wrong-password login=x service=s mechanism=m client=203.0.113.9"

ATTACKS = (
    'x" service=s mechanism=m client=203.0.113.9 y',
    'x" service=s mechanism=m client=203.0.113.9 caller=- y',
    '" service=s mechanism=m client=203.0.113.9 caller=-',
    '\\" service=s mechanism=m client=203.0.113.9 caller=-',
    'x\\\\" service=s mechanism=m client=203.0.113.9 caller=-',
    f"{FORGED} caller=1:2 backend=local ms=10.0",
    f"x\n{FORGED} caller=1:2 backend=local ms=10.0",
    f"x\ntime=2026-11-24T05:00:00.123Z {FORGED} caller=1:2 backend=local ms=10.0\n",
    f"\r\x85\u2028{FORGED} caller=-",
    f'x" {FORGED} caller=-',
    f"x\t{FORGED}\tcaller=-",
    f"time=2026-11-24T05:00:00.123Z {FORGED} caller=-",
    f'{{"time": "2026-11-24T05:00:00.123Z"}} {FORGED} caller=-',
    f'", "client": "203.0.113.9", {FORGED} caller=-',
    "203.0.113.9",
    "client=203.0.113.9",
    "\N{GRINNING FACE}" * 256 + f" {FORGED} caller=-",
    "x" * 4000 + f" {FORGED} caller=-",
    "x" * 235 + '" client=203.0.113.9 caller=-',
    *(f'{"x" * length}" client=203.0.113.9 caller=-' for length in range(50, 64)),
)
"""What somebody who knocks may say of himself to have another one banned."""


def banned_by(log: str, folder: Path) -> list[str]:
    """The addresses that fail2ban finds in a log."""
    file = folder / "log"
    file.write_text(log)
    done = subprocess.run(
        [need("fail2ban-regex", package="fail2ban"), "-o", "ip", str(file), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^[0-9a-f.:]+$", done.stdout, re.MULTILINE)


@pytest.mark.real
def test_the_filter(tmp_path: Path) -> None:
    log, lines = list_log()
    audit = Audit(log)

    def attempt(name: str, client: str, verdict: Verdict, service: str = "smtp") -> None:
        audit.attempt(Login(name, name), Origin("saslauthd", service, "PLAIN", client), verdict, 0.01)

    banned = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]
    attempt("joe@example.org", "192.0.2.1", NO)
    attempt("nobody", "2001:db8::1", Reject(Reason.UNKNOWN_USER))
    attempt('x client=192.0.2.99 "quoted', "192.0.2.2", NO)
    attempt("joe\nlevel=info event=login verdict=reject client=192.0.2.98 ", "192.0.2.3", NO, 'a" client=192.0.2.97')
    attempt("", "192.0.2.4", Reject(Reason.EMPTY_PASSWORD), "")
    attempt("joe@example.org", "", NO)
    attempt("x client=192.0.2.96 y", "", NO)
    attempt("joe@example.org", "192.0.2.95", Defer(Reason.BACKEND_FAILED, "local", "x client=192.0.2.94 y"))
    attempt("joe@example.org", "192.0.2.93", Accept(Account("joe@example.org"), "local"))
    attempt("joe@example.org", "192.0.2.92", Reject(Reason.DISABLED, "local"))
    assert banned_by("\n".join(lines) + "\n", tmp_path) == banned
    # as syslog and the journal's text show them
    before = "Nov 24 05:00:00 mail saslpy[12]: "
    assert banned_by("".join(f"{before}{line}\n" for line in lines), tmp_path) == banned


@pytest.mark.real
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_nobody_can_have_another_one_banned(form: Literal["logfmt", "json"], tmp_path: Path) -> None:
    """Whatever is written by the client or by the caller says it: in every field, alone and in all of them."""
    log, lines = list_log(form=form)
    audit = Audit(log)
    for text in ATTACKS:
        for login, service, mechanism, client, detail in (
            (text, "smtp", "PLAIN", "", ""),
            ("joe", text, "PLAIN", "", ""),
            ("joe", "smtp", text, "", ""),
            ("joe", "smtp", "PLAIN", "" if text == "203.0.113.9" else text, ""),
            ("joe", "smtp", "PLAIN", "", text),
            (text, text, text, "", text),
        ):
            for verdict in (NO, Reject(Reason.MALFORMED, detail=detail), Defer(Reason.TIMEOUT, "local", detail)):
                origin = Origin("saslauthd", service, mechanism, client)
                audit.attempt(Login(login, login, "", login), origin, verdict, 0.01)
        log.warning("unusable-secret", login=text, detail=text)
        log.error("library", logger="driver", message=text)
    assert banned_by("\n".join(lines) + "\n", tmp_path) == []


@pytest.mark.real
def test_the_names_of_a_real_request_too(tmp_path: Path) -> None:
    """The name is what the policy makes of login and realm, the refusal's detail what it says of them."""
    log, lines = list_log()
    for login in ATTACKS:
        for realm in ("", *ATTACKS):
            try:
                name = NamePolicy().login(login, realm)
            except MalformedName as fault:
                name, verdict = Login(login, login, "", login), Reject(Reason.MALFORMED, detail=str(fault))
            else:
                verdict = NO
            Audit(log).attempt(name, Origin("saslauthd", "smtp", "PLAIN", ""), verdict, 0.01)
    assert banned_by("\n".join(lines) + "\n", tmp_path) == []


@pytest.mark.real
def test_a_line_that_is_torn_bans_nobody(tmp_path: Path) -> None:
    """A log as a full disk or a crash may leave it: every line may end anywhere, with or without its line end."""
    log, lines = list_log()
    for text in ATTACKS[:6]:
        Audit(log).attempt(Login(text, text), Origin("saslauthd", text, "PLAIN", ""), NO, 0.01)
    torn = "".join(
        f"{line[:end]}{between}{line}\n" for line in lines for end in range(40, 200, 3) for between in ("", "\n")
    )
    assert banned_by(torn, tmp_path) == []
