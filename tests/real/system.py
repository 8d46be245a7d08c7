"""Users of this machine, made for a test and gone after it."""

from __future__ import annotations

import functools
import os
import pwd
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from . import need

PREFIX = "saslpy-t"
_OURS = re.compile(PREFIX + r"(\d+)-\w+")


def need_root() -> None:
    """Without root the test is skipped; in CI that is a failure."""
    import pytest

    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs root")


def need_namespaces() -> None:
    """Without a right to mount namespaces the test is skipped; in CI that is a failure."""
    import pytest

    if fault := _no_namespaces():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(fault)


@functools.cache
def _no_namespaces() -> str:
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return tried.stderr.decode(errors="replace")


class SystemUsers:
    """``with SystemUsers() as users: name = users.add("joe", "geheim")``. Needs root."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def __enter__(self) -> Self:
        """Remove what runs that were killed have left."""
        need_root()
        need("useradd", package="passwd")
        for entry in pwd.getpwall():
            found = _OURS.fullmatch(entry.pw_name)
            if found and not Path("/proc", found[1]).exists():
                run("userdel", entry.pw_name)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them all; the next run tries again with those for which that fails."""
        for name in self._names:
            with suppress(AssertionError):
                run("userdel", name)

    @staticmethod
    def name(label: str) -> str:
        """The name that a label stands for: nobody else has it."""
        return f"{PREFIX}{os.getpid()}-{label}"

    def add(self, label: str, password: str | bytes | None = None, method: str = "SHA512", full_name: str = "") -> str:
        """A user without a home directory. None: locked, as useradd leaves it. The name."""
        name = self.name(label)
        self._names.append(name)
        run("useradd", "-M", "-N", "-g", "nogroup", "-s", "/usr/sbin/nologin", "-c", full_name, name)
        if password is not None:
            secret = password.encode() if isinstance(password, str) else password
            run("chpasswd", "-c", method, stdin=name.encode() + b":" + secret + b"\n")
        return name


def run(program: str, *arguments: str, stdin: bytes = b"") -> None:
    """One of Debian's programs to its end, which must be a good one."""
    path = need(program, package="passwd")
    done = subprocess.run([path, *arguments], input=stdin, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, f"{program}: {done.stderr.decode(errors='replace')}"
