"""What the answer to a user's bind means: yes, a no with its reason, or that nothing was found out.

invalidCredentials is the one code that says no. Active Directory writes into its message why ("AcceptSecurityContext
error, data 52e": a Windows error code in hexadecimal), other servers add a password policy control.
"""

from __future__ import annotations

import re

from saslpy.model import Reason, Refusal

from .answers import INVALID_CREDENTIALS, SUCCESS, Failed, Result

ACTIVE_DIRECTORY = {
    0x525: (Reason.UNKNOWN_USER, "no such user"),
    0x52E: (Reason.WRONG_PASSWORD, ""),
    0x530: (Reason.DISABLED, "not at this hour"),
    0x531: (Reason.DISABLED, "not from this workstation"),
    0x532: (Reason.EXPIRED, "the password has expired"),
    0x533: (Reason.DISABLED, "the account is disabled"),
    0x701: (Reason.EXPIRED, "the account has expired"),
    0x773: (Reason.EXPIRED, "the password must be changed first"),
    0x775: (Reason.DISABLED, "the account is locked"),
}
"""Windows' system error codes (MS-ERREF, 2.2) that a domain controller gives as ``data``."""

POLICY = {
    0: (Reason.EXPIRED, "the password has expired"),
    1: (Reason.DISABLED, "the account is locked"),
    2: (Reason.EXPIRED, "the password must be changed first"),
}
"""The errors of a password policy control (draft-behera-ldap-password-policy-10, 6.2) that a bind may bring."""

_DATA = re.compile(r"\bLdapErr:.*\bdata ([0-9a-fA-F]{1,8})\b", re.DOTALL)


def refusal_of(result: Result) -> Refusal | None:
    """Why a bind was refused, None if it was not. Raises ``Failed`` where the answer is neither."""
    if result.code not in (SUCCESS, INVALID_CREDENTIALS):
        raise Failed("bind", result)
    if result.policy in POLICY:
        # after a reset the bind succeeds, for nothing but a change of the password
        return Refusal(*POLICY[result.policy])
    if result.code == SUCCESS:
        return None
    data = _DATA.search(result.message)
    if data is None:
        return Refusal(Reason.WRONG_PASSWORD)
    reason, detail = ACTIVE_DIRECTORY.get(int(data[1], 16), (Reason.WRONG_PASSWORD, f"data {data[1].lower()}"))
    return Refusal(reason, detail)
