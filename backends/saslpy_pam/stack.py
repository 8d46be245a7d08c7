"""Reading service files, pam.d(5): the rules that a login goes through.

libpam does not tell a faulty file from a refusal: a word that it cannot read, an included file that is missing, a service
without lines all end in PAM_PERM_DENIED at the login. This reader knows comments, continued lines, ``[value=action]``,
``-type``, include and substack, and Debian's @include, and raises ``StackError`` for what libpam would stumble over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .codes import FAILURES, REFUSALS
from .services import ServiceMissing, service_file

DEPTH = 16
"""Files within files; libpam has 16 substacks at most."""

KINDS = ("auth", "account")
OTHER_KINDS = ("password", "session")

WORDS = ("required", "requisite", "sufficient", "optional")
VALUES = frozenset(
    {"success", "default", "authtok_recover_err"}
    | {name.removeprefix("PAM_").lower() for name, *_ in (*REFUSALS.values(), *FAILURES.values())}
)

_LINE = re.compile(r"(-?)(\S+)\s+(\[[^\]]*\]|[^\[\s]\S*)\s+(\S+)(\s.*)?")
_INCLUDED = re.compile(r"@include\s+(\S+)")
_ACTION = re.compile(r"(\w+)=(ignore|ok|done|bad|die|reset|\d+)")


class StackError(RuntimeError):
    """The stack cannot work; the message says where, without the line: pam_mysql's has a password."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line that asks a module. ``quiet``: begins with ``-``, so that nobody is told when the module is missing."""

    kind: str
    control: str
    module: str
    place: str
    quiet: bool = False

    @property
    def name(self) -> str:
        """ "pam_unix" from "/lib/security/pam_unix.so"."""
        return self.module.rpartition("/")[2].removesuffix(".so")

    @property
    def forgets(self) -> bool:
        """Whether its failure leaves no trace in the stack's answer."""
        ignored = self.control == "sufficient" or re.search(r"\bdefault=(ignore|[1-9])", self.control)
        return bool(ignored) and not re.search(r"\bauthinfo_unavail=(bad|die)", self.control)


def read(service: str, confdir: Path | None = None) -> tuple[list[Rule], list[str]]:
    """The rules of a service, and the kinds for which it has none, so that those of "other" are asked.

    Raises ``ServiceMissing``, ``StackError`` and OSError.
    """
    found = list(rules(service_file(service, confdir), confdir))
    lacking = [kind for kind in KINDS if all(rule.kind != kind for rule in found)]
    for kind in lacking:
        others = list(rules(_included("other", Path(service), confdir), confdir, kind))
        if not others:
            raise StackError(f'{service}: has no {kind} lines, and neither has "other"')
        found += others
    return found, lacking


def rules(path: Path, confdir: Path | None = None, kind: str = "", depth: int = 0) -> Iterator[Rule]:
    """The rules for logins in a file and in those that it includes; of one kind, where that is said."""
    if depth > DEPTH:
        raise StackError(f"{path}: included more than {DEPTH} files deep")
    for number, line in _lines(path):
        if included := _INCLUDED.fullmatch(line):
            yield from rules(_included(included[1], path, confdir), confdir, kind, depth + 1)
            continue
        rule = _rule(line, f"{path}:{number}")
        if rule is None or kind not in ("", rule.kind):
            continue
        if rule.control in ("include", "substack"):
            yield from rules(_included(rule.module, path, confdir), confdir, rule.kind, depth + 1)
        else:
            yield rule


def _rule(line: str, place: str) -> Rule | None:
    """The rule in a line, None for those that no login goes through."""
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise StackError(f"{place}: PAM cannot read this line")
    kind, control = parts[2].lower(), parts[3].lower()
    if kind in OTHER_KINDS:
        return None
    if kind not in KINDS:
        raise StackError(f"{place}: expected auth, account, password or session")
    if not _known(control):
        raise StackError(f"{place}: PAM does not know this control")
    return Rule(kind, control, parts[4], place, quiet=bool(parts[1]))


def _known(control: str) -> bool:
    if not control.startswith("["):
        return control in (*WORDS, "include", "substack")
    actions = [_ACTION.fullmatch(word) for word in control[1:-1].split()]
    return bool(actions) and all(action is not None and action[1] in VALUES for action in actions)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """With the number of the first, continued lines joined and without comments. Raises OSError."""
    joined, start = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        joined, start = joined + line, start or number
        if line.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if text := joined.partition("#")[0].strip():
            yield start, text
        joined, start = "", 0


def _included(name: str, by: Path, confdir: Path | None) -> Path:
    try:
        return Path(name) if name.startswith("/") else service_file(name, confdir)
    except ServiceMissing:
        raise StackError(f"{by}: includes {name}, which is not there") from None
