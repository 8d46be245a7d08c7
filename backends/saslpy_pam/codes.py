"""What each return code of PAM means to us, as one table (Linux-PAM, security/_pam_types.h).

A refusal is what a module has *said* about the user. Everything else, the codes that nobody has defined yet too, says
that something could not be found out: the user may well be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from saslpy.model import Reason, Refusal

SUCCESS = 0
SYSTEM_ERR = 4
BUF_ERR = 5
PERM_DENIED = 6
AUTH_ERR = 7
CONV_ERR = 19
BAD_ITEM = 29

STACK_SAYS = frozenset({PERM_DENIED, AUTH_ERR})
"""What libpam (PAM_MUST_FAIL_CODE) and pam_deny say when the stack itself is at fault."""


class Stage(StrEnum):
    """Which call a code comes from."""

    START = "pam_start"
    AUTH = "pam_authenticate"
    ACCOUNT = "pam_acct_mgmt"


REFUSALS: Mapping[int, tuple[str, Reason, str]] = {
    # pam_access, pam_time, pam_sss: the user is right, but may not come in here or now
    PERM_DENIED: ("PAM_PERM_DENIED", Reason.SERVICE_DENIED, "the stack gives no access here and now"),
    # a locked password (`passwd -l`), pam_faillock's lock and pam_deny come as this one, too: PAM does not tell them apart
    AUTH_ERR: ("PAM_AUTH_ERR", Reason.WRONG_PASSWORD, "not the right password, locked, or refused by a rule"),
    10: ("PAM_USER_UNKNOWN", Reason.UNKNOWN_USER, "no such user"),
    11: ("PAM_MAXTRIES", Reason.DISABLED, "too many tries"),
    # `chage -d 0`, or older than its maximum age: nobody can change it over SMTP or IMAP
    12: ("PAM_NEW_AUTHTOK_REQD", Reason.EXPIRED, "the password must be changed"),
    13: ("PAM_ACCT_EXPIRED", Reason.EXPIRED, "the account has expired"),
    16: ("PAM_CRED_EXPIRED", Reason.EXPIRED, "the credentials have expired"),
    27: ("PAM_AUTHTOK_EXPIRED", Reason.EXPIRED, "the password has expired"),
}
"""Code: its name, our reason, and the words for the log."""

DENIED_AFTERWARDS = Refusal(
    Reason.SERVICE_DENIED,
    "PAM_AUTH_ERR from pam_acct_mgmt: the password is right, a rule of the stack refuses the account",
)
"""AUTH_ERR of the account modules (pam_deny, pam_succeed_if, pam_listfile, pam_nologin): the password was right before."""

FAILURES: Mapping[int, tuple[str, str]] = {
    1: ("PAM_OPEN_ERR", "a module cannot be loaded"),
    2: ("PAM_SYMBOL_ERR", "a module lacks a function"),
    3: ("PAM_SERVICE_ERR", "a module failed"),
    SYSTEM_ERR: ("PAM_SYSTEM_ERR", "the system failed a module"),
    BUF_ERR: ("PAM_BUF_ERR", "no memory"),
    8: ("PAM_CRED_INSUFFICIENT", "these workers may not read the data; they need root, or the group shadow"),
    9: ("PAM_AUTHINFO_UNAVAIL", "the data cannot be reached: a server is down, or these workers may not read the file"),
    14: ("PAM_SESSION_ERR", "a session was tried"),
    15: ("PAM_CRED_UNAVAIL", "the credentials cannot be had"),
    17: ("PAM_CRED_ERR", "the credentials cannot be set"),
    18: ("PAM_NO_MODULE_DATA", "a module misses its data"),
    CONV_ERR: ("PAM_CONV_ERR", "a module asks what we cannot answer, only a password and a name are there"),
    20: ("PAM_AUTHTOK_ERR", "the password could not be handled"),
    21: ("PAM_AUTHTOK_RECOVERY_ERR", "a module wants a password that none before it has asked for (use_first_pass)"),
    22: ("PAM_AUTHTOK_LOCK_BUSY", "the password database is locked"),
    23: ("PAM_AUTHTOK_DISABLE_AGING", "the ageing of passwords is disabled"),
    24: ("PAM_TRY_AGAIN", "a module says: try again"),
    25: ("PAM_IGNORE", "no module of the stack has an opinion"),
    26: ("PAM_ABORT", "libpam gave up: the service file is missing or faulty"),
    28: ("PAM_MODULE_UNKNOWN", "a module of the stack is missing; the system's log names it"),
    BAD_ITEM: ("PAM_BAD_ITEM", "an item is not known to libpam"),
    30: ("PAM_CONV_AGAIN", "a module wants an event loop"),
    31: ("PAM_INCOMPLETE", "a module wants to be called again"),
}
"""Code: its name, and what it mostly means."""


class PamFailure(Exception):
    """PAM could not say whether the login is right. The message holds neither name nor password."""


def refusal(stage: Stage, code: int, service: str) -> Refusal:
    """The definite no that a code stands for. Raises ``PamFailure`` for all that are none."""
    if stage is Stage.ACCOUNT and code == AUTH_ERR:
        return DENIED_AFTERWARDS
    if stage is not Stage.START and code in REFUSALS:
        name, reason, words = REFUSALS[code]
        return Refusal(reason, f"{name} from {stage}: {words}")
    name, words = FAILURES.get(code, ("an unexpected code", "see the log of the system"))
    raise PamFailure(f"service {service!r}: {stage} returned {code}, {name}: {words}")
