"""Whether a stack can work, and what of it deserves a look: for ``saslpy check``, and before a refusal is believed."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from .services import PAM_CONF, service_file
from .stack import KINDS, Rule, StackError, read

SHADOW = Path("/etc/shadow")

HELPERS = frozenset(
    """pam_access pam_cap pam_echo pam_env pam_faildelay pam_faillock pam_group pam_keyinit pam_listfile pam_localuser
    pam_nologin pam_permit pam_rootok pam_securetty pam_shells pam_succeed_if pam_time pam_tty_audit pam_usertype pam_warn
    pam_wheel""".split()  # noqa: SIM905 (a list would take twenty lines)
)
"""Modules that know no passwords: they have no outages."""


def refuse_faulty(service: str, user: str, confdir: Path | None = None) -> None:
    """Raises ``StackError``, ``ServiceMissing`` or OSError for a stack that cannot have judged a user.

    libpam's answer is PAM_PERM_DENIED then, or what pam_deny says in the place of a module that is missing or helpless.
    """
    if service_file(service, confdir) == PAM_CONF:
        return
    found = read(service, confdir)[0]
    _check_modules(found)
    judges = {rule.name for rule in found if rule.kind == "auth"} - HELPERS - {"pam_deny"}
    if judges == {"pam_unix"} and _hidden(found) and cannot_read_shadow() and user != _own_name():
        raise StackError(f"{service}: pam_unix may not read {SHADOW}, and the stack makes a wrong password of that")


def cannot_read_shadow() -> bool:
    """pam_unix asks unix_chkpwd then, which answers for nobody but our own user."""
    return SHADOW.exists() and not os.access(SHADOW, os.R_OK)


def described(service: str, confdir: Path | None = None) -> str:
    """A line about a service. Raises ``StackError``, ``ServiceMissing`` or OSError when it cannot work."""
    path = service_file(service, confdir)
    if path == PAM_CONF:
        return f"{service} ({path})"
    found, lacking = read(service, confdir)
    _check_modules(found)
    told = [f"{kind} {', '.join(_names(found, kind))}" for kind in KINDS]
    return f"{service} ({path}: {'; '.join([*told, *_remarks(found, lacking)])})"


def _exists(module: str) -> bool:
    """Whether a module is there. $ISA stands for a folder that libpam was built with, and that nobody knows."""
    if "$ISA" in module:
        return True
    return any(Path(folder, module).exists() for folder in _folders())  # an absolute path stays what it is


@cache
def _folders() -> tuple[str, ...]:
    """Where modules are: beside this process's libpam (proc_pid_maps(5), if it may be read), or where others have them."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        maps = ""
    beside = {Path(path).parent / "security" for path in re.findall(r"/\S*/libpam\.so\S*", maps)}
    usual = [Path(lib, "security") for lib in ("/lib", "/usr/lib", "/lib64", "/usr/lib64")]
    found = (*beside, *usual, *Path("/usr/lib").glob("*/security"))
    return tuple(str(folder) for folder in found if folder.is_dir())


def _check_modules(found: Sequence[Rule]) -> None:
    for rule in found:
        may_miss = rule.quiet and (rule.control == "optional" or rule.forgets)
        if not may_miss and not _exists(rule.module):
            raise StackError(f"{rule.place}: {rule.kind}: there is no module {rule.module}")


def _names(found: Sequence[Rule], kind: str) -> list[str]:
    return [rule.name for rule in found if rule.kind == kind]


def _remarks(found: Sequence[Rule], lacking: Sequence[str]) -> Iterator[str]:
    for kind in lacking:
        yield f'its {kind} lines are those of "other"'
    if (hidden := _hidden(found)) is not None:
        yield f"an outage of {hidden} looks like a wrong password, since its failures are ignored; see contrib/pam.d"
    if "pam_unix" in _names(found, "auth") and cannot_read_shadow():
        yield f"pam_unix knows only our own user's password: {SHADOW} cannot be read"


def _hidden(found: Sequence[Rule]) -> str | None:
    """A module whose failures are forgotten: another says no in its place, or libpam itself when nobody has spoken."""
    asked = (rule for rule in found if rule.kind == "auth" and rule.name not in HELPERS)
    return next((rule.name for rule in asked if rule.forgets), None)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
