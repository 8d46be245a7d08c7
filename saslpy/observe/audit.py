"""One audit line per login attempt: stable keys, in a stable order.

``time level event=login verdict reason login service mechanism client caller backend ms``, then ``asked`` where the login
that was asked for is another one than the account (an alias), ``master`` where a master user acts as the account, and
``detail`` where there is something to add. ``verdict`` is accept, reject or defer; ``reason`` a value of ``saslpy.Reason``
(``ok`` for accept); ``client`` is an IP address or empty; ``caller`` is ``pid:uid`` of the asking process. fail2ban reads
these lines (contrib/fail2ban).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from ..model import Accept, Account, Defer, Login, Origin, Reason, Reject, Verdict
from .log import Log, plain

MAX_LOGIN = 256
MAX_DETAIL = 512
MAX_WORD = 64
"""Characters of a login, of a detail, and of whatever else is text."""


class Audit:
    """Writes attempts to the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def attempt(self, login: Login, origin: Origin, verdict: Verdict, seconds: float) -> None:
        """One attempt and its outcome, after ``seconds``. Never raises: the verdict is given, whatever it holds."""
        try:
            if self._log.form == "logfmt" and (line := plain_line(login, origin, verdict, seconds)) is not None:
                self._log.audit_line(line)
            else:
                self._log.audit(fields(login, origin, verdict, seconds))
        except Exception as error:
            self._log.fault(error, during="audit")


def plain_line(login: Login, origin: Origin, verdict: Verdict, seconds: float) -> str | None:
    """What ``fields`` would give as logfmt, for a login like nearly all; None for those that need a closer look.

    One line for every login is a tenth of the event loop's work, and this takes a third of the time.
    """
    if type(verdict) is Accept and type(verdict.account) is Account and not verdict.master:
        outcome, reason, name = "accept", "ok", verdict.account.login
        if type(name) is not str or (name != login.name and name.lower() != login.name.lower()):
            return None
    elif type(verdict) is Reject and type(verdict.reason) is Reason and not verdict.detail:
        outcome, reason, name = "reject", verdict.reason.value, login.name
    else:
        return None
    service, mechanism, backend, client, caller = (
        origin.service,
        origin.mechanism,
        verdict.backend,
        origin.client,
        origin.caller,
    )
    words = f"{service}{mechanism}{backend}"
    if (
        type(name) is not str
        or not name
        or len(name) > MAX_LOGIN
        or len(words) > MAX_WORD
        or not plain(name)
        or not plain(words)
    ):
        return None
    return (
        f"verdict={outcome} reason={reason} login={name} service={service or '-'} mechanism={mechanism or '-'} "
        f"client={(address(client) or '-') if client else '-'} caller={f'{caller.pid}:{caller.uid}' if caller else '-'} "
        f"backend={backend or '-'} ms={seconds * 1000:.1f}"
    )


def fields(login: Login, origin: Origin, verdict: Verdict, seconds: float) -> dict[str, Any]:
    """The keys of an audit line."""
    name, detail = login.name or login.given, ""
    master = ""
    if isinstance(verdict, Accept):
        outcome, reason, master = "accept", "ok", _text(verdict.master, MAX_LOGIN)
        # what a plug-in called an account may have anything for a name
        name = _text(getattr(verdict.account, "login", ""), MAX_LOGIN) or name
    else:
        outcome = "defer" if isinstance(verdict, Defer) else "reject"
        reason = _text(getattr(verdict.reason, "value", verdict.reason), MAX_WORD)
        detail = _text(verdict.detail, MAX_DETAIL)
    caller = origin.caller
    line: dict[str, Any] = {
        "verdict": outcome,
        "reason": reason,
        "login": name[:MAX_LOGIN],
        "service": _text(origin.service, MAX_WORD),
        "mechanism": _text(origin.mechanism, MAX_WORD),
        "client": address(origin.client) if type(origin.client) is str else "",
        "caller": f"{caller.pid}:{caller.uid}" if caller else "",
        "backend": _text(verdict.backend, MAX_WORD),
        "ms": seconds * 1000,
    }
    asked = (login.name or login.given)[:MAX_LOGIN]
    if name[:MAX_LOGIN].lower() != asked.lower():
        line["asked"] = asked
    if master:
        line["master"] = master
    if detail:
        line["detail"] = detail
    return line


@lru_cache(1024)
def address(client: str) -> str:
    """An IP address as everybody writes it, "" for what is none: what stands there is what fail2ban bans."""
    if len(client) > MAX_WORD:
        return ""
    try:
        found = ip_address(client)
    except ValueError:
        return ""
    # behind the per cent sign of fe80::1%eth0 any text may stand
    return str(getattr(found, "ipv4_mapped", None) or found).partition("%")[0]


def _text(value: object, most: int) -> str:
    """The beginning of a text, or of what a value is as text."""
    if type(value) is str:
        return value[:most]
    return "" if value is None else str(value)[:most]
