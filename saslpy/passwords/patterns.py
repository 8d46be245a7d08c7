"""Regular expressions and the alphabets of crypt(3), compiled when first needed: 25 of them would cost 5 ms at import."""

from __future__ import annotations

import re
from functools import cache

ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""crypt(3)'s 64 digits."""

BCRYPT64 = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
"""bcrypt's."""


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern; ASCII only, so that no foreign digit counts as one."""
    return re.compile(pattern, re.ASCII)
