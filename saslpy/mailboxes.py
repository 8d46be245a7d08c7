"""Whether a backend's accounts have what Courier's programs need, for ``saslpy check``: who has not, cannot be served."""

from __future__ import annotations

import trio

from .chain import Link
from .guard import BackendFailed
from .protocols.authdaemon import MANDATORY, missing

SECONDS = 10.0
"""For a look at all users."""


async def remark(link: Link) -> str:
    """What is to be said of the users of an open backend; empty where all is well, or nothing is known."""
    if not link.backend.can_list:
        gaps = [name for name in MANDATORY if getattr(link.template, name) is None]
        return f"users for whom the backend has no {' or '.join(gaps)} {_UNSERVED}" if gaps else ""
    try:
        with trio.fail_after(SECONDS):
            listed = await link.backend.accounts(finish=link.template.fill)
    except (BackendFailed, trio.TooSlowError):
        return ""
    lacking = [found for account in listed if (found := missing(account))]
    if not lacking:
        return ""
    names = [name for name in MANDATORY if any(name in found for found in lacking)]
    return f"{len(lacking)} of {len(listed)} users have no {' or '.join(names)}, and {_UNSERVED}"


_UNSERVED = "cannot be served by Courier's programs; this section may have values for all that lack them"
