"""What the answer to a user's bind means: yes, a no with its reason, or that nothing was found out.

invalidCredentials says no, but not always: a domain controller answers with it whatever has gone wrong, an outage of its
own too, and writes what it was into the message ("AcceptSecurityContext error, data 52e": a Windows error code in
hexadecimal). So a code counts as a no only where it is known as one. Other servers add a password policy control, and
389 Directory Server refuses accounts with other result codes, and a text.
"""

from __future__ import annotations

import re

from saslpy.model import Reason, Refusal

from .answers import (
    CONSTRAINT_VIOLATION,
    INVALID_CREDENTIALS,
    POLICY_ERRORS,
    SUCCESS,
    UNWILLING_TO_PERFORM,
    Failed,
    Result,
)

ACTIVE_DIRECTORY = {
    0x525: (Reason.UNKNOWN_USER, "no such user"),
    0x52E: (Reason.WRONG_PASSWORD, ""),
    0x52F: (Reason.DISABLED, "restricted"),
    0x530: (Reason.DISABLED, "not at this hour"),
    0x531: (Reason.DISABLED, "not from this workstation"),
    0x532: (Reason.EXPIRED, "the password has expired"),
    0x533: (Reason.DISABLED, "the account is disabled"),
    0x569: (Reason.DISABLED, "may not log in in this way"),
    0x701: (Reason.EXPIRED, "the account has expired"),
    0x773: (Reason.EXPIRED, "the password must be changed first"),
    0x775: (Reason.DISABLED, "the account is locked"),
}
"""Windows' system error codes (MS-ERREF, 2.2) that a domain controller gives as ``data``, and that are about the user.

All others are not: no domain controller (51f), no memory (8, e), a timeout (5b4), a call that failed (6ba). The number at
the message's beginning, 80090308 (SEC_E_INVALID_TOKEN), is the same for all of them.
"""

POLICY = {
    0: Reason.EXPIRED,
    1: Reason.DISABLED,
    2: Reason.EXPIRED,
}
"""Those of ``POLICY_ERRORS`` that a bind may bring."""

IN_WORDS = {
    (UNWILLING_TO_PERFORM, "account inactivated. contact system administrator"): (
        Reason.DISABLED,
        "the account is disabled",
    ),
    (CONSTRAINT_VIOLATION, "exceed password retry limit."): (Reason.DISABLED, "the account is locked"),
    (CONSTRAINT_VIOLATION, "account inactivity limit exceeded."): (Reason.DISABLED, "not used for too long"),
    (UNWILLING_TO_PERFORM, "too many failed logins."): (Reason.DISABLED, "the account is locked"),
    (UNWILLING_TO_PERFORM, "entry permanently locked."): (Reason.DISABLED, "the account is locked"),
    (UNWILLING_TO_PERFORM, "account (kerberos principal) is expired"): (Reason.EXPIRED, "the account has expired"),
}
"""Result codes, with how the text begins, of 389 Directory Server (the first three: its core, and its plug-in for account
policies) and of FreeIPA's plug-ins in it. With other texts these codes mean other things."""

_DATA = re.compile(r"\bLdapErr:.*\bdata ([0-9a-fA-F]{1,8})\b", re.DOTALL)


def refusal_of(result: Result) -> Refusal | None:
    """Why a bind was refused, None if it was not. Raises ``Failed`` where the answer is neither."""
    if result.code not in (SUCCESS, INVALID_CREDENTIALS):
        return _in_words(result)
    if result.policy in POLICY:
        # after a reset the bind succeeds, for nothing but a change of the password
        return Refusal(POLICY[result.policy], POLICY_ERRORS[result.policy])
    if result.code == SUCCESS:
        return None
    data = _DATA.search(result.message)
    if data is None:
        return Refusal(Reason.WRONG_PASSWORD)
    known = ACTIVE_DIRECTORY.get(int(data[1], 16))
    if known is None:
        raise Failed("bind", result)
    return Refusal(*known)


def _in_words(result: Result) -> Refusal:
    text = result.message.lower()
    for (code, beginning), refusal in IN_WORDS.items():
        if result.code == code and text.startswith(beginning):
            return Refusal(*refusal)
    raise Failed("bind", result)
