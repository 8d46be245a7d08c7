"""One audit line per login attempt: stable keys, in a stable order.

``time level event=login verdict reason login service mechanism client caller backend ms``, then ``detail`` where there is
something to add. ``verdict`` is accept, reject or defer; ``reason`` a value of ``saslpy.Reason`` (``ok`` for accept);
``caller`` is ``pid:uid`` of the asking process. fail2ban reads these lines (contrib/fail2ban).
"""

from __future__ import annotations

from typing import Any

from ..model import Accept, Defer, Login, Origin, Verdict
from .log import Log


class Audit:
    """Writes attempts to the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def attempt(self, login: Login, origin: Origin, verdict: Verdict, seconds: float) -> None:
        """One attempt and its outcome, after ``seconds``."""
        self._log.audit(fields(login, origin, verdict, seconds))


def fields(login: Login, origin: Origin, verdict: Verdict, seconds: float) -> dict[str, Any]:
    """The keys of an audit line."""
    if isinstance(verdict, Accept):
        outcome, reason, name, detail = "accept", "ok", verdict.account.login, ""
    else:
        outcome = "defer" if isinstance(verdict, Defer) else "reject"
        reason, name, detail = verdict.reason.value, login.name or login.given, verdict.detail
    caller = origin.caller
    line: dict[str, Any] = {
        "verdict": outcome,
        "reason": reason,
        "login": name[:256],
        "service": origin.service[:64],
        "mechanism": origin.mechanism,
        "client": origin.client,
        "caller": f"{caller.pid}:{caller.uid}" if caller else "",
        "backend": verdict.backend,
        "ms": seconds * 1000,
    }
    if detail:
        line["detail"] = detail[:512]
    return line
