"""Real servers and clients from Debian's packages, each started for the tests alone."""

from __future__ import annotations

import functools
import os
import shutil

PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin", "/usr/lib/dovecot", "/usr/lib/mysql")
"""Where programs are that an ordinary user's PATH does not name."""


def need(program: str, *, package: str) -> str:
    """The path of a program. Without it the test is skipped; in CI that is a failure."""
    import pytest  # the bench uses the servers too, and may lack it

    found = _found(program)
    reason = f"{program} is missing: apt-get install {package}"
    if found is None and os.environ.get("CI"):
        pytest.fail(reason)
    if found is None:
        pytest.skip(reason)
    return found


@functools.cache
def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *PLACES)))
