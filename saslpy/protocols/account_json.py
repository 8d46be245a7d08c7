"""What programs ask over HTTP, in JSON: is this login right, and whose account is it.

::

    question := {"login": …, "password": …}        and, if one likes: realm, service, client, userdb
    answer   := {"verdict": "accept", "login": …}  and what is known of master, uid, gid, home, maildir, quota, name,
                                                   options
              | {"verdict": "reject", "reason": …}
              | {"verdict": "defer", "reason": …}  could not find out: the login may well be right

With ``"userdb": "2.3"`` (or "2.4") an account comes with the fields that a Dovecot of that version wants, each as
"name=value" with Dovecot's escapes, in ``userdb``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, get_args

from ..model import Accept, Account, Defer, Reason, Reject
from . import ProtocolError
from .dovecot.userdb import Version, userdb

WRONG = "wrong-credentials"
"""The reason of every no that does not prove that the password was right: who exists is nobody's business here."""

_HIDDEN = frozenset((Reason.UNKNOWN_USER, Reason.WRONG_PASSWORD, Reason.UNUSABLE_SECRET, Reason.WEAK_SCHEME))
_TEXTS = ("login", "password", "realm", "service", "client")


@dataclass(frozen=True, slots=True)
class Question:
    """Who is asked about. ``password`` is empty in a lookup, ``userdb`` where Dovecot's fields are not wanted."""

    login: str
    password: str = field(default="", repr=False)
    realm: str = ""
    service: str = ""
    client: str = ""
    userdb: Version | None = None


def read_question(body: bytes, lookup: bool = False) -> Question:
    """The question in a body; a ``lookup`` has no password. Raises ``ProtocolError``."""
    try:
        found = json.loads(body, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):  # the error would show what came
        raise ProtocolError("the body is no JSON, or says something twice") from None
    if not isinstance(found, dict):
        raise ProtocolError("the body is no JSON object")
    known = [key for key in (*_TEXTS, "userdb") if not (lookup and key == "password")]
    if unknown := len(found.keys() - set(known)):
        raise ProtocolError(f"{unknown} unknown keys; known are {', '.join(known)}")
    for key in ("login",) if lookup else ("login", "password"):
        if key not in found:
            raise ProtocolError(f"{key} is missing")
    for key in _TEXTS:
        if not isinstance(found.get(key, ""), str):
            raise ProtocolError(f"{key} is no text")
    if found.get("userdb") not in (None, *get_args(Version)):
        raise ProtocolError(f"userdb is none of {', '.join(get_args(Version))}")
    return Question(**found)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises ``ValueError`` where a key is there twice: which one has another program looked at?"""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def answer(verdict: Accept | Account | Reject | Defer, version: Version | None = None) -> dict[str, Any]:
    """The answer for a verdict, or for the account that a lookup has found. No answer holds a secret."""
    if isinstance(verdict, Account):
        return _account(verdict, "", version)
    if isinstance(verdict, Accept):
        return _account(verdict.account, verdict.master, version)
    if isinstance(verdict, Reject):
        return {"verdict": "reject", "reason": WRONG if verdict.reason in _HIDDEN else verdict.reason.value}
    return {"verdict": "defer", "reason": verdict.reason.value}


def not_found(verdict: Reject) -> dict[str, Any]:
    """The answer to a lookup that has found nobody: whoever may look up is told why."""
    return {"verdict": "reject", "reason": verdict.reason.value}


def _account(account: Account, master: str, version: Version | None) -> dict[str, Any]:
    known = {
        "master": master or None,
        "uid": account.uid,
        "gid": account.gid,
        "home": account.home,
        "maildir": account.maildir,
        "quota": account.quota,
        "name": account.name,
        # a password for a proxy (Dovecot's passdb_pass) is a secret, too
        "options": {name: text for name, text in account.options.items() if "pass" not in name.removeprefix("passdb_")},
        "userdb": None if version is None else [field.decode("utf-8", "replace") for field in userdb(account, version)],
    }
    told = {key: value for key, value in known.items() if value not in (None, {})}
    return {"verdict": "accept", "login": account.login, **told}
