"""Others who know how passwords are stored: doveadm, perl's crypt, Courier's library. They share no code with us."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

LOGIN = "joe@example.org"


def needed(path: str | None, what: str) -> str:
    """The path; a missing tool is a failure in CI, and skips the test elsewhere."""
    if path:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def doveadm_makes(scheme: str, password: str) -> str:
    """A stored secret that Dovecot made."""
    command = [needed(shutil.which("doveadm"), "doveadm"), "-O", "pw", "-s", scheme, "-p", password, "-u", LOGIN]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def doveadm_takes(stored: str, password: str, login: str = LOGIN) -> bool:
    """Whether Dovecot finds the password right."""
    command = [needed(shutil.which("doveadm"), "doveadm"), "-O", "pw", "-t", stored, "-p", password, "-u", login]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def perl_crypt(password: bytes, setting: str) -> str:
    """crypt(3) as perl calls it."""
    perl = needed(shutil.which("perl"), "perl")
    program = "binmode STDIN; local $/; print crypt(<STDIN>, $ARGV[0]) // ''"
    return subprocess.run(
        [perl, "-e", program, setting], input=password, capture_output=True, check=True
    ).stdout.decode()


def courier_takes(stored: str, password: str) -> bool:
    """Whether Courier's library finds the password right."""
    paths = [*Path("/usr/lib").glob("libcourierauthcommon.so*"), *Path("/usr/lib").glob("*/libcourierauthcommon.so*")]
    library = ctypes.CDLL(needed(str(paths[0]) if paths else None, "courier-authlib"))
    return bool(library.authcheckpassword(password.encode(), stored.encode()) == 0)
