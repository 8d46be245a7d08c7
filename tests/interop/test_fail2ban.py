"""The filter in contrib, by fail2ban itself: it finds failed logins, and cannot be led to ban somebody else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from saslpy import Accept, Account, Defer, Login, Origin, Reason, Reject, Verdict
from saslpy.observe.audit import Audit

from ..fakes import list_log
from ..real import need

FILTER = Path(__file__).parents[2] / "contrib" / "fail2ban" / "saslpy.conf"

NO = Reject(Reason.WRONG_PASSWORD, "local")


@pytest.mark.real
def test_the_filter(tmp_path: Path) -> None:
    log, lines = list_log()
    audit = Audit(log)

    def attempt(name: str, client: str, verdict: Verdict, service: str = "smtp") -> None:
        audit.attempt(Login(name, name), Origin("saslauthd", service, "PLAIN", client), verdict, 0.01)

    banned = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]
    attempt("joe@example.org", "192.0.2.1", NO)
    attempt("nobody", "2001:db8::1", Reject(Reason.UNKNOWN_USER))
    attempt('x client=192.0.2.99 "quoted', "192.0.2.2", NO)
    attempt("joe\nlevel=info event=login verdict=reject client=192.0.2.98 ", "192.0.2.3", NO, 'a" client=192.0.2.97')
    attempt("joe@example.org", "", NO)
    attempt("x client=192.0.2.96 y", "", NO)
    attempt("joe@example.org", "192.0.2.95", Defer(Reason.BACKEND_FAILED, "local", "x client=192.0.2.94 y"))
    attempt("joe@example.org", "192.0.2.93", Accept(Account("joe@example.org"), "local"))
    attempt("joe@example.org", "192.0.2.92", Reject(Reason.DISABLED, "local"))

    file = tmp_path / "log"
    file.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [need("fail2ban-regex", package="fail2ban"), "-o", "ip", str(file), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.findall(r"^[0-9a-f.:]+$", done.stdout, re.MULTILINE)
    assert found == banned, done.stdout + done.stderr
